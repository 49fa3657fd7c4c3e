"""Build a log from an archive or a backup, as of now or of an earlier moment.

What is restored is a new log: it has a uuid of its own, and every record is checksummed again under
it. The sequences behind the moment will be given out again, so the two histories must never be
taken for one: their archives lie apart, and a segment of one does not pass in the other. A note at
the end says where it comes from.
"""

import os
import shutil
import time
import uuid as uuids
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from hybridrt import fillers
from hybridrt.errors import (
    AlreadyRunningError,
    DamagedLogError,
    InvalidArgumentError,
    JobStateError,
)
from hybridrt.files import PRIVATE, sync_directory, write_durably
from hybridrt.fillers import LAST, Place
from hybridrt.logreader import Replay, Scan
from hybridrt.records import read_header
from hybridrt.segments import HEADER_BYTES, Buffer, Header, file_name, records_in, seal, survey
from hybridrt.store import Info, LogFiles, Store, locked


@dataclass(frozen=True, slots=True)
class Moment:
    """The last group to keep: by sequence, by wall clock, or the last there is."""

    sequence: int | None = None
    time_ns: int | None = None

    def holds(self, header: dict[str, int]) -> bool:
        """Say whether a record is still part of it."""
        if self.sequence is not None:
            return header["sequence"] <= self.sequence
        return self.time_ns is None or header["time_ns"] <= self.time_ns

    def is_at(self, header: dict[str, int]) -> bool:
        """Say whether it names just this record."""
        return self.sequence == header["sequence"] or self.time_ns == header["time_ns"]

    def begins_before(self, info: Info) -> bool:
        """Say whether a segment begins at or before it."""
        return self.holds({"sequence": info.first_sequence, "time_ns": info.first_time_ns})


@dataclass(frozen=True, slots=True)
class Plan:
    """What a restored log is made of."""

    numbers: list[int]
    cut: int  # offset in the last segment
    last: dict[str, int]  # header of the last record that is kept


def plan(store: Store, moment: Moment) -> Plan:
    """Choose the segments for a moment; raise DamagedLogError when one of them is not there."""
    there = store.numbers()
    infos = [info for info in map(store.info, there) if info.records]
    fitting = [info for info in infos if moment.begins_before(info)]
    if not fitting:
        begin = f" before sequence {infos[0].first_sequence}" if infos else ""
        raise InvalidArgumentError(
            f"{store.path} holds nothing of that moment: it has nothing{begin}",
            "name a source that goes back further, or a later moment",
        )
    last = fitting[-1]
    cut, header = _cut(store, last.number, moment)
    if cut == last.end:
        later = [info for info in infos if info.number > last.number]
        _check_reach(store, moment, header, later)
    # What begins later than the header says holds for the end of the segment only.
    first = last.head if cut == last.end else store.read(last.number)[0].head
    wanted = list(range(first, last.number + 1))
    missing = [number for number in wanted if number not in there]
    if missing and isinstance(store, LogFiles) and store.catalog.broken:
        names = ", ".join(file.path.name for file in store.catalog.broken)
        raise DamagedLogError(
            f"{store.path} is damaged: {names} has a bad header or size, {_spans(missing)} may be "
            "in there",
            "mend it first with 'hybridrt log repair', or name a copy",
        )
    if missing:
        raise DamagedLogError(
            f"{store.path} lacks {_spans(missing)}: the jobs of that moment begin in segment "
            f"{first}",
            "name a source that goes back further, or a later moment",
        )
    return Plan(wanted, cut, header)


def _check_reach(store: Store, moment: Moment, last: dict[str, int], later: list[Info]) -> None:
    """Raise when the moment lies behind what there is, or where something is missing."""
    end = last["sequence"]
    if later and later[0].first_sequence > end + 1 and not moment.is_at(last):
        raise DamagedLogError(
            f"{_hole(store, end, later[0].first_sequence)}: that moment may lie there",
            f"name sequence {end} or an earlier moment, or one from {later[0].first_sequence} on",
        )
    if moment.sequence is not None and moment.sequence > end:
        raise InvalidArgumentError(
            f"{store.path} ends with sequence {end}", "name that one, or an earlier moment"
        )


