"""Segment files as bytes: their headers, the records in them, and which of them a directory holds.

docs/layout.md has the bytes. Nothing that was read is trusted: records count as far as the C
library finds them valid and in a row.
"""

import stat
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from struct import Struct
from typing import Any

from hybridrt.errors import DamagedLogError, InvalidArgumentError
from hybridrt.native import check, ffi, lib

HEADER = Struct("<IIHHIQ16sQQQ")
MARK = Struct("<II16sQQII")
MARK_OFFSET: int = lib.HRT_SEGMENT_MARK
HEADER_BYTES: int = lib.HRT_SEGMENT_HEADER  # before the first record
MAGIC: int = lib.HRT_MAGIC_SEGMENT
FORMAT: int = lib.HRT_FORMAT_VERSION
ALIGN: int = lib.HRT_RECORD_ALIGN
GROUP_BYTES_MAX: int = lib.HRT_GROUP_MAX
SPARE = 2**64 - 1  # the number of a file that is no part of the log for now
LISTS_MAX = 64  # of a directory in which files get new numbers meanwhile
NAME_DIGITS = 8
LENGTH = Struct("<I")  # the first field of a record

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Header:
    """What the first 64 bytes of a segment file say."""

    number: int
    uuid: bytes
    segment_size: int
    head: int  # the lowest number in the log when this was written
    created_ns: int
    format_version: int = FORMAT
    must_understand: int = 0

    @classmethod
    def parse(cls, data: Buffer) -> "Header | None":
        """Read a header; None when it is damaged or there is none."""
        if len(data) < HEADER.size:
            return None
        magic, crc, version, features, size, number, uuid, created, head, _ = HEADER.unpack_from(
            data
        )
        bare = bytes(data[:4]) + bytes(4) + bytes(data[8 : HEADER.size])
        if magic != MAGIC or crc != lib.hrt_crc32c(0, bare, len(bare)):
            return None
        return cls(number, uuid, size, head, created, version, features)

    def pack(self) -> bytes:
        """Write the header, with its checksum."""
        fields = (
            self.format_version, self.must_understand, self.segment_size, self.number,
            self.uuid, self.created_ns, self.head, 0,
        )  # fmt: skip
        bare = HEADER.pack(MAGIC, 0, *fields)
        return HEADER.pack(MAGIC, lib.hrt_crc32c(0, bare, len(bare)), *fields)

    def position(self, offset: int) -> int:
        """Return the position of a byte of this segment."""
        return self.number * self.segment_size + offset


@dataclass(frozen=True, slots=True)
class DurableMark:
    """How far the log was on the disk when it came to rest, or was closed."""

    uuid: bytes
    position: int
    sequence: int  # of the last record before it; 0: not said
    epoch: int

    @classmethod
    def parse(cls, data: Buffer) -> "DurableMark | None":
        """Read it from its place; None when it is damaged or there is none."""
        if len(data) < MARK.size:
            return None
        magic, crc, uuid, position, sequence, epoch, _ = MARK.unpack_from(data)
        bare = bytes(data[:4]) + bytes(4) + bytes(data[8 : MARK.size])
        if magic != lib.HRT_MAGIC_DURABLE or crc != lib.hrt_crc32c(0, bare, len(bare)):
            return None
        return cls(uuid, position, sequence, epoch)


