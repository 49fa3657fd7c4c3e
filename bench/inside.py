"""Idle latency of jobs that the embedding program enqueues, in the process of the supervisor."""

import asyncio
import json
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from bench.figures import count_ns, summary
from bench.pace import sleep_exactly
from hybridrt import Config, Supervisor
from hybridrt.cli.load import (
    KIND,
    QUEUE,
    STARTED_NAME,
    Plan,
    configuration,
    directories,
    worker_command,
)
from hybridrt.options import Options
from hybridrt.programs import packaged_program

FROM_LOOP = "supervisor, await rt.enqueue()"
FROM_PYTHON = "supervisor, a lane from Python"
FROM_C = "supervisor, a lane from C"
WAYS = (FROM_LOOP, FROM_PYTHON, FROM_C)
STAMP_BYTES = 8
WARMUP_JOBS = 100
WAIT_S = 30.0

Enqueue = Callable[[bytes], Awaitable[object]]


def latency(plan: Plan, how: str) -> dict[str, Any]:
    """Run the plan; return what was seen of each span."""
    with directories(plan.durability, plan.directory) as (home, log):
        spans = {}
        if how == FROM_C:
            _run_in_c(plan, home, log)
        else:
            text = configuration(plan.durability, {"bench": worker_command(plan, home)}, home, log)
            took_ns = asyncio.run(_run(Config.parse(text), plan, how))
            spans["enqueue_to_acknowledged"] = summary(count_ns(took_ns))
        started = json.loads((home / STARTED_NAME).read_text())["buckets"]
    buckets = {int(bucket): count for bucket, count in started.items()}
    return {"enqueue_to_start": summary(buckets), **spans}


def _run_in_c(plan: Plan, home: Path, log: Path) -> None:
    """Let a program in C be the supervisor: what the runtime takes, without Python's part."""
    command = [packaged_program("hrt-bench"), "inside", "--directory", log / "log"]
    command += ["--out", home / STARTED_NAME, "--durability", plan.durability]
    command += ["--size", plan.size, "--rate", plan.rate, "--warmup", WARMUP_JOBS]
    command += ["--jobs", plan.jobs + WARMUP_JOBS]
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)


async def _run(config: Config, plan: Plan, how: str) -> list[int]:
    """Pace the jobs; return how long each took to be acknowledged."""
    sleep_exactly()
    async with Supervisor(config) as rt:
        if how == FROM_LOOP:
            return await _pace(plan, lambda payload: rt.enqueue(KIND, payload, queue=QUEUE))
        client = rt.runtime.client()
        kind, options = client.kind(KIND), Options(queue=QUEUE)

        async def enqueue(payload: bytes) -> object:
            return client.enqueue_wait(kind, payload, options, WAIT_S, block=False)

        try:
            return await _pace(plan, enqueue)
        finally:
            client.close()


async def _pace(plan: Plan, enqueue: Enqueue) -> list[int]:
    took_ns: list[int] = []
    begin = time.monotonic()
    for turn in range(plan.jobs + WARMUP_JOBS):
        await asyncio.sleep(begin + turn / (plan.rate or 1) - time.monotonic())
        stamp_ns = time.monotonic_ns()
        warm = turn >= WARMUP_JOBS
        stamp = (stamp_ns if warm else 0).to_bytes(STAMP_BYTES, "little")
        await enqueue(stamp.ljust(plan.size, b"\0"))
        if warm:
            took_ns.append(time.monotonic_ns() - stamp_ns)
    return took_ns
