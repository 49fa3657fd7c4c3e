"""The archiver of a supervisor: each full segment is copied before its file may be used again.

It holds what it has not copied yet (hybridrt.holds), so a slow archive makes the log grow, up to
its limit, and no hole. Killed at any moment it leaves a whole copy or none: the next one goes on.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hybridrt.chore import Chore
from hybridrt.config import ArchiveConfig
from hybridrt.errors import StorageError
from hybridrt.holds import Holds
from hybridrt.logs import get_logger
from hybridrt.memo import Memo
from hybridrt.native import Runtime
from hybridrt.segments import Catalog
from hybridrt.store import Archive, check_apart
from hybridrt.units import NANOSECONDS

log = get_logger("archive")

HOLDER = "archive"
MEMO = "archived"  # the file in the log's directory
SYNC_S = 30.0
LOOK_S = 0.25  # between looks for a segment that has become full
Tell = Callable[[str, dict[str, Any]], None]


def expired(archive: Archive, config: ArchiveConfig, now_ns: int) -> list[int]:
    """Return the segments that retention lets go, oldest first.

    Those that the newest one needs to be restored always stay: they are no more than the log holds.
    """
    numbers = archive.numbers()
    needed_from = archive.info(numbers[-1]).head if numbers else 0
    sizes = {number: archive.file(number).stat().st_size for number in numbers}
    total = sum(sizes.values())
    gone: list[int] = []
    for number in (number for number in numbers if number < needed_from):
        over_count = config.keep_segments and len(numbers) - len(gone) > config.keep_segments
        over_bytes = config.keep_bytes and total > config.keep_bytes
        oldest_ns = now_ns - round(config.keep_age * NANOSECONDS)
        over_age = config.keep_age and archive.info(number).last_time_ns < oldest_ns
        if not (over_count or over_bytes or over_age):
            break
        gone.append(number)
        total -= sizes[number]
    return gone


def archive_log(directory: Path, archive: Archive, below: int) -> list[int]:
    """Copy every full segment below the number `below` that is not there whole; return them."""
    check_apart(directory, archive.path.parent)
    catalog = Catalog.settled(directory)
    wanted = [n for n in catalog.numbered if n < below and not archive.is_full(n)]
    for number in wanted:
        archive.put(catalog.numbered[number].read(), must_be_full=True)
    return wanted


class Archiver:
    """Copies full, durable segments, and lets go of old copies."""

    def __init__(
        self,
        config: ArchiveConfig,
        directory: Path,
        runtime: Runtime,
        holds: Holds,
        tell: Tell,
    ) -> None:
        """Hold the whole log until the first look."""
        self._config = config
        self._directory = directory
        self._runtime = runtime
        self._holds = holds
        self._tell = tell
        catalog = Catalog.settled(directory)
        self._segment_size = catalog.segment_size
        place = Path(config.directory).expanduser()
        self._archive = Archive(place / catalog.uuid.hex())
        self._copied = 0
        self._memo = Memo(directory / MEMO, catalog.uuid, self._archive.path)
        self._last = self._memo.recall()  # the newest that we know to be there
        self._fault = ""
        self._behind = 0
        self._chore = Chore("archive", self._round, self._failed)
        self._next = min(catalog.numbered, default=0)
        holds.set(HOLDER, self._next)

    def start(self) -> None:
        """Begin to copy."""
        self._archive.clean()
        self._chore.start()

    def close(self) -> None:
        """Stop after the segment at hand."""
        self._chore.close()

    def describe(self) -> dict[str, Any]:
        """Say how far it is."""
        return {
            "directory": str(self._archive.path),
            "next": self._next,
            "behind": self._behind,
            "copied": self._copied,
            "fault": self._fault,
        }

    def _round(self) -> float:
        counters = self._runtime.page.runtime_counters()
        full = counters["log_tail"] // self._segment_size  # below it, all are
        self._behind = max(full - self._next, 0)
        if self._next >= full:
            return LOOK_S
        if counters["log_durable"] // self._segment_size <= self._next:
            self._runtime.sync(SYNC_S)  # jobs in `memory` ask for none
        self._copy(self._next)
        if self._last is None or self._next > self._last:
            self._last = self._next
            self._memo.keep(self._last)
        self._next += 1
        self._holds.set(HOLDER, self._next)
        for number in expired(self._archive, self._config, time.time_ns()):
            self._archive.remove(number)
            log.info("an old segment left the archive", segment=number)
        self._fault = ""
        return 0.0

    def _copy(self, number: int) -> None:
        if self._last is not None and max(self._archive.numbers(), default=-1) < self._last:
            raise StorageError(
                f"{self._archive.path} has lost segment {self._last}, which was archived there; is "
                f"its disk mounted? If it was removed on purpose, remove {self._memo.path} and "
                "restart"
            )
        if self._archive.is_full(number):  # a backup may have left the beginning of it here
            return
        file = Catalog.settled(self._directory).numbered[number]
        info = self._archive.put(file.read(), must_be_full=True)
        self._copied += 1
        log.info("archived", segment=number, first=info.first_sequence, last=info.last_sequence)
        self._tell("log", {"event": "archived", "segment": number})

    def _failed(self, why: str) -> None:
        if why != self._fault:
            log.error("a segment cannot be archived; the log grows meanwhile", err=why)
            self._tell("log", {"event": "archive failed", "error": why})
        self._fault = why
