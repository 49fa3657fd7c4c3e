"""beanstalkd, a queue server with a log that it syncs on every write (-b with -f 0).

Its protocol is spoken here over a plain socket, many commands at a time, because the clients wait
for each answer, which would measure round trips.
"""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.peers.peer import Peer, missing_program, server

PRIORITY, DELAY_S, TIME_TO_RUN_S = 0, 0, 60


class Beanstalkd(Peer):
    """beanstalkd of its own on a unix socket."""

    key = "beanstalkd"
    name = "beanstalkd"
    durability = "sync"
    setup = "-b -f 0, unix socket; 64 puts a packet, and 64 reserves and deletes"
    batch = 64

    def missing(self) -> str:
        return missing_program("beanstalkd", "beanstalkd")

    def version(self) -> str:
        command = ["beanstalkd", "-v"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    @contextmanager
    def serving(self, home: Path) -> Iterator[Any]:
        address = str(home / "beanstalk.sock")
        command = ["beanstalkd", "-l", f"unix:{address}", "-b", str(home), "-f", "0"]
        with server(command, lambda: _answers(address)):
            yield address

    def sender(self, address: Any) -> "_Connection":
        return _Connection(address, self.batch)

    def receiver(self, address: Any) -> "_Connection":
        return _Connection(address, self.batch)


class _Connection:
    def __init__(self, address: str, batch: int) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(address)
        self.answers = self.socket.makefile("rb")
        self.batch = batch

    def send(self, payloads: list[bytes]) -> None:
        head = b"put %d %d %d %%d\r\n" % (PRIORITY, DELAY_S, TIME_TO_RUN_S)
        parts = [head % len(payload) + payload + b"\r\n" for payload in payloads]
        self.socket.sendall(b"".join(parts))
        for _ in payloads:
            self._expect(b"INSERTED")

    def take(self) -> list[bytes]:
        """Wait for one job, take what else is there at once, then delete them all."""
        taken = [self._reserve(b"reserve\r\n", 1)[0]]
        if self.batch > 1:
            taken += self._reserve(b"reserve-with-timeout 0\r\n", self.batch - 1)
        self.socket.sendall(b"".join(b"delete %d\r\n" % job for job, _ in taken))
        for _ in taken:
            self._expect(b"DELETED")
        return [payload for _, payload in taken]

    def close(self) -> None:
        self.answers.close()
        self.socket.close()

    def _reserve(self, command: bytes, count: int) -> list[tuple[int, bytes]]:
        self.socket.sendall(command * count)
        found = [self._reserved() for _ in range(count)]
        return [job for job in found if job is not None]

    def _reserved(self) -> tuple[int, bytes] | None:
        words = self.answers.readline().split()
        if words[0] == b"TIMED_OUT":
            return None
        if words[0] != b"RESERVED":
            raise RuntimeError(f"beanstalkd answered {words!r}")
        payload = self.answers.read(int(words[2]) + 2)
        return int(words[1]), payload[:-2]

    def _expect(self, word: bytes) -> None:
        line = self.answers.readline()
        if not line.startswith(word):
            raise RuntimeError(f"beanstalkd answered {line!r}, not {word!r}")


def _answers(address: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(address) == 0
