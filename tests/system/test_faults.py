"""What the supervisor does when a worker hangs, floods, or the log is full."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from hybridrt import Supervisor, aconnect, errors
from tests.waiting import until

DEADLINE_S = 20


async def test_a_hung_worker_is_killed_and_its_job_runs_elsewhere(
    instance: Any, tmp_path: Path
) -> None:
    config = instance.config(runtime={"lease": "1s"}, pool=[instance.python_pool()])
    async with Supervisor(config) as rt:
        path = tmp_path / "started"
        job = await rt.enqueue("slow", str(path))
        await until(path.exists, "the handler began")
        (worker,) = rt.pools["python"].workers.values()
        os.kill(worker.pid, signal.SIGSTOP)
        Path(f"{path}.go").touch()
        assert await job.result(DEADLINE_S) == b"done"
        assert (worker.status, (await job.info()).attempt) == (-signal.SIGKILL, 2)


async def fill(rt: Supervisor) -> int:
    """Enqueue until the log is full; return how many jobs it took."""
    for accepted in range(1000):
        try:
            await rt.enqueue("echo", bytes(4000))
        except errors.LogFullError:
            return accepted
    pytest.fail("the log was never full")


async def test_a_full_log_rejects_and_takes_jobs_again_once_they_ran(instance: Any) -> None:
    log = {"segment_size": "64KiB", "max_size": "512KiB"}
    queue = {"name": "default", "result_ttl": 0}
    config = instance.config(log=log, queue=[queue], pool=[instance.python_pool()])
    async with Supervisor(config) as rt:
        rt.pause("default")
        accepted = await fill(rt)
        rt.resume("default")
        counters = rt.stats().queue("default")
        await until(lambda: int(counters["completed"]) == accepted, "all accepted jobs ran")
        assert (await rt.enqueue("echo", b"again")).id > 0


async def test_a_crash_loop_stops_and_scaling_ends_it(instance: Any, tmp_path: Path) -> None:
    flag = tmp_path / "mended"
    worker = instance.python_pool()["command"]
    program = (
        "import os, sys\n"
        f"if not os.path.exists({str(flag)!r}): sys.exit('broken')\n"
        f"os.execv({worker[0]!r}, {worker!r})\n"
    )
    pool = instance.python_pool(
        command=[sys.executable, "-c", program],
        required=False,
        crash_limit=3,
        restart_backoff="1ms",
    )
    async with Supervisor(instance.config(pool=[pool])) as rt:
        python = rt.pools["python"]
        await until(lambda: python.state == "failed", "the crash loop was noticed")
        assert "broken" in python.failure
        job = await rt.enqueue("echo", "waits")
        flag.touch()
        await rt.scale("python", 1)
        assert await job.result(DEADLINE_S) == b"waits"


async def test_a_lane_full_of_garbage_harms_nobody_else(instance: Any) -> None:
    """A worker that writes nonsense into its own submit ring is shut out and killed."""
    program = (
        "import mmap, os, signal\n"
        "fd = int(os.environ['HYBRIDRT_ATTACH'].removeprefix('fds:').split(',')[0])\n"
        "lane = mmap.mmap(fd, 0)\n"
        "offset = int.from_bytes(lane[24:28], 'little')\n"
        "lane[offset:offset + 4096] = b'\\xff' * 4096\n"
        "lane[128:136] = (4096).to_bytes(8, 'little')\n"
        "signal.pause()\n"
    )
    bad = {"name": "bad", "command": [sys.executable, "-c", program], "required": False}
    pools = [instance.python_pool(), {**bad, "crash_limit": 1, "restart_backoff": "1ms"}]
    config = instance.config(runtime={"drain_timeout": "1s"}, pool=pools)
    async with Supervisor(config) as rt:
        counters = rt.stats().runtime
        async with asyncio.timeout(DEADLINE_S):
            while int(counters["lane_faults"]) == 0:  # each job makes the runtime look at its lanes
                job = await rt.enqueue("echo", "works beside it")
                assert await job.result(DEADLINE_S) == b"works beside it"
        await until(lambda: rt.pools["bad"].failure, "its process was killed")
        assert "SIGKILL" in rt.pools["bad"].failure
        job = await rt.enqueue("echo", "still works")
        assert await job.result(DEADLINE_S) == b"still works"


async def test_a_client_outlives_its_runtime_and_says_so(instance: Any) -> None:
    async with Supervisor(instance.config(pool=[instance.python_pool()])) as rt:
        client = aconnect(rt.directory)
        await client.__aenter__()
        waiting = asyncio.ensure_future((await client.enqueue("echo", "x", delay=60)).result())
        await asyncio.sleep(0)
    with pytest.raises(errors.ClosedError):
        await asyncio.wait_for(waiting, DEADLINE_S)
    with pytest.raises(errors.ClosedError):
        await client.enqueue("echo", "x")
    await client.__aexit__()
