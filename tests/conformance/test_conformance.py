"""One suite for the workers of all languages, through a real supervisor and real processes.

scenarios.toml holds what one job does by itself; the tests below are those where somebody acts
while it runs. The programs are built by `make build`.
"""

import asyncio
import json
import tomllib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from hybridrt import JobHandle, JobInfo, Supervisor, errors
from tests.waiting import until

ROOT = Path(__file__).parent.parent.parent
SCENARIOS = tomllib.loads((Path(__file__).parent / "scenarios.toml").read_text())["scenario"]
LANGUAGES = ("go", "rust", "c")
DEADLINE_S = 60
HOUR_MS = 3_600_000
QUEUES = [
    {"name": "default", "retry_base": "10ms", "retry_cap": "10ms", "durability": "memory"},
    {"name": "children", "durability": "memory"},
    {"name": "block", "order": "block", "retry_base": "10ms", "retry_cap": "10ms"},
    {"name": "skip", "order": "skip", "retry_base": "10ms", "retry_cap": "10ms"},
]
ENDS = {
    "dead": errors.JobDeadError,
    "discarded": errors.JobDiscardedError,
}

Start = Callable[..., AbstractAsyncContextManager[Supervisor]]


@pytest.fixture(params=LANGUAGES)
def language(request: pytest.FixtureRequest) -> str:
    """Name the language of the workers; its program has to be there."""
    name: str = request.param
    program = ROOT / "build" / "bin" / f"conformance-{name}"
    assert program.exists(), "run make build first"
    return name


@pytest.fixture
def start(instance: Any, language: str) -> Start:
    """Start supervisors, one after the other, on one log, with workers of this language."""
    program = str(ROOT / "build" / "bin" / f"conformance-{language}")

    @asynccontextmanager
    async def started(workers: int = 1, concurrency: int = 1) -> AsyncIterator[Supervisor]:
        pool = {
            "name": "conformance",
            "command": [program, "--concurrency", str(concurrency)],
            "workers": workers,
            "kinds": sorted({scenario["kind"] for scenario in SCENARIOS} | OTHER_KINDS),
            "restart_backoff": "10ms",
            "stop_grace": "200ms",
        }
        runtime = {"cancel_grace": "200ms", "drain_timeout": "20s"}
        config = instance.config(queue=QUEUES, pool=[pool], runtime=runtime)
        async with Supervisor(config) as supervisor:
            yield supervisor

    return started


OTHER_KINDS = {"conf.append", "conf.info", "conf.save_drain"}


async def until_state(job: JobHandle, state: str) -> JobInfo:
    """Wait until a job is in a state."""
    async with asyncio.timeout(DEADLINE_S):
        while (info := await job.info()).state != state:
            await asyncio.sleep(0.005)
    return info


async def until_started(rt: Supervisor, count: int = 1) -> None:
    """Wait until so many handlers run: a lease alone is no start."""
    lanes = rt.runtime.lanes
    await until(lambda: sum(lane["started"] for lane in lanes()) >= count, "handlers run")


def folder_of(path: Path) -> Path:
    folder = path / "folder"
    folder.mkdir()
    return folder


# ---- jobs by themselves -------------------------------------------------------------------------


def payload_of(scenario: dict[str, Any], folder: Path) -> bytes:
    if "payload_size" in scenario:
        return b"x" * int(scenario["payload_size"])
    payload = scenario["payload"]
    text = payload if isinstance(payload, str) else json.dumps(payload)
    return text.replace("{folder}", str(folder)).encode()


def check_result(scenario: dict[str, Any], result: bytes) -> None:
    if "result" in scenario:
        assert result == scenario["result"].encode()
    if "result_size" in scenario:
        assert result == b"x" * scenario["result_size"]


def check_info(scenario: dict[str, Any], info: JobInfo) -> None:
    assert info.state == scenario["end"]
    for field in ("attempt", "crashes", "cause"):
        if field in scenario:
            assert getattr(info, field) == scenario[field], field
    assert scenario.get("error", "") in info.error
    if "error_size" in scenario:
        assert info.error == "x" * scenario["error_size"]
    if "waits_s" in scenario:
        assert info.settled_ns - info.enqueued_ns >= scenario["waits_s"] * 1e9


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[s["name"] for s in SCENARIOS])
async def test_scenario(start: Start, tmp_path: Path, scenario: dict[str, Any]) -> None:
    async with start() as rt:
        payload = payload_of(scenario, folder_of(tmp_path))
        job = await rt.enqueue(scenario["kind"], payload, **scenario.get("options", {}))
        if scenario["end"] == "completed":
            check_result(scenario, await job.result(DEADLINE_S))
        else:
            with pytest.raises(ENDS[scenario["end"]]):
                await job.result(DEADLINE_S)
        check_info(scenario, await job.info())
        children = rt.stats().queue("children")
        wanted = scenario.get("children", 0)
        assert int(children["enqueued"]) == wanted
        await until(lambda: int(children["completed"]) == wanted, "the follow-up jobs are done")