def _cut(store: Store, number: int, moment: Moment) -> tuple[int, dict[str, int]]:
    """Find the end of the last group of the moment in its segment."""
    header, data = store.read(number)
    run = survey(header, data)
    offset, cut, last = HEADER_BYTES, HEADER_BYTES, None
    for record in records_in(data, HEADER_BYTES, run.group_position - header.position(0)):
        fields = read_header(record)
        if not moment.holds(fields):
            break
        offset += -(-fields["length"] // fillers.ALIGN) * fillers.ALIGN
        if fields["flags"] & LAST:
            cut, last = offset, fields
    if last is None:
        raise InvalidArgumentError(f"{store.path}: the moment lies within the first group")
    return cut, last


def _spans(numbers: list[int]) -> str:
    if len(numbers) == 1:
        return f"segment {numbers[0]}"
    return f"segments {numbers[0]} to {numbers[-1]}"


def restore(store: Store, directory: Path, moment: Moment) -> dict[str, Any]:
    """Make the log in an empty or new directory, and check it; raise JobStateError if not empty.

    It is made beside its place, under its own lock, and gets its name only once it is sound.
    """
    _check_empty(directory)
    _check_alone(directory)
    chosen = plan(store, moment)
    uuid = uuids.uuid4().bytes
    place = directory.resolve()
    making = place.with_name(f".{place.name}.restoring")
    with _making(making, directory):
        try:
            for slot, (header, data) in enumerate(_images(store, chosen, uuid)):
                write_durably(making / file_name(slot), finished(header, data), PRIVATE)
            contents = check(making, chosen.last["sequence"])
            sync_directory(making)
            _check_empty(directory)
            making.rename(place)  # over an empty one too
        except BaseException:
            shutil.rmtree(making, ignore_errors=True)
            raise
        sync_directory(place.parent)
    return {
        "directory": str(directory),
        "uuid": uuid.hex(),
        "from_uuid": store.uuid.hex(),
        "segments": len(chosen.numbers),
        "sequence": chosen.last["sequence"],
        "time_ns": chosen.last["time_ns"],
        **contents,
    }


def _check_alone(directory: Path) -> None:
    """Raise where it would go with another log, or with its copies, when those are removed."""
    for parent in directory.resolve().parents:
        if any(next(parent.glob(pattern), None) for pattern in ("*.seg", "*.seg.zst")):
            raise InvalidArgumentError(
                f"{directory} lies in {parent}, among the segments of a log; nothing was changed",
                "name a place outside of it",
            )


def _check_empty(directory: Path) -> None:
    if directory.exists() and any(directory.iterdir()):
        raise JobStateError(
            f"{directory} is not empty; nothing was changed",
            "name a new directory, or an empty one",
        )


@contextmanager
def _making(making: Path, directory: Path) -> Iterator[None]:
    """Hold the folder in which a log is made, emptied of what a killed restore left there."""
    making.mkdir(mode=0o700, parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(making))
        except (AlreadyRunningError, FileNotFoundError) as error:
            raise AlreadyRunningError(
                f"somebody else restores to {directory}; nothing was changed", "wait for its end"
            ) from error
        for path in making.iterdir():
            if path.name != "lock":
                path.unlink()
        yield


def check(directory: Path, sequence: int) -> dict[str, Any]:
    """Read a new log as a supervisor would; raise DamagedLogError unless it ends behind this."""
    replay, reached = Replay(), 0
    with Scan(str(directory)) as scan:
        for record in scan:
            replay.apply(record)
            reached = read_header(record)["sequence"]
        report = scan.report()
    if report["damage"] or reached <= sequence:  # behind it is the note
        raise DamagedLogError(
            f"what was restored is not sound: {report['text'] or f'it ends with {reached}'}",
            "look at the source with 'hybridrt log verify'; nothing was changed",
        )
    return {"jobs": replay.jobs(), "state_hash": f"{replay.state_hash():016x}"}


def finished(header: Header, data: bytearray) -> bytes:
    """Put header and checksums to the records of a segment."""
    data[: len(header.pack())] = header.pack()
    end = _end_of_records(data)
    if end > HEADER_BYTES:
        seal(header.uuid, memoryview(data)[HEADER_BYTES:end])
    return bytes(data)


def _end_of_records(data: bytearray) -> int:
    offset = HEADER_BYTES
    while offset < len(data) and (length := int.from_bytes(data[offset : offset + 4], "little")):
        offset += -(-length // fillers.ALIGN) * fillers.ALIGN
    return offset


def _images(store: Store, chosen: Plan, uuid: bytes) -> Iterator[tuple[Header, bytearray]]:
    """Give the segments of the restored log, the last one with its note; they have to join."""
    first, final = chosen.numbers[0], chosen.numbers[-1]
    sequence = 0
    for number in chosen.numbers[:-1]:
        header, whole = store.read(number)
        sequence = _joined(store, header, whole, sequence)
        yield replace(header, uuid=uuid, head=first, created_ns=time.time_ns()), bytearray(whole)
    header, whole = store.read(final)
    _joined(store, header, whole, sequence)
    header = replace(header, uuid=uuid, head=first, created_ns=time.time_ns())
    data = bytearray(whole[: chosen.cut] + bytes(len(whole) - chosen.cut))
    text = {
        "event": "restored",
        "from_uuid": store.uuid.hex(),
        "sequence": chosen.last["sequence"],
        "time_ns": header.created_ns,
        "pid": os.getpid(),
    }
    yield from append_note(header, data, chosen.cut, chosen.last, msgspec.json.encode(text))


def _joined(store: Store, header: Header, data: Buffer, sequence: int) -> int:
    """Return the last sequence of a segment; raise DamagedLogError unless it goes on behind one."""
    run = survey(header, data)
    if run.records and sequence in {0, run.first_sequence - 1}:
        return run.group_sequence
    raise DamagedLogError(
        f"{_hole(store, sequence, run.first_sequence)}, before segment {header.number}; nothing "
        "was restored",
        "see 'hybridrt log verify'; name a moment before it, or another source",
    )


def _hole(store: Store, before: int, after: int) -> str:
    """Say what is missing; in a log that is damaged, more may be left than could be used here."""
    if isinstance(store, LogFiles) or not after:
        return f"{store.path} is damaged behind sequence {before}"
    return f"{store.path} lacks sequences {before + 1} to {after - 1}"


def append_note(
    header: Header, data: bytearray, end: int, last: dict[str, int], text: bytes
) -> Iterator[tuple[Header, bytearray]]:
    """Write a note behind the last record, in a segment of its own when there is no room."""
    size = header.segment_size
    place = Place(
        last["sequence"] + 1, header.position(end), header.position(end), last["time_ns"],
        last["epoch"],
    )  # fmt: skip
    if end < size and end + fillers.note_bytes(text) >= size:
        made = fillers.pad(place, size - end)
        data[end : end + len(made)] = made
        place = replace(place, sequence=place.sequence + 1)
        end = size
    if end == size:
        yield header, data
        header = replace(header, number=header.number + 1)
        data, end = bytearray(size), HEADER_BYTES
        place = replace(place, position=header.position(end))
    made = fillers.note(place, text)
    data[end : end + len(made)] = made
    yield header, data
