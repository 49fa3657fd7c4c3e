"""Follows a log and gives the entries of its records, once the disk has them.

A record counts as durable when a later one says so: its `durable` is the position below which all
was synced when it was written. So nothing that a power cut can take back ever becomes a leaf.
"""

import fcntl
import os
import struct
from collections import deque
from pathlib import Path

from hybridrt.errors import AnswerGoneError, DamagedLogError, ForkError, ProofError
from hybridrt.logreader import Scan
from hybridrt.proof.leaf import LOST, end_of, entry_of, sequence_of
from hybridrt.records import TYPE_OFFSET

SEGMENT = struct.Struct("<4sIHHIQ16s")  # magic crc version must_understand size number uuid
MAGIC = b"HRTS"
SPARE = 2**64 - 1
TORN = 1  # the worst end of a log that loses nothing, enum hrt_damage
DURABLE = slice(24, 32)  # in a record
READ_BATCH = 4096
PENDING_MAX = 1 << 18  # records read that the disk may not have yet


def identify(directory: Path) -> tuple[bytes, int]:
    """Return the uuid and the segment size of a log."""
    for path in sorted(directory.glob("*.seg")):
        with path.open("rb") as file:
            head = file.read(SEGMENT.size)
        if len(head) == SEGMENT.size:
            magic, _crc, _version, _must, size, number, uuid = SEGMENT.unpack(head)
            if magic == MAGIC and number != SPARE:
                return uuid, size
    raise ProofError(f"{directory} holds no log")


def _written(directory: Path) -> bool:
    """Say whether a supervisor writes the log just now."""
    try:
        fd = os.open(directory / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


class Follower:
    """Reads entries in the order of their sequence, beside a running supervisor or without one."""

    def __init__(self, directory: Path) -> None:
        """Read the log at `directory` from its oldest record."""
        self.directory = directory
        self.uuid, self.segment_bytes = identify(directory)
        self.durable = 0  # everything below this position is on the disk
        self._pending: deque[bytes] = deque()
        self._last = b""  # entry of the last record read
        self._scan: Scan | None = None
        self._live = False
        self._changed_ns = 0

    def close(self) -> None:
        """Close the log."""
        scan, self._scan = self._scan, None
        if scan is not None:
            scan.close()

    def _open(self, position: int | None) -> Scan:
        self.close()
        self._live, self._changed_ns = _written(self.directory), self._newest_ns()
        scan = self._scan = Scan(str(self.directory))
        if position is not None:
            scan.seek(position // self.segment_bytes)
        return scan

    def _newest_ns(self) -> int:
        times = [path.stat().st_mtime_ns for path in self.directory.glob("*.seg")]
        return max(times, default=0)

    def begin_after(self, last: bytes) -> bool:
        """Go on after the record of an entry; False when its segment is gone.

        Raises ProofError when the log has another record there, or ends before it.
        """
        self._pending.clear()
        if last[TYPE_OFFSET] == LOST:
            return False
        try:
            self._open(int.from_bytes(last[16:24], "little"))
        except AnswerGoneError:
            return False
        wanted = sequence_of(last)
        while self._read(READ_BATCH):
            if sequence_of(self._pending[-1]) < wanted:
                self._pending.clear()
                continue
            while sequence_of(self._pending[0]) < wanted:
                self._pending.popleft()
            if self._pending.popleft() == last:
                return True
            break
        raise ForkError(
            f"the log in {self.directory} does not go on from what was signed: its record "
            f"{wanted} is missing or another one",
            "was it restored or rolled back? docs/proof.md says what to do",
        )

    def begin_behind(self, sequence: int) -> int:
        """Go to the first record above a sequence, and return its sequence; 0: there is none."""
        self._pending.clear()
        self._open(None)
        while self._read(READ_BATCH):
            while self._pending and sequence_of(self._pending[0]) <= sequence:
                self._pending.popleft()
            if self._pending:
                return sequence_of(self._pending[0])
        return 0

    def take(self, maximum: int) -> list[bytes]:
        """Return up to `maximum` entries of durable records; an empty list: none for now."""
        pending = self._pending
        while not self._ready(maximum) and len(pending) < PENDING_MAX:
            if not self._read(READ_BATCH):
                break
        taken: list[bytes] = []
        while pending and len(taken) < maximum and end_of(pending[0]) <= self.durable:
            taken.append(pending.popleft())
        return taken

    def _ready(self, count: int) -> bool:
        pending = self._pending
        return len(pending) >= count and end_of(pending[count - 1]) <= self.durable

    def take_again(self, maximum: int) -> list[bytes]:
        """Return up to `maximum` entries that were signed before, and so are durable."""
        while len(self._pending) < maximum and self._read(READ_BATCH):
            pass
        return [self._pending.popleft() for _ in range(min(maximum, len(self._pending)))]

    def _read(self, count: int) -> int:
        """Read up to `count` records."""
        scan = self._scan or self._open(None)
        pending, durable, read = self._pending, b"", 0
        for record in scan:
            pending.append(entry_of(record))
            durable = record[DURABLE].tobytes()
            read += 1
            if read == count:
                break
        if read:
            self.durable = max(self.durable, int.from_bytes(durable, "little"))
            self._last = pending[-1]
        else:
            self._at_end(scan)
        return read

    def _at_end(self, scan: Scan) -> None:
        """Judge the end; without a writer, look again once a file changed."""
        report = scan.report()
        if report["damage"] > TORN:
            raise DamagedLogError(report["text"])
        if self._live or self._newest_ns() == self._changed_ns:
            return
        if not self._last:
            self._open(None)
            return
        kept = list(self._pending)
        self.begin_after(self._last)
        self._pending.extendleft(reversed(kept))
