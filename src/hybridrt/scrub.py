"""The scrubber of a supervisor: reads the whole log from the disk again, at a gentle rate.

What is read bypasses the page cache (O_DIRECT), so it is the disk that is checked, and nothing that
others need is pushed out. Only what is durable is judged: records being written are no damage.
"""

import contextlib
import mmap
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hybridrt.chore import Chore
from hybridrt.config import ScrubConfig
from hybridrt.logs import get_logger
from hybridrt.segments import HEADER, HEADER_BYTES, Catalog, Header, Run, SegmentFile

log = get_logger("scrub")

BLOCK_BYTES = 4096  # what O_DIRECT wants offsets and lengths to be multiples of
PIECE_BYTES = 2**20
WINDOW_BYTES = 2 * PIECE_BYTES  # a record is at most a piece long
PAUSE_S = 0.05  # between two times round, at least
FINDINGS_MAX = 100  # shown; all are counted
Tell = Callable[[str, dict[str, Any]], None]


class DiskReader:
    """Reads a file past the page cache; where that cannot be, it drops what it has read."""

    def __init__(self, path: Path) -> None:
        """Open the file."""
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECT)
        except OSError:  # tmpfs has no disk to go to
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._memory = mmap.mmap(-1, WINDOW_BYTES)

    def read(self, offset: int) -> memoryview:
        """Return up to a window of bytes from `offset`, a multiple of a block."""
        count = os.preadv(self._fd, [self._memory], offset)
        with contextlib.suppress(OSError):
            os.posix_fadvise(self._fd, offset, count, os.POSIX_FADV_DONTNEED)
        return memoryview(self._memory)[:count]

    def close(self) -> None:
        """Close the file; views are gone."""
        os.close(self._fd)


class Scrubber:
    """Goes round the log, one cycle in each interval."""

    def __init__(
        self,
        config: ScrubConfig,
        directory: Path,
        counters: Callable[[], dict[str, Any]],
        tell: Tell,
    ) -> None:
        """Describe the work."""
        self._config = config
        self._directory = directory
        self._counters = counters
        self._tell = tell
        self._cycles = 0
        self._bytes = 0
        self._last_cycle_ns = 0
        self._findings: dict[tuple[str, int], dict[str, Any]] = {}
        self._chore = Chore("scrub", self._round, self._failed)

    def start(self) -> None:
        """Begin the first cycle."""
        self._chore.start()

    def close(self) -> None:
        """Stop within a piece."""
        self._chore.close()

    def describe(self) -> dict[str, Any]:
        """Say what was read and found."""
        return {
            "cycles": self._cycles,
            "bytes": self._bytes,
            "last_cycle_ns": self._last_cycle_ns,
            "damaged": len(self._findings),
            "findings": list(self._findings.values())[:FINDINGS_MAX],
        }

    def _failed(self, why: str) -> None:
        log.error("the log cannot be scrubbed", err=why)

    def _round(self) -> float:
        began = time.monotonic()
        for file in self._files():
            if not self._scrub(file):
                return 0.0
        self._cycles += 1
        self._last_cycle_ns = time.time_ns()
        return max(PAUSE_S, self._config.interval - (time.monotonic() - began))

    def _files(self) -> list[SegmentFile]:
        """List the log; files with damaged headers, and numbers without a file, are findings."""
        catalog = Catalog.settled(self._directory)
        for file in catalog.broken:
            self._found(file.path.name, 0, 0, "its header is damaged")
        for number in self._missing(catalog):
            self._found(f"number {number}", number * catalog.segment_size, 0, "it is missing")
        return list(catalog.numbered.values())

    def _missing(self, catalog: Catalog) -> list[int]:
        size = catalog.segment_size
        first = max(self._counters()["log_head"] // size, catalog.head)
        used = range(first, max(catalog.numbered, default=first))
        return [number for number in used if number not in catalog.numbered]

    def _scrub(self, file: SegmentFile) -> bool:
        """Check one segment as far as it is durable; say whether to go on."""
        assert file.header is not None
        size = file.header.segment_size
        durable = self._counters()["log_durable"] - file.header.position(0)
        try:
            reader = DiskReader(file.path)
        except FileNotFoundError:
            return True  # it will be missing in the next cycle
        try:
            return self._read_through(file, file.header, reader, min(size, durable))
        finally:
            reader.close()

    def _read_through(
        self, file: SegmentFile, header: Header, reader: DiskReader, limit: int
    ) -> bool:
        run = Run(header.uuid, header.position(HEADER_BYTES))
        while (offset := run.position - header.position(0)) < limit:
            begin = offset // BLOCK_BYTES * BLOCK_BYTES
            data = reader.read(begin)[: limit - begin]
            run.check(data[offset - begin :])
            self._bytes += len(data)
            if run.bad or run.position == header.position(offset):
                if self._is_same(reader, header):
                    self._found(file.path.name, run.position, run.sequence, "a record is damaged")
                return True
            if not self._chore.rest(len(data) / self._config.rate):
                return False
        return True

    @staticmethod
    def _is_same(reader: DiskReader, header: Header) -> bool:
        """Say whether the file still is that segment: it may have been used again meanwhile."""
        now = Header.parse(bytes(reader.read(0)[: HEADER.size]))
        return now is None or now.number == header.number

    def _found(self, file: str, position: int, sequence: int, what: str) -> None:
        if (file, position) in self._findings:
            return
        finding = {"segment": file, "position": position, "after_sequence": sequence, "what": what}
        self._findings[file, position] = finding
        log.critical(
            "the log is damaged on the disk; see 'hybridrt log verify' and 'log repair'", **finding
        )
        self._tell("log", {"event": "damaged", **finding})
