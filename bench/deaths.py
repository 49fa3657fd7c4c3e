"""Kills workers in the middle of a job: how long until each job runs elsewhere?

Usage: python -m bench.deaths [--trials N] [--resident SIZE] [--json FILE]

Prints one JSON object: what the page of evidence holds.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import psutil

import hybridrt
from hybridrt.cli.load import (
    KIND,
    QUEUE,
    Instance,
    await_workers,
    directories,
    private_instance,
)
from hybridrt.units import format_size, parse_size
from tests.attacks.report import percentiles, tell


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


class Deaths:
    """A runtime whose worker is killed amid a job, again and again; times in nanoseconds."""

    def __init__(self, resident_bytes: int) -> None:
        """Say how much memory a worker has when it is killed."""
        self.recovered: list[int] = []  # SIGKILL to the start of the job elsewhere
        self.reaped: list[int] = []  # SIGKILL to when the kernel tells the end
        self.resident: list[int] = []  # bytes
        self._resident_bytes = resident_bytes
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            home, log = stack.enter_context(directories("memory", None))
            self._instance = stack.enter_context(private_instance("memory", {}, home, log))
            address = self._instance.environment["HYBRIDRT_SOCKET"]
            self._client = stack.enter_context(hybridrt.connect(address))
            self._holder = stack.enter_context(victim(self._instance, self._resident_bytes))
            await_workers(self._instance, 1)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def trial(self) -> None:
        """Kill the worker that holds a job; another one, ready by then, has to get it."""
        self._client.enqueue(KIND, queue=QUEUE)
        assert next_start(self._holder)[0] == 1
        heir = self._stack.enter_context(victim(self._instance, self._resident_bytes))
        await_workers(self._instance, 2)
        self.resident.append(psutil.Process(self._holder.pid).memory_info().rss)
        begin_ns = time.monotonic_ns()
        os.kill(self._holder.pid, signal.SIGKILL)
        self._holder.wait()
        self.reaped.append(time.monotonic_ns() - begin_ns)
        attempt, started_ns = next_start(heir)
        assert attempt == 2
        self.recovered.append(started_ns - begin_ns)
        self._holder = heir


def report(deaths: Deaths) -> dict[str, Any]:
    """Return what came of it, for the page of evidence."""
    resident = format_size(min(deaths.resident) // 2**20 * 2**20)
    return {
        "what": f"workers killed amid a job, {resident} resident",
        "faults": {"workers killed": len(deaths.recovered)},
        "counts": {"jobs started elsewhere": len(deaths.recovered)},
        "times_ms": {
            "worker killed, its job begun elsewhere": percentiles(
                [time_ns / 1e6 for time_ns in deaths.recovered]
            ),
            "worker killed, its end told by the kernel": percentiles(
                [time_ns / 1e6 for time_ns in deaths.reaped]
            ),
        },
        "violations": 0,
    }


def main() -> None:
    """Run as a command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--resident", type=parse_size, default=parse_size("1GiB"))
    parser.add_argument("--json", type=Path, help="where to write the figures too")
    options = parser.parse_args()
    with Deaths(options.resident) as deaths:
        for _ in range(options.trials):
            deaths.trial()
    tell(report(deaths), options.json)


if __name__ == "__main__":
    main()
