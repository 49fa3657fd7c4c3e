"""Copy a log to somewhere else, up to a durable position, while it is being written.

A backup has the form of an archive, so that no supervisor can be started on it by mistake and run
the same history a second time; `hybridrt log restore` makes a log of it. A second backup to the
same place copies only what is new.
"""

from pathlib import Path
from typing import Any

from hybridrt.logreader import Replay
from hybridrt.segments import HEADER_BYTES
from hybridrt.store import Archive, LogFiles, check_apart, segment_records


def back_up(directory: Path, destination: Path, limit: int | None = None) -> dict[str, Any]:
    """Copy the segments of a log below the position `limit` (None: all); then check the copy."""
    check_apart(directory, destination)
    files = LogFiles(directory)
    archive = Archive(destination / files.uuid.hex())
    copied = 0
    size = files.catalog.segment_size
    numbers = [n for n in files.numbers() if limit is None or n * size + HEADER_BYTES < limit]
    for number in numbers:
        if archive.is_full(number):
            continue
        _, data = files.read(number)
        end = len(data) if limit is None else limit - number * size
        last = number == numbers[-1]
        head = files.catalog.head if last else 0
        info = archive.put(data[:end], must_be_full=not last, head=head)
        if info.records:
            copied += 1
    archive.clean()
    return {**examine(archive), "copied": copied, "directory": str(archive.path)}


def examine(archive: Archive) -> dict[str, Any]:
    """Check every record of what can be restored, apply it, and say what it comes to."""
    numbers = archive.numbers()
    last = archive.info(numbers[-1])
    replay = Replay()
    sequence, records = 0, 0
    for record in segment_records(archive, list(range(last.head, last.number + 1))):
        replay.apply(record)
        records += 1
        sequence = int.from_bytes(record[8:16], "little")
    return {
        "uuid": archive.uuid.hex(),
        "segments": len(numbers),
        "first": numbers[0],
        "needed_from": last.head,
        "last": last.number,
        "records": records,
        "sequence": sequence,
        "jobs": replay.jobs(),
        "state_hash": f"{replay.state_hash():016x}",
    }
