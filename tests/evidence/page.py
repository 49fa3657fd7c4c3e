"""Writes docs/evidence.md from the results of the attacks and the list of bugs."""

from collections.abc import Mapping, Sequence
from typing import Any

HEAD = """# Evidence

What was done to hybridrt to make it lose a job, run one twice, or break the order of a key, and
what came of it. This page is generated: `make evidence` runs the attacks and writes it anew;
`LONG=1` runs the long ones, `ATTACKS="kills power-cuts"` only some. A violation is an acknowledged
job that is lost, a job that is committed twice, two jobs of one key at a time or out of order,
damage that is not found or found where there is none, or a process that ends for another reason
than the one that was done to it.
"""


def render(results: Mapping[str, Any], bugs: Sequence[Mapping[str, str]]) -> str:
    """Return the page."""
    reports = [report for found in results["attacks"].values() for report in found]
    parts = [
        HEAD,
        f"Machine: {results['machine']}.\n",
        _summary(reports),
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


def _summary(reports: Sequence[Mapping[str, Any]]) -> str:
    faults = sum(sum(report.get("faults", {}).values()) for report in reports)
    states = sum(report.get("counts", {}).get("states", 0) for report in reports)
    found = sum(report["violations"] for report in reports)
    return (
        f"**{faults:,} faults injected, {states:,} crash states opened, {found:,} violations.**\n"
    )


def _attacks(reports: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        "## Attacks",
        "",
        "| attack | faults | explored | violations | command | on |",
        "|---|---|---|---:|---|---|",
    ]
    for report in reports:
        seed = f", seed `{report['seed']}`" if report.get("seed") else ""
        cells = (
            report["what"] + seed,
            _named(report.get("faults", {})),
            _named(report.get("counts", {})),
            str(report["violations"]),
            f"`{report['command']}`",
            f"{report.get('date', '')} {report.get('commit', '')}".strip(),
        )
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def _so_far(totals: Mapping[str, Any]) -> str:
    lines = [
        "## All runs so far",
        "",
        "The table above has the last run of each attack, this one all of them together.",
        "",
        "| attack | runs | faults | violations |",
        "|---|---:|---|---:|",
    ]
    lines += [
        f"| {name} | {total['runs']} | {_named(total['faults'])} | {total['violations']} |"
        for name, total in totals.items()
    ]
    return "\n".join(lines) + "\n"


def _times(reports: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (report["command"], name, times)
        for report in reports
        for name, times in report.get("times_ms", {}).items()
    ]
    if not rows:
        return ""
    lines = [
        "## How long it took",
        "",
        "| from, to | trials | p50 ms | p99 ms | max ms | command |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for command, name, times in rows:
        marks = " | ".join(_number(times[mark]) for mark in ("n", "p50", "p99", "max"))
        lines.append(f"| {name} | {marks} | `{command}` |")
    return "\n".join(lines) + "\n"


def _bugs(bugs: Sequence[Mapping[str, str]]) -> str:
    lines = [
        "## Bugs found so far",
        "",
        "Each that is fixed has a test that fails without its fix.",
        "",
        "| bug | found by | reproducer | fixed in |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {bug['what']} | {bug['found_by']} | `{bug['reproducer']}` | {bug['fixed']} |"
        for bug in bugs
    ]
    return "\n".join(lines) + "\n"
