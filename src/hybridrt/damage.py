"""Every damaged place of a log directory, not only the first: what is lost there, and what is not.

Sound records are found again behind each bad one, by their checksums. What is missing between two
of them is a gap: so many sequences, because they are dense, in so many bytes.
"""

import contextlib
import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hybridrt.records import HEADER as RECORD
from hybridrt.segments import (
    ALIGN,
    HEADER_BYTES,
    SPARE,
    Catalog,
    DurableMark,
    Header,
    Run,
    SegmentFile,
)

SEQUENCE_PLACE, POSITION_PLACE = 2, 3  # of the fields of a record's header
BLOCK_BYTES = 4096  # what a disk gives or does not give
Edge = dict[str, int]  # what a sound record beside a gap says


@dataclass(slots=True)
class Gap:
    """Bytes of one or more segments between two sound records."""

    begin: int  # positions
    end: int
    before: Edge | None  # None: the log begins with the gap
    after: Edge | None  # None: nothing follows, so how much was lost is not known

    @property
    def count(self) -> int | None:
        """Return how many records are lost; None: not known."""
        if self.before is None or self.after is None:
            return None
        return self.after["sequence"] - self.before["sequence"] - 1

    def describe(self) -> dict[str, Any]:
        """Return the gap in plain values."""
        first = self.before["sequence"] + 1 if self.before else None
        last = self.after["sequence"] - 1 if self.after else None
        return {
            "position": self.begin, "end": self.end, "bytes": self.end - self.begin,
            "first_sequence": first, "last_sequence": last, "records": self.count,
        }  # fmt: skip


def read_what_can_be(path: Path) -> bytearray:
    """Read a file; blocks that the disk does not give are zeros."""
    try:
        return bytearray(path.read_bytes())
    except OSError as error:
        if error.errno != errno.EIO:
            raise
    data = bytearray(path.stat().st_size)
    with path.open("rb", buffering=0) as file:
        for offset in range(0, len(data), BLOCK_BYTES):
            with contextlib.suppress(OSError):
                block = os.pread(file.fileno(), BLOCK_BYTES, offset)
                data[offset : offset + len(block)] = block
    return data


class Images:
    """The bytes of segments by number: read when they are looked at, kept only once changed."""

    def __init__(self, size: int) -> None:
        """Begin with none; each has `size` bytes."""
        self._size = size
        self._paths: dict[int, Path] = {}
        self._kept: dict[int, bytearray] = {}

    def add(self, number: int, path: Path) -> None:
        """Say where a segment lies."""
        self._paths[number] = path

    def keep(self, number: int, data: bytearray | None = None) -> bytearray:
        """Return the bytes of a segment to be changed; new ones are zeros, or as given."""
        if data is not None or number not in self:
            self._kept[number] = bytearray(self._size) if data is None else data
        elif number not in self._kept:
            self._kept[number] = self[number]
        return self._kept[number]

    def __getitem__(self, number: int) -> bytearray:
        if number in self._kept:
            return self._kept[number]
        return read_what_can_be(self._paths[number])[: self._size].ljust(self._size, b"\0")

    def __contains__(self, number: int) -> bool:
        return number in self._kept or number in self._paths

    def __iter__(self) -> Iterator[int]:
        return iter(sorted({*self._kept, *self._paths}))


@dataclass(slots=True)
class Findings:
    """What is wrong in a directory, and the segments as they are."""

    catalog: Catalog
    images: Images  # absent: no file
    headers: dict[int, SegmentFile] = field(default_factory=dict)  # to be rebuilt, by number
    spare_headers: list[SegmentFile] = field(default_factory=list)  # to be marked as spares
    aside: list[tuple[SegmentFile, str]] = field(default_factory=list)  # to be moved out, and why
    gaps: list[Gap] = field(default_factory=list)
    last: int = 0  # the number that the log ends in
    end: int = HEADER_BYTES  # offset there after the last whole group
    tail: Edge | None = None  # the last record before it


def edge(fields: tuple[int, ...]) -> Edge:
    """Keep of a record's header what its neighbours have to fit to."""
    return {
        "sequence": fields[2], "durable": fields[4], "time_ns": fields[5], "epoch": fields[6],
        "flags": fields[8],
    }  # fmt: skip


def _identify(data: bytearray, catalog: Catalog) -> int | None:
    """Return the number that the first sound record in a file without a header names."""
    size = catalog.segment_size
    for offset in range(HEADER_BYTES, len(data) - RECORD.size + 1, ALIGN):
        position: int = RECORD.unpack_from(data, offset)[POSITION_PLACE]
        if position % size != offset or not position:
            continue
        run = Run(catalog.uuid, position)
        run.check(memoryview(data)[offset:])
        if run.records:
            return position // size
    return None


def _has_records(number: int, data: bytearray, catalog: Catalog) -> bool:
    position = number * catalog.segment_size + HEADER_BYTES
    return Run(catalog.uuid, position).find(position, memoryview(data)[HEADER_BYTES:]) is not None


