"""A private instance under load: start it, feed it, read its counters, end it."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridrt.errors import HybridrtError, StartError, TimedOutError
from hybridrt.programs import built_program, packaged_program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from hybridrt.native import Client

KIND = "bench.noop"
QUEUE = "bench"
BACKLOG_MAX = 5_000  # jobs waiting before the producer pauses
WARMUP_JOBS = 200
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 30.0
RUN_TIMEOUT_S = 900.0
COUNTERS = ("passes", "groups", "records", "bytes", "parks", "wakes", "rescues", "syncs", "sync_ns",
            "lane_deaths")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure."""

    latency: bool
    worker: str
    size: int
    durability: str
    jobs: int
    seconds: int | None
    rate: int | None
    directory: str | None


@dataclass(frozen=True, slots=True)
class Instance:
    """A running private supervisor."""

    process: subprocess.Popen[bytes]
    home: Path
    environment: dict[str, str]


def measure(plan: Plan, say: Callable[[str], None]) -> dict[str, Any]:
    """Run the plan and return its figures."""
    worker = _worker_command(plan)
    parent = plan.directory or ("/dev/shm" if plan.durability == "memory" else None)  # noqa: S108
    with tempfile.TemporaryDirectory(prefix="hybridrt-bench-", dir=parent) as home:
        say(f"starting a private instance in {home}")
        with _instance(plan, worker, Path(home)) as instance:
            figures = _loaded(plan, instance)
        histogram = Path(home) / "start.json"
        started = json.loads(histogram.read_text()) if histogram.exists() else {"buckets": {}}
    figures["latency"]["enqueue_to_start"] = percentiles(started["buckets"])
    return figures


def percentiles(buckets: Mapping[str, int]) -> dict[str, Any]:
    """Return count and percentiles of a histogram that a program wrote."""
    from hybridrt import stats

    counts = {int(index): count for index, count in buckets.items()}
    marks = stats.percentiles(counts).items()
    found = {f"p{mark:g}": round(seconds * 1e9) for mark, seconds in marks}
    return {"count": sum(counts.values()), "nanoseconds": found}


# ---- the programs ----


def _worker_command(plan: Plan) -> list[str]:
    if plan.worker == "c":
        program = packaged_program("hrt-bench")
    else:
        program = built_program(f"bench-worker-{'go' if plan.worker == 'go' else 'rust'}")
    return [str(program), "work", "--kind", KIND]


def _producer_command(plan: Plan) -> list[str]:
    if plan.worker == "python-producer":
        command = [sys.executable, "-m", "hybridrt.cli.feed"]
    else:
        command = [str(packaged_program("hrt-bench")), "produce"]
    command += ["--kind", KIND, "--queue", QUEUE, "--size", str(plan.size)]
    command += ["--jobs", str(plan.jobs)] if plan.jobs else ["--seconds", str(plan.seconds)]
    if plan.rate:
        command += ["--rate", str(plan.rate)]
    if plan.latency:
        return [*command, "--warmup", str(WARMUP_JOBS)]
    return [*command, "--backlog", str(BACKLOG_MAX)]


# ---- the instance ----


def _configuration(plan: Plan, worker: list[str], home: Path) -> str:
    if plan.latency:
        worker = [*worker, "--latency", "--out", str(home / "start.json")]
    return f"""
[log]
directory = {json.dumps(str(home / "log"))}
max_size = "2GiB"

[runtime]
directory = {json.dumps(str(home / "run"))}
log_level = "warning"

[[queue]]
name = "{QUEUE}"
durability = "{plan.durability}"
max_jobs = 0
result_ttl = 0

[[pool]]
name = "bench"
command = {json.dumps(worker)}
kinds = ["{KIND}"]
workers = 1
"""


