"""Progress on stderr: a live table on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from hybridrt.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Callable

LINE_INTERVAL_S = 2.0
FRAME_INTERVAL_S = 0.1
BAR_WIDTH = 30
LANGUAGES = {"go": "Go", "rust": "Rust"}


class Display:
    """What people see while the demonstration runs; use it in a `with` block."""

    def __init__(self) -> None:
        """Draw on stderr, so that stdout carries the report alone."""
        self._console = Console(stderr=True, highlight=False)
        self._live: Live | None = None
        self._drawn = 0.0
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._live = Live(console=self._console, transient=True, auto_refresh=False)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self._console.print(f"[{time.monotonic() - self._began:6.1f} s] {text}", markup=False)

    def _is_time(self) -> bool:
        interval = FRAME_INTERVAL_S if self._live else LINE_INTERVAL_S
        now = time.monotonic()
        if now - self._drawn < interval:
            return False
        self._drawn = now
        return True

    def phase(self, name: str, total: int | None) -> Callable[[int], None]:
        """Begin a phase that counts files; return what to call with the count so far."""
        self.say(f"{name}{'' if total is None else f' over {total:,} files'}")
        self._drawn = time.monotonic()

        def step(count: int) -> None:
            if not self._is_time():
                return
            if self._live is None:
                self.say(f"{name}: {count:,}{'' if total is None else f' of {total:,}'}")
                return
            table = Table.grid(padding=(0, 2))
            table.add_row(name, f"{count:,}", ProgressBar(total, count, width=BAR_WIDTH))
            self._live.update(table, refresh=True)

        return step

    def languages(self, total: int) -> Callable[[list[dict[str, Any]]], None]:
        """Begin the main phase; return what to call with the kinds' counters."""
        self.say(f"{total:,} files to go through Go and Rust workers")
        began = time.monotonic()

        def step(kinds: list[dict[str, Any]]) -> None:
            if not self._is_time():
                return
            seconds = time.monotonic() - began
            if self._live is None:
                self.say(", ".join(f"{kind['kind']} {kind['completed']:,}" for kind in kinds))
            else:
                self._live.update(_kind_table(kinds, total, seconds), refresh=True)

        return step


def _kind_table(kinds: list[dict[str, Any]], total: int, seconds: float) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("kind", "language", "done", "", "jobs/s", "wait p50", "run p50", "run p99"):
        table.add_column(column, justify="left" if column in {"kind", "language"} else "right")
    for kind in kinds:
        done = kind["completed"]
        bar = "" if kind["kind"] == "tree.scan" else ProgressBar(total, done, width=BAR_WIDTH)
        table.add_row(
            kind["kind"],
            LANGUAGES[kind["language"]],
            f"{done:,}",
            bar,
            f"{done / seconds:,.0f}" if seconds else "",
            *(
                format_duration(kind[name].get(mark, 0) / 1e9)
                for name, mark in (("wait", "p50_ns"), ("run", "p50_ns"), ("run", "p99_ns"))
            ),
        )
    return table
