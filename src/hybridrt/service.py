"""`hybridrt run`: a supervisor in the foreground, with signals, logging and an exit status."""

import asyncio
import importlib.util
import signal
from pathlib import Path

from hybridrt.config import Config
from hybridrt.errors import ConfigError, HybridrtError
from hybridrt.exits import Status, exit_status
from hybridrt.logs import configure, get_logger
from hybridrt.supervisor import Supervisor
from hybridrt.tasks import Tasks

log = get_logger("service")


class Service:
    """Drives one supervisor by signals: the first TERM or INT drains, the second stops at once."""

    def __init__(self, config: Config) -> None:
        """Describe the service."""
        self._supervisor = Supervisor(config)
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
            async with supervisor:
                await supervisor.stop_wanted.wait()
                if supervisor.failure is not None:
                    return Status.IO
                await supervisor.drain(supervisor.stop_timeout)
        except HybridrtError as error:
            log.critical("cannot run", err=str(error), hint=error.hint or None, code=error.code)
            return exit_status(error.code)
        except OSError as error:
            log.critical("cannot run", err=str(error))
            return Status.FAILED
        log.info("stopped")
        return Status.OK

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
            config = Config.load(self._supervisor.config.origin)
        except ConfigError as error:
            log.warning("the new configuration is bad, keeping the old", err=str(error))
            return
        for section in await self._supervisor.reload(config):
            log.warning("a change needs a restart to take effect", section=section)


def run(
    path: str | Path | None = None, *, log_level: str | None = None, log_format: str | None = None
) -> int:
    """Run a supervisor until it is told to stop; return the exit status of the process."""
    try:
        config = Config.load(path)
    except ConfigError as error:
        configure(log_level or "info", log_format or "auto")
        log.critical("bad configuration", err=str(error), hint=error.hint or None)
        return Status.CONFIG
    configure(log_level or config.runtime.log_level, log_format or config.runtime.log_format)
    return run_loop(config)


def run_loop(config: Config) -> int:
    """Run the service on uvloop when it is installed, else on plain asyncio."""
    factory = None
    if importlib.util.find_spec("uvloop") is not None:
        import uvloop  # optional at run time

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(_main(config))


async def _main(config: Config) -> int:
    return await Service(config).run()
