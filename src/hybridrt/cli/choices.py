"""Parameter types of the command line."""

from __future__ import annotations

import click

from hybridrt.units import parse_duration

STATES = (
    "scheduled",
    "ready",
    "running",
    "retrying",
    "completed",
    "dead",
    "cancelled",
    "expired",
    "discarded",
)
DURABILITIES = ("sync", "async", "memory")


def duration(text: str) -> float:
    """Turn `30s`, `1h30m` or a plain number of seconds into seconds."""
    try:
        return float(parse_duration(float(text) if _is_plain(text) else text))
    except ValueError as err:
        raise click.BadParameter(str(err)) from err


def _is_plain(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()


JOB_ID = click.IntRange(1, 2**64 - 1)