def _sort_files(found: Findings) -> None:
    """Take the segments that there are, also those whose header is lost; set strangers aside."""
    catalog = found.catalog
    for number, file in catalog.numbered.items():
        found.images.add(number, file.path)
    empty: list[SegmentFile] = []
    for file in catalog.broken:
        data = read_what_can_be(file.path)[: catalog.segment_size]
        known = file.header.number if file.header else _identify(data, catalog)
        if known is None:
            empty.append(file)
            continue
        number = known
        if number == SPARE or number < catalog.head:
            found.spare_headers.append(file)
        elif number in found.images:
            found.aside.append((file, f"its header is damaged, and segment {number} is there"))
        else:
            found.headers[number] = file
            found.images.add(number, file.path)
    _place_empty(found, empty)
    found.aside += [(file, "it belongs to another log") for file in catalog.foreign]
    found.aside += [(file, "it is a copy of another segment") for file in catalog.copies]


def _place_empty(found: Findings, empty: list[SegmentFile]) -> None:
    """Files without a header and without records: the next segment, if that is missing; spares."""
    used = [n for n in found.images if _has_records(n, found.images[n], found.catalog)]
    following = max(used, default=0) + 1
    for file in empty:
        if used and following not in found.images and _ends_full(found, following - 1):
            found.headers[following] = file
            found.images.keep(following)
        else:
            found.spare_headers.append(file)


def _ends_full(found: Findings, number: int) -> bool:
    """Say whether a segment has its PAD, after whatever gaps."""
    return any(stretch.full for stretch in stretches(found, number, None))


def analyse(directory: Path) -> Findings:
    """Read a whole log directory; raise InvalidArgumentError when it is none."""
    catalog = Catalog.read(directory)
    found = Findings(catalog, Images(catalog.segment_size))
    _sort_files(found)
    find_gaps(found)
    return found


@dataclass(frozen=True, slots=True)
class Stretch:
    """Sound records in a row within one segment."""

    begin: int  # positions
    end: int
    group_end: int
    first: Edge
    last: Edge
    group_sequence: int
    full: bool


def stretches(found: Findings, number: int, before: Edge | None) -> Iterator[Stretch]:
    """Give the sound stretches of a segment that go on after `before`."""
    catalog, data = found.catalog, memoryview(found.images[number])
    base = number * catalog.segment_size
    sequence, epoch = (before["sequence"], before["epoch"]) if before else (0, 0)
    position = base + HEADER_BYTES
    while position < base + catalog.segment_size:
        run = Run(catalog.uuid, position, sequence, epoch)
        run.check(data[position - base :])
        if run.records:
            first = edge(RECORD.unpack_from(data, position - base))
            whole = run.group_position == run.position
            last = {
                "sequence": run.sequence, "epoch": run.epoch, "durable": run.durable,
                "time_ns": run.last_time_ns, "flags": int(whole),
            }  # fmt: skip
            yield Stretch(
                position, run.position, run.group_position, first, last, run.group_sequence,
                run.full,
            )  # fmt: skip
            sequence, epoch, position = run.sequence, run.epoch, run.position
            if run.full:
                return
        step = run.find(position, data[position - base :])
        if step is None:
            return
        position += step
        sequence = RECORD.unpack_from(data, position - base)[SEQUENCE_PLACE] - 1


def find_gaps(found: Findings) -> None:
    """Find what is missing between sound records, and where the log ends."""
    catalog = found.catalog
    size = catalog.segment_size
    used = [n for n in found.images if _has_records(n, found.images[n], catalog)]
    found.gaps.clear()
    found.last, found.end, found.tail = max(used, default=catalog.head), HEADER_BYTES, None
    before: Edge | None = None
    reached = catalog.head * size + HEADER_BYTES
    if catalog.head == 1:  # the first record of all has sequence 1
        before = {"sequence": 0, "durable": 0, "time_ns": 0, "epoch": 0, "flags": 1}
    for number in range(catalog.head, found.last + 1):
        for stretch in stretches(found, number, before) if number in found.images else ():
            if stretch.begin != reached:
                found.gaps.append(Gap(reached, stretch.begin, before, stretch.first))
            before, reached = stretch.last, stretch.end
            if stretch.group_end > stretch.begin:
                found.tail = {**stretch.last, "sequence": stretch.group_sequence, "flags": 1}
                found.last, found.end = number, stretch.group_end - number * size
            if stretch.full:
                reached = (number + 1) * size + HEADER_BYTES
    durable = catalog.durable
    if durable is not None and durable.position > reached:
        found.gaps.append(Gap(reached, durable.position, before, _behind(durable, before)))
    elif found.end == size and found.last + 1 not in found.images:
        found.gaps.append(Gap(reached, reached, before, None))


def _behind(mark: DurableMark, before: Edge | None) -> Edge | None:
    """Return what a record right behind a mark would have said; None: the mark does not say."""
    if mark.sequence == 0:
        return None
    return {
        "sequence": mark.sequence + 1, "durable": mark.position,
        "time_ns": before["time_ns"] if before else 0, "epoch": mark.epoch, "flags": 1,
    }  # fmt: skip


def header_for(found: Findings, number: int, created_ns: int) -> Header:
    """Return the header that a segment of this log has to have."""
    catalog = found.catalog
    return Header(number, catalog.uuid, catalog.segment_size, catalog.head, created_ns)
