"""The benchmarks run, one tiny one a language, and their numbers are complete. Never: how large."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
SELECTED = [
    *(f"test_throughput[{worker}-64-memory]" for worker in ("c", "go", "rust", "python-producer")),
    *(f"test_latency_from_another_process[{worker}-64-memory]" for worker in ("c", "go", "rust")),
    "test_latency_from_the_supervisor[supervisor, await rt.enqueue()-sync]",
    "test_latency_from_the_supervisor[supervisor, a lane from C-sync]",
]


PEERS = ("pyzmq", "sqlite_batches", "beanstalkd")


def bench(results: Path, selected: list[str], **environment: str) -> Any:
    """Run selected benchmarks in quick mode, as `make bench BENCH_QUICK=1` does."""
    command = [sys.executable, "-m", "pytest", "-q", "--benchmark-quiet", "-p", "no:cacheprovider"]
    command += ["--benchmark-json", str(results)]
    done = subprocess.run(
        [*command, *selected],
        cwd=ROOT,
        env={**os.environ, "BENCH_QUICK": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(results.read_text())


@pytest.fixture(scope="module", name="run")
def _run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    results = tmp_path_factory.mktemp("bench") / "run.json"
    return bench(results, [f"bench/test_hybridrt.py::{name}" for name in SELECTED])


@pytest.fixture(scope="module", name="entries")
def _entries(run: Any) -> dict[str, Any]:
    return {found["name"]: found["extra_info"] for found in run["benchmarks"]}


def test_every_selected_benchmark_left_figures(entries: dict[str, Any]) -> None:
    assert sorted(entries) == sorted(SELECTED)
    for entry in entries.values():
        assert entry["command"]
        assert entry["load_average"] >= 0


def test_the_machine_is_named(run: Any) -> None:
    machine = run["machine_info"]
    assert machine["quick"] is True
    for fact in ("processor", "kernel", "date", "cores", "memory_bytes", "fdatasync_ns"):
        assert machine[fact], fact


def test_throughput_counts_every_job(entries: dict[str, Any]) -> None:
    for name in SELECTED[:4]:
        entry = entries[name]
        assert len(entry["jobs_per_second"]) == 1
        assert all(rate > 0 for rate in entry["jobs_per_second"])
        assert entry["counters"][0]["rescues"] == 0


def test_latency_has_a_count_and_percentiles(entries: dict[str, Any]) -> None:
    for name in SELECTED[4:7]:
        for span in ("enqueue_to_start", "enqueue_to_acknowledged", "enqueue_to_settled"):
            found = entries[name]["latency"][span]
            assert found["count"] == 100, (name, span)  # 300 jobs, of which 200 warm up
            assert {"p50", "p90"} <= set(found["nanoseconds"])
            marks = [mark for mark, _ in found["curve"]]
            assert marks == sorted(marks)


def test_a_job_from_the_supervisor_is_timed_too(entries: dict[str, Any]) -> None:
    spans = entries[SELECTED[7]]["latency"]
    assert {span: found["count"] for span, found in spans.items()} == {
        "enqueue_to_start": 300,
        "enqueue_to_acknowledged": 300,
    }
    assert entries[SELECTED[8]]["latency"]["enqueue_to_start"]["count"] == 300


def test_a_peer_that_is_not_installed_is_named_and_skipped(tmp_path: Path) -> None:
    selected = [f"bench/test_peers.py::test_throughput[{name}-64]" for name in PEERS]
    run = bench(tmp_path / "run.json", selected, PATH=str(tmp_path))
    assert run["skipped"] == {"beanstalkd": "beanstalkd is missing: apt-get install beanstalkd"}
    measured = [found["extra_info"] for found in run["benchmarks"]]
    assert [entry["system"] for entry in measured] == [
        "pyzmq PUSH/PULL",
        "SQLite, a commit a batch",
    ]
    assert all(entry["jobs_per_second"][0] > 0 and entry["version"] for entry in measured)


def test_the_tables_are_written_from_such_a_run(run: Any) -> None:
    program = (
        "import json, sys; from bench.report import render; print(render(json.load(sys.stdin)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        input=json.dumps(run),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for row in (
        "| C → Go | 64 B |",
        "| another process → rust | 64 B |",
        "the supervisor by C (limit",
    ):
        assert row in done.stdout
