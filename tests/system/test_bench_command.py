"""`hybridrt bench` measures real processes; how fast they are is no business of a test."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

import hybridrt
from hybridrt.programs import packaged_program


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


def waits_for_the_worker(process: psutil.Process) -> bool:
    """Say whether it sleeps by the clock, as a producer does whose backlog is large enough."""
    return Path(f"/proc/{process.pid}/wchan").read_text() == "hrtimer_nanosleep"


def test_a_slow_worker_has_no_job_refused(tmp_path: Path, await_condition: Any) -> None:
    command = [str(packaged_program("hrt-bench")), "inside", "--directory", str(tmp_path / "log")]
    command += ["--jobs", "300000", "--size", "1000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        it = psutil.Process(process.pid)
        (worker,) = await_condition(it.children, "the worker was started")
        try:
            worker.send_signal(signal.SIGSTOP)
            await_condition(lambda: waits_for_the_worker(it), "the producer waits")
        finally:
            worker.send_signal(signal.SIGCONT)
        found = json.loads(process.communicate(timeout=60)[0])
    assert process.returncode == 0
    assert (found["sent"], found["accepted"]) == (300_000, 300_000)


@pytest.mark.parametrize(
    ("producer", "told"),
    [
        (["hrt-bench", "produce"], "HRT_EFULL"),
        (["hrt-bench", "produce", "--settled"], "HRT_EFULL"),
        ([sys.executable, "-m", "hybridrt.cli.feed", "--size", "64"], "100 jobs were refused"),
    ],
)
def test_a_run_whose_jobs_are_refused_is_no_measurement(
    producer: list[str], told: str, instance: Any
) -> None:
    queue = {"name": "bench", "max_jobs": 10, "durability": "memory"}
    instance.run(queue=[queue], kind=[{"name": "bench.noop"}])
    with hybridrt.connect(instance.directory) as client:
        client.enqueue_many("bench.noop", [b""] * 10, queue="bench")
    producer[0] = producer[0].replace("hrt-bench", str(packaged_program("hrt-bench")))
    done = subprocess.run(
        [*producer, "--kind", "bench.noop", "--queue", "bench", "--jobs", "100"],
        env={**os.environ, "HYBRIDRT_SOCKET": str(instance.directory / "attach.sock")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert told in done.stderr
