"""Where whole segments come from: an archive or backup, or the directory of a log itself.

An archive keeps each segment in `<uuid>/<number>.seg.zst`, compressed, beside `<number>.json`,
which says what it holds. A backup has the same form; its last segment need not be full. Several may
write to one place at once: only one writes at a time, and no copy is ever replaced by a lesser one.
"""

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

import msgspec

from hybridrt.errors import AlreadyRunningError, DamagedLogError, InvalidArgumentError
from hybridrt.files import PRIVATE, write_durably
from hybridrt.records import HEADER as RECORD
from hybridrt.segments import (
    HEADER,
    HEADER_BYTES,
    Buffer,
    Catalog,
    Header,
    Run,
    describe_run,
    records_in,
    survey,
)

LEVEL = 3
POSITION_PLACE = 3  # of the fields of a record's header
NAME = re.compile(r"([0-9a-f]{16})\.seg\.zst")
UUID_NAME = re.compile(r"[0-9a-f]{32}")
WRITER_S = 30.0  # to wait for another one, who writes one segment
PAUSE_S = 0.02


@dataclass(frozen=True, slots=True)
class Info:
    """What a segment holds."""

    uuid: str
    number: int
    segment_size: int
    head: int  # the state at its end begins in this segment
    first_sequence: int
    last_sequence: int
    records: int
    end: int  # offset after the last whole group
    epoch: int
    first_time_ns: int
    last_time_ns: int
    full: bool


class Store(Protocol):
    """Segments of one log, by number."""

    path: Path
    uuid: bytes

    def numbers(self) -> list[int]:
        """Return the numbers that there are, ascending."""

    def info(self, number: int) -> Info:
        """Say what a segment holds."""

    def read(self, number: int) -> tuple[Header, bytes]:
        """Return a whole segment, checked; raise DamagedLogError when it is not sound."""


def check_segment(data: Buffer, place: str) -> tuple[Header, Run]:
    """Check the header and every record of a segment; raise DamagedLogError."""
    header = Header.parse(data)
    if header is None:
        raise DamagedLogError(f"{place}: the header of the segment is damaged")
    run = survey(header, data)
    if run.records == 0 and any(data[HEADER_BYTES : HEADER_BYTES + HEADER.size]):
        raise DamagedLogError(f"{place}: the first record is damaged")
    return header, run


