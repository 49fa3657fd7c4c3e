"""What a producer was told: one line for each acknowledged job, written by the producer itself."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.crash.mix import Batch


@dataclass(frozen=True, slots=True)
class Entry:
    """One acknowledged job."""

    job: int
    kind: str
    queue: str
    key: str
    tag: str


class Ledger:
    """A file of one producer process; each batch is one write, so a kill cuts at most the last."""

    def __init__(self, path: Path) -> None:
        """Make the file."""
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def add(self, batch: Batch, answers: list[int]) -> None:
        """Note the jobs of a batch that were acknowledged; refused ones are passed over."""
        lines = [
            f"{job} {batch.kind} {batch.queue} {batch.key or '-'} {tag}\n"
            for job, tag in zip(answers, batch.tags, strict=True)
            if job > 0
        ]
        os.write(self._fd, "".join(lines).encode())


def read_ledger(path: Path) -> Iterator[Entry]:
    """Give the entries of a file; a last line without its end was never finished."""
    for line in path.read_text().splitlines(keepends=True):
        if line.endswith("\n"):
            job, kind, queue, key, tag = line.split()
            yield Entry(int(job), kind, queue, "" if key == "-" else key, tag)
