"""`hybridrt bench`: load a private instance and report what it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hybridrt.cli.choices import DURABILITIES
from hybridrt.cli.printing import fields, note
from hybridrt.cli.session import Session, session_options

if TYPE_CHECKING:
    from collections.abc import Mapping

WORKERS = ("c", "go", "rust", "python-producer")
JOBS_DEFAULT = 1_000_000
LATENCY_JOBS_DEFAULT = 5_000
LATENCY_RATE_DEFAULT = 500


def load_options(function: Any) -> Any:
    """Add the options that both measurements take."""
    function = click.option(
        "--jobs", type=click.IntRange(1, 1_000_000_000), help="How many; else a default."
    )(function)
    function = click.option(
        "--seconds", type=click.IntRange(1, 3600), help="Run so long instead of so many jobs."
    )(function)
    function = click.option("--size", type=click.IntRange(8, 262_144), default=64,
                            show_default=True, help="Bytes of a payload.")(function)  # fmt: skip
    function = click.option("--proof", type=click.Choice(["on", "off"]),
                            help="With a prover beside it; off: the same log without one."
                            )(function)  # fmt: skip
    function = click.option("--durability", type=click.Choice(DURABILITIES), default="memory",
                            show_default=True)(function)  # fmt: skip
    return click.option("--worker", type=click.Choice(WORKERS), default="c", show_default=True,
                        help="Language of the worker; python-producer: Python enqueues, "
                        "Rust works.")(function)  # fmt: skip


@click.group()
def bench() -> None:
    """Measure throughput and latency on this machine, with an instance of its own.

    The log lies in /dev/shm for `memory`, else in a directory below --directory.
    """


@bench.command()
@load_options
@click.option("--rate", type=click.IntRange(min=1), help="Jobs a second; else flat out.")
@click.option("--directory", type=click.Path(file_okay=False), help="Where the log may lie.")
@session_options
def throughput(session: Session, /, **options: Any) -> None:
    """Enqueue as fast as it goes and count the jobs settled a second."""
    from hybridrt.cli.load import Plan, measure

    options["jobs"] = options["jobs"] or (0 if options["seconds"] else JOBS_DEFAULT)
    _report(session, measure(Plan(latency=False, **options), say=note))


@bench.command()
@load_options
@click.option("--rate", type=click.IntRange(min=1), default=LATENCY_RATE_DEFAULT,
              show_default=True, help="Jobs a second; the machine idles in between.")  # fmt: skip
@click.option("--directory", type=click.Path(file_okay=False), help="Where the log may lie.")
@session_options
def latency(session: Session, /, **options: Any) -> None:
    """Enqueue at a gentle pace and record how long a job takes to start, and to be settled."""
    from hybridrt.cli.load import Plan, measure

    options["jobs"] = options["jobs"] or (0 if options["seconds"] else LATENCY_JOBS_DEFAULT)
    _report(session, measure(Plan(latency=True, **options), say=note))


def _report(session: Session, result: Mapping[str, Any]) -> None:
    from hybridrt.units import format_duration

    lines: list[tuple[str, object]] = [
        ("worker", result["worker"]),
        ("durability", result["durability"]),
        ("payload", f"{result['size']} B"),
        ("jobs", f"{result['jobs']:,} in {result['seconds']:.3f} s"),
        ("throughput", f"{result['jobs_per_second']:,.0f} jobs/s"),
    ]
    for name, percentiles in result["latency"].items():
        if percentiles["count"]:
            shown = "  ".join(
                f"{key} {format_duration(value / 1e9)}"
                for key, value in percentiles["nanoseconds"].items()
            )
            lines.append((name, shown))
    for name, seconds in result["cpu_seconds"].items():
        lines.append((f"cpu of {name}", f"{seconds:.2f} s"))
    counters = result["counters"]
    lines += [(name, f"{counters[name]:,}") for name in ("parks", "wakes", "rescues", "syncs")]
    session.show(result, fields(lines))
