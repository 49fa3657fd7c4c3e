"""A supervisor inside the test, with a real Python worker process."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from hybridrt import Supervisor, errors
from hybridrt.names import Durability
from tests.waiting import until

DEADLINE_S = 20

QUEUES = [
    {"name": "memory", "durability": "memory"},
    {"name": "async", "durability": "async"},
    {"name": "tiny", "max_jobs": 2},
    {"name": "quick", "retry_base": "10ms", "retry_cap": "20ms"},
    {"name": "once", "result_ttl": 0},
]


@pytest.fixture
async def rt(instance: Any) -> AsyncIterator[Supervisor]:
    """Give a running supervisor with one Python worker."""
    config = instance.config(queue=QUEUES, pool=[instance.python_pool()])
    async with Supervisor(config) as supervisor:
        yield supervisor


@pytest.mark.parametrize(
    ("queue", "durability"),
    [
        ("default", Durability.SYNC),
        ("async", Durability.ASYNC),
        ("memory", Durability.MEMORY),
    ],
)
async def test_a_job_runs_at_each_durability(
    rt: Supervisor, queue: str, durability: Durability
) -> None:
    job = await rt.enqueue("echo", {"n": 1}, queue=queue)
    assert job.durability is durability
    assert await job.result(DEADLINE_S) == b'{"n":1}'
    info = await job.info()
    assert (info.state, info.kind, info.queue, info.attempt) == ("completed", "echo", queue, 1)


async def test_ids_increase_in_the_order_of_enqueues(rt: Supervisor) -> None:
    ids = [(await rt.enqueue("echo", b"", queue="memory")).id for _ in range(100)]
    assert ids == sorted(set(ids))


async def test_many_payloads_go_in_at_once(rt: Supervisor) -> None:
    payloads = [str(number) for number in range(1000)]
    ids = (await rt.enqueue_many("echo", payloads, queue="memory")).check()
    assert len(ids) == 1000
    assert await rt.handle(ids[999]).result(DEADLINE_S) == b"999"


async def test_a_structured_array_goes_in_element_by_element(rt: Supervisor) -> None:
    array = np.zeros(300, dtype=[("a", "<u4"), ("b", "<u8")])
    array["a"] = np.arange(300)
    ids = (await rt.enqueue_many("echo", array, queue="memory")).check()
    result = await rt.handle(ids[299]).result(DEADLINE_S)
    assert result == array[299].tobytes()


async def test_more_payloads_than_the_lane_holds_go_in(rt: Supervisor) -> None:
    array = np.zeros(100_000, dtype="u8")
    rt.pause("memory")
    ids = (await rt.enqueue_many("echo", array, queue="memory")).check()
    assert len(set(ids)) == 100_000
    assert int(rt.stats().queue("memory")["ready"]) == 100_000


async def test_concurrent_enqueues_are_all_answered(rt: Supervisor) -> None:
    jobs = await asyncio.gather(*(rt.enqueue("echo", str(n)) for n in range(500)))
    results = await asyncio.gather(*(job.result(DEADLINE_S) for job in jobs))
    assert results == [str(n).encode() for n in range(500)]


async def test_a_failed_attempt_is_retried(rt: Supervisor) -> None:
    job = await rt.enqueue("fail", "3", queue="quick")
    assert await job.result(DEADLINE_S) == b"attempt 3"


async def test_the_last_failure_makes_it_dead_with_its_error(rt: Supervisor) -> None:
    job = await rt.enqueue("fail", "9", queue="quick", max_attempts=2)
    with pytest.raises(errors.JobDeadError, match="RuntimeError: attempt 2 fails"):
        await job.result(DEADLINE_S)
    assert (await job.info()).state == "dead"


async def test_a_non_retryable_error_is_dead_at_once(rt: Supervisor) -> None:
    job = await rt.enqueue("dead", "never mind")
    with pytest.raises(errors.JobDeadError, match="never mind"):
        await job.result(DEADLINE_S)
    assert (await job.info()).attempt == 1


async def test_a_discarded_job_says_why(rt: Supervisor) -> None:
    job = await rt.enqueue("discard", "not wanted")
    with pytest.raises(errors.JobDiscardedError, match="not wanted"):
        await job.result(DEADLINE_S)


async def test_a_snooze_uses_no_attempt(rt: Supervisor, tmp_path: Path) -> None:
    job = await rt.enqueue("snooze", str(tmp_path / "seen"))
    assert await job.result(DEADLINE_S) == b"attempt 1"


async def test_a_crash_is_counted_and_the_job_runs_again(rt: Supervisor) -> None:
    job = await rt.enqueue("crash", "1", queue="quick")
    assert await job.result(DEADLINE_S) == b"attempt 2"
    info = await job.info()
    assert (info.crashes, info.attempt) == (1, 2)


async def test_follow_ups_commit_with_the_settle_that_succeeds(rt: Supervisor) -> None:
    job = await rt.enqueue("follow", queue="quick")
    assert await job.result(DEADLINE_S) == b"followed"
    # Two and not four: those of the failed attempt were never enqueued.
    followed = rt.stats().queue("default")
    await until(lambda: int(followed["completed"]) == 2, "both follow-ups ran")
    assert int(followed["enqueued"]) == 2


async def test_an_unknown_kind_and_queue_are_refused(rt: Supervisor) -> None:
    with pytest.raises(errors.UnknownKindError):
        await rt.enqueue("eco", "x")
    with pytest.raises(errors.UnknownQueueError):
        await rt.enqueue("echo", "x", queue="tinny")


async def test_a_payload_over_the_limit_is_refused(rt: Supervisor) -> None:
    with pytest.raises(errors.PayloadTooLargeError):
        await rt.enqueue("echo", bytes(262_145))


async def test_a_full_queue_rejects_or_blocks(rt: Supervisor) -> None:
    rt.pause("tiny")
    first = await rt.enqueue("echo", "1", queue="tiny")
    await rt.enqueue("echo", "2", queue="tiny")
    with pytest.raises(errors.QueueFullError, match="tiny"):
        await rt.enqueue("echo", "3", queue="tiny")
    with pytest.raises((errors.QueueFullError, errors.TimedOutError)):
        await rt.enqueue("echo", "3", queue="tiny", block_timeout="50ms")
    waiting = asyncio.ensure_future(rt.enqueue("echo", "3", queue="tiny", block_timeout=DEADLINE_S))
    await asyncio.sleep(0)
    await first.cancel()
    job = await waiting
    rt.resume("tiny")
    assert await job.result(DEADLINE_S) == b"3"


async def test_refused_jobs_of_many_are_named(rt: Supervisor) -> None:
    rt.pause("tiny")
    ids = await rt.enqueue_many("echo", ["1", "2", "3"], queue="tiny")
    assert list(ids.errors) == [2]
    with pytest.raises(errors.QueueFullError, match="payload 2 of 3"):
        ids.check()


async def test_a_waiting_job_is_cancelled_at_once(rt: Supervisor) -> None:
    job = await rt.enqueue("echo", "x", delay=3600)
    assert (await job.info()).state == "scheduled"
    await job.cancel()
    with pytest.raises(errors.JobCancelledError):
        await job.result(DEADLINE_S)


async def test_a_running_job_is_asked_to_stop(rt: Supervisor, tmp_path: Path) -> None:
    path = tmp_path / "started"
    job = await rt.enqueue("slow", str(path))
    await until(path.exists, "the handler began")
    await job.cancel()
    with pytest.raises(errors.JobCancelledError):
        await job.result(DEADLINE_S)


async def test_a_result_that_does_not_come_times_out(rt: Supervisor) -> None:
    job = await rt.enqueue("echo", "x", delay=3600)
    with pytest.raises(errors.ResultTimeoutError):
        await job.result(0.05)


async def test_a_result_that_is_not_kept_is_not_found(rt: Supervisor) -> None:
    job = await rt.enqueue("echo", "x", queue="once")
    completed = rt.stats().queue("once")
    await until(lambda: int(completed["completed"]) == 1, "the job ended")
    with pytest.raises(errors.JobNotFoundError):
        await job.result(DEADLINE_S)


async def test_counters_are_views_on_the_shared_page(rt: Supervisor) -> None:
    stats = rt.stats()
    before = int(stats.queue("memory")["completed"])
    job = await rt.enqueue("echo", "x", queue="memory")
    await job.result(DEADLINE_S)
    assert int(stats.queue("memory")["completed"]) == before + 1
    assert not stats.queues.flags.writeable
    assert stats.percentiles(stats.kind("echo")["run"])[50.0] > 0
    assert int(stats.runtime["rescues"]) == 0


async def test_a_killed_worker_is_replaced_and_its_jobs_run_again(
    rt: Supervisor, tmp_path: Path
) -> None:
    path = tmp_path / "started"
    job = await rt.enqueue("slow", str(path), queue="quick")
    await until(path.exists, "the handler began")
    (worker,) = rt.pools["python"].workers.values()
    Path(f"{path}.go").touch()
    path.unlink()
    os.kill(worker.pid, signal.SIGKILL)
    assert await job.result(DEADLINE_S) == b"done"
    await until(rt.pools["python"].is_ready, "the worker was replaced")
    assert rt.pools["python"].restarts == 1


async def test_scaling_starts_and_stops_workers(rt: Supervisor) -> None:
    pool = rt.pools["python"]
    await rt.scale("python", 3)
    await until(pool.is_ready, "three workers registered")
    pids = [worker.pid for worker in pool.workers.values()]
    await rt.scale("python", 1)
    assert len(pool.workers) == 1
    assert sum(psutil.pid_exists(pid) for pid in pids) == 1


async def test_a_job_over_its_time_limit_is_killed_if_it_does_not_stop(
    instance: Any, tmp_path: Path
) -> None:
    pool = instance.python_pool(kinds=["stubborn", "echo"], stop_grace="200ms")
    config = instance.config(runtime={"cancel_grace": "100ms"}, pool=[pool])
    async with Supervisor(config) as rt:
        job = await rt.enqueue("stubborn", str(tmp_path / "s"), timeout="100ms", max_attempts=1)
        with pytest.raises(errors.JobDeadError):
            await job.result(DEADLINE_S)
        echo = await rt.enqueue("echo", "still works")
        assert await echo.result(DEADLINE_S) == b"still works"


async def test_the_log_keeps_jobs_over_a_restart(instance: Any) -> None:
    async with Supervisor(instance.config(kind=[{"name": "echo"}])) as rt:
        job = await rt.enqueue("echo", "kept", key="k")
    config = instance.config(pool=[instance.python_pool()])
    async with Supervisor(config) as rt:
        assert await rt.handle(job.id).result(DEADLINE_S) == b"kept"


async def test_draining_lets_the_running_job_finish(instance: Any, tmp_path: Path) -> None:
    path = tmp_path / "started"
    async with Supervisor(instance.config(pool=[instance.python_pool()])) as rt:
        job = await rt.enqueue("slow", str(path))
        await until(path.exists, "the handler began")
        draining = asyncio.ensure_future(rt.drain(DEADLINE_S))
        await until(lambda: rt.state == "draining", "the drain began")
        with pytest.raises(errors.PausedError):
            await rt.enqueue("echo", "too late")
        Path(f"{path}.go").touch()
        await draining
        assert (await job.info()).state == "completed"


async def test_a_drain_out_of_time_hands_the_job_back_uncounted(
    instance: Any, tmp_path: Path
) -> None:
    pool = instance.python_pool(kinds=["stubborn"], stop_grace="100ms")
    async with Supervisor(instance.config(pool=[pool])) as rt:
        job = await rt.enqueue("stubborn", str(tmp_path / "started"))
        await until((tmp_path / "started").exists, "the handler began")
        await rt.drain(0.1)
        info = await job.info()
        assert (info.state, info.attempt, info.crashes) == ("ready", 0, 0)


async def test_a_second_supervisor_is_refused(rt: Supervisor) -> None:
    with pytest.raises(errors.AlreadyRunningError):
        async with Supervisor(rt.config):
            pytest.fail("two supervisors hold one directory")
    job = await rt.enqueue("echo", "the first one goes on")
    assert await job.result(DEADLINE_S) == b"the first one goes on"


async def test_directories_of_a_program_that_overlap_are_refused(instance: Any) -> None:
    config = instance.config(archive={"directory": str(instance.log_directory / "old")})
    with pytest.raises(errors.ConfigError, match=r"archive\.directory: .* lies in log\.directory"):
        async with Supervisor(config):
            pytest.fail("the archive lies in the log")
    assert not instance.log_directory.exists()


async def test_a_second_supervisor_on_the_same_log_is_refused(
    rt: Supervisor, instance: Any, tmp_path: Path
) -> None:
    config = instance.config(runtime={"directory": str(tmp_path / "other")})
    with pytest.raises(errors.AlreadyRunningError):
        async with Supervisor(config):
            pytest.fail("two supervisors hold one log")
    assert rt.state == "running"


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (["./no/such/program"], "cannot run './no/such/program': No such file or directory"),
        (
            [sys.executable, "-c", "import sys; sys.exit('no such luck')"],
            "exited with status 1 after",
        ),
    ],
)
async def test_a_worker_that_cannot_start_is_named(
    instance: Any, command: list[str], text: str
) -> None:
    pool = {"name": "bad", "command": command, "crash_limit": 2, "restart_backoff": "1ms"}
    with pytest.raises(errors.StartError, match='pool "bad"') as caught:
        async with Supervisor(instance.config(pool=[pool])):
            pytest.fail("the pool came up")
    assert text in str(caught.value)


async def test_a_worker_that_never_registers_is_named_with_its_output(instance: Any) -> None:
    program = "print('I do nothing', flush=True); import signal; signal.pause()"
    pool = {"name": "idle", "command": [sys.executable, "-c", program]}
    config = instance.config(runtime={"start_timeout": "2s"}, pool=[pool])
    with pytest.raises(errors.StartError, match="not ready within 2 s") as caught:
        async with Supervisor(config):
            pytest.fail("the pool came up")
    assert "I do nothing" in str(caught.value)


async def test_a_pool_that_is_not_required_does_not_hold_up_the_start(instance: Any) -> None:
    pool = {"name": "bad", "command": ["./no/such"], "required": False, "crash_limit": 1}
    async with Supervisor(instance.config(kind=[{"name": "echo"}], pool=[pool])) as rt:
        assert (await rt.enqueue("echo", "x")).id > 0
