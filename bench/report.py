"""Turn the results of a run into the tables of README.md and the plots.

Usage: python -m bench.report RESULTS.json DIRECTORY

The directory gets README.md, results/latest.json and plots/. It is this one after a full run.
"""

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from bench.bars import BARS, Entries, find, rate_of

HERE = Path(__file__).parent
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
DURABILITIES = ("memory", "async", "sync")
SIZES = (64, 1024)
WORKERS = {
    "c": "C → C",
    "go": "C → Go",
    "rust": "C → Rust",
    "python-producer": "Python → Rust",
}
NOTHING = "-"
RIVAL = "python-producer"  # the producer of the peers is Python too
SPANS = {
    "enqueue_to_start": "start",
    "enqueue_to_acknowledged": "acknowledged",
    "enqueue_to_settled": "settled",
}
MARKS = {
    "start": ("p50", "p90", "p99"),
    "acknowledged": ("p50", "p99"),
    "settled": ("p50", "p99"),
}


def main(results: str, directory: str) -> None:
    """Write the tables, the plots, and the results themselves."""
    from bench import plots  # matplotlib is slow to import, and the tables need none of it

    run = json.loads(Path(results).read_text())
    target = Path(directory)
    page = spliced((HERE / "README.md").read_text(), render(run))
    (target / "README.md").write_text(page)
    (target / "results").mkdir(exist_ok=True)
    (target / "results" / "latest.json").write_text(json.dumps(run, indent=1) + "\n")
    plots.draw(entries_of(run), target / "plots")


def entries_of(run: Mapping[str, Any]) -> Entries:
    """Return the figures of all benchmarks of a run."""
    return [benchmark["extra_info"] for benchmark in run["benchmarks"]]


def spliced(page: str, measured: str) -> str:
    """Return the page with what stands between the markers replaced."""
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n\n{measured}\n{END}{tail}"


