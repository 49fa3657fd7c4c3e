"""Idle latency of jobs that the embedding program enqueues, in the process of the supervisor."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
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

WAYS = ("await rt.enqueue()", "a lane of the supervisor")
STAMP_BYTES = 8
WARMUP_JOBS = 100
WAIT_S = 30.0

Enqueue = Callable[[bytes], Awaitable[object]]


def latency(plan: Plan, how: str) -> dict[str, Any]:
    """Run the plan; return what was seen of each span."""
    with directories(plan.durability, plan.directory) as (home, log):
        text = configuration(plan.durability, {"bench": worker_command(plan, home)}, home, log)
        acknowledged = asyncio.run(_run(Config.parse(text), plan, how))
        started = json.loads((home / STARTED_NAME).read_text())["buckets"]
    buckets = {int(bucket): count for bucket, count in started.items()}
    return {
        "enqueue_to_start": summary(buckets),
        "enqueue_to_acknowledged": summary(count_ns(acknowledged)),
    }


async def _run(config: Config, plan: Plan, how: str) -> list[int]:
    """Pace the jobs; return how long each took to be acknowledged."""
    sleep_exactly()
    async with Supervisor(config) as rt:
        if how == WAYS[0]:
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
