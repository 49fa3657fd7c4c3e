"""A client in plain code, in a process beside the supervisor's."""

import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import hybridrt
from hybridrt import errors

DEADLINE_S = 20


@pytest.fixture
def client(instance: Any) -> Iterator[hybridrt.Client]:
    """Give a client of a supervisor in a process of its own."""
    instance.run(
        pool=[instance.python_pool()],
        queue=[{"name": "memory", "durability": "memory"}, {"name": "tiny", "max_jobs": 1}],
    )
    with hybridrt.connect(instance.directory) as made:
        yield made


def test_a_job_runs_and_its_result_comes_back(client: hybridrt.Client) -> None:
    job = client.enqueue("echo", {"n": 1}, key="k")
    assert job.durability is hybridrt.Durability.SYNC
    assert job.result(DEADLINE_S) == b'{"n":1}'
    assert job.info().state == "completed"


def test_results_of_many_threads_do_not_mix(client: hybridrt.Client) -> None:
    wrong: list[str] = []

    def produce(name: str) -> None:
        for number in range(50):
            text = f"{name}-{number}"
            if client.enqueue("echo", text, queue="memory").result(DEADLINE_S) != text.encode():
                wrong.append(text)

    threads = [threading.Thread(target=produce, args=(f"t{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_many_payloads_go_in_at_once(client: hybridrt.Client) -> None:
    client.call("queue.pause", queue="memory")
    ids = client.enqueue_many("echo", np.zeros(100_000, "u8"), queue="memory").check()
    assert len(set(ids)) == 100_000
    assert int(client.stats().queue("memory")["ready"]) == 100_000


def test_a_full_queue_rejects_or_blocks(client: hybridrt.Client) -> None:
    client.call("queue.pause", queue="tiny")
    first = client.enqueue("echo", "1", queue="tiny")
    with pytest.raises(errors.QueueFullError):
        client.enqueue("echo", "2", queue="tiny")
    got: list[bytes] = []

    def block() -> None:
        job = client.enqueue("echo", "2", queue="tiny", block_timeout=DEADLINE_S)
        got.append(job.result(DEADLINE_S))

    thread = threading.Thread(target=block)
    thread.start()
    first.cancel()
    client.call("queue.resume", queue="tiny")
    thread.join()
    assert got == [b"2"]


def test_a_cancelled_job_says_so(client: hybridrt.Client) -> None:
    job = client.enqueue("echo", "x", delay="1h")
    job.cancel()
    with pytest.raises(errors.JobCancelledError):
        job.result(DEADLINE_S)


def test_a_result_that_does_not_come_times_out(client: hybridrt.Client) -> None:
    with pytest.raises(errors.ResultTimeoutError):
        client.enqueue("echo", "x", delay="1h").result(0.05)


def test_a_closed_client_says_so(client: hybridrt.Client) -> None:
    client.close()
    with pytest.raises(errors.ClosedError):
        client.enqueue("echo", "x")


LEAVING = """
import os, sys, hybridrt
client = hybridrt.connect(sys.argv[1])
client.enqueue("echo", b"x")
os._exit(0)
"""


def test_a_producer_that_just_ends_is_no_worker_that_died(
    client: hybridrt.Client, instance: Any, await_condition: Any
) -> None:
    assert client.enqueue("echo", b"x").result(DEADLINE_S) == b"x"
    program = instance.spawn(sys.executable, "-c", LEAVING, str(instance.directory))
    assert program.wait(DEADLINE_S) == 0
    await_condition(
        lambda: "a client ended without detaching; it held no jobs" in instance.output(),
        "its end is told",
    )
    assert "died" not in instance.output()
