"""A worker is killed in the middle of a job: how long until the job runs elsewhere?"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psutil
import pytest

import hybridrt
from bench import figures
from bench.scale import Scale
from hybridrt.cli.load import (
    KIND,
    QUEUE,
    Instance,
    await_workers,
    directories,
    private_instance,
)

TIMEOUT_S = 600


@contextmanager
def victim(instance: Instance, resident_bytes: int) -> Iterator[subprocess.Popen[str]]:
    """Start a worker that holds so much memory and its first job."""
    command = [sys.executable, "-m", "bench.victim", str(resident_bytes), KIND]
    with subprocess.Popen(
        command, env=instance.environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def next_start(process: subprocess.Popen[str]) -> tuple[int, int]:
    """Return attempt and time of the next start in a worker."""
    assert process.stdout is not None
    attempt, time_ns = process.stdout.readline().split()
    return int(attempt), int(time_ns)


@pytest.mark.timeout(TIMEOUT_S)
def test_worker_death(benchmark: Any, note: Any, scale: Scale) -> None:
    """SIGKILL to the start of the job elsewhere, beside the time until the kernel tells the end."""
    recovered: list[int] = []
    reaped: list[int] = []
    resident: list[int] = []
    with ExitStack() as stack:
        home, log = stack.enter_context(directories("memory", None))
        instance = stack.enter_context(private_instance("memory", {}, home, log))
        client = stack.enter_context(hybridrt.connect(instance.environment["HYBRIDRT_SOCKET"]))
        holder = stack.enter_context(victim(instance, scale.resident_bytes))
        await_workers(instance, 1)

        def trial() -> None:
            nonlocal holder
            client.enqueue(KIND, queue=QUEUE)
            assert next_start(holder)[0] == 1
            heir = stack.enter_context(victim(instance, scale.resident_bytes))
            await_workers(instance, 2)
            resident.append(psutil.Process(holder.pid).memory_info().rss)
            begin_ns = time.monotonic_ns()
            os.kill(holder.pid, signal.SIGKILL)
            holder.wait()
            reaped.append(time.monotonic_ns() - begin_ns)
            attempt, started_ns = next_start(heir)
            assert attempt == 2
            recovered.append(started_ns - begin_ns)
            holder = heir

        benchmark.pedantic(trial, rounds=scale.deaths)
    note(
        "death",
        system="hybridrt",
        resident_bytes=min(resident),
        command="make bench BENCH='-k worker_death'",
        latency={
            "kill_to_start_elsewhere": figures.exact(recovered),
            "kill_to_exit_reported": figures.exact(reaped),
        },
    )
