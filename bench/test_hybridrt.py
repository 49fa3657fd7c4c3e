"""Throughput and idle latency of hybridrt, by the machinery of `hybridrt bench`."""

from typing import Any

import pytest

from bench import figures, inside
from bench.scale import Scale
from hybridrt.cli.load import (
    Plan,
    directories,
    load,
    measure,
    private_instance,
    warm_up,
    worker_command,
)

DURABILITIES = ("memory", "async", "sync")
SIZES = (64, 1024)
WORKERS = ("c", "go", "rust", "python-producer")
LATENCIES = [("c", 64), ("c", 1024), ("go", 64), ("rust", 64)]
TIMEOUT_S = 300


def plan_of(worker: str, size: int, durability: str, **how: Any) -> Plan:
    nothing = {"jobs": 0, "seconds": None, "rate": None, "directory": None}
    return Plan(worker=worker, size=size, durability=durability, **{**nothing, **how})


def command_of(plan: Plan) -> str:
    """Return the command that measures the same by hand."""
    words = ["hybridrt bench", "latency" if plan.latency else "throughput"]
    words += ["--worker", plan.worker, "--size", plan.size, "--durability", plan.durability]
    words += ["--seconds", plan.seconds] if plan.seconds else ["--jobs", plan.jobs]
    words += ["--rate", plan.rate] if plan.rate else []
    return " ".join(map(str, words))


@pytest.mark.timeout(TIMEOUT_S)
@pytest.mark.parametrize("durability", DURABILITIES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("worker", WORKERS)
def test_throughput(
    benchmark: Any, note: Any, scale: Scale, *, worker: str, size: int, durability: str
) -> None:
    """Flat out, the queue bounded: jobs settled a second, over the whole path and its log."""
    how = {"jobs": scale.throughput_jobs, "seconds": scale.throughput_s or None}
    plan = plan_of(worker, size, durability, latency=False, **how)
    runs: list[dict[str, Any]] = []
    with directories(durability, None) as (home, log):
        pools = {"bench": worker_command(plan, home)}
        with private_instance(durability, pools, home, log) as instance:
            warm_up(plan, instance)
            benchmark.pedantic(lambda: runs.append(load(plan, instance)), rounds=scale.rounds)
    note(
        "throughput",
        system="hybridrt",
        worker=worker,
        size=size,
        durability=durability,
        command=command_of(plan),
        jobs_per_second=[run["jobs_per_second"] for run in runs],
        cpu_seconds=[run["cpu_seconds"] for run in runs],
        counters=[run["counters"] for run in runs],
    )


@pytest.mark.timeout(TIMEOUT_S)
@pytest.mark.parametrize("durability", DURABILITIES)
@pytest.mark.parametrize(("worker", "size"), LATENCIES)
def test_latency_from_another_process(
    benchmark: Any, note: Any, scale: Scale, *, worker: str, size: int, durability: str
) -> None:
    """At a pace that leaves the machine idle: enqueue to start, acknowledged, settled."""
    plan = plan_of(worker, size, durability, latency=True, jobs=scale.latency_jobs, rate=scale.rate)
    run = benchmark.pedantic(measure, args=(plan, print), rounds=1)
    spans = ("enqueue_to_start", "enqueue_to_acknowledged", "enqueue_to_settled")
    note(
        "latency",
        system="hybridrt",
        producer="another process",
        worker=worker,
        size=size,
        durability=durability,
        command=command_of(plan),
        latency={name: figures.summary(run["latency"][name]["buckets"]) for name in spans},
        counters=[run["counters"]],
    )


@pytest.mark.timeout(TIMEOUT_S)
@pytest.mark.parametrize("durability", ["memory", "sync"])
@pytest.mark.parametrize("how", inside.WAYS)
def test_latency_from_the_supervisor(
    benchmark: Any, note: Any, scale: Scale, how: str, durability: str
) -> None:
    """The same, enqueued by the Python program that embeds the supervisor."""
    plan = plan_of("c", 64, durability, latency=True, jobs=scale.latency_jobs, rate=scale.rate)
    spans = benchmark.pedantic(inside.latency, args=(plan, how), rounds=1)
    note(
        "latency",
        system="hybridrt",
        producer=how,
        worker="c",
        size=64,
        durability=durability,
        command="make bench BENCH='-k from_the_supervisor'",
        latency=spans,
    )
