"""What a command prints and how it ends: data on stdout, the rest on stderr, one exit status."""

from __future__ import annotations

import enum
import json
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from hybridrt.errors import HybridrtError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class Status(enum.IntEnum):
    """The exit statuses, as `hybridrt --help` and docs/cli.md list them."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_READY = 3
    NOT_FOUND = 4
    BAD_DATA = 64
    UNREACHABLE = 69
    TRY_AGAIN = 75
    PERMISSION = 77
    CONFIG = 78
    TIMEOUT = 124
    INTERRUPTED = 130


STATUS_TEXTS = {
    Status.OK: "done",
    Status.FAILED: "failed",
    Status.USAGE: "wrong usage",
    Status.NOT_READY: "not ready: the answer is not there yet",
    Status.NOT_FOUND: "no such job, queue, kind, pool or worker",
    Status.BAD_DATA: "bad data: a payload, a name or a log is not as it has to be",
    Status.UNREACHABLE: "cannot reach the supervisor",
    Status.TRY_AGAIN: "try again: a queue is full, or the supervisor drains",
    Status.PERMISSION: "no permission",
    Status.CONFIG: "the configuration is wrong",
    Status.TIMEOUT: "the time limit passed",
}

# Error codes of the library and of the control protocol, by what a script can do about them.
STATUS_OF_CODE = {
    "USAGE": Status.USAGE,
    "HRT_EINVAL": Status.USAGE,
    "HRT_EAGAIN": Status.NOT_READY,
    "HRT_ESTATE": Status.NOT_READY,
    "HRT_ENOTFOUND": Status.NOT_FOUND,
    "HRT_EKIND": Status.NOT_FOUND,
    "HRT_EQUEUE": Status.NOT_FOUND,
    "UNKNOWN_NAME": Status.NOT_FOUND,
    "UNKNOWN_POOL": Status.NOT_FOUND,
    "UNKNOWN_WORKER": Status.NOT_FOUND,
    "HRT_ENAME": Status.BAD_DATA,
    "HRT_ETOOLARGE": Status.BAD_DATA,
    "HRT_ECORRUPT": Status.BAD_DATA,
    "HRT_EVERSION": Status.BAD_DATA,
    "HRT_EREACH": Status.UNREACHABLE,
    "HRT_ECLOSED": Status.UNREACHABLE,
    "BUSY": Status.TRY_AGAIN,
    "HRT_EFULL": Status.TRY_AGAIN,
    "HRT_ELOGFULL": Status.TRY_AGAIN,
    "HRT_EPAUSED": Status.TRY_AGAIN,
    "HRT_EDRAIN": Status.TRY_AGAIN,
    "HRT_ELIMIT": Status.TRY_AGAIN,
    "HRT_EBUSY": Status.TRY_AGAIN,
    "HRT_EPERM": Status.PERMISSION,
    "CONFIG": Status.CONFIG,
    "HRT_ETIMEOUT": Status.TIMEOUT,
    "RESULT_TIMEOUT": Status.TIMEOUT,
}


class UsageError(HybridrtError):
    """The words of a command line do not fit together."""

    code = "USAGE"


def exit_status(code: str) -> Status:
    """Return the exit status that belongs to an error code."""
    return STATUS_OF_CODE.get(code, Status.FAILED)


def wants_colour() -> bool:
    """Whether people look at stdout and did not ask for plain text (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def emit(body: Mapping[str, Any], text: str, *, as_json: bool) -> None:
    """Print the data of a command: one JSON object on one line, or text for people."""
    if as_json:
        click.echo(json.dumps(body, separators=(",", ":"), ensure_ascii=False))
    elif text:
        click.echo(text, color=wants_colour())


def note(text: str) -> None:
    """Say something that is not data, on stderr."""
    click.echo(text, err=True)


def report_error(error: HybridrtError, *, as_json: bool) -> Status:
    """Print an error in the form asked for and return the exit status."""
    if as_json:
        parts = {"code": error.code, "message": error.message, "hint": error.hint}
        emit({"error": parts}, "", as_json=True)
    else:
        note(f"hybridrt: {error.message}")
        if error.hint:
            note(f"  {error.hint}")
    return exit_status(error.code)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Lay rows out in aligned columns, numbers to the right, with a header line."""
    cells = [[_cell(value) for value in row] for row in rows]
    numeric = [
        bool(cells) and all(_looks_numeric(row[i]) for row in cells) for i in range(len(columns))
    ]
    widths = [
        max([len(column), *(len(row[i]) for row in cells)]) for i, column in enumerate(columns)
    ]
    header = _line([column.upper() for column in columns], widths, numeric)
    lines = [click.style(header, bold=True) if wants_colour() else header]
    lines += [_line(row, widths, numeric) for row in cells]
    return "\n".join(lines)


def fields(pairs: Iterable[tuple[str, object]]) -> str:
    """Lay names and values out, one pair a line."""
    shown = [(name, _cell(value)) for name, value in pairs]
    width = max((len(name) for name, _ in shown), default=0)
    return "\n".join(f"{name.ljust(width)}  {value}".rstrip() for name, value in shown)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(_cell(item) for item in value) or "-"
    return str(value)


def _looks_numeric(text: str) -> bool:
    return text == "-" or text.replace(".", "", 1).replace(",", "").lstrip("-").isdigit()


def _line(cells: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> str:
    padded = [
        cell.rjust(width) if right else cell.ljust(width)
        for cell, width, right in zip(cells, widths, numeric, strict=True)
    ]
    return "  ".join(padded).rstrip()
