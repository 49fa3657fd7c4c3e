"""What an attack comes to: faults, what was explored, violations."""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Counts = dict[str, Any]


class MissingError(Exception):
    """A tool or a right that the attack needs is not there: it is skipped, and says why."""


class ViolationError(Exception):
    """The attack broke a promise, or did not come to its end."""


@dataclass(slots=True)
class Report:
    """One attack, as it is printed and stored for the page of evidence."""

    what: str
    faults: Counts = field(default_factory=dict)
    counts: Counts = field(default_factory=dict)
    times_ms: dict[str, Counts] = field(default_factory=dict)
    seed: int | None = None
    violations: int = 0
    skipped: str = ""
    seconds: float = 0.0

    def line(self) -> str:
        """Return one line for people."""
        if self.skipped:
            return f"{self.what}: skipped: {self.skipped}"
        numbers = ", ".join(
            f"{value} {name}" for name, value in (self.faults | self.counts).items()
        )
        times = "".join(
            f"; {name}: p50 {t['p50']} ms, p99 {t['p99']} ms, max {t['max']} ms of {t['n']}"
            for name, t in self.times_ms.items()
        )
        seed = "" if self.seed is None else f", seed {self.seed}"
        return (
            f"{self.what}: {self.violations} violations; {numbers}{times}{seed}; {self.seconds} s"
        )


def tell(report: Counts, path: Path | None) -> None:
    """Print a report as one JSON object, and store it if somebody wants it in a file."""
    text = json.dumps(report)
    print(text)
    if path is not None:
        path.write_text(text)


def add_up(parts: list[Counts]) -> Counts:
    """Add the counts of several workers."""
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part)
    return dict(total)


def percentiles(times_ms: list[float]) -> Counts:
    """Return p50, p99 and max of some times."""
    ordered = sorted(times_ms)
    last = len(ordered) - 1
    return {
        "n": len(ordered),
        "p50": round(ordered[last // 2], 3),
        "p99": round(ordered[round(last * 0.99)], 3),
        "max": round(ordered[last], 3),
    }