@contextmanager
def _instance(plan: Plan, worker: list[str], home: Path) -> Iterator[Instance]:
    """Start a supervisor, wait until its worker has registered, and end it in any case."""
    config = home / "hybridrt.toml"
    config.write_text(_configuration(plan, worker, home))
    (home / "run").mkdir(mode=0o700)
    command = [sys.executable, "-m", "hybridrt.cli", "run", "--config", str(config)]
    environment = {**os.environ, "HYBRIDRT_SOCKET": str(home / "run" / "attach.sock")}
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr) as process:
        instance = Instance(process, home, environment)
        try:
            _await_workers(instance)
            yield instance
        finally:
            _stop(process)


def _await_workers(instance: Instance) -> None:
    from hybridrt.cli.link import ask

    deadline = time.monotonic() + START_TIMEOUT_S
    last: HybridrtError = StartError("no worker registered")
    while time.monotonic() < deadline:
        if instance.process.poll() is not None:
            message = f"the private supervisor ended with status {instance.process.returncode}"
            raise StartError(message, "Its own message is above.")
        try:
            if any(row["registered"] for row in _workers(ask, instance)):
                return
        except HybridrtError as error:
            last = error
        time.sleep(0.05)
    raise StartError(f"the private instance was not ready in time: {last}")


def _workers(ask: Callable[..., dict[str, Any]], instance: Instance) -> list[dict[str, Any]]:
    return list(ask(instance.home / "run", "worker.ls", {}, START_TIMEOUT_S)["workers"])


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()


# ---- the load ----


def _loaded(plan: Plan, instance: Instance) -> dict[str, Any]:
    """Run the producer, once to load and for latency once more to time each job to its end."""
    from hybridrt.native import Client

    client = Client.attach(instance.environment["HYBRIDRT_SOCKET"], "hybridrt bench")
    try:
        before = client.page.runtime_counters()
        cpu_before = _cpu_seconds(instance)
        produced = _produce(_producer_command(plan), instance)
        cpu = _difference(_cpu_seconds(instance), cpu_before) | {"producer": produced["cpu"]}
        after = client.page.runtime_counters()
        latency = _page_latency(client)
        if plan.latency and plan.worker != "python-producer":
            closed = _produce([*_producer_command(plan), "--settled"], instance)
            latency |= {
                f"enqueue_to_{name}": percentiles(closed[name]["buckets"])
                for name in ("acknowledged", "settled")
            }
    finally:
        client.close()
    return {
        "worker": plan.worker,
        "durability": plan.durability,
        "size": plan.size,
        "rate": plan.rate,
        "jobs": produced["accepted"],
        "seconds": produced["seconds"],
        "enqueue_seconds": produced["enqueue_seconds"],
        "jobs_per_second": produced["accepted"] / produced["seconds"],
        "latency": latency,
        "cpu_seconds": cpu,
        "counters": {name: after[name] - before[name] for name in COUNTERS},
    }


def _produce(command: list[str], instance: Instance) -> dict[str, Any]:
    """Run a producer to its end and return what it printed, with the CPU time it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        done = subprocess.run(
            command,
            env=instance.environment,
            stdout=subprocess.PIPE,
            timeout=RUN_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as err:
        raise TimedOutError(f"the producer did not end within {RUN_TIMEOUT_S:g} s") from err
    if done.returncode != 0:
        message = f"the producer ended with status {done.returncode}"
        raise HybridrtError(message, "Its own message is above.")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {**json.loads(done.stdout), "cpu": used}


def _page_latency(client: Client) -> dict[str, Any]:
    """Return what the runtime itself saw: waiting for a worker, and from there to the settle."""
    counters = client.page.kind_counters(client.kind(KIND))
    return {name: percentiles(counters[name]["buckets"]) for name in ("wait", "run")}


def _cpu_seconds(instance: Instance) -> dict[str, float]:
    import psutil

    supervisor = psutil.Process(instance.process.pid)
    processes = {"supervisor": [supervisor], "worker": supervisor.children()}
    used = {}
    for name, group in processes.items():
        times = [process.cpu_times() for process in group]
        used[name] = sum(time.user + time.system for time in times)
    return used


def _difference(after: dict[str, float], before: dict[str, float]) -> dict[str, float]:
    return {name: after[name] - before[name] for name in after}
