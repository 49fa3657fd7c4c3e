"""What a command prints and how it ends: data on stdout, the rest on stderr, one exit status."""

from __future__ import annotations

import json
import os
import re
import sys
from typing import TYPE_CHECKING, Any

import click

from hybridrt.errors import HybridrtError, StorageError
from hybridrt.exits import STATUS_OF_CODE as STATUS_OF_CODE  # noqa: PLC0414 - commands use them
from hybridrt.exits import STATUS_TEXTS as STATUS_TEXTS  # noqa: PLC0414
from hybridrt.exits import Status as Status  # noqa: PLC0414
from hybridrt.exits import exit_status as exit_status  # noqa: PLC0414

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


# All but a tab and the end of a line; the last ones turn the direction of writing.
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class UsageError(HybridrtError):
    """The words of a command line do not fit together."""

    code = "USAGE"


class OutputError(StorageError):
    """What a command has to say cannot be written; what it was asked for is done by then."""


def wants_colour() -> bool:
    """Whether people look at stdout and did not ask for plain text (no-color.org)."""
    shown = sys.stdout is not None and sys.stdout.isatty()  # None: it was closed before the start
    return shown and not os.environ.get("NO_COLOR")


def emit(body: Mapping[str, Any], text: str, *, as_json: bool) -> None:
    """Print the data of a command: one JSON object on one line, or text for people."""
    if as_json:
        _print(json.dumps(body, separators=(",", ":"), ensure_ascii=False))
    elif text:
        _print(text, color=wants_colour())


def _print(text: str, *, color: bool = False) -> None:
    """Write data to stdout.

    Raises:
        BrokenPipeError: the reader of a pipe has had enough.
        OutputError: it cannot be written.
    """
    try:
        click.echo(text, color=color)
    except BrokenPipeError:
        raise
    except OSError as error:
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115 - Python flushes once more
        raise OutputError(
            f"cannot write to the standard output: {error.strerror}",
            "what was asked for is done already; only its answer is lost",
        ) from error


def note(text: str) -> None:
    """Say something that is not data, on stderr."""
    click.echo(text, err=True)


def report_error(error: HybridrtError, *, as_json: bool) -> Status:
    """Print an error in the form asked for and return the exit status."""
    if as_json:
        parts = {"code": error.code, "message": error.message, "hint": error.hint}
        try:
            emit({"error": parts}, "", as_json=True)
        except OutputError as lost:
            _complain(lost)
    if not as_json or isinstance(error, OutputError):
        _complain(error)
    return exit_status(error.code)


def _complain(error: HybridrtError) -> None:
    note(f"hybridrt: {error.message}")
    if error.hint:
        note(f"  {error.hint}")


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Lay rows out in aligned columns, numbers to the right, with a header line.

    Only the last column may have cells of several lines.
    """
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
    margin = "\n" + " " * (width + 2)
    return "\n".join(
        f"{name.ljust(width)}  {value.replace(chr(10), margin)}".rstrip() for name, value in shown
    )


def _harmless(text: str) -> str:
    """Escape what would move the cursor of a terminal: texts come from workers too."""
    return CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(_cell(item) for item in value) or "-"
    return _harmless(str(value))


def _looks_numeric(text: str) -> bool:
    return text == "-" or text.replace(".", "", 1).replace(",", "").lstrip("-").isdigit()


def _line(cells: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> str:
    padded = [
        cell.rjust(width) if right else cell.ljust(width)
        for cell, width, right in zip(cells, widths, numeric, strict=True)
    ]
    padded[-1] = padded[-1].replace("\n", "\n" + " " * sum(width + 2 for width in widths[:-1]))
    return "  ".join(padded).rstrip()
