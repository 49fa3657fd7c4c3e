"""`hybridrt bench` measures real processes; how fast they are is no business of a test."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def bench(*words: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "hybridrt.cli", "bench", *words, "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    body: dict[str, Any] = json.loads(done.stdout)
    return body


@pytest.mark.parametrize("worker", ["c", "go", "rust", "python-producer"])
def test_every_job_is_counted(worker: str) -> None:
    figures = bench("throughput", "--worker", worker, "--jobs", "5000", "--size", "32")
    assert figures["jobs"] == 5000
    assert figures["jobs_per_second"] > 0
    assert figures["counters"]["rescues"] == 0
    assert set(figures["cpu_seconds"]) == {"supervisor", "worker", "producer"}


@pytest.mark.parametrize("durability", ["memory", "async", "sync"])
def test_latency_is_seen_from_both_sides(durability: str, tmp_path: Path) -> None:
    words = ("--jobs", "300", "--rate", "1000", "--durability", durability)
    figures = bench("latency", *words, "--directory", str(tmp_path))
    latency = figures["latency"]
    for name in ("enqueue_to_start", "enqueue_to_acknowledged", "enqueue_to_settled"):
        assert latency[name]["count"] == 100, name  # the first 200 warm up
        assert set(latency[name]["nanoseconds"]) == {"p50", "p90", "p99", "p99.9"}
    assert list(tmp_path.iterdir()) == []
