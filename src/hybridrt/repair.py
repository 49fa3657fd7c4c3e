"""Mend a damaged log: from a copy byte for byte, or by accepting a loss, and then saying so in it.

Nothing is thrown away: what is replaced stays in `damaged-<time>` beside the log. Each file is
replaced by one rename, so a repair that is killed leaves every file as it was or mended, the log
still damaged or whole, and can be run again. The note of an accepted loss goes first.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from hybridrt import damage, fillers
from hybridrt.damage import Edge, Findings, Gap, header_for
from hybridrt.errors import DamagedLogError, HybridrtError, VersionError
from hybridrt.files import PRIVATE, sync_directory, write_durably
from hybridrt.fillers import LAST, Place
from hybridrt.logreader import Replay, Scan
from hybridrt.names import JobState
from hybridrt.records import HEADER as RECORD
from hybridrt.records import Describer, RecordType, read_header, record_type
from hybridrt.restore import append_note
from hybridrt.segments import (
    HEADER,
    HEADER_BYTES,
    SPARE,
    Header,
    Run,
    file_name,
    records_in,
    seal,
)
from hybridrt.store import Store, locked

TORN, NEWER = 1, 6  # enum hrt_damage
FITTING_MAX = 10_000  # records made void because they do not fit to what is left
NOTE_RANGES_MAX = 4_000  # characters; the report beside the damaged files has all of them
PIECE_BYTES = fillers.GROUP_BYTES_MAX // 2


def ranges(numbers: list[int]) -> str:
    """Write numbers as people do: 3-7,9."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)


@dataclass(slots=True)
class Loss:
    """What an accepted loss comes to."""

    sequences: list[int] = field(default_factory=list)
    unfit: list[int] = field(default_factory=list)  # of these, sound but without their context
    jobs: list[int] = field(default_factory=list)  # known by later records only
    unknown: list[int] = field(default_factory=list)  # may have ended in the gap
    open_end: bool = False  # the end of the log is gone: nobody knows how much that was

    def describe(self) -> dict[str, Any]:
        """Return it in plain values."""
        return {
            "sequences": ranges(self.sequences), "records": len(self.sequences),
            "unfit": ranges(self.unfit), "lost_jobs": ranges(self.jobs),
            "unknown_fate": ranges(self.unknown), "end_lost": self.open_end,
        }  # fmt: skip


def verdict(directory: Path) -> dict[str, Any]:
    """Return how the log ends by itself."""
    with Scan(str(directory)) as scan:
        for _ in scan:
            pass
        return scan.report()


def look(directory: Path) -> "Repair":
    """Find out what is wrong, if nobody holds the log: only then a torn tail is told apart."""
    with locked(directory):
        pass
    found = Repair(directory)
    if found.report["damage"] == NEWER:
        raise VersionError(
            f"{found.report['text']}; nothing was changed", "use that version, or a newer one"
        )
    return found


