"""One worker process: spawned with its lane, watched through a pidfd, its output captured.

subprocess.Popen and pidfds instead of asyncio's child watchers: uvloop refuses SIGCHLD handlers,
and a pidfd never names another process.
"""

import asyncio
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hybridrt.config import PoolConfig
from hybridrt.errors import StartError
from hybridrt.logs import get_logger
from hybridrt.native import Runtime
from hybridrt.output import LAST_LINES, Output

log = get_logger("worker")


class WorkerProcess:
    """A spawned worker. `exited` is set once it is reaped; then `on_exit` is called."""

    def __init__(
        self, pool: PoolConfig, number: int, on_exit: "Callable[[WorkerProcess], None]"
    ) -> None:
        """Describe a worker that is not started yet."""
        self.pool = pool
        self.name = f"{pool.name}/{number}"
        self.number = number
        self.incarnation = 0
        self.pid = 0
        self.started = time.monotonic()
        self.registered = asyncio.Event()
        self.exited = asyncio.Event()
        self.stopping = False  # its exit is wanted: not counted, not followed by a restart
        self.status: int | None = None
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self.sample: dict[str, Any] = {}
        self._on_exit = on_exit
        self._pidfd = -1
        self._popen: subprocess.Popen[bytes] | None = None
        self._outputs: list[Output] = []

    def start(self, runtime: Runtime, socket_path: Path) -> None:
        """Spawn the process with a fresh lane; raise StartError when it cannot be run."""
        self.incarnation, fds = runtime.lane(self.pool.name, self.name)
        try:
            popen = self._spawn(fds, socket_path)
        except OSError as error:
            runtime.lane_gone(self.incarnation, counted=False)
            program = self.pool.command[0]
            raise StartError(
                f'pool "{self.pool.name}": cannot run {program!r}: {error.strerror or error}',
                "is it built, and is the path right? It is relative to the pool's cwd",
            ) from error
        finally:
            for fd in fds:
                os.close(fd)
        self._popen = popen
        self.pid = popen.pid
        runtime.lane_pid(self.incarnation, popen.pid)
        self._watch(popen)

    def _spawn(self, fds: list[int], socket_path: Path) -> "subprocess.Popen[bytes]":
        numbers = ",".join(str(fd) for fd in fds)
        environment = {
            **os.environ,
            **self.pool.env,
            "HYBRIDRT_ATTACH": f"fds:{numbers}",
            "HYBRIDRT_POOL": self.pool.name,
            "HYBRIDRT_SOCKET": str(socket_path),
        }
        return subprocess.Popen(
            self.pool.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.pool.cwd or None,
            env=environment,
            pass_fds=fds,
            process_group=0,  # a ^C at the terminal is the supervisor's to handle
        )

    def _watch(self, popen: "subprocess.Popen[bytes]") -> None:
        logger = log.bind(pool=self.pool.name, worker=self.name, pid=popen.pid)
        for stream, pipe in (("stdout", popen.stdout), ("stderr", popen.stderr)):
            if pipe is not None:
                fd = os.dup(pipe.fileno())
                pipe.close()
                self._outputs.append(Output(fd, stream, logger, self.last_lines))
        self._pidfd = os.pidfd_open(popen.pid)
        asyncio.get_running_loop().add_reader(self._pidfd, self._reap)

    def _reap(self) -> None:
        """Collect the exit status; called when the pidfd becomes readable."""
        if self._popen is None or self._popen.poll() is None:
            return
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._pidfd = -1
        self.status = self._popen.returncode
        for output in self._outputs:
            output.finish()
        self.exited.set()
        self._on_exit(self)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; a process that is gone already is no error."""
        if self._pidfd < 0:
            return
        try:
            signal.pidfd_send_signal(self._pidfd, number)
        except ProcessLookupError:
            log.debug("the process is gone already", worker=self.name, signal=number.name)

    async def wait(self, seconds: float) -> bool:
        """Wait for the exit; False when it did not come in time."""
        try:
            await asyncio.wait_for(self.exited.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def kill(self, grace: float) -> None:
        """Send SIGTERM, after `grace` seconds SIGKILL, and wait until it is reaped."""
        if grace > 0:
            self.signal(signal.SIGTERM)
            if await self.wait(grace):
                return
            log.warning("the worker ignores SIGTERM, killing it", worker=self.name, pid=self.pid)
        self.signal(signal.SIGKILL)
        await self.exited.wait()

    def describe_exit(self) -> str:
        """Say in words how the process ended."""
        if self.status is None:
            return "is running"
        if self.status >= 0:
            return f"exited with status {self.status}"
        try:
            return f"was killed by {signal.Signals(-self.status).name}"
        except ValueError:
            return f"was killed by signal {-self.status}"
