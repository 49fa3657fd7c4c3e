"""Follows a log and gives the entries of its records, once the disk has them.

A record counts as durable when a later one says so: its `durable` is the position below which all
was synced when it was written. So nothing that a power cut can take back ever becomes a leaf.
"""

import fcntl
import os
import struct
from bisect import bisect_right
from pathlib import Path

from hybridrt.errors import AnswerGoneError, DamagedLogError, ForkError, ProofError
from hybridrt.logreader import Scan
from hybridrt.proof.leaf import LOST, Leaves, end_of, sequence_of
from hybridrt.records import TYPE_OFFSET, RecordType

SEGMENT = struct.Struct("<4sIHHIQ16s")  # magic crc version must_understand size number uuid
MAGIC = b"HRTS"
SPARE = 2**64 - 1
TORN = 1  # the worst end of a log that loses nothing, enum hrt_damage
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
        self._pending = Leaves()
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

    def begin_after(self, last: bytes, *, accept_loss: bool = False) -> bool:
        """Go on after the record of an entry; False when its segment is gone.

        Raises ForkError when the log has another record there, or ends before it. With
        `accept_loss` it may be a VOID, which a repair puts where a record was lost.
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
            place = wanted - sequence_of(self._pending.entry(0))
            if place < len(self._pending):
                found = self._pending.take(max(place + 1, 1)).entry(-1)
                if found == last or (accept_loss and found[TYPE_OFFSET] == RecordType.VOID):
                    return True
                break
            self._pending.clear()
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
            past = sequence + 1 - sequence_of(self._pending.entry(0))
            self._pending.take(min(max(past, 0), len(self._pending)))
            if self._pending:
                return sequence_of(self._pending.entry(0))
        return 0

    def take(self, maximum: int) -> Leaves:
        """Return up to `maximum` leaves of durable records; none: nothing for now."""
        pending = self._pending
        while len(pending) < PENDING_MAX and self._ready(maximum) < maximum:
            if not self._read(READ_BATCH):
                break
        return pending.take(self._ready(maximum))

    def _ready(self, maximum: int) -> int:
        """Count the leaves at the front that are durable, up to `maximum`."""
        count = min(maximum, len(self._pending))
        numbers = range(count)
        return bisect_right(
            numbers, self.durable, key=lambda index: end_of(self._pending.entry(index))
        )

    def take_again(self, maximum: int) -> Leaves:
        """Return up to `maximum` leaves that were signed before, and so are durable."""
        while len(self._pending) < maximum and self._read(READ_BATCH):
            pass
        return self._pending.take(min(maximum, len(self._pending)))

    def _read(self, maximum: int) -> int:
        """Read up to so many records."""
        scan = self._scan or self._open(None)
        items, hashes, durable = scan.leaves(maximum)
        self._pending.add(items, hashes)
        if not hashes:
            self._at_end(scan)
            return 0
        self.durable = max(self.durable, durable)
        self._last = self._pending.entry(-1)
        return len(hashes)

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
        kept, self._pending = self._pending, Leaves()
        self.begin_after(self._last)
        kept.add(self._pending.items, self._pending.hashes)
        self._pending = kept
