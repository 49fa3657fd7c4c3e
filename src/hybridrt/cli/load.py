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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridrt.errors import HybridrtError, StartError, TimedOutError
from hybridrt.programs import built_program, packaged_program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from hybridrt.native import Lane

KIND = "bench.noop"
QUEUE = "bench"
BACKLOG_MAX = 5_000  # jobs waiting before the producer pauses
WARMUP_JOBS = 200  # at a pace: they carry no stamp
WARMUP_FLAT_OUT_JOBS = 200_000  # before the clock runs, so that log segments are there to be reused
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 30.0
STARTED_NAME = "start.json"
MEMORY_DIRECTORY = "/dev/shm"  # noqa: S108 - made with a name of its own below
DISK_DIRECTORY = "/var/tmp"  # noqa: S108 - the same; unlike /tmp, it is by convention on a disk
RUN_TIMEOUT_S = 900.0
PROOF_HISTORY = 'history = "1GiB"'  # files for what a prover lags, so that none is made meanwhile
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
    proof: str | None = None  # on, or off with the same log


@dataclass(frozen=True, slots=True)
class Instance:
    """A running private supervisor. Its sockets are in `home`, for their paths have to be short."""

    process: subprocess.Popen[bytes]
    home: Path
    environment: dict[str, str]

    @property
    def started_path(self) -> Path:
        """Return where a worker that records latency writes its histogram when it ends."""
        return self.home / STARTED_NAME


def measure(plan: Plan, say: Callable[[str], None]) -> dict[str, Any]:
    """Run the plan on an instance of its own and return the figures."""
    with directories(plan.durability, plan.directory) as (home, log):
        say(f"starting a private instance with its log in {log}")
        with private_instance(
            plan.durability, {"bench": worker_command(plan, home)}, home, log, plan.proof
        ) as it:
            if not plan.latency and not plan.rate:
                warm_up(plan, it)
            figures = load(plan, it)
            if plan.latency:
                figures["latency"] |= _to_the_end(plan, it)
        if plan.latency:
            buckets = json.loads(it.started_path.read_text())["buckets"]
            figures["latency"]["enqueue_to_start"] = percentiles(buckets)
    return figures


