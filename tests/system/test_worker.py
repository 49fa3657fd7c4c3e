"""A Python worker in this process, attached by hand to a supervisor beside it."""

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hybridrt
from hybridrt import errors

ROOT = Path(__file__).parent.parent.parent
DEADLINE_S = 20


def test_a_worker_attached_by_hand_serves_and_stops_when_told(instance: Any) -> None:
    instance.run(kind=[{"name": "double"}])
    worker = hybridrt.Worker(concurrency=2, address=str(instance.directory / "attach.sock"))

    @worker.handle("double")
    def double(job: hybridrt.Job) -> int:
        return int(job.json()) * 2

    thread = threading.Thread(target=worker.run)
    thread.start()
    with hybridrt.connect(instance.directory) as client:
        assert client.enqueue("double", 21).result(DEADLINE_S) == b"42"
        with pytest.raises(errors.JobDeadError, match="not the JSON expected"):
            client.enqueue("double", "{").result(DEADLINE_S)
    worker.stop()
    thread.join(DEADLINE_S)
    assert not thread.is_alive()


def test_a_result_over_the_limit_makes_the_job_dead(instance: Any) -> None:
    instance.run(pool=[instance.python_pool()])
    with hybridrt.connect(instance.directory) as client:
        job = client.enqueue("echo", bytes(100_000))
        with pytest.raises(errors.JobDeadError, match="over the limit"):
            job.result(DEADLINE_S)


def test_what_was_saved_comes_with_the_next_attempt(instance: Any) -> None:
    instance.run(pool=[instance.python_pool()])
    with hybridrt.connect(instance.directory) as client:
        job = client.enqueue("save")
        assert job.result(DEADLINE_S) == b"half way"
        info = job.info()
        assert (info.attempt, info.saved_length) == (2, 0)
        crashed = client.enqueue("save_crash")
        assert crashed.result(DEADLINE_S) == b"before the crash"
        assert (crashed.info().attempt, crashed.info().crashes) == (2, 1)


@pytest.mark.parametrize(("size", "answer"), [(65_536, b"saved"), (65_537, b"too large")])
def test_more_than_the_limit_cannot_be_saved(instance: Any, size: int, answer: bytes) -> None:
    instance.run(pool=[instance.python_pool()])
    with hybridrt.connect(instance.directory) as client:
        assert client.enqueue("save_large", str(size)).result(DEADLINE_S) == answer


def test_a_handler_hands_its_job_back_when_its_worker_drains(
    instance: Any, tmp_path: Path, await_condition: Any
) -> None:
    instance.run(pool=[instance.python_pool()])
    begun = tmp_path / "begun"
    with hybridrt.connect(instance.directory) as client:
        job = client.enqueue("save_drain", str(begun), max_attempts=1)
        await_condition(begun.exists, "the handler runs")
        client.call("pool.scale", pool="python", workers=0)
        info = client.info(job.id)
        assert (info.state, info.attempt, info.saved_length) == ("ready", 0, 8)
        client.call("pool.scale", pool="python", workers=1)
        assert job.result(DEADLINE_S) == b"half way"
        assert job.info().attempt == 1


def test_a_kind_has_one_handler() -> None:
    worker = hybridrt.Worker()
    worker.handle("a")(lambda job: job.payload)
    with pytest.raises(errors.InvalidArgumentError, match="has a handler already"):
        worker.handle("a")


def test_a_worker_without_a_runtime_says_so(instance: Any) -> None:
    worker = hybridrt.Worker(address=str(instance.directory / "attach.sock"))
    worker.handle("a")(lambda job: job.payload)
    with pytest.raises(errors.UnreachableError):
        worker.run()


def test_a_long_job_goes_on_in_another_language(
    instance: Any, await_condition: Callable[..., Any]
) -> None:
    """With the examples of docs/sdk.md: what one of them saves the others understand."""
    scan_c = str(ROOT / "build" / "bin" / "scan-c")
    scan_py = [sys.executable, str(ROOT / "examples" / "python" / "scan.py")]
    pools = [
        {"name": "c", "command": [scan_c], "kinds": ["book.scan"]},
        {"name": "python", "command": scan_py, "kinds": ["book.scan"], "workers": 0},
    ]
    instance.run(pool=pools)
    with hybridrt.connect(instance.directory) as client:
        job = client.enqueue("book.scan", "dune")
        for now, then, page in (("c", "python", 1), ("python", "c", 2)):
            await_condition(lambda page=page: f"dune, page {page}" in instance.output(), "it scans")
            instance.call("pool.scale", pool=now, workers=0)
            instance.call("pool.scale", pool=then, workers=1)
        await_condition(lambda: "dune, page 3" in instance.output(), "the first one goes on")
        assert job.info().attempt == 1
    assert instance.output().count("dune, page 0") == 1
