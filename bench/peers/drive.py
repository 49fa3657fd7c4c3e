"""Drive a peer: flat out for throughput, at a gentle pace for latency."""

import multiprocessing
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from multiprocessing.connection import Connection
from typing import Any

from bench.figures import count_ns, summary
from bench.pace import sleep_exactly
from bench.peers import PEERS
from bench.peers.peer import Peer

STAMP_BYTES = 8
END = b"end of the run"  # after all other payloads, which have other lengths
CONSUMER_TIMEOUT_S = 300.0
WARMUP_JOBS = 100


def throughput(peer: Peer, address: Any, size: int, seconds: float, jobs: int) -> dict[str, Any]:
    """Send for `seconds`, or so many jobs; the run ends when the last one has been taken."""
    if peer.one_process:
        return _turns(peer, address, size, seconds, jobs)
    with closing(peer.sender(address)) as sender, _consumer(peer, address) as consumer:
        begin_ns = time.monotonic_ns()
        sent = 0
        payloads = [bytes(size)] * peer.batch
        while sent < jobs if jobs else time.monotonic_ns() - begin_ns < seconds * 1e9:
            sender.send(payloads)
            sent += len(payloads)
        sender.send([END])
        end_ns = _answer(consumer)["end_ns"]
    return _rate(sent, end_ns - begin_ns)


def latency(peer: Peer, address: Any, size: int, rate: int, jobs: int) -> dict[str, Any]:
    """Send one at a time; time each until it was taken, and until its send returned."""
    sleep_exactly()
    acknowledged: list[int] = []
    with closing(peer.sender(address)) as sender, _consumer(peer, address) as consumer:
        begin = time.monotonic()
        for turn in range(jobs + WARMUP_JOBS):
            time.sleep(max(0.0, begin + turn / rate - time.monotonic()))
            stamp = time.monotonic_ns()
            warm = turn >= WARMUP_JOBS
            sender.send([(stamp if warm else 0).to_bytes(STAMP_BYTES, "little").ljust(size, b"\0")])
            if warm:
                acknowledged.append(time.monotonic_ns() - stamp)
        sender.send([END])
        started = _answer(consumer)["started"]
    return {
        "enqueue_to_start": summary(started),
        "enqueue_to_acknowledged": summary(count_ns(acknowledged)),
    }


def _turns(peer: Peer, address: Any, size: int, seconds: float, jobs: int) -> dict[str, Any]:
    payloads = [bytes(size)] * peer.batch
    taken = 0
    with closing(peer.sender(address)) as sender, closing(peer.receiver(address)) as receiver:
        begin_ns = time.monotonic_ns()
        while taken < jobs if jobs else time.monotonic_ns() - begin_ns < seconds * 1e9:
            sender.send(payloads)
            taken += len(receiver.take())
    return _rate(taken, time.monotonic_ns() - begin_ns)


def _rate(jobs: int, nanoseconds: int) -> dict[str, Any]:
    seconds = nanoseconds / 1e9
    return {"jobs": jobs, "seconds": seconds, "jobs_per_second": jobs / seconds}


# ---- the consumer, a process of its own ----


@contextmanager
def _consumer(peer: Peer, address: Any) -> Iterator[Connection]:
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_consume, args=(peer.key, address, theirs))
    process.start()
    try:
        _answer(ours)  # it is ready
        yield ours
    finally:
        process.join(1.0)
        if process.is_alive():
            process.kill()
            process.join()


def _answer(consumer: Connection) -> Any:
    if not consumer.poll(CONSUMER_TIMEOUT_S):
        raise TimeoutError("the consumer of a peer did not end in time")
    return consumer.recv()


def _consume(key: str, address: Any, answer: Connection) -> None:
    """Take until the end comes; note how old each stamped payload was."""
    receiver = PEERS[key].receiver(address)
    answer.send("ready")
    ages_ns: list[int] = []
    while True:
        payloads = receiver.take()
        now_ns = time.monotonic_ns()
        stamp = int.from_bytes(payloads[0][:STAMP_BYTES], "little")
        if payloads[-1] == END:
            break
        if stamp:
            ages_ns.append(now_ns - stamp)
    answer.send({"end_ns": now_ns, "started": dict(count_ns(ages_ns))})