class Run:
    """Records in a row (hrt_run), as far as they are valid and follow each other."""

    def __init__(self, uuid: bytes, position: int, sequence: int = 0, epoch: int = 0) -> None:
        """Begin at `position`, after the record of `sequence`; 0: any may come first."""
        self._run = ffi.new("hrt_run *")
        self._run.uuid = uuid
        self._run.position = self._run.group_position = position
        self._run.sequence = self._run.group_sequence = sequence
        self._run.epoch = epoch

    def check(self, data: Buffer) -> None:
        """Take the records at the start of `data`, which stands at `position` of the log."""
        view = ffi.from_buffer(data)
        lib.hrt_run_check(self._run, view, len(view))

    def find(self, position: int, data: Buffer) -> int | None:
        """Return the offset in `data`, at `position`, of the next valid later record, if any."""
        view = ffi.from_buffer(data)
        out = ffi.new("size_t *")
        status = lib.hrt_run_find(self._run, position, view, len(view), out)
        return int(out[0]) if status == lib.HRT_OK else None

    @property
    def full(self) -> bool:
        """Say whether a PAD has ended the segment."""
        return bool(self._run.end == lib.HRT_RUN_PAD)

    @property
    def bad(self) -> bool:
        """Say whether something stood where the next record should have been."""
        return bool(self._run.end == lib.HRT_RUN_BAD)

    def __getattr__(self, name: str) -> int:
        """Return a field of hrt_run."""
        return int(getattr(self._run, name))


def seal(uuid: bytes, records: memoryview) -> None:
    """Give records in a row, in writable memory, their checksums under `uuid`."""
    view = ffi.from_buffer(records, require_writable=True)
    check(lib.hrt_run_seal(uuid, view, len(view)))


def survey(header: Header, data: Buffer) -> Run:
    """Check the records of a whole segment file."""
    run = Run(header.uuid, header.position(HEADER_BYTES))
    run.check(memoryview(data)[HEADER_BYTES:])
    return run


