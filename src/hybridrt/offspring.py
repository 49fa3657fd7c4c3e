"""A process that may become the supervisor: started or only known, watched through a pidfd."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Sequence
from typing import Self

from hybridrt import pidfds
from hybridrt.errors import StartError


class Offspring:
    """Another process of this program. Its end is awaited; it is never named by its pid alone."""

    def __init__(self, pid: int, pidfd: int) -> None:
        """Own the pidfd."""
        self.pid = pid
        self.status: int | None = None  # known of our own children only
        self._pidfd = pidfd
        self._ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(pidfd, self._end)

    @classmethod
    def start(cls, command: Sequence[str]) -> Self:
        """Start a process; raise StartError when it cannot be run."""
        try:
            # Of a group of its own: a ^C at the terminal is the supervisor's to handle.
            popen = subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0)
        except OSError as error:
            raise StartError(f"cannot run {command[0]!r}: {error.strerror or error}") from error
        return cls(popen.pid, pidfds.of_child(popen))

    def _end(self) -> None:
        self.status = pidfds.collect(self._pidfd)
        self.close()
        self._ended.set()

    @property
    def pidfd(self) -> int:
        """Return the descriptor of the process, which stays ours; -1: it is gone."""
        return self._pidfd

    @property
    def ended(self) -> bool:
        """Say whether the process is gone."""
        return self._ended.is_set()

    async def wait(self, seconds: float | None) -> bool:
        """Wait for the end; False when it did not come in time."""
        try:
            await asyncio.wait_for(self._ended.wait(), seconds)
        except TimeoutError:
            return False
        return True

    def signal_kill(self) -> None:
        """Kill the process, which may be gone already."""
        if self._pidfd >= 0:
            pidfds.send(self._pidfd, signal.SIGKILL)

    def ask_to_stop(self) -> None:
        """Ask the process, which may be gone already, to stop in good order."""
        if self._pidfd >= 0:
            pidfds.send(self._pidfd, signal.SIGTERM)

    async def kill(self) -> None:
        """Kill the process and wait until it is gone."""
        self.signal_kill()
        await self._ended.wait()

    def close(self) -> None:
        """Watch it no longer."""
        if self._pidfd >= 0:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1