def load(plan: Plan, instance: Instance) -> dict[str, Any]:
    """Feed a running instance once as planned, and return the figures of that."""
    from hybridrt.native import Lane

    client = Lane.attach(instance.environment["HYBRIDRT_SOCKET"], "hybridrt bench")
    try:
        before = client.page.runtime_counters()
        waited_before = _page_buckets(client)
        cpu_before = _cpu_seconds(instance)
        produced = _produce(_producer_command(plan), instance)
        cpu = _difference(_cpu_seconds(instance), cpu_before) | {"producer": produced["cpu"]}
        after = client.page.runtime_counters()
        latency = {
            name: percentiles(_difference(buckets, waited_before[name]))
            for name, buckets in _page_buckets(client).items()
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


def warm_up(plan: Plan, instance: Instance) -> None:
    """Feed a running instance for a moment, uncounted."""
    jobs = min(plan.jobs or WARMUP_FLAT_OUT_JOBS, WARMUP_FLAT_OUT_JOBS)
    _produce(_producer_command(replace(plan, jobs=jobs, seconds=None)), instance)


def _to_the_end(plan: Plan, instance: Instance) -> dict[str, Any]:
    """Time one job at a time until it is acknowledged, and until it is settled."""
    if plan.worker == "python-producer":
        return {}
    timed = _produce([*_producer_command(plan), "--settled"], instance)
    return {
        f"enqueue_to_{name}": percentiles(timed[name]["buckets"])
        for name in ("acknowledged", "settled")
    }


def percentiles(buckets: Mapping[str, int] | Mapping[int, int]) -> dict[str, Any]:
    """Return count and percentiles of a histogram that a program wrote."""
    from hybridrt import stats

    counts = {int(index): count for index, count in buckets.items() if count}
    marks = stats.percentiles(counts).items()
    found = {f"p{mark:g}": round(seconds * 1e9) for mark, seconds in marks}
    return {"count": sum(counts.values()), "nanoseconds": found, "buckets": counts}


# ---- the programs ----


def worker_command(plan: Plan, home: Path) -> list[str]:
    """Return the command line of the worker that the plan asks for."""
    if plan.worker == "c":
        program = packaged_program("hrt-bench")
    else:
        program = built_program(f"bench-worker-{'go' if plan.worker == 'go' else 'rust'}")
    command = [str(program), "work", "--kind", KIND]
    return [*command, "--latency", "--out", str(home / STARTED_NAME)] if plan.latency else command


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


@contextmanager
def directories(durability: str, parent: str | None) -> Iterator[tuple[Path, Path]]:
    """Make a directory for sockets and results, and one for the log; remove both afterwards."""
    parent = parent or (MEMORY_DIRECTORY if durability == "memory" else DISK_DIRECTORY)
    with (
        tempfile.TemporaryDirectory(prefix="hrt-bench-") as home,
        tempfile.TemporaryDirectory(prefix="hrt-bench-log-", dir=parent) as log,
    ):
        yield Path(home), Path(log)


def configuration(
    durability: str,
    pools: Mapping[str, list[str]],
    home: Path,
    log: Path,
    proof: str | None = None,
) -> str:
    """Return the configuration of a private instance with one worker a pool."""
    text = f"""
[log]
directory = {json.dumps(str(log))}
max_size = "2GiB"
{PROOF_HISTORY if proof else ""}

[runtime]
directory = {json.dumps(str(home))}
log_level = "error"

[[queue]]
name = "{QUEUE}"
durability = "{durability}"
max_jobs = 0
result_ttl = 0

[[kind]]
name = "{KIND}"
"""
    if proof == "on":
        text += _proof_table(home)
    for name, command in pools.items():
        text += f"""
[[pool]]
name = "{name}"
command = {json.dumps(command)}
kinds = ["{KIND}"]
"""
    return text


def _proof_table(home: Path) -> str:
    """Make a key and return the table that a prover works by."""
    from hybridrt.proof import keys

    keys.make(home / "key", "bench.hybridrt.dev/log")
    directory, key = json.dumps(str(home / "proof")), json.dumps(str(home / "key"))
    return f"""
[proof]
directory = {directory}
key = {key}
"""


@contextmanager
def private_instance(
    durability: str,
    pools: Mapping[str, list[str]],
    home: Path,
    log: Path,
    proof: str | None = None,
) -> Iterator[Instance]:
    """Start a supervisor, wait until its workers have registered, and end it in any case."""
    config = home / "hybridrt.toml"
    config.write_text(configuration(durability, pools, home, log, proof))
    command = [sys.executable, "-m", "hybridrt.cli", "run", "--config", str(config)]
    environment = {**os.environ, "HYBRIDRT_SOCKET": str(home / "attach.sock")}
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sys.stderr) as process:
        instance = Instance(process, home, environment)
        try:
            await_workers(instance, len(pools))
            yield instance
        finally:
            _stop(process)


def await_workers(instance: Instance, wanted: int) -> None:
    """Wait until so many workers have registered."""
    from hybridrt.cli.link import ask

    deadline = time.monotonic() + START_TIMEOUT_S
    last: HybridrtError = StartError("no worker registered")
    while time.monotonic() < deadline:
        if instance.process.poll() is not None:
            message = f"the private supervisor ended with status {instance.process.returncode}"
            raise StartError(message, "Its own message is above.")
        try:
            rows = ask(instance.home, "worker.ls", {}, START_TIMEOUT_S)["workers"]
            if sum(row["registered"] for row in rows) >= wanted:
                return
        except HybridrtError as error:
            last = error
        time.sleep(0.05)
    raise StartError(f"the private instance was not ready in time: {last}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()


# ---- the load ----


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


def _page_buckets(client: Lane) -> dict[str, dict[Any, int]]:
    """Return what the runtime itself saw: waiting for a worker, and from there to the settle."""
    counters = client.page.kind_counters(client.kind(KIND))
    return {name: counters[name]["buckets"] for name in ("wait", "run")}


def _cpu_seconds(instance: Instance) -> dict[str, float]:
    import psutil

    supervisor = psutil.Process(instance.process.pid)
    processes = {"supervisor": [supervisor], "worker": supervisor.children()}
    used = {}
    for name, group in processes.items():
        times = [process.cpu_times() for process in group]
        used[name] = sum(time.user + time.system for time in times)
    return used


def _difference(after: Mapping[Any, Any], before: Mapping[Any, Any]) -> dict[Any, Any]:
    return {name: value - before.get(name, 0) for name, value in after.items()}
