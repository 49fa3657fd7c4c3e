"""Writes docs/evidence.md from the results of the attacks and the list of bugs."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

HEAD = """# Evidence

What was done to hybridrt to make it lose a job, run one twice, or break the order of a key, and
what came of it. This page is generated: `make evidence` runs the attacks and writes it anew;
`LONG=1` runs the long ones, `ATTACKS="kills power-cuts"` only some. A violation is an acknowledged
job that is lost, a job that is committed twice, two jobs of one key at a time or out of order,
damage that is not found or found where there is none, or a process that ends for another reason
than the one that was done to it.

To repeat one by hand: `make build native`, then `. .ci/env`, then its command as it stands here.
Power cuts and full disks need root.
"""


def render(results: Mapping[str, Any], bugs: Sequence[Mapping[str, str]]) -> str:
    """Return the page."""
    reports = [report for found in results["attacks"].values() for report in found]
    parts = [
        HEAD,
        f"Machine: {results['machine']}.\n",
        _summary(results.get("so_far", {})),
        _attacks(reports),
        _so_far(results.get("so_far", {})),
        _times(reports),
        _bugs(bugs),
    ]
    return "\n".join(part for part in parts if part)


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}".rstrip("0").rstrip(".")


def _named(counts: Mapping[str, Any]) -> str:
    return ", ".join(f"{_number(value)} {name}" for name, value in counts.items())


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; a column whose name begins with > holds numbers."""
    rules = ["---:" if column.startswith(">") else "---" for column in columns]
    lines = [
        "| " + " | ".join(column.removeprefix(">") for column in columns) + " |",
        "|" + "|".join(rules) + "|",
        *("| " + " | ".join(row) + " |" for row in rows),
    ]
    return "\n".join(lines) + "\n"


def _summary(totals: Mapping[str, Any]) -> str:
    def total(part: str, *names: str) -> int:
        counts = (count for one in totals.values() for count in one.get(part, {}).items())
        return sum(value for name, value in counts if not names or name.endswith(names))

    violations = sum(one["violations"] for one in totals.values())
    return (
        f"**{total('faults'):,} faults injected, among them {total('faults', 'killed'):,} "
        f"processes killed at random and {total('faults', 'SIGKILLs'):,} at a chosen instruction; "
        f"{total('counts', 'states'):,} crash states opened; "
        f"{total('counts', 'seeds'):,} simulated lives; {violations:,} violations.**\n"
    )


def _attacks(reports: Sequence[Mapping[str, Any]]) -> str:
    def row(report: Mapping[str, Any]) -> Sequence[str]:
        seed = f", seed `{report['seed']}`" if report.get("seed") else ""
        return (
            report["what"] + seed,
            _named(report.get("faults", {})),
            _named(report.get("counts", {})),
            str(report["violations"]),
            f"`{report['command']}`",
            f"{report.get('date', '')} {report.get('commit', '')}".strip(),
        )

    columns = ("attack", "faults", "explored", ">violations", "command", "on")
    return "## The last run of each attack\n\n" + _table(columns, map(row, reports))


def _so_far(totals: Mapping[str, Any]) -> str:
    rows = (
        (
            name,
            str(one["runs"]),
            _named(one["faults"]),
            _named(one["counts"]),
            str(one["violations"]),
        )
        for name, one in totals.items()
    )
    columns = ("attack", ">runs", "faults", "explored", ">violations")
    return "## All runs so far\n\n" + _table(columns, rows)


def _times(reports: Sequence[Mapping[str, Any]]) -> str:
    marks = ("n", "p50", "p99", "max")
    rows = [
        (name, *(_number(times[mark]) for mark in marks), f"`{report['command']}`")
        for report in reports
        for name, times in report.get("times_ms", {}).items()
    ]
    columns = ("from, to", ">trials", ">p50 ms", ">p99 ms", ">max ms", "command")
    return "## How long it took\n\n" + _table(columns, rows) if rows else ""


def _bugs(bugs: Sequence[Mapping[str, str]]) -> str:
    rows = ((bug["what"], bug["found_by"], f"`{bug['reproducer']}`", bug["fixed"]) for bug in bugs)
    return (
        "## Bugs found so far\n\nEach that is fixed has a test that fails without its fix.\n\n"
        + _table(("bug", "found by", "reproducer", "fixed in"), rows)
    )
