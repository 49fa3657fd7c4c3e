"""Parameter types of the command line."""

from __future__ import annotations

import os
from pathlib import Path

import click

from hybridrt.errors import from_os_error
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


class ReadableDirectory(click.Path):
    """A directory that is there; one that may not be read is no wrong usage."""

    def __init__(self) -> None:
        """Leave the permission to `convert`."""
        super().__init__(exists=True, file_okay=False, readable=False, path_type=Path)

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Path:
        """Return the path; raise PermissionDeniedError when it may not be read."""
        try:
            os.scandir(str(value)).close()
        except PermissionError as error:
            raise from_os_error(error) from error
        except OSError:
            pass  # click says what is wrong with it
        return Path(str(super().convert(value, param, ctx)))  # type: ignore[arg-type]


READABLE_DIRECTORY = ReadableDirectory()
JOB_ID = click.IntRange(1, 2**64 - 1)