# ---- what a handler sees ------------------------------------------------------------------------


async def test_a_handler_sees_all_of_its_job(start: Start) -> None:
    async with start() as rt:
        job = await rt.enqueue(
            "conf.info", b"", queue="block", key="a key", meta=b"mine", max_attempts=7, timeout=60
        )
        seen = json.loads(await job.result(DEADLINE_S))
        assert seen.pop("token") > job.id
        assert seen == {
            "id": job.id,
            "attempt": 1,
            "max_attempts": 7,
            "key": "a key",
            "meta": "bWluZQ==",
            "kind": "conf.info",
            "queue": "block",
            "deadline": True,
        }


async def test_tokens_increase_from_lease_to_lease(start: Start) -> None:
    async with start() as rt:
        jobs = [await rt.enqueue("conf.info", b"", queue="block", key="one") for _ in range(20)]
        seen = [json.loads(await job.result(DEADLINE_S)) for job in jobs]
    tokens = [info["token"] for info in seen]
    assert tokens == sorted(set(tokens))
    assert not any(info["deadline"] for info in seen)


async def test_ten_thousand_jobs_come_through(start: Start) -> None:
    async with start(workers=2, concurrency=4) as rt:
        payloads = [str(number) for number in range(10_000)]
        ids = (await rt.enqueue_many("conf.echo", payloads)).check()
        counters = rt.stats().queue("default")
        await until(lambda: int(counters["completed"]) == len(ids), "all are completed")
        for place in (0, 4_999, 9_999):
            result = await rt.handle(ids[place]).result(DEADLINE_S)
            assert result == payloads[place].encode()
        assert int(counters["leased"]) == len(ids)
        assert int(counters["returned"]) == 0


# ---- cancelling, pausing, expiring --------------------------------------------------------------


async def test_a_waiting_job_is_cancelled_at_once(start: Start) -> None:
    async with start() as rt:
        rt.pause("default")
        job = await rt.enqueue("conf.echo", b"never")
        await job.cancel()
        with pytest.raises(errors.JobCancelledError):
            await job.result(DEADLINE_S)
        assert (await job.info()).attempt == 0


@pytest.mark.parametrize("kind", ["conf.sleep", "conf.ignore"])
async def test_a_running_job_is_cancelled_whether_it_listens_or_not(
    start: Start, kind: str
) -> None:
    async with start() as rt:
        job = await rt.enqueue(kind, {"ms": HOUR_MS})
        await until_started(rt)
        await job.cancel()
        with pytest.raises(errors.JobCancelledError):
            await job.result(DEADLINE_S)
        # The worker, or the one that replaces it, goes on.
        after = await rt.enqueue("conf.echo", b"after")
        assert await after.result(DEADLINE_S) == b"after"


async def test_a_paused_queue_waits_and_goes_on(start: Start) -> None:
    async with start() as rt:
        rt.pause("children")
        waiting = await rt.enqueue("conf.echo", b"waits", queue="children")
        passing = await rt.enqueue("conf.echo", b"passes")
        assert await passing.result(DEADLINE_S) == b"passes"
        assert (await waiting.info()).state == "ready"
        rt.resume("children")
        assert await waiting.result(DEADLINE_S) == b"waits"


async def test_a_job_that_nobody_began_in_time_expires(start: Start) -> None:
    async with start() as rt:
        rt.pause("default")
        job = await rt.enqueue("conf.echo", b"stale", expires=0.05)
        with pytest.raises(errors.JobExpiredError):
            await job.result(DEADLINE_S)
        assert (await job.info()).attempt == 0


async def test_a_result_lives_as_long_as_it_was_asked_for(start: Start) -> None:
    async with start() as rt:
        job = await rt.enqueue("conf.echo", b"brief", result_ttl=0.2)
        assert await job.result(DEADLINE_S) == b"brief"
        with pytest.raises(errors.JobNotFoundError):
            await until_state(job, "forgotten")


# ---- keys ---------------------------------------------------------------------------------------


