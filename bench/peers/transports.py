"""Queues between two processes that keep nothing: no acknowledgement, no retry, no log."""

import multiprocessing
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import zmq

from bench.peers.peer import Peer

BURST_MAX = 1000  # messages taken before the caller sees them
LINGER_MS = 1000


class MultiprocessingQueue(Peer):
    """multiprocessing.Queue: a pipe, a lock, pickle, and a thread that feeds it."""

    key = "multiprocessing"
    name = "multiprocessing.Queue"
    durability = "memory"
    setup = "put and get, one at a time: it has no batches"

    def version(self) -> str:
        return f"Python {platform.python_version()}"

    @contextmanager
    def serving(self, home: Path) -> Iterator[Any]:  # noqa: ARG002 - it has no files
        queue = multiprocessing.get_context("spawn").Queue()
        try:
            yield queue
        finally:
            queue.close()
            queue.join_thread()

    def sender(self, address: Any) -> "_QueueEnd":
        return _QueueEnd(address)

    def receiver(self, address: Any) -> "_QueueEnd":
        return _QueueEnd(address)


class _QueueEnd:
    def __init__(self, queue: Any) -> None:
        self.queue = queue

    def send(self, payloads: list[bytes]) -> None:
        for payload in payloads:
            self.queue.put(payload)

    def take(self) -> list[bytes]:
        return [self.queue.get()]

    def close(self) -> None:
        """Leave the queue to the next end of this process."""


class ZmqPush(Peer):
    """ZeroMQ PUSH to PULL over an ipc socket."""

    key = "pyzmq"
    name = "pyzmq PUSH/PULL"
    durability = "memory"
    setup = "ipc, one frame a message; ZeroMQ batches below"

    def version(self) -> str:
        return f"pyzmq {zmq.__version__}, libzmq {zmq.zmq_version()}"

    @contextmanager
    def serving(self, home: Path) -> Iterator[Any]:
        yield f"ipc://{home}/zmq"

    def sender(self, address: Any) -> "_ZmqEnd":
        return _ZmqEnd(zmq.PUSH, address)

    def receiver(self, address: Any) -> "_ZmqEnd":
        return _ZmqEnd(zmq.PULL, address)


class _ZmqEnd:
    def __init__(self, kind: int, address: str) -> None:
        self.socket = zmq.Context.instance().socket(kind)
        self.socket.linger = LINGER_MS
        if kind == zmq.PULL:
            self.socket.bind(address)
        else:
            self.socket.connect(address)

    def send(self, payloads: list[bytes]) -> None:
        for payload in payloads:
            self.socket.send(payload)

    def take(self) -> list[bytes]:
        taken = [self.socket.recv()]
        try:
            while len(taken) < BURST_MAX:
                taken.append(self.socket.recv(zmq.NOBLOCK))
        except zmq.Again:
            pass
        return taken

    def close(self) -> None:
        self.socket.close()
