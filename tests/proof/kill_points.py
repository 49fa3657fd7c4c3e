"""Kills a prover before each of its operations on files, and looks at what it left behind.

Usage: python -m tests.proof.kill_points HOME [--power-cut] [STEP]

Prints the points, the sizes of the heads that were seen, and what went wrong, as JSON. Each prover
is a child made by fork, of a process without threads. With --power-cut whatever was not synced is
gone after the kill: files that were written since the anchor are cut to nothing.
"""

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import msgspec

from hybridrt.errors import HybridrtError
from hybridrt.proof import growth, note
from hybridrt.proof.audit import audit, extends
from hybridrt.proof.checkpoint import Head, parse_head
from hybridrt.proof.prover import Anchor
from hybridrt.proof.tiles import CHECKPOINT, Folder, Tiles
from tests.proof.proven_log import Proven, prove

OPERATIONS = ("open", "write", "fsync", "close", "replace", "rename", "mkdir", "rmdir", "unlink")
RECORDS = 100  # between checkpoints, so that there are several
FINISHED = 0


def _die_at(point: int) -> None:
    """Make the process kill itself before its `point`-th operation."""
    passed = 0

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal passed
            passed += 1
            if passed == point:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)

        return call

    for name in OPERATIONS:
        setattr(os, name, counted(getattr(os, name)))
    growth.shutil.rmtree = counted(shutil.rmtree)


def _run_child(work: Callable[[], None]) -> int:
    """Run `work` in a child; return its wait status."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except HybridrtError as error:
            print(f"{error.code}: {error.message}", file=sys.stderr)
            os._exit(1)
        os._exit(FINISHED)
    return os.waitpid(pid, 0)[1]


def _shown(directory: Path) -> Head | None:
    """Return the head that everybody could see."""
    try:
        return parse_head(note.split((directory / CHECKPOINT).read_text())[0])
    except FileNotFoundError:
        return None


def _cut_power(directory: Path) -> None:
    """Empty every file that was not synced when the power went."""
    anchor = directory / "prover" / "anchor"
    size = msgspec.json.decode(anchor.read_bytes(), type=Anchor).size if anchor.exists() else 0
    tiles = Tiles(Folder(directory), size)
    kept: set[Path] = set()

    class Noting(Folder):
        """Notes which files make up the tree at the anchor."""

        def read(self, name: str) -> bytes:
            found = super().read(name)
            kept.add(directory / name)
            return found

    tiles = Tiles(Noting(directory), size)
    for number in range(-(-size // 256)):
        tiles.bundle(number)
    level = 0
    while size >> (8 * level):
        for number in range(-(-(size >> (8 * level)) // 256)):
            tiles.tile(level, number)
        level += 1
    for path in directory.rglob("*"):
        if path.is_file() and path.parent.name != "prover" and path not in kept:
            path.write_bytes(b"")


def _examine(proven: Proven, seen: Head | None) -> str:
    """Let a prover go on; return what is wrong with what it comes to, or nothing."""
    if _run_child(lambda: prove(proven.options(records=RECORDS))) != FINISHED:
        return "the next prover does not go on"
    try:
        checked = audit(Folder(proven.directory), [proven.verifier], proven.log)
        if seen is not None:
            extends(Tiles(Folder(proven.directory), checked.head.size), seen, checked.head)
    except HybridrtError as error:
        return str(error)
    return "" if checked.records == checked.head.size else "records are missing"


def main(home: Path, step: int, *, power_cut: bool) -> None:
    """Try every `step`-th point until the prover comes to its end alive."""
    key = (home / "vkey").read_text()
    proven = Proven(home, key, ())
    point, tried, faults = 1, 0, []
    sizes: set[int] = set()
    while True:
        proven.forget()

        def work(point: int = point) -> None:
            _die_at(point)
            prove(proven.options(records=RECORDS))

        if _run_child(work) == FINISHED:
            break
        tried += 1
        seen = _shown(proven.directory)
        if power_cut:
            _cut_power(proven.directory)
        if fault := _examine(proven, seen):
            faults.append({"point": point, "fault": fault})
        sizes.add(seen.size if seen else 0)
        point += step
    result = {"tried": tried, "points": point, "sizes": sorted(sizes), "faults": faults}
    print(json.dumps(result))


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word != "--power-cut"]
    main(
        Path(words[0]),
        int(words[1]) if len(words) > 1 else 1,
        power_cut="--power-cut" in sys.argv,
    )