async def test_one_key_runs_in_order_over_workers_and_retries(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "lines"
    async with start(workers=3, concurrency=4) as rt:
        head = await rt.enqueue("conf.fail_until", {"n": 4}, queue="block", key="k")
        payloads = [{"path": str(path), "text": str(number)} for number in range(50)]
        ids = (await rt.enqueue_many("conf.append", payloads, queue="block", key="k")).check()
        await rt.handle(ids[-1]).result(DEADLINE_S)
        assert path.read_text().split() == [str(number) for number in range(50)]
        first = await rt.handle(ids[0]).info()
        assert (await head.info()).settled_ns <= first.settled_ns
        assert (await head.info()).attempt == 4


async def test_a_snoozing_head_holds_its_key_in_a_blocking_queue(
    start: Start, tmp_path: Path
) -> None:
    runs = {"n": 1, "ms": HOUR_MS, "path": str(tmp_path / "runs")}
    async with start() as rt:
        head = await rt.enqueue("conf.snooze", runs, queue="block", key="k")
        await until_state(head, "scheduled")
        behind = await rt.enqueue("conf.echo", b"behind", queue="block", key="k")
        other = await rt.enqueue("conf.echo", b"other", queue="block", key="other")
        assert await other.result(DEADLINE_S) == b"other"
        info = await behind.info()
        assert (info.state, info.blocked) == ("ready", True)
        await head.cancel()
        assert await behind.result(DEADLINE_S) == b"behind"


async def test_a_snoozing_head_lets_its_key_pass_in_a_skipping_queue(
    start: Start, tmp_path: Path
) -> None:
    runs = {"n": 1, "ms": HOUR_MS, "path": str(tmp_path / "runs")}
    async with start() as rt:
        head = await rt.enqueue("conf.snooze", runs, queue="skip", key="k")
        await until_state(head, "scheduled")
        behind = await rt.enqueue("conf.echo", b"behind", queue="skip", key="k")
        assert await behind.result(DEADLINE_S) == b"behind"
        assert (await head.info()).state == "scheduled"


# ---- crashes and draining -----------------------------------------------------------------------


async def test_what_a_crashed_worker_had_not_begun_goes_back_uncounted(start: Start) -> None:
    async with start() as rt:
        rt.pause("default")
        crash = await rt.enqueue("conf.crash", b"", max_attempts=1)
        behind = [await rt.enqueue("conf.echo", str(number)) for number in range(50)]
        rt.resume("default")
        with pytest.raises(errors.JobDeadError):
            await crash.result(DEADLINE_S)
        for number, job in enumerate(behind):
            assert await job.result(DEADLINE_S) == str(number).encode()
            info = await job.info()
            assert (info.attempt, info.crashes) == (1, 0)


async def test_suspects_run_alone_so_that_the_innocent_survives(start: Start) -> None:
    async with start(concurrency=2) as rt:
        innocent = await rt.enqueue("conf.sleep", {"ms": 500})
        await until_started(rt)
        guilty = await rt.enqueue("conf.crash", b"")
        with pytest.raises(errors.JobDeadError):
            await guilty.result(DEADLINE_S)
        await innocent.result(DEADLINE_S)
        assert (await innocent.info()).crashes <= 1
        assert (await guilty.info()).crashes == 3


async def test_a_drain_hands_back_uncounted_what_it_interrupts(start: Start) -> None:
    async with start() as rt:
        job = await rt.enqueue("conf.ignore", {"ms": HOUR_MS})
        await until_started(rt)
        await rt.drain(0.05)
    async with start(workers=0) as rt:
        info = await rt.info(job.id)
        assert (info.state, info.attempt, info.crashes) == ("ready", 0, 0)


async def test_a_handler_may_hand_its_job_back_when_its_worker_drains(
    start: Start, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    async with start() as rt:
        job = await rt.enqueue("conf.save_drain", {"path": str(begun)}, max_attempts=1)
        await until_started(rt)
        await rt.drain(DEADLINE_S)
    async with start() as rt:
        again = rt.handle(job.id)
        assert await again.result(DEADLINE_S) == b"half way"
        info = await again.info()
        assert (info.attempt, info.crashes) == (1, 0)
        assert begun.read_text() == "."


async def test_a_drain_lets_what_runs_end_well(start: Start) -> None:
    async with start() as rt:
        job = await rt.enqueue("conf.sleep", {"ms": 300})
        await until_started(rt)
        await rt.drain(DEADLINE_S)
    async with start(workers=0) as rt:
        info = await rt.info(job.id)
        assert (info.state, info.attempt) == ("completed", 1)


async def test_a_worker_says_what_it_is(start: Start, language: str) -> None:
    async with start(workers=2, concurrency=3) as rt:
        lanes = [lane for lane in rt.runtime.lanes() if lane["registered"]]
        assert [(lane["language"], lane["pool"], lane["concurrency"]) for lane in lanes] == [
            (language, "conformance", 3)
        ] * 2
