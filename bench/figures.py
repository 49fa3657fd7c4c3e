"""Histograms of the benchmarks: all latencies are counted in the buckets that the runtime uses."""

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from hybridrt import stats
from hybridrt.native import histogram_bucket

CURVE_MARKS = (1.0, 5.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.99)
TABLE_MARKS = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99.9": 99.9}


def count_ns(values_ns: Iterable[int]) -> Counter[int]:
    """Sort latencies into buckets."""
    return Counter(histogram_bucket(max(0, value)) for value in values_ns)


def summary(buckets: Mapping[int, int]) -> dict[str, Any]:
    """Return count, percentiles in ns, and the curve for a plot; percentiles need their samples.

    A percentile is left out where fewer than ten samples lie above it: it would be chance.
    """
    count = sum(buckets.values())
    marks = tuple(mark for mark in CURVE_MARKS if count * (100 - mark) / 100 >= 10)
    curve = [[mark, round(s * 1e9)] for mark, s in stats.percentiles(dict(buckets), marks).items()]
    by_mark = dict(map(tuple, curve))
    found = {name: by_mark[mark] for name, mark in TABLE_MARKS.items() if mark in by_mark}
    return {"count": count, "nanoseconds": found, "curve": curve}


def exact(values_ns: list[int]) -> dict[str, Any]:
    """Return median, highest and all values, for what is measured too few times for a p99."""
    ordered = sorted(values_ns)
    found = {"p50": round(statistics.median(ordered)), "max": ordered[-1]}
    return {"count": len(ordered), "nanoseconds": found, "values": ordered}