def render(run: Mapping[str, Any]) -> str:
    """Return the measured part as Markdown."""
    entries = entries_of(run)
    machine = run["machine_info"]
    parts = [
        _machine(machine, entries, run.get("skipped", {})),
        "### The bars\n\n" + _bars(entries, machine),
        "### Throughput of hybridrt\n\n" + _throughput(entries),
        "### Idle latency\n\n" + _latency(entries),
        "### Peers, in the same run\n\n" + _peers(entries),
        "### Death of a worker, and idleness\n\n" + _rest(entries),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


# ---- parts ----


def _machine(machine: Mapping[str, Any], entries: Entries, skipped: Mapping[str, str]) -> str:
    loads = [entry["load_average"] for entry in entries]
    text = (
        f"{machine['date']}: {machine['cores']} cores of {machine['processor']}, "
        f"{machine['memory_bytes'] / 2**30:.0f} GiB, Linux {machine['kernel']}, "
        f"Python {machine['python']}. `memory` in {machine['memory_directory']}, the others in "
        f"{machine['disk_directory']}, where one fdatasync of 4 KiB takes "
        f"{duration(machine['fdatasync_ns'])} (median). A byte through a pipe wakes a waiting "
        f"process of an idle machine after {_wake(machine)}. Load average at the end of the run "
        f"{machine['load_average']}, before single benchmarks {min(loads)} to {max(loads)}."
    )
    for name, reason in skipped.items():
        text += f"\n\nNot measured: {name}: {reason}."
    return text


def _wake(machine: Mapping[str, Any]) -> str:
    return ", ".join(f"{mark} {duration(ns)}" for mark, ns in machine["wake_ns"].items())


def _bars(entries: Entries, machine: Mapping[str, Any]) -> str:
    rows = []
    for bar in BARS:
        value = bar.read(entries)
        if value is None:
            continue
        show = SHOW[bar.unit]
        verdict = "met" if bar.met(value, machine) else "**missed**"
        sign = "≥" if bar.more_is_better else "≤"
        rows.append((bar.what, f"{sign} {show(bar.limit(machine))}", show(value), verdict))
    return table(("figure", "bar", "measured", ""), rows)


def _throughput(entries: Entries) -> str:
    head = ["jobs/s, median of the rounds (lowest to highest)", "payload", *DURABILITIES]
    rows = []
    for worker, label in WORKERS.items():
        for size in SIZES:
            wanted = {"what": "throughput", "worker": worker, "size": size}
            cells = [_rounds(find(entries, durability=level, **wanted)) for level in DURABILITIES]
            rows.append((label, payload(size), *cells))
    return table(head, rows)


def _latency(entries: Entries) -> str:
    spans = {label: name for name, label in SPANS.items()}
    columns = [(label, mark) for label in spans for mark in MARKS[label]]
    head = ["producer → worker", "payload", "durability"]
    head += [f"{label} {mark}" for label, mark in columns]
    rows = []
    for entry in entries:
        if entry["what"] != "latency":
            continue
        found = {
            label: entry["latency"].get(name, {}).get("nanoseconds", {})
            for label, name in spans.items()
        }
        cells = [duration(found[label].get(mark)) for label, mark in columns]
        rows.append((_route(entry), payload(entry["size"]), entry["durability"], *cells))
    return table(head, rows)


def _route(entry: Mapping[str, Any]) -> str:
    ours = entry["system"] == "hybridrt"
    return f"{entry['producer']} → {entry['worker']}" if ours else entry["system"]


def _peers(entries: Entries) -> str:
    """Compare the peers with hybridrt of the same durability, fed by Python as they are."""
    head = ["system", "durability", "set up as", "64 B", "1 KiB", "hybridrt ÷ it, 64 B", "1 KiB"]
    peers = dict.fromkeys(e["system"] for e in entries if e["what"] == "throughput")
    rows = []
    for name in peers:
        if name == "hybridrt":
            continue
        found = [find(entries, what="throughput", system=name, size=size) for size in SIZES]
        one = next(entry for entry in found if entry)
        wanted = {"what": "throughput", "worker": RIVAL, "durability": one["durability"]}
        ours = [find(entries, size=size, **wanted) for size in SIZES]
        ratios = [_ratio(mine, other) for mine, other in zip(ours, found, strict=True)]
        about = (f"{name} ({one['version']})", one["durability"], one["setup"])
        rows.append((*about, *map(_rounds, found), *ratios))
    for level in ("memory", "sync"):
        wanted = {"what": "throughput", "worker": RIVAL, "durability": level}
        cells = [_rounds(find(entries, size=size, **wanted)) for size in SIZES]
        rows.append(("hybridrt, Python → Rust", level, "enqueue_many of 4,096", *cells, "", ""))
    return table(head, rows)


def _rest(entries: Entries) -> str:
    rows: list[tuple[Any, ...]] = []
    for entry in entries:
        if entry["what"] == "death":
            memory = f"{entry['resident_bytes'] / 2**20:,.0f} MiB resident"
            for span, found in entry["latency"].items():
                marks = [duration(found["nanoseconds"][mark]) for mark in ("p50", "max")]
                what = f"{span.replace('_', ' ')}, {memory}, {found['count']} kills"
                rows.append((what, f"p50 {marks[0]}, worst {marks[1]}", entry["load_average"]))
        if entry["what"] == "idle":
            what = f"CPU while idle for {entry['seconds']:g} s, {entry['durability']}"
            shown = f"{fraction(entry['cpu_fraction'])}, {entry['wakes_per_second']:.1f} wake-ups/s"
            rows.append((what, shown, entry["load_average"]))
    return table(("what", "measured", "load"), rows)


# ---- cells ----


def duration(nanoseconds: float | None) -> str:
    """Return a duration with its unit and three digits."""
    if nanoseconds is None:
        return NOTHING
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if nanoseconds >= size:
            return f"{nanoseconds / size:.3g} {unit}"
    return f"{nanoseconds:.0f} ns"


def rate(jobs_per_second: float | None) -> str:
    """Return a rate with three digits or so."""
    if jobs_per_second is None:
        return NOTHING
    if jobs_per_second >= 1e6:
        return f"{jobs_per_second / 1e6:.2f} M"
    return f"{jobs_per_second / 1e3:.3g} k" if jobs_per_second >= 1e3 else f"{jobs_per_second:.0f}"


def fraction(value: float) -> str:
    """Return a part of a core as percent."""
    return f"{value * 100:.2g} %"


def payload(size: int) -> str:
    """Return a size as the tables name it."""
    return f"{size // 1024} KiB" if size >= 1024 else f"{size} B"


def _rounds(entry: Mapping[str, Any] | None) -> str:
    if entry is None:
        return NOTHING
    rates = entry["jobs_per_second"]
    return f"{rate(median(rates))} ({rate(min(rates))} to {rate(max(rates))})"


def _ratio(ours: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> str:
    mine, theirs = rate_of(ours), rate_of(other)
    return f"{mine / theirs:,.3g} times" if mine and theirs else NOTHING


def table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """Return a Markdown table."""
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


SHOW: dict[str, Callable[[float], str]] = {
    "jobs/s": rate,
    "ns": duration,
    "fraction": fraction,
}

if __name__ == "__main__":
    main(*sys.argv[1:])
