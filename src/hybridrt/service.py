"""`hybridrt run`: a supervisor in the foreground, with signals, logging and an exit status."""

import asyncio
import importlib.util
import os
import signal
import socket
import time
from pathlib import Path

from hybridrt.config import Config
from hybridrt.errors import ConfigError, HybridrtError, PermissionDeniedError
from hybridrt.estate import Estate
from hybridrt.exits import Status, exit_status
from hybridrt.logs import configure, get_logger
from hybridrt.notify import managed, notify, passed_sockets, watchdog_seconds
from hybridrt.supervisor import Supervisor
from hybridrt.tasks import Tasks

log = get_logger("service")

ATTACH_FDNAME = "attach"
WATCHDOG_SHARE = 3  # signs of life in the time that the manager waits for one
RETURN_SECONDS = 0.25  # for subscribers to connect again


def leave() -> None:
    """End this process now: its log failed, and whatever it still did could not be kept."""
    os._exit(Status.IO)


class Service:
    """Drives one supervisor by signals: the first TERM or INT drains, the second stops at once."""

    def __init__(self, config: Config, words: dict[str, str], estate: Estate | None = None) -> None:
        """Describe the service; with an estate it goes on with that."""
        self._estate = estate
        self._supervisor = Supervisor(config, estate)
        self._supervisor.words = words
        self._supervisor.on_log_failure = leave
        self._tasks = Tasks()
        self._running: asyncio.Task[int] | None = None

    async def run(self) -> int:
        """Start, serve until told to stop, drain; return the exit status."""
        self._running = asyncio.ensure_future(self._serve())
        self._catch_signals()
        try:
            return await self._running
        except asyncio.CancelledError:
            log.warning("stopped at once; jobs that ran go back uncounted")
            return Status.INTERRUPTED
        finally:
            await self._tasks.close()

    async def _serve(self) -> int:
        supervisor = self._supervisor
        try:
            supervisor.keep_socket = managed()
            supervisor.listening = self._passed_socket()
            async with supervisor:
                await self._started()
                await supervisor.stopped()
                if supervisor.failure is not None:
                    return Status.IO
                if supervisor.state == "handed over":
                    return Status.OK
                notify("STOPPING=1", "STATUS=draining")
                await supervisor.drain(supervisor.stop_timeout)
        except HybridrtError as error:
            log.critical("cannot run", err=str(error), hint=error.hint or None, code=error.code)
            status = exit_status(error.code)
            if status == Status.IO:
                leave()
            return status
        except OSError as error:
            log.critical("cannot run", err=str(error))
            return Status.FAILED
        log.info("stopped")
        return Status.OK

    def _passed_socket(self) -> socket.socket | None:
        """Return the attach socket that the service manager kept over a restart, if it did."""
        path = str(self._supervisor.attach_path)
        kept = passed_sockets().get(ATTACH_FDNAME)
        if kept is None or self._estate is not None:
            return None
        if kept.getsockname() != path or not self._supervisor.attach_path.exists():
            kept.close()
            return None
        kept.setblocking(False)
        log.info("peers that connected meanwhile are let in", socket=path)
        return kept

    async def _started(self) -> None:
        """Tell who waits: a predecessor that hands over, and the service manager."""
        supervisor, estate = self._supervisor, self._estate
        if estate is not None:
            estate.confirm()
            self._tasks.start(self._after_takeover(estate), "after the takeover")
        keep = ["FDSTORE=1", f"FDNAME={ATTACH_FDNAME}"]
        _, listening = supervisor.shared_fds()
        notify("FDSTOREREMOVE=1", f"FDNAME={ATTACH_FDNAME}")
        notify(*keep, fds=[listening])
        notify("READY=1", f"MAINPID={os.getpid()}", "STATUS=running")
        if interval := watchdog_seconds():
            self._tasks.start(self._feed_watchdog(interval / WATCHDOG_SHARE), "watchdog")

    async def _after_takeover(self, estate: Estate) -> None:
        """Publish it when subscribers had time to come back; after an upgrade, roll the workers."""
        supervisor = self._supervisor
        upgraded = estate.cause == "upgrade"
        await asyncio.sleep(RETURN_SECONDS)
        event = {"event": "upgrade" if upgraded else "takeover", "cause": estate.cause}
        supervisor.publish("runtime", {**event, "pid": os.getpid(), "value": estate.duration_ns})
        if upgraded and supervisor.config.runtime.roll:
            for pool in list(supervisor.pools.values()):
                await supervisor.try_roll(pool)

    async def _feed_watchdog(self, interval: float) -> None:
        """Give the service manager a sign of life, but only if the dispatch loop gives one."""
        while True:
            await self._supervisor.touch()
            notify("WATCHDOG=1")
            await asyncio.sleep(interval)

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, number)
        loop.add_signal_handler(signal.SIGQUIT, self._stop_at_once)
        loop.add_signal_handler(signal.SIGHUP, self._reload)

    def _stop(self, number: signal.Signals) -> None:
        if self._supervisor.stop_wanted.is_set() or self._supervisor.state in {"new", "starting"}:
            self._stop_at_once()
            return
        log.info("signal received, draining", signal=number.name)
        self._supervisor.stop_wanted.set()

    def _stop_at_once(self) -> None:
        if self._running is not None:
            self._running.cancel()

    def _reload(self) -> None:
        self._tasks.start(self._apply_file(), "reload")

    async def _apply_file(self) -> None:
        """Read the file again; a bad one is logged and the old configuration stays."""
        try:
            config = self._supervisor.load_again()
        except (ConfigError, PermissionDeniedError) as error:
            log.warning("the new configuration is bad, keeping the old", err=str(error))
            return
        notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        for section in await self._supervisor.reload(config):
            log.warning("a change needs a restart to take effect", section=section)
        notify("READY=1", "STATUS=running")


def run(
    path: str | Path | None = None, *, log_level: str | None = None, log_format: str | None = None
) -> int:
    """Run a supervisor until it is told to stop; return the exit status of the process."""
    try:
        config = Config.load(path)
    except (ConfigError, PermissionDeniedError) as error:
        configure(log_level or "info", log_format or "auto")
        log.critical("bad configuration", err=str(error), hint=error.hint or None)
        return exit_status(error.code)
    said = {"log_level": log_level, "log_format": log_format}
    words = {name: word for name, word in said.items() if word is not None}
    config = config.with_runtime(words)
    configure(config.runtime.log_level, config.runtime.log_format)
    return run_loop(config, words)


def run_loop(config: Config, words: dict[str, str], estate: Estate | None = None) -> int:
    """Run the service on uvloop when it is installed, else on plain asyncio."""
    factory = None
    if importlib.util.find_spec("uvloop") is not None:
        import uvloop  # optional at run time

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(_main(config, words, estate))


async def _main(config: Config, words: dict[str, str], estate: Estate | None) -> int:
    return await Service(config, words, estate).run()
