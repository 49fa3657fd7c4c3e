"""Issues the receipts of a job: finds its records in the log, and proves them from the tiles."""

from dataclasses import dataclass
from pathlib import Path

from hybridrt.errors import JobNotFoundError, NotReadyError, ProofError
from hybridrt.logreader import Scan
from hybridrt.names import Outcome
from hybridrt.proof import leaf
from hybridrt.proof.checkpoint import parse_head
from hybridrt.proof.note import split
from hybridrt.proof.receipt import Receipt
from hybridrt.proof.tiles import Source, Tiles
from hybridrt.records import TYPE_OFFSET, RecordType, read_header, record_type, settlements

# Other outcomes send the job back into its queue.
FINAL = {Outcome.OK, Outcome.DISCARD, Outcome.DEAD, Outcome.CANCELLED, Outcome.EXPIRED}


@dataclass(frozen=True, slots=True)
class Issued:
    """The receipt of one record of a job, and the record, if the log still has it."""

    role: str  # enqueue or settle
    sequence: int
    receipt: Receipt
    record: bytes | None


def records_of(log: Path, job: int) -> dict[str, bytes]:
    """Return the ENQUEUE record of a job and the SETTLE record of its end, as far as found."""
    found: dict[str, bytes] = {}
    with Scan(str(log)) as scan:
        for record in scan:
            kind = record_type(record)
            if kind == RecordType.ENQUEUE and leaf.sequence_of(record) == job:
                found["enqueue"] = bytes(record)
            elif kind == RecordType.SETTLE and _ends(record, job):
                found["settle"] = bytes(record)
    return found


def _ends(record: memoryview, job: int) -> bool:
    entries = settlements(record, read_header(record)["count"])
    return any(entry.job == job and entry.outcome in FINAL for entry in entries)


def issue(source: Source, checkpoint: str, log: Path, job: int) -> list[Issued]:
    """Return a receipt for the job's enqueue, and one for its end once it has ended."""
    tiles = Tiles(source, parse_head(split(checkpoint)[0]).size)
    if tiles.size == 0:
        raise NotReadyError("nothing is proven yet", "try again after the next checkpoint")
    first = leaf.sequence_of(tiles.entry(0))
    records = records_of(log, job)
    sequences = {role: leaf.sequence_of(record) for role, record in records.items()}
    sequences = {"enqueue": job} | sequences
    issued = []
    for role, sequence in sequences.items():
        entry = _entry(tiles, sequence, first)
        if role == "enqueue" and entry[TYPE_OFFSET] != RecordType.ENQUEUE:
            raise JobNotFoundError(f"record {job} is not that of a job")
        record = records.get(role)
        if record is not None and not leaf.fits(entry, memoryview(record)):
            raise ProofError(f"record {sequence} in the log is not the one that was signed")
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
