"""How much to measure: a full run, or with BENCH_QUICK=1 just enough to see that it works."""

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """Sizes of a run."""

    throughput_s: int  # of one round; 0: throughput_jobs
    throughput_jobs: int
    rounds: int
    latency_jobs: int
    rate: int  # of a latency run, jobs a second
    deaths: int
    resident_bytes: int  # of a worker that is killed
    idle_s: float
    probes: int  # of fdatasync


FULL = Scale(
    throughput_s=2,
    throughput_jobs=0,
    rounds=3,
    latency_jobs=4_000,
    rate=500,
    deaths=200,
    resident_bytes=1 << 30,
    idle_s=10.0,
    probes=500,
)
QUICK = Scale(
    throughput_s=0,
    throughput_jobs=10_000,
    rounds=1,
    latency_jobs=300,
    rate=500,
    deaths=2,
    resident_bytes=16 << 20,
    idle_s=1.0,
    probes=20,
)


def quick() -> bool:
    """Say whether a short run was asked for."""
    return os.environ.get("BENCH_QUICK", "") not in {"", "0"}


def scale() -> Scale:
    """Return the sizes of this run."""
    return QUICK if quick() else FULL