def records_in(data: Buffer, begin: int, end: int) -> Iterator[memoryview]:
    """Give the records between two offsets of a segment; they have been checked before."""
    view = memoryview(data).toreadonly()
    while begin < end:
        (length,) = LENGTH.unpack_from(view, begin)
        yield view[begin : begin + length]
        begin += -(-length // ALIGN) * ALIGN


# ---- a directory --------------------------------------------------------------------------------


def file_name(slot: int) -> str:
    """Return the name of a segment file."""
    return f"{slot:0{NAME_DIGITS}x}.seg"


@dataclass(frozen=True, slots=True)
class SegmentFile:
    """A file of a log directory, and what its header says."""

    path: Path
    slot: int
    size: int
    header: Header | None  # None: damaged, or never written
    blank: bool  # all zeros: its making was cut short
    mark: DurableMark | None

    def read(self) -> bytes:
        """Return the whole file."""
        return self.path.read_bytes()


def _slot_of(path: Path) -> int | None:
    try:
        slot = int(path.stem, 16)
    except ValueError:
        return None
    return slot if path.name == file_name(slot) else None


def look_at(path: Path, slot: int) -> SegmentFile:
    """Read the header of one file; raise DamagedLogError when it is none."""
    if not stat.S_ISREG(path.lstat().st_mode):
        raise DamagedLogError(f"{path} is no regular file", "move it away")
    with path.open("rb") as file:
        first = file.read(HEADER.size)
        file.seek(MARK_OFFSET)
        mark = DurableMark.parse(file.read(MARK.size))
        size = file.seek(0, 2)
        file.seek(0)
        blank = not any(first) and not any(
            any(chunk) for chunk in iter(lambda: file.read(2**20), b"")
        )
    return SegmentFile(path, slot, size, Header.parse(first), blank, mark)


@dataclass(frozen=True, slots=True)
class Catalog:
    """The segment files of a directory, sorted by what they are to its log."""

    directory: Path
    uuid: bytes
    segment_size: int
    head: int
    numbered: dict[int, SegmentFile]  # by number, ascending
    spares: tuple[SegmentFile, ...]  # waiting to be used again
    blanks: tuple[SegmentFile, ...]
    broken: tuple[SegmentFile, ...]  # damaged headers, wrong sizes
    foreign: tuple[SegmentFile, ...]  # of another log
    copies: tuple[SegmentFile, ...]  # of a number that another file holds too
    durable: DurableMark | None  # the furthest that there is

    @classmethod
    def read(cls, directory: Path) -> "Catalog":
        """List a directory; raise InvalidArgumentError when it holds no segment of any log."""
        found = []
        for path in sorted(directory.glob("*.seg")):
            if (slot := _slot_of(path)) is not None:
                with suppress(FileNotFoundError):  # a running writer may delete some
                    found.append(look_at(path, slot))
        votes = Counter(file.header.uuid for file in found if file.header)
        if not votes:
            raise InvalidArgumentError(
                f"{directory} is not a log: it holds no segment file with a sound header",
                "a log directory holds files such as 00000000.seg; see [log] directory",
            )
        uuid = max(votes, key=lambda known: (votes[known], known))
        return cls._sort(directory, uuid, found)

    @classmethod
    def settled(cls, directory: Path) -> "Catalog":
        """List a directory that may be written to: files get new numbers while they are listed.

        What looks like a gap or damage counts only when it looks the same twice.
        """
        found = cls.read(directory)
        for _ in range(LISTS_MAX):
            if found.unbroken:
                return found
            again = cls.read(directory)
            if list(again.numbered) == list(found.numbered) and again.broken == found.broken:
                return again
            found = again
        return found

    @property
    def unbroken(self) -> bool:
        """Say whether the numbers run from the head without a gap, and every file has one."""
        run = range(self.head, self.head + len(self.numbered))
        return list(self.numbered) == list(run) and not self.broken and not self.copies

    @classmethod
    def _sort(cls, directory: Path, uuid: bytes, found: list[SegmentFile]) -> "Catalog":
        ours = [file for file in found if file.header and file.header.uuid == uuid]
        headers = [file.header for file in ours if file.header]
        size = Counter(header.segment_size for header in headers).most_common(1)[0][0]
        head = max(header.head for header in headers)
        marks = [f.mark for f in found if f.mark and f.mark.uuid == uuid]
        mark = max(marks, key=lambda one: one.position, default=None)
        made = cls(directory, uuid, size, head, {}, (), (), (), (), (), mark)
        groups: dict[str, list[SegmentFile]] = {
            "spares": [], "blanks": [], "broken": [], "foreign": [], "copies": []
        }  # fmt: skip
        for file in sorted(ours, key=lambda file: (file.header.number, file.slot)):  # type: ignore[union-attr]
            made._place(file, groups)
        for file in found:
            if file not in ours:
                groups["blanks" if file.blank else "foreign" if file.header else "broken"].append(
                    file
                )
        sorted_files: dict[str, Any] = {name: tuple(files) for name, files in groups.items()}
        return replace(made, **sorted_files)

    def _place(self, file: SegmentFile, groups: dict[str, list[SegmentFile]]) -> None:
        assert file.header is not None
        number = file.header.number
        if file.size != self.segment_size or file.header.segment_size != self.segment_size:
            groups["broken"].append(file)
        elif number == SPARE or number < self.head:
            groups["spares"].append(file)
        elif number in self.numbered:
            groups["copies"].append(file)
        else:
            self.numbered[number] = file

    def free_slot(self) -> int:
        """Return a slot that no file has."""
        files = [*self.numbered.values(), *self.spares, *self.blanks, *self.broken]
        return max((f.slot for f in [*files, *self.foreign, *self.copies]), default=-1) + 1


def describe_run(header: Header, run: Run) -> dict[str, Any]:
    """Describe one checked segment in plain values, for archives and people."""
    return {
        "uuid": header.uuid.hex(),
        "number": header.number,
        "segment_size": header.segment_size,
        "head": header.head,
        "first_sequence": run.first_sequence,
        "last_sequence": run.group_sequence,
        "records": run.records,
        "end": run.group_position - header.position(0),
        "epoch": run.epoch,
        "first_time_ns": run.first_time_ns,
        "last_time_ns": run.last_time_ns,
        "full": run.full,
    }