class Repair:
    """The mending of one directory: look, restore, accept, write."""

    def __init__(self, directory: Path) -> None:
        """Look at the directory and find out what is wrong."""
        self.directory = directory
        self.report = verdict(directory)
        self.found: Findings = damage.analyse(directory)
        if self.report["damage"] <= TORN:  # what follows a torn tail never counted
            self.found.gaps.clear()
        self.restored: list[int] = []
        self.loss: Loss | None = None
        self._changed: dict[int, bytearray] = {}
        self._now_ns = time.time_ns()
        self._rebuild_headers()

    def _rebuild_headers(self) -> None:
        for number in self.found.headers:
            self._touch(number)

    def _touch(self, number: int) -> bytearray:
        """Return the image of a segment, to be changed and written."""
        data = self.found.images.keep(number)
        if Header.parse(data) is None:
            data[: HEADER.size] = header_for(self.found, number, self._now_ns).pack()
        self._changed[number] = data
        return data

    # ---- from a copy ----------------------------------------------------------------------------

    def restore_from(self, store: Store) -> None:
        """Take what is missing from a copy of this log; raise DamagedLogError if it is another."""
        if store.uuid != self.found.catalog.uuid:
            raise DamagedLogError(f"{store.path} is a copy of another log; nothing was changed")
        there = set(store.numbers())
        size = self.found.catalog.segment_size
        for gap in list(self.found.gaps):
            first, last = gap.begin // size, max(gap.end - 1, gap.begin) // size
            if gap.after is None:
                last = max(there, default=first)
            for number in range(first, last + 1):
                if number in there:
                    self._take(store, number, gap)
        damage.find_gaps(self.found)
        for number in sorted(there):
            self._extend(store, number)

    def _extend(self, store: Store, number: int) -> None:
        """Take what a copy has behind the end: rot in the last group looks like a torn tail."""
        tail, found = self.found.tail, self.found
        if tail is None or found.gaps or number < found.last:
            return
        if store.info(number).last_sequence > tail["sequence"]:
            end = found.last * found.catalog.segment_size + found.end
            self._take(store, number, Gap(end, end, tail, None))
            damage.find_gaps(found)

    def _take(self, store: Store, number: int, gap: Gap) -> None:
        header, copy = store.read(number)
        base = header.position(0)
        if number not in self.found.images:
            self.found.images.keep(number, bytearray(copy))
        else:
            mine = self.found.images.keep(number)
            self._compare(number, mine, copy, store)
            begin = max(gap.begin - base, HEADER_BYTES)
            end = min(gap.end - base, len(copy)) if gap.after else len(copy)
            mine[begin:end] = copy[begin:end]
        self._touch(number)
        self.restored.append(number)

    def _compare(self, number: int, mine: bytearray, copy: bytes, store: Store) -> None:
        """Refuse a copy that says otherwise where this log is sound."""
        base = number * self.found.catalog.segment_size
        run = Run(self.found.catalog.uuid, base + HEADER_BYTES)
        run.check(memoryview(copy)[HEADER_BYTES:])
        for stretch in damage.stretches(self.found, number, None):
            begin, end = stretch.begin - base, min(stretch.end, run.position) - base
            ours, theirs = records_in(mine, begin, end), records_in(copy, begin, end)
            if any(said(a) != said(b) for a, b in zip(ours, theirs, strict=False)):
                raise DamagedLogError(
                    f"{store.path}: segment {number} is of another history; nothing was changed"
                )

    # ---- accepting a loss -----------------------------------------------------------------------

    def accept_loss(self) -> None:
        """Fill all gaps with VOID records, and find out what is lost."""
        loss = Loss()
        for gap in self.found.gaps:
            self._fill(gap, loss)
        self.found.gaps.clear()
        for _ in range(FITTING_MAX):
            bad = self._first_unfit()
            if bad is None:
                break
            self._void(*bad, loss)
        self._judge(loss)
        self.loss = loss

    def _fill(self, gap: Gap, loss: Loss) -> None:
        pieces = self._pieces(gap)
        least = [
            1 if to_end else -(-(end - begin) // PIECE_BYTES) for _, begin, end, to_end in pieces
        ]
        first, count = self._lost(gap, sum(least), loss)
        for index, (number, begin, end, to_end) in enumerate(pieces):
            most = (end - begin) // fillers.ALIGN
            taken = min(most, count - sum(least[index + 1 :]))
            self._fill_piece(gap, first, taken, (number, begin, end, to_end))
            first, count = first + taken, count - taken
        if count:
            raise DamagedLogError(f"{count} lost records do not fit into the gap at {gap.begin}")

    def _lost(self, gap: Gap, least: int, loss: Loss) -> tuple[int, int]:
        """Return the first lost sequence and how many; note them."""
        if gap.after is None:  # as many as could have stood there: none is given out again
            room = sum(end - begin for _, begin, end, _ in self._pieces(gap))
            first, count = gap.before["sequence"] + 1 if gap.before else 1, room // fillers.ALIGN
            loss.open_end = True
        elif gap.before is None:
            first, count = gap.after["sequence"] - least, least
        else:
            first, count = gap.before["sequence"] + 1, gap.count or 0
        loss.sequences += range(first, first + count)
        return first, count

    def _pieces(self, gap: Gap) -> list[tuple[int, int, int, bool]]:
        """Return (number, begin, end, up to the end) of a gap in each segment."""
        size = self.found.catalog.segment_size
        if gap.begin == gap.end:  # a lost segment that nobody knows the end of
            return [(gap.begin // size, HEADER_BYTES, size - fillers.ALIGN, False)]
        pieces = []
        for number in range(gap.begin // size, (gap.end - 1) // size + 1):
            begin = max(gap.begin - number * size, HEADER_BYTES)
            end = min(gap.end - number * size, size)
            if begin < end and not (number > gap.begin // size and end <= HEADER_BYTES):
                pieces.append((number, begin, end, end == size))
        return pieces

    def _fill_piece(
        self, gap: Gap, sequence: int, count: int, piece: tuple[int, int, int, bool]
    ) -> None:
        number, begin, end, to_end = piece
        data = self._touch(number)
        position = number * self.found.catalog.segment_size + begin
        beside: Edge = gap.before or gap.after or {}
        after = gap.after or beside
        place = Place(sequence, position, beside["durable"], beside["time_ns"], after["epoch"])
        made = b""
        if position == gap.begin and not beside["flags"] & LAST and count > 1:
            # What began before the gap is ended by its first record, in its epoch.
            made = fillers.void(replace(place, epoch=beside["epoch"]), fillers.ALIGN)
            place = replace(place, sequence=sequence + 1, position=position + len(made))
            count -= 1
        elif position == gap.begin and not beside["flags"] & LAST:
            place = replace(place, epoch=beside["epoch"])
        made += fillers.fill(place, count, end - begin - len(made), to_end=to_end)
        data[begin:end] = made
        seal(self.found.catalog.uuid, memoryview(data)[begin:end])

    def _records(self) -> Iterator[tuple[int, int, memoryview]]:
        """Give every record of the mended log with its segment and offset."""
        found = self.found
        sequence, epoch = 0, 0
        for number in range(found.catalog.head, max(found.images) + 1):
            if number not in found.images:
                return
            base = number * found.catalog.segment_size
            data = found.images[number]
            run = Run(found.catalog.uuid, base + HEADER_BYTES, sequence, epoch)
            run.check(memoryview(data)[HEADER_BYTES:])
            offset = HEADER_BYTES
            for record in records_in(data, HEADER_BYTES, run.group_position - base):
                yield number, offset, record
                offset += -(-len(record) // fillers.ALIGN) * fillers.ALIGN
            if not run.full:
                return
            sequence, epoch = run.sequence, run.epoch

    def _first_unfit(self) -> tuple[int, int] | None:
        """Find a sound record that names what was lost, such as a kind: it cannot be applied."""
        replay = Replay()
        for number, offset, record in self._records():
            try:
                replay.apply(record)
            except HybridrtError:
                return number, offset
        return None

    def _void(self, number: int, offset: int, loss: Loss) -> None:
        data = self._touch(number)
        header = read_header(memoryview(data)[offset:])
        size = -(-header["length"] // fillers.ALIGN) * fillers.ALIGN
        place = Place(*(header[n] for n in ("sequence", "position", "durable", "time_ns", "epoch")))
        made = fillers.void(place, size)
        data[offset : offset + size] = made
        seal(self.found.catalog.uuid, memoryview(data)[offset : offset + size])
        loss.sequences.append(header["sequence"])
        loss.unfit.append(header["sequence"])

    def _judge(self, loss: Loss) -> None:
        """Find the jobs that were lost, and those that may have ended unseen."""
        replay, describer = Replay(), Describer()
        pending: set[int] = set()
        lost: set[int] = set()
        gone = set(loss.sequences)
        in_gap = False
        for _, _, record in self._records():
            void = int.from_bytes(record[8:16], "little") in gone
            if void and not in_gap:
                pending |= living(replay)
            in_gap = void
            replay.apply(record)
            if record_type(record) != RecordType.VOID:
                said = mentioned(describer.describe(record))
                pending -= said
                lost |= said & gone
        if loss.open_end:
            pending |= living(replay)
        loss.unknown = sorted(pending)
        loss.jobs = sorted(lost)

    # ---- writing --------------------------------------------------------------------------------

    def steps(self) -> list[str]:
        """Say in words what `write` would do."""
        found = self.found
        lines = [f"segment {n}: restore from the copy" for n in sorted(set(self.restored))]
        for number, file in found.headers.items():
            what = "bring back to its size" if file.header else "rebuild the header of"
            lines.append(f"{file.path.name}: {what} segment {number}; nothing is lost by that")
        lines += [f"{f.path.name}: mark as a spare file; it holds nothing of the log"
                  for f in found.spare_headers]  # fmt: skip
        lines += [f"{file.path.name}: set aside; {why}" for file, why in found.aside]
        if self.loss is not None:
            lines.append(f"accept the loss of sequences {ranges(self.loss.sequences)}")
        return lines

    def write(self) -> Path:
        """Mend the files; return the folder with what they were."""
        catalog = self.found.catalog
        kept = (
            self.directory
            / f"damaged-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{os.getpid()}"
        )
        order = self._with_note(kept.name)
        kept.mkdir(mode=0o700)
        for path in self._replaced(order):
            if path.exists():
                os.link(path, kept / path.name)
        if self.loss is not None:
            report = msgspec.json.encode(self.loss.describe())
            write_durably(kept / "report.json", report, PRIVATE)
        sync_directory(kept)
        sync_directory(self.directory)
        for number in order:
            write_durably(self._path(number), bytes(self.found.images[number]), PRIVATE)
        for file in self.found.spare_headers:
            header = Header(SPARE, catalog.uuid, catalog.segment_size, catalog.head, self._now_ns)
            body = damage.read_what_can_be(file.path)[HEADER.size : catalog.segment_size]
            image = (header.pack() + body).ljust(catalog.segment_size, b"\0")
            write_durably(file.path, image, PRIVATE)
        for file, _ in self.found.aside:
            file.path.unlink()
        sync_directory(self.directory)
        return kept

    def _replaced(self, order: list[int]) -> list[Path]:
        files = [*self.found.spare_headers, *(file for file, _ in self.found.aside)]
        return [*map(self._path, order), *(file.path for file in files)]

    def _path(self, number: int) -> Path:
        """Return the file of a segment; a new one takes a slot of its own."""
        known = self.found.catalog.numbered.get(number) or self.found.headers.get(number)
        if known is not None:
            return known.path
        new = sorted(
            set(self._changed) - set(self.found.catalog.numbered) - set(self.found.headers)
        )
        return self.directory / file_name(self.found.catalog.free_slot() + new.index(number))

    def _with_note(self, folder: str) -> list[int]:
        """Add the note of a loss at the end; return the changed segments, that one first."""
        if self.loss is None:
            return sorted(self._changed)
        damage.find_gaps(self.found)
        found = self.found
        assert found.tail is not None
        text = msgspec.json.encode(self._note(folder))
        header = header_for(found, found.last, self._now_ns)
        data = self._touch(found.last)
        data[found.end :] = bytes(len(data) - found.end)
        last: list[int] = []
        for made, image in append_note(header, data, found.end, found.tail, text):
            found.images.keep(made.number, image)
            image[: HEADER.size] = image[: HEADER.size] if any(image[:4]) else made.pack()
            self._touch(made.number)
            begin = found.end if made.number == found.last else HEADER_BYTES
            self._seal_from(image, begin)
            last.insert(0, made.number)
        return [*last, *(number for number in sorted(self._changed) if number not in last)]

    def _seal_from(self, image: bytearray, begin: int) -> None:
        length = int.from_bytes(image[begin : begin + 4], "little") if begin < len(image) else 0
        if length:
            size = -(-length // fillers.ALIGN) * fillers.ALIGN
            seal(self.found.catalog.uuid, memoryview(image)[begin : begin + size])

    def _note(self, folder: str) -> dict[str, Any]:
        assert self.loss is not None
        said = self.loss.describe()
        short = {
            name: value if not isinstance(value, str) or len(value) <= NOTE_RANGES_MAX
            else f"{value[:NOTE_RANGES_MAX]}…"
            for name, value in said.items()
        }  # fmt: skip
        return {"event": "loss accepted", "time_ns": self._now_ns, **short, "copy": folder}


def said(record: memoryview) -> memoryview:
    """Return what a record says: of a PAD, what it covers says nothing."""
    return record[: RECORD.size] if record_type(record) == RecordType.PAD else record


def living(replay: Replay) -> set[int]:
    """Return the jobs that have not ended."""
    return {info["id"] for info in replay.job_list() if info["state"] < JobState.COMPLETED}


def mentioned(record: dict[str, Any]) -> set[int]:
    """Return the jobs that a record is about."""
    jobs = record.get("jobs", ())
    found = set(jobs) if isinstance(jobs, list) else set()  # a CHECKPOINT counts them
    if "job" in record:
        found.add(record["job"])
    return found | {entry["job"] for entry in record.get("settled", ())}
