"""What this project wants to reach on two cores, and how each figure is read from a run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

Entries = list[Mapping[str, Any]]  # the figures of all benchmarks of a run


@dataclass(frozen=True, slots=True)
class Bar:
    """One figure, its limit, and whether more is better."""

    what: str
    unit: str  # "jobs/s", "ns" or "fraction"
    limit: Callable[[Mapping[str, Any]], float]  # from the facts of the machine
    read: Callable[[Entries], float | None]

    @property
    def more_is_better(self) -> bool:
        """Say which side of the limit is good."""
        return self.unit == "jobs/s"

    def met(self, value: float, machine: Mapping[str, Any]) -> bool:
        """Say whether a measured value keeps the limit."""
        limit = self.limit(machine)
        return value >= limit if self.more_is_better else value <= limit


def find(entries: Entries, **wanted: Any) -> Mapping[str, Any] | None:
    """Return the figures that carry all the wanted values, if they were measured."""
    return next((e for e in entries if all(e.get(k) == v for k, v in wanted.items())), None)


def rate_of(entry: Mapping[str, Any] | None) -> float | None:
    """Return the median rate of the rounds."""
    return median(entry["jobs_per_second"]) if entry else None


def _rate(worker: str, size: int, durability: str) -> Callable[[Entries], float | None]:
    wanted = {"what": "throughput", "worker": worker, "size": size, "durability": durability}
    return lambda entries: rate_of(find(entries, **wanted))


def _span(span: str, mark: str, **wanted: Any) -> Callable[[Entries], float | None]:
    def read(entries: Entries) -> float | None:
        entry = find(entries, system="hybridrt", **wanted)
        return entry["latency"][span]["nanoseconds"].get(mark) if entry else None

    return read


def _idle(entries: Entries) -> float | None:
    found = [entry["cpu_fraction"] for entry in entries if entry["what"] == "idle"]
    return max(found, default=None)


def _throughput(what: str, limit: float, *where: Any) -> Bar:
    return Bar(what, "jobs/s", lambda _: limit, _rate(*where))


def _start(what: str, mark: str, limit_ns: float, **wanted: Any) -> Bar:
    read = _span("enqueue_to_start", mark, what="latency", worker="c", size=64, **wanted)
    return Bar(f"{what}, {mark}", "ns", lambda _: limit_ns, read)


def _in_syncs(what: str, syncs: float, **wanted: Any) -> Bar:
    read = _span("enqueue_to_start", "p50", what="latency", worker="c", size=64, **wanted)
    return Bar(f"{what}, p50", "ns", lambda machine: syncs * machine["fdatasync_ns"], read)


SUPERVISOR = "supervisor, a lane from C"
EMBEDDED = "supervisor, await rt.enqueue()"
OUTSIDE = "another process"

BARS = (
    _throughput("C → C, 64 B, memory", 3e6, "c", 64, "memory"),
    _throughput("C → Rust, 64 B, memory", 2e6, "rust", 64, "memory"),
    _throughput("C → Go, 64 B, memory", 1.5e6, "go", 64, "memory"),
    _throughput("Python enqueue_many → Rust, 64 B, memory", 1e6, "python-producer", 64, "memory"),
    _throughput("C → C, 64 B, sync", 1e6, "c", 64, "sync"),
    _throughput("C → C, 1 KiB, sync", 0.5e6, "c", 1024, "sync"),
    _start("idle, enqueued in the supervisor by C", "p50", 15e3, durability="memory",
           producer=SUPERVISOR),
    _start("idle, enqueued in the supervisor by C", "p99", 100e3, durability="memory",
           producer=SUPERVISOR),
    _start("idle, enqueued in the supervisor by Python", "p50", 15e3, durability="memory",
           producer=EMBEDDED),
    _start("idle, enqueued in the supervisor by Python", "p99", 100e3, durability="memory",
           producer=EMBEDDED),
    _start("idle, enqueued by another process", "p50", 40e3, durability="memory",
           producer=OUTSIDE),
    _start("idle, enqueued by another process", "p99", 250e3, durability="memory",
           producer=OUTSIDE),
    _in_syncs("idle, sync, in the supervisor by C (limit: 3 fdatasyncs)", 3, durability="sync",
              producer=SUPERVISOR),
    _in_syncs("idle, sync, another process (limit: 3 fdatasyncs)", 3, durability="sync",
              producer=OUTSIDE),
    Bar("worker with 1 GiB resident killed → its job starts elsewhere, worst of all trials", "ns",
        lambda _: 10e6, _span("kill_to_start_elsewhere", "max", what="death")),
    Bar("nothing to do: CPU of supervisor and three workers, of one core", "fraction",
        lambda _: 0.005, _idle),
)  # fmt: skip
