"""The report of the benchmarks: what is said of a bar, and where the figures go."""

from pathlib import Path
from typing import Any

import pytest

from bench import bars, figures, report

MACHINE = {"fdatasync_ns": 100_000}
ENTRY: dict[str, Any] = {
    "what": "throughput",
    "system": "hybridrt",
    "worker": "c",
    "size": 64,
    "durability": "memory",
    "jobs_per_second": [1e6, 2.5e6, 2e6],
}
LATENCY: dict[str, Any] = {
    "what": "latency",
    "system": "hybridrt",
    "producer": "another process",
    "worker": "c",
    "size": 64,
    "durability": "sync",
    "latency": {"enqueue_to_start": {"curve": [[50.0, 20_000], [99.0, 90_000]]}},
}


def test_a_rate_has_to_reach_its_bar() -> None:
    bar = bars.BARS[0]
    assert bar.what.startswith("C → C")
    assert bar.met(3e6, MACHINE)
    assert not bar.met(2.9e6, MACHINE)


def test_a_time_has_to_stay_below_its_bar_which_may_be_the_machines() -> None:
    bar = next(bar for bar in bars.BARS if "fdatasync" in bar.what)
    assert bar.met(3 * MACHINE["fdatasync_ns"], MACHINE)
    assert not bar.met(3 * MACHINE["fdatasync_ns"] + 1, MACHINE)


def test_the_median_of_the_rounds_is_judged_and_all_are_shown() -> None:
    assert bars.BARS[0].read([ENTRY]) == 2e6
    assert "| ≥ 3.00 M | 2.00 M | **missed** |" in report._bars([ENTRY], MACHINE)
    assert "2.00 M (1.00 M to 2.50 M)" in report._throughput([ENTRY])


def test_what_was_not_measured_is_not_judged() -> None:
    assert bars.BARS[0].read([]) is None
    assert "missed" not in report._bars([], MACHINE)


@pytest.mark.parametrize(
    ("entries", "drawn"),
    [([], set()), ([ENTRY], {"throughput.svg"}), ([LATENCY], {"latency.svg"})],
)
def test_what_was_not_measured_is_not_drawn(
    entries: list[dict[str, Any]], drawn: set[str], tmp_path: Path
) -> None:
    plots = pytest.importorskip("bench.plots", exc_type=ImportError)
    (tmp_path / "throughput.svg").write_text("of an earlier run")
    plots.draw(entries, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == drawn


def test_figures_replace_what_stood_between_the_markers() -> None:
    page = f"before {report.BEGIN} old {report.END} after"
    once = report.spliced(page, "new")
    assert "old" not in once
    assert once.startswith("before")
    assert once.endswith("after")
    assert report.spliced(once, "new") == once


def test_a_percentile_needs_ten_samples_above_it() -> None:
    assert list(figures.summary({100: 1000})["nanoseconds"]) == ["p50", "p90", "p99"]
    assert list(figures.summary({100: 99})["nanoseconds"]) == ["p50"]
    assert figures.exact([3, 1, 2])["nanoseconds"] == {"p50": 2, "max": 3}


def test_cells_carry_their_unit() -> None:
    assert report.duration(1234) == "1.23 µs"
    assert report.duration(None) == report.NOTHING
    assert report.rate(65_432) == "65.4 k"
    assert report.fraction(0.00046) == "0.046 %"
