"""What the processes of a journey write down, one line each, and what has to be true of it all.

An era is the time from one restored log to the next. Of what was acknowledged in an era, the next
one has what came up to its cut, the last sequence that was restored; what came behind it is gone,
and its ids are given out again.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Self

TAKEN, BEGUN, DONE = "taken", "begun", "done"
STRICT_QUEUES = {"default", "block", "async", "memory"}  # of order block
NO_CUT = 2**64


@dataclass(frozen=True, slots=True)
class Note:
    """A job was acknowledged, or its handler began, or the mark of its end was run."""

    era: int
    what: str
    job: int
    token: int
    queue: str
    key: str
    tag: str

    def line(self) -> str:
        """Return it as a line."""
        return " ".join(str(part) or "-" for part in astuple(self)) + "\n"

    @classmethod
    def of(cls, line: str) -> Self:
        """Read a line."""
        era, what, job, token, queue, key, tag = line.split()
        return cls(int(era), what, int(job), int(token), queue, key.replace("-", ""), tag)

    def append(self, path: Path) -> None:
        """Write it at the end of a file, in one piece."""
        write_lines(path, [self])


def write_lines(path: Path, notes: Iterable[Note]) -> None:
    """Write some at the end of a file, in one piece: a kill leaves all of them or none."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(fd, "".join(note.line() for note in notes).encode())
    finally:
        os.close(fd)


def read_notes(path: Path) -> Iterator[Note]:
    """Give the notes of a file."""
    if path.exists():
        yield from map(Note.of, path.read_text().splitlines())


class Judgement:
    """Holds what was acknowledged against what was done, with the eras' cuts."""

    def __init__(self, path: Path, cuts: list[int], touched: dict[int, int]) -> None:
        """Read the notes; `touched`: ids that an operator cancelled, and the last era of that."""
        self._notes = list(read_notes(path))
        self._cuts = [*cuts, NO_CUT]
        self._touched = touched
        self.faults: list[str] = []
        self.acknowledged = 0

    def _survives(self, note: Note) -> bool:
        return note.job <= self._cuts[note.era]

    def judge(self) -> None:
        """Find what does not fit."""
        marks: dict[str, set[int]] = defaultdict(set)
        for note in self._notes:
            if note.what == DONE and self._survives(note):
                marks[note.tag].add(note.job)
        for tag, jobs in marks.items():
            if len(jobs) > 1:
                self.faults.append(f"{tag} was committed more than once: its marks are {jobs}")
        for note in self._notes:
            if note.what == TAKEN and self._survives(note):
                self.acknowledged += 1
                touched = self._touched.get(note.job, -1) >= note.era
                if note.tag not in marks and not touched:
                    self.faults.append(f"was acknowledged and never committed: {note}")
        self._judge_order()

    def _judge_order(self) -> None:
        """Jobs of a key begin in the order of their ids, one history at a time."""
        begun: dict[tuple[int, int], int] = {}
        last: dict[tuple[int, str, str], int] = defaultdict(int)
        for note in self._notes:
            if note.what != BEGUN or not note.key or note.queue not in STRICT_QUEUES:
                continue
            if (note.era, note.job) in begun:
                continue
            begun[note.era, note.job] = note.token
            place = (note.era, note.queue, note.key)
            if note.job < last[place]:
                self.faults.append(f"began after job {last[place]} of its key: {note}")
            last[place] = max(last[place], note.job)
