"""A Redis list as a queue: RPUSH in, LPOP out, each write synced to the append-only file."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.peers.peer import Peer, missing_program, server

LIST = "jobs"


class RedisList(Peer):
    """redis-server of its own on a unix socket, clients by redis-py."""

    key = "redis"
    name = "Redis list"
    durability = "sync"
    setup = "appendfsync always, unix socket; RPUSH and LPOP of 256 a call"
    batch = 256

    def missing(self) -> str:
        return missing_program("redis-server", "redis-server")

    def version(self) -> str:
        command = ["redis-server", "--version"]
        words = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        return "Redis " + next(word[2:] for word in words if word.startswith("v="))

    @contextmanager
    def serving(self, home: Path) -> Iterator[Any]:
        address = str(home / "redis.sock")
        command = ["redis-server", "--port", "0", "--unixsocket", address, "--dir", str(home)]
        command += ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        with server(command, lambda: _answers(address)):
            yield address

    def sender(self, address: Any) -> "_ListEnd":
        return _ListEnd(address, self.batch)

    def receiver(self, address: Any) -> "_ListEnd":
        return _ListEnd(address, self.batch)


class _ListEnd:
    def __init__(self, address: str, batch: int) -> None:
        import redis  # of the packages for benchmarks alone

        self.client = redis.Redis(unix_socket_path=address)
        self.batch = batch

    def send(self, payloads: list[bytes]) -> None:
        self.client.rpush(LIST, *payloads)

    def take(self) -> list[bytes]:
        """Take many at once while there are some, else wait for one."""
        taken = self.client.lpop(LIST, self.batch)
        return taken or [self.client.blpop([LIST])[1]]

    def close(self) -> None:
        self.client.close()


def _answers(address: str) -> bool:
    import redis

    with redis.Redis(unix_socket_path=address) as client:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False
