"""The upgrade: the next supervisor follows, is handed the log politely, or everything stays.

Until the next one has said that it went on, this one keeps what it needs to go on itself.
"""

import asyncio
import subprocess
import time
from collections.abc import Callable, Sequence
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

HELP_SECONDS = 10.0  # for the new program to show its help
LOCK_SECONDS = 5.0  # for the log's lock to be free, once its owner is gone


async def upgrade(
    supervisor: "Supervisor", succession: "Succession", command: list[str]
) -> dict[str, Any]:
    """Hand over to a standby that `command` starts; raise UpgradeError when it stays here."""
    successor = Offspring.start([*command, "--upgrade"])
    try:
        await succession.expect(successor)
        await _ready(supervisor, succession, successor)
        await succession.make_way([*command, "--again"])
        await _ready(supervisor, succession, successor)  # it may have gone meanwhile
        pause_ns = await _hand_over(supervisor, succession, successor)
        if supervisor.stop_wanted.is_set():
            successor.ask_to_stop()  # we were told to stop meanwhile: that is for who goes on
    except BaseException as error:
        await successor.kill()
        reason = str(error) or type(error).__name__
        log.warning("the upgrade failed, the old supervisor goes on", err=reason)
        supervisor.publish("runtime", {"event": "upgrade_failed", "error": reason})
        if isinstance(error, UpgradeError) and successor.status and not succession.refusal:
            raise await _explained(error, command) from error
        raise
    finally:
        succession.next = None
        successor.close()
        if not succession.taken:
            succession.keep()
    return {"pid": successor.pid, "pause_ns": pause_ns}


async def _ready(supervisor: "Supervisor", succession: "Succession", successor: Offspring) -> None:
    """Wait until the next supervisor follows the log and has caught up."""
    await _until(
        lambda: succession.successor is not None and succession.successor.ready,
        ("is not ready", supervisor.config.runtime.start_timeout),
        succession,
        successor,
    )


async def _explained(error: UpgradeError, command: Sequence[str]) -> UpgradeError:
    """Add to the error of one that ended without a word why its program does not even start."""
    said = await asyncio.to_thread(_last_words, command)
    return UpgradeError(f"{error.message}: {said}" if said else error.message)


def _last_words(command: Sequence[str]) -> str:
    """Return why a command cannot even show its help, in its own words; empty: it can."""
    try:
        done = subprocess.run(
            [*command, "--help"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=HELP_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = done.stderr.decode("utf-8", "replace").splitlines() if done.returncode else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


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
    if successor.ended:
        succession.hear()  # its last words may stand behind the news of its end
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
    heir = succession.successor
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
