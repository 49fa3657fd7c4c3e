"""Issues the receipts of a job: finds its records in the log, and proves them from the tiles."""

from bisect import bisect_left
from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from hybridrt.errors import InvalidArgumentError, JobNotFoundError, NotReadyError, ProofError
from hybridrt.logreader import Scan
from hybridrt.names import Outcome
from hybridrt.proof import leaf
from hybridrt.proof.checkpoint import parse_head
from hybridrt.proof.note import split
from hybridrt.proof.receipt import Receipt
from hybridrt.proof.tiles import Source, Tiles
from hybridrt.records import TYPE_OFFSET, RecordType, read_header, record_type, settlements
from hybridrt.segments import Catalog
from hybridrt.store import open_store, segment_records

# Other outcomes send the job back into its queue.
FINAL = {Outcome.OK, Outcome.DISCARD, Outcome.DEAD, Outcome.CANCELLED, Outcome.EXPIRED}


@dataclass(frozen=True, slots=True)
class Issued:
    """The receipt of one record of a job, and the record, if it is still kept somewhere."""

    role: str  # enqueue or settle
    sequence: int
    receipt: Receipt
    record: bytes | None


def records_of(log: Path, job: int, archive: Path | None = None) -> dict[str, bytes]:
    """Return the ENQUEUE record of a job and the SETTLE record of its end, as far as found.

    The archive is read from the job's segment on, when the log does not go back to it.
    """
    with Scan(str(log)) as scan:
        found = _chosen(scan, job)
    if "enqueue" in found or archive is None:
        return found
    with closing(_archived(log, archive, job)) as older:
        return _chosen(older, job) | found


def _chosen(records: Iterable[memoryview], job: int) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for record in records:
        kind = record_type(record)
        if kind == RecordType.ENQUEUE and leaf.sequence_of(record) == job:
            found["enqueue"] = bytes(record)
        elif kind == RecordType.SETTLE:
            outcomes = _outcomes(record, job)
            if outcomes & FINAL:
                found["settle"] = bytes(record)
            if Outcome.FORGOTTEN in outcomes:
                break  # nothing tells of it any more
    return found


def _outcomes(record: memoryview, job: int) -> set[Outcome]:
    entries = settlements(record, read_header(record)["count"])
    return {entry.outcome for entry in entries if entry.job == job}


def _archived(log: Path, archive: Path, job: int) -> Generator[memoryview, None, None]:
    """Give the records of the archive from the segment of a job up to where the log begins."""
    catalog = Catalog.settled(log)
    try:
        store = open_store(archive, catalog.uuid)
    except InvalidArgumentError:
        return  # nothing of this log is in it
    first = min(catalog.numbered)
    numbers = [number for number in store.numbers() if number < first]
    begin = bisect_left(numbers, job, key=lambda number: store.info(number).last_sequence)
    for number in numbers[begin:]:
        yield from segment_records(store, [number])


def issue(
    source: Source, checkpoint: str, log: Path, job: int, archive: Path | None = None
) -> list[Issued]:
    """Return a receipt for the job's enqueue, and one for its end once it has ended.

    Records that the log does not keep any more are looked for in the archive.
    """
    tiles = Tiles(source, parse_head(split(checkpoint)[0]).size)
    if tiles.size == 0:
        raise NotReadyError("nothing is proven yet", "try again after the next checkpoint")
    first = leaf.sequence_of(tiles.entry(0))
    records = records_of(log, job, archive)
    sequences = {role: leaf.sequence_of(record) for role, record in records.items()}
    sequences = {"enqueue": job} | sequences
    issued = []
    for role, sequence in sequences.items():
        entry = _entry(tiles, sequence, first)
        if role == "enqueue" and entry[TYPE_OFFSET] != RecordType.ENQUEUE:
            raise JobNotFoundError(f"record {job} is not that of a job")
        record = records.get(role)
        if record is not None and not leaf.fits(entry, memoryview(record)):
            raise ProofError(f"record {sequence} is not the one that was signed")
        index = sequence - first
        receipt = Receipt(index, entry, tuple(tiles.inclusion(index)), checkpoint)
        issued.append(Issued(role, sequence, receipt, record))
    return issued


def _entry(tiles: Tiles, sequence: int, first: int) -> bytes:
    if sequence < first:
        raise JobNotFoundError(
            f"record {sequence} is older than the proof, which begins at {first}"
        )
    if sequence - first >= tiles.size:
        raise NotReadyError(
            f"record {sequence} is not in a checkpoint yet", "try again after the next one"
        )
    return tiles.entry(sequence - first)
