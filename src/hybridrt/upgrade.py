"""The upgrade: the next supervisor follows, is handed the log politely, or everything stays.

Until the next one has said that it went on, this one keeps what it needs to go on itself.
"""

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hybridrt import handover
from hybridrt.dispatching import DispatchThread
from hybridrt.errors import HybridrtError, UpgradeError
from hybridrt.heir import close_all
from hybridrt.logs import get_logger
from hybridrt.native import Runtime, RuntimeOptions, Standby
from hybridrt.offspring import Offspring

if TYPE_CHECKING:
    from hybridrt.succession import Succession
    from hybridrt.supervisor import Grants, Supervisor

log = get_logger("upgrade")

LOCK_SECONDS = 5.0  # for the log's lock to be free, once its owner is gone


async def upgrade(
    supervisor: "Supervisor", succession: "Succession", command: list[str]
) -> dict[str, Any]:
    """Hand over to the supervisor that `command` starts; raise UpgradeError when it stays here."""
    succession.refusal = ""
    succession.taken = False
    await succession.dismiss("an upgrade begins")
    successor = Offspring.start(command)
    succession.next = successor
    try:
        await _until(
            lambda: succession.heir is not None and succession.heir.ready,
            ("is not ready", supervisor.config.runtime.start_timeout),
            succession,
            successor,
        )
        pause_ns = await _hand_over(supervisor, succession, successor)
    except BaseException as error:
        await successor.kill()
        reason = str(error) or type(error).__name__
        log.warning("the upgrade failed, the old supervisor goes on", err=reason)
        supervisor.publish("runtime", {"event": "upgrade_failed", "error": reason})
        raise
    finally:
        succession.next = None
        successor.close()
        if not succession.taken:
            succession.keep()
    return {"pid": successor.pid, "pause_ns": pause_ns}


async def _until(
    condition: Callable[[], bool],
    limit: tuple[str, float],
    succession: "Succession",
    successor: Offspring,
) -> None:
    """Wait for something of the next supervisor; raise UpgradeError when it is late, or is gone."""
    what, seconds = limit
    try:
        async with asyncio.timeout(seconds):
            while not condition():
                await _change(succession, successor)
    except TimeoutError as error:
        succession.hear()  # it may be we who are late
        if not condition():
            raise UpgradeError(f"the new supervisor {what} within {seconds:g} s") from error


async def _change(succession: "Succession", successor: Offspring) -> None:
    """Wait for news of the next supervisor; raise UpgradeError when it is gone."""
    if successor.ended or succession.refusal:
        how = "is gone" if successor.status is None else f"exited with status {successor.status}"
        reason = succession.refusal or f"it {how}"
        raise UpgradeError(f"the new supervisor does not go on: {reason}")
    news = succession.next_change()
    end = asyncio.ensure_future(successor.wait(None))
    try:
        await asyncio.wait((news, end), return_when=asyncio.FIRST_COMPLETED)
    finally:
        news.cancel()
        end.cancel()


async def _hand_over(
    supervisor: "Supervisor", succession: "Succession", successor: Offspring
) -> int:
    """Let go of the log and wait until the next one went on; else take it back. Returns the ns."""
    heir = succession.heir
    assert heir is not None
    options = supervisor.options()
    page_fd, grants = await supervisor.freeze()
    try:
        began_ns = time.monotonic_ns()
        heir.tell(handover.Release())
        try:
            await supervisor.release()
            limit = ("did not go on", supervisor.config.runtime.hang_timeout)
            await _until(lambda: succession.taken, limit, succession, successor)
        except HybridrtError:
            await successor.kill()
            await _take_back(supervisor, options, page_fd, grants)
            raise
        return time.monotonic_ns() - began_ns
    finally:
        close_all([page_fd, *(fd for _, fds in grants for fd in fds)])


async def _take_back(
    supervisor: "Supervisor", options: RuntimeOptions, page_fd: int, grants: "Grants"
) -> None:
    """Go on with our own log, as a standby would."""
    try:
        runtime = await asyncio.to_thread(_take_over, options, page_fd, grants)
    except HybridrtError as error:
        supervisor.give_up(error)  # somebody else has the log, or nobody can
        raise
    dispatch = DispatchThread(runtime)
    dispatch.start()
    supervisor.thaw(runtime, dispatch)
    log.warning("the old supervisor goes on")


def _take_over(options: RuntimeOptions, page_fd: int, grants: "Grants") -> Runtime:
    """Read the whole log once more, when its lock is free."""
    standby = Standby.open(options, page_fd)
    for grant, fds in grants:
        standby.grant(grant, fds)
        fds.clear()  # they are the standby's now
    return standby.take_over(LOCK_SECONDS)