class Archive:
    """The archived segments of one log."""

    def __init__(self, path: Path) -> None:
        """Look at `<archive>/<uuid>`; it need not exist yet."""
        self.path = path
        self.uuid = bytes.fromhex(path.name)

    def numbers(self) -> list[int]:
        """Return the numbers that there are, ascending."""
        try:
            found = [NAME.fullmatch(entry.name) for entry in self.path.iterdir()]
        except FileNotFoundError:
            return []
        return sorted(int(match[1], 16) for match in found if match)

    def is_full(self, number: int) -> bool:
        """Say whether all of a segment is kept; a backup keeps the beginning of its last one."""
        try:
            return self.file(number).exists() and self.info(number).full
        except DamagedLogError:
            return False

    def file(self, number: int) -> Path:
        """Return where a segment is kept."""
        return self.path / f"{number:016x}.seg.zst"

    def info(self, number: int) -> Info:
        """Say what a segment holds, by its description, or by reading it when that is lost."""
        try:
            return msgspec.json.decode(self._about(number).read_bytes(), type=Info)
        except (FileNotFoundError, msgspec.DecodeError):
            header, data = self.read(number)
            return Info(**describe_run(header, survey(header, data)))

    def read(self, number: int) -> tuple[Header, bytes]:
        """Return a whole segment, checked."""
        import zstandard

        path = self.file(number)
        try:
            data = zstandard.ZstdDecompressor().decompress(path.read_bytes())
        except FileNotFoundError as error:
            raise DamagedLogError(f"{self.path} has no segment {number}") from error
        except zstandard.ZstdError as error:
            raise DamagedLogError(f"{path}: {error}") from error
        header = Header.parse(data)
        if header is None or (header.uuid, header.number) != (self.uuid, number):
            raise DamagedLogError(f"{path} does not hold segment {number} of this log")
        check_segment(data, str(path))
        return header, data + bytes(header.segment_size - len(data))

    def put(self, data: Buffer, *, must_be_full: bool, head: int = 0) -> Info:
        """Keep a segment; what was cut off at its end counts as zeros. Raise DamagedLogError.

        `head` is the segment that the state at its end begins in, if that is known to be later
        than what the segment's own header says.
        """
        import zstandard

        header, run = check_segment(data, "the log")
        info = Info(**{**describe_run(header, run), "head": max(header.head, head)})
        if must_be_full and not info.full:
            raise DamagedLogError(
                f"segment {info.number}: the record at position {run.position}, after sequence "
                f"{run.sequence}, is damaged; it is not archived"
            )
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        compressed = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).compress(
            bytes(data if info.full else data[: info.end])
        )
        with self._alone():
            there = self._kept(info, data)
            if there is not None and (there.full or there.end > info.end):
                info = there
            else:  # the state at the end does not begin before the one in the middle
                info = replace(info, head=max(info.head, there.head if there else 0))
                write_durably(self.file(info.number), compressed, PRIVATE)
            # Afterwards: what is said of a segment may say less than it holds, never more.
            about = msgspec.json.encode(asdict(info)) + b"\n"
            write_durably(self._about(info.number), about, PRIVATE)
        return info

    def _kept(self, info: Info, data: Buffer) -> Info | None:
        """Return what is kept of a segment; None: nothing sound, or of another history."""
        try:
            header, there = self.read(info.number)
        except DamagedLogError:
            return None
        kept = Info(**describe_run(header, survey(header, there)))
        end = min(kept.end, info.end)
        if there[HEADER_BYTES:end] != data[HEADER_BYTES:end]:
            return None
        return replace(kept, head=max(kept.head, self.info(info.number).head))

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other writers out: an archiver, a backup and 'log archive' may share a place."""
        fd = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
        try:
            end = time.monotonic() + WRITER_S
            while not _take(fd):
                if time.monotonic() > end:
                    raise AlreadyRunningError(f"somebody else writes to {self.path}", "try again")
                time.sleep(PAUSE_S)
            yield
        finally:
            os.close(fd)

    def remove(self, number: int) -> None:
        """Forget a segment: first its bytes, then what is said about it."""
        with self._alone():
            self.file(number).unlink(missing_ok=True)
            self._about(number).unlink(missing_ok=True)

    def clean(self) -> None:
        """Remove what a writer that was killed has left half done."""
        if not self.path.exists():
            return
        with self._alone():
            for path in self.path.glob(".*.tmp"):
                path.unlink(missing_ok=True)
            for path in self.path.glob("*.json"):
                if not path.with_name(f"{path.stem}.seg.zst").exists():
                    path.unlink(missing_ok=True)

    def _about(self, number: int) -> Path:
        return self.path / f"{number:016x}.json"


class LogFiles:
    """The segments of a log directory. Beside a running supervisor hold what is read."""

    def __init__(self, path: Path) -> None:
        """List the directory."""
        self.path = path
        self.catalog = Catalog.settled(path)
        self.uuid = self.catalog.uuid
        numbers = list(self.catalog.numbered)
        begun = [number for number in numbers if self._has_begun(number)]
        self._numbers = [number for number in numbers if begun and number <= begun[-1]]

    def numbers(self) -> list[int]:
        """Return the numbers that there are, ascending; a segment that waits is none."""
        return self._numbers

    def _has_begun(self, number: int) -> bool:
        """Say whether a record stands in a segment; a used file that waits holds older ones."""
        file = self.catalog.numbered[number]
        with file.path.open("rb") as stream:
            stream.seek(HEADER_BYTES)
            first = stream.read(RECORD.size)
        position = number * self.catalog.segment_size + HEADER_BYTES
        return int(RECORD.unpack(first)[POSITION_PLACE]) == position

    def info(self, number: int) -> Info:
        """Say what a segment holds."""
        header, data = self.read(number)
        info = Info(**describe_run(header, survey(header, data)))
        # What was retired while it was written says the catalog, of the end of the log only.
        last = number == self._numbers[-1]
        return replace(info, head=max(info.head, self.catalog.head)) if last else info

    def read(self, number: int) -> tuple[Header, bytes]:
        """Return a whole segment, checked."""
        file = self.catalog.numbered.get(number)
        if file is None:
            raise DamagedLogError(f"{self.path} has no segment {number}")
        data = file.read()
        header, _ = check_segment(data, str(file.path))
        return header, data


def open_store(path: Path, uuid: bytes | None = None) -> Store:
    """Open an archive, one log of it, a backup, or a log directory; `uuid`: of this log."""
    if any(path.glob("*.seg")):
        return LogFiles(path)
    if UUID_NAME.fullmatch(path.name):
        return Archive(path)
    logs = [entry for entry in path.iterdir() if UUID_NAME.fullmatch(entry.name)]
    if uuid is not None:
        logs = [entry for entry in logs if entry.name == uuid.hex()]
    if len(logs) == 1:
        return Archive(logs[0])
    if logs:
        names = ", ".join(sorted(entry.name for entry in logs))
        raise InvalidArgumentError(f"{path} holds several logs: {names}", f"name one: {path}/…")
    wanted = f" of log {uuid.hex()}" if uuid else ""
    raise InvalidArgumentError(
        f"{path} holds no segments{wanted}",
        "name an archive, a backup or a log directory",
    )


def segment_records(store: Store, numbers: list[int]) -> Iterator[memoryview]:
    """Give all records of these segments; raise DamagedLogError where they do not join."""
    sequence, epoch = 0, 0
    for number in numbers:
        header, data = store.read(number)
        run = Run(header.uuid, header.position(HEADER_BYTES), sequence, epoch)
        run.check(memoryview(data)[HEADER_BYTES:])
        if run.records == 0 or not (run.full or number == numbers[-1]):
            raise DamagedLogError(
                f"{store.path}: segment {number} does not go on after sequence "
                f"{run.sequence or sequence}"
            )
        yield from records_in(data, HEADER_BYTES, run.group_position - header.position(0))
        sequence, epoch = run.group_sequence, run.epoch


def _take(fd: int) -> bool:
    """Lock a file if nobody else has."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def check_apart(directory: Path, destination: Path) -> None:
    """Raise InvalidArgumentError when copies of a log would lie in it, or in another log."""
    place, log = destination.resolve(), directory.resolve()
    if place == log or log in place.parents:
        raise InvalidArgumentError(
            f"{destination} lies in the log itself; nothing was copied",
            "name a place outside of it, best on another disk",
        )
    if any(destination.glob("*.seg")):
        raise InvalidArgumentError(
            f"{destination} is the directory of a log; nothing was copied",
            "name a directory for copies",
        )


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the log as a supervisor would; raise AlreadyRunningError when somebody does."""
    fd = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
    try:
        # Who waited for a folder that has another name by now holds something else.
        if not _take(fd) or os.fstat(fd).st_ino != (directory / "lock").stat().st_ino:
            raise AlreadyRunningError(
                f"somebody holds the log in {directory}; nothing was changed",
                "stop the supervisor first",
            )
        yield
    finally:
        os.close(fd)


def is_locked(directory: Path) -> bool:
    """Say whether a supervisor, or a repair, holds the log."""
    with contextlib.suppress(FileNotFoundError), (directory / "lock").open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
