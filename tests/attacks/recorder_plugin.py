"""A plugin of nbdkit: a disk in a file that records each write and flush in their order.

Settings: image (the file), trace (where the record goes), marks (what the log has promised so far,
and in which phase the test is: two numbers that others change in shared memory).
Record: type, forced, offset, length, phase, promised; then the bytes of a write. Little-endian.
"""

import mmap
import struct
from pathlib import Path
from typing import BinaryIO

import nbdkit

API_VERSION = 2
EVENT = struct.Struct("<IIQQQQ")
WRITE, FLUSH = 1, 2
PROMISED, PHASE = struct.Struct("<Q"), struct.Struct("<8xQ")

settings: dict[str, str] = {}
files: dict[str, BinaryIO] = {}
marks: list[mmap.mmap] = []


def config(key: str, value: str) -> None:
    settings[key] = value


def after_fork() -> None:
    files["image"] = Path(settings["image"]).open("r+b", buffering=0)  # noqa: SIM115
    files["trace"] = Path(settings["trace"]).open("wb")  # noqa: SIM115
    with Path(settings["marks"]).open("r+b") as file:
        marks.append(mmap.mmap(file.fileno(), 4096))


def unload() -> None:
    for file in files.values():
        file.close()


def open(readonly: bool) -> int:  # noqa: A001, ARG001
    return 1


def get_size(_handle: int) -> int:
    return Path(settings["image"]).stat().st_size


def can_fua(_handle: int) -> int:
    return nbdkit.FUA_NATIVE


def pread(_handle: int, buffer: memoryview, offset: int, _flags: int) -> None:
    files["image"].seek(offset)
    files["image"].readinto(buffer)


def pwrite(_handle: int, buffer: memoryview, offset: int, flags: int) -> None:
    record(WRITE, int(bool(flags & nbdkit.FLAG_FUA)), offset, len(buffer))
    files["trace"].write(buffer)
    files["image"].seek(offset)
    files["image"].write(buffer)


def flush(_handle: int, _flags: int) -> None:
    record(FLUSH, 0, 0, 0)


def record(event: int, forced: int, offset: int, length: int) -> None:
    (promised,) = PROMISED.unpack_from(marks[0])
    (phase,) = PHASE.unpack_from(marks[0])
    files["trace"].write(EVENT.pack(event, forced, offset, length, phase, promised))
