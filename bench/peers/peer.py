"""What the benchmarks ask of a peer."""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, ClassVar, Protocol

READY_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 10.0
PAUSE_S = 0.01


class End(Protocol):
    """One end, in one process."""

    def close(self) -> None:
        """Let go of it, once all that was sent has left."""


class Sender(End, Protocol):
    """The producing end."""

    def send(self, payloads: list[bytes]) -> None:
        """Return once the peer has acknowledged all of them, as durably as it is set."""


class Receiver(End, Protocol):
    """The consuming end."""

    def take(self) -> list[bytes]:
        """Wait for at least one payload, return what is there, and forget it in the peer."""


class Peer:
    """A queue that others use."""

    key: ClassVar[str]  # for pytest -k
    name: ClassVar[str]
    durability: ClassVar[str]  # "memory" or "sync", in the sense of hybridrt
    setup: ClassVar[str]  # one line for the table
    batch: ClassVar[int] = 1  # payloads of one send in a throughput run
    latency: ClassVar[bool] = True  # whether a receiver is woken, so that there is one to measure
    one_process: ClassVar[bool] = False  # sender and receiver take turns in one process

    def missing(self) -> str:
        """Say which package to install; empty when all is there."""
        return ""

    def version(self) -> str:
        """Return what is measured."""
        raise NotImplementedError

    def serving(self, home: Path) -> AbstractContextManager[Any]:
        """Start it with its files in `home`; gives the address, which another process can take."""
        raise NotImplementedError

    def sender(self, address: Any) -> Sender:
        """Open the producing end."""
        raise NotImplementedError

    def receiver(self, address: Any) -> Receiver:
        """Open the consuming end."""
        raise NotImplementedError


def missing_program(program: str, package: str) -> str:
    """Say which Debian package brings a program that is not there."""
    return "" if shutil.which(program) else f"{program} is missing: apt-get install {package}"


@contextmanager
def server(command: list[str], ready: Callable[[], bool]) -> Iterator[None]:
    """Run a server until the end of the block, and wait until it answers."""
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        try:
            _await(process, ready)
            yield
        finally:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _await(process: subprocess.Popen[bytes], ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while not ready():
        if process.poll() is not None:
            text = process.stderr.read().decode() if process.stderr else ""
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}: {text}")
        if time.monotonic() > deadline:
            raise TimeoutError(f"{process.args!r} did not answer in time")
        time.sleep(PAUSE_S)
