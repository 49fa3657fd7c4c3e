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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridrt import notify, pidfds
from hybridrt.config import PoolConfig
from hybridrt.errors import StartError
from hybridrt.handover import Held
from hybridrt.logs import get_logger
from hybridrt.native import Runtime
from hybridrt.output import LAST_LINES, Output

if TYPE_CHECKING:
    from hybridrt.succession import Succession

log = get_logger("worker")

STREAMS = ("stdout", "stderr")
KEEPER = (
    "hrt-keeper\n"  # has the memory of a supervisor, all lanes with it, and nothing to do there
)


def holder_of(memory: tuple[int, int]) -> tuple[int, int] | None:
    """Return pid and pidfd of the process that holds the lane of this device and inode.

    Its supervisor may have died after it started the process and before it could tell of it. None:
    there is no such process. Takes a look at every process of this user.
    """
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        if not _holds(entry, memory):
            continue
        try:
            pidfd = os.pidfd_open(int(entry.name))
        except ProcessLookupError:
            continue
        if _holds(entry, memory):  # it is still the same process
            return int(entry.name), pidfd
        os.close(pidfd)
    return None


def _holds(process: Path, memory: tuple[int, int]) -> bool:
    """Say whether a process has this memory: as a descriptor at first, mapped later on."""
    device, inode = memory
    mapped = f" {os.major(device):02x}:{os.minor(device):02x} {inode} "
    try:
        if (process / "comm").read_text() == KEEPER:
            return False
        opened = any(_is(entry, memory) for entry in (process / "fd").iterdir())
        return opened or mapped in (process / "maps").read_text()
    except OSError:  # it is gone, or another user's
        return False


def _is(path: Path, memory: tuple[int, int]) -> bool:
    try:
        about = path.stat()
    except FileNotFoundError:  # closed by now
        return False
    return (about.st_dev, about.st_ino) == memory


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
        self.pidfd = -1
        self._outputs: list[Output] = []

    def start(self, runtime: Runtime, socket_path: Path, succession: "Succession") -> None:
        """Spawn the process with a fresh lane; raise StartError when it cannot be run."""
        self.incarnation, fds = runtime.lane(self.pool.name, self.name)
        reading, writing = zip(os.pipe(), os.pipe(), strict=True)
        self._outputs = [self._output(fd, name) for fd, name in zip(reading, STREAMS, strict=True)]
        succession.lane_made(self)
        try:
            popen = self._spawn(fds, writing, socket_path)
        except OSError as error:
            self._close_outputs()
            runtime.lane_gone(self.incarnation, counted=False)
            succession.lane_ended(self.incarnation)
            program = self.pool.command[0]
            raise StartError(
                f'pool "{self.pool.name}": cannot run {program!r}: {error.strerror or error}',
                "is it built, and is the path right? It is relative to the pool's cwd",
            ) from error
        finally:
            for fd in (*fds, *writing):
                os.close(fd)
        pidfd = pidfds.of_child(popen)
        runtime.lane_pid(self.incarnation, popen.pid)
        self._watch(popen.pid, pidfd)
        succession.process_started(self)

    def _spawn(
        self, fds: list[int], writing: Sequence[int], socket_path: Path
    ) -> "subprocess.Popen[bytes]":
        numbers = ",".join(str(fd) for fd in fds)
        environment = {
            **notify.without_manager(os.environ),
            **self.pool.env,
            "HYBRIDRT_ATTACH": f"fds:{numbers}",
            "HYBRIDRT_POOL": self.pool.name,
            "HYBRIDRT_SOCKET": str(socket_path),
        }
        stdout, stderr = writing
        return subprocess.Popen(
            self.pool.command,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            cwd=self.pool.cwd or None,
            env=environment,
            pass_fds=fds,
            process_group=0,  # a ^C at the terminal is the supervisor's to handle
        )

    def adopt(self, held: Held) -> None:
        """Go on with a worker that another supervisor started; owns the descriptors."""
        self.incarnation = held.lane.incarnation
        self.started = held.started
        self._outputs = [self._output(fd, name) for name, fd in held.streams.items()]
        self._watch(held.pid, held.pidfd)

    def _output(self, fd: int, stream: str) -> Output:
        return Output(fd, stream, self.last_lines)

    def _watch(self, pid: int, pidfd: int) -> None:
        self.pid, self.pidfd = pid, pidfd
        logger = log.bind(pool=self.pool.name, worker=self.name, pid=pid)
        for output in self._outputs:
            output.start(logger)
        asyncio.get_running_loop().add_reader(pidfd, self._reap)

    def streams(self) -> dict[str, int]:
        """Return the ends of its output that are still open."""
        return {output.stream: output.fd for output in self._outputs if output.fd >= 0}

    def _reap(self) -> None:
        """Collect the exit status; called when the pidfd becomes readable."""
        self.status = pidfds.collect(self.pidfd)  # None: an earlier supervisor started it
        self._let_go()
        for output in self._outputs:
            output.finish()
        self.exited.set()
        self._on_exit(self)

    def _let_go(self) -> None:
        asyncio.get_running_loop().remove_reader(self.pidfd)
        os.close(self.pidfd)
        self.pidfd = -1

    def pause(self) -> None:
        """Take no more of its output, until `resume`: another supervisor may go on with it."""
        for output in self._outputs:
            output.pause()

    def resume(self) -> None:
        """Take its output again."""
        for output in self._outputs:
            output.resume()

    def leave(self) -> None:
        """Watch it no longer: another supervisor goes on with it."""
        if self.pidfd >= 0:
            self._let_go()
        self._close_outputs()

    def _close_outputs(self) -> None:
        for output in self._outputs:
            output.close()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; a process that is gone already is no error."""
        if self.pidfd >= 0 and not pidfds.send(self.pidfd, number):
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
        if not self.exited.is_set():
            return "is running"
        if self.status is None:
            return "exited with a status that only its first supervisor could have learned"
        if self.status >= 0:
            return f"exited with status {self.status}"
        try:
            return f"was killed by {signal.Signals(-self.status).name}"
        except ValueError:
            return f"was killed by signal {-self.status}"
