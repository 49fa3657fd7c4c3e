"""Two plots: idle latency over its percentiles, and throughput beside the peers."""

import math
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.bars import Entries

TICKS = (50.0, 90.0, 99.0, 99.9, 99.99)
WIDTH_IN, ROW_IN = 8.0, 0.28
LABELS = {"c": "C → C", "go": "C → Go", "rust": "C → Rust", "python-producer": "Python → Rust"}
COLOURS = {"memory": "#4477aa", "async": "#ccbb44", "sync": "#aa3377"}


def draw(entries: Entries, directory: Path) -> None:
    """Write the plots as SVG, the same bytes for the same figures."""
    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "hybridrt", "svg.fonttype": "none", "font.size": 9})
    directory.mkdir(exist_ok=True)
    for name, plot in (("latency", _latency), ("throughput", _throughput)):
        path = directory / f"{name}.svg"
        figure = plot([e for e in entries if e["what"] == name and e["size"] == 64])
        if figure is None:
            path.unlink(missing_ok=True)  # of an earlier run, it would pass for one of this
        else:
            _save(figure, path)


def _latency(found: Entries) -> Figure | None:
    """Draw latency over log(1/(1-p)): each step to the right is ten times rarer."""
    measured = {entry["durability"] for entry in found}
    levels = [level for level in ("memory", "sync") if level in measured]
    if not levels:
        return None
    size_in = (WIDTH_IN * 0.7 * len(levels), 4.5)
    figure, grid = plt.subplots(1, len(levels), figsize=size_in, sharey=True, squeeze=False)
    axes = grid[0]
    for axis, level in zip(axes, levels, strict=True):
        for entry in found:
            if entry["durability"] == level:
                _curve(axis, entry)
        axis.set_title(f"enqueue to start, 64 B, idle, {level}")
        axis.set_xticks([_rarity(mark) for mark in TICKS], [f"{mark:g} %" for mark in TICKS])
        axis.set_yscale("log")
        axis.grid(visible=True, alpha=0.3)
        axis.legend(fontsize=7)
    axes[0].set_ylabel("microseconds")
    return figure


def _curve(axis: Axes, entry: Any) -> None:
    curve = entry["latency"]["enqueue_to_start"]["curve"]
    ours = entry["system"] == "hybridrt"
    label = f"{entry['producer']} → {entry['worker']}" if ours else entry["system"]
    points = [(_rarity(mark), ns / 1e3) for mark, ns in curve]
    axis.plot(*zip(*points, strict=True), label=label, linestyle="-" if ours else "--")


def _rarity(percent: float) -> float:
    return math.log10(1 / (1 - percent / 100))


def _throughput(found: Entries) -> Figure | None:
    """Draw one bar a system and durability, on a logarithmic scale: they lie far apart."""
    if not found:
        return None
    bars = sorted((median(e["jobs_per_second"]), _label(e), e["durability"]) for e in found)
    figure, axis = plt.subplots(figsize=(WIDTH_IN, 1 + ROW_IN * len(bars)))
    rates = [rate for rate, _, _ in bars]
    places = range(len(bars))
    axis.barh(places, rates, color=[COLOURS[level] for _, _, level in bars])
    axis.set_yticks(places, [label for _, label, _ in bars])
    for place, rate in zip(places, rates, strict=True):
        axis.text(rate * 1.1, place, f"{rate:,.0f}", va="center", fontsize=7)
    axis.set_xscale("log")
    axis.set_xlim(right=max(rates) * 10)
    axis.set_title("jobs a second, 64 B, flat out")
    axis.grid(visible=True, axis="x", alpha=0.3)
    return figure


def _label(entry: Any) -> str:
    name = entry["system"]
    if name == "hybridrt":
        name += f", {LABELS[entry['worker']]}"
    return f"{name}, {entry['durability']}"


def _save(figure: Any, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
