"""The whole proof of a log, checked: signature, tree, entries, and the records themselves."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hybridrt.errors import ForkError, ProofError, ProofMissingError, RollbackError
from hybridrt.proof import leaf, note, tree
from hybridrt.proof.checkpoint import Head
from hybridrt.proof.follower import SEGMENT, SPARE
from hybridrt.proof.tiles import CHECKPOINT, HEIGHT, WIDTH, Source, Tiles
from hybridrt.records import HEADER, RecordType


@dataclass(frozen=True, slots=True)
class Checked:
    """What an audit found to be right."""

    head: Head
    signers: list[note.Verifier]
    records: int = 0  # compared byte by byte with their entries
    lost: int = 0  # leaves that say so
    gone: int = 0  # leaves whose segment is not in the log any more


def read_checkpoint(source: Source) -> str:
    """Return the note that a log shows."""
    try:
        return source.read(CHECKPOINT).decode()
    except UnicodeDecodeError as error:
        raise ProofError("the checkpoint is not UTF-8 text") from error


def extends(tiles: Tiles, old: Head, new: Head) -> None:
    """Raise RollbackError or ForkError unless the new head goes on from the old one.

    Tiles that do not lead to the new head prove nothing: that is a ProofError.
    """
    if new.origin != old.origin:
        raise ProofError(f"the log calls itself {new.origin}, it was {old.origin}")
    if new.size < old.size:
        raise RollbackError(f"the log shows {new.size} records, it had signed {old.size}")
    proof = tiles.consistency(old.size) if new.size > old.size else []
    if tree.proves_consistency(
        proof, old=old.size, old_root=old.root, size=new.size, root=new.root
    ):
        return
    if new.size > old.size and not tiles.leads_to(new.root):
        raise ProofError("the tiles do not lead to the checkpoint beside them")
    raise ForkError(
        f"the log signed two histories: its {old.size} records of before are not the beginning of "
        f"the {new.size} it shows now"
    )


def audit(source: Source, keys: Iterable[note.Verifier], log: Path | None = None) -> Checked:
    """Check everything that a log published, and with `log` the records that it still has."""
    head, signers = note.signed_head(read_checkpoint(source), keys)
    tiles = Tiles(source, head.size)
    segments = Segments(log) if log else None
    lost = records = 0
    sequence = None
    for entries in _level_zero(tiles):
        for entry in entries:
            fields = leaf.read_entry(entry)
            if sequence is not None and fields["sequence"] != sequence + 1:
                raise ProofError(f"record {sequence + 1} is missing from the tree")
            sequence = fields["sequence"]
            if fields["type"] == leaf.LOST:
                lost += 1
            elif segments is not None:
                records += segments.compare(entry, fields)
    _upper_levels(tiles)
    if tiles.root() != head.root:
        raise ProofError("the tiles do not lead to the root of the checkpoint")
    gone = head.size - records - lost if segments else 0
    return Checked(head, signers, records, lost, gone)


def _level_zero(tiles: Tiles) -> Iterator[list[bytes]]:
    for number in range(-(-tiles.size // WIDTH)):
        entries = tiles.bundle(number)
        if [tree.leaf_hash(entry) for entry in entries] != tiles.tile(0, number):
            raise ProofError(f"bundle {number} of entries does not fit its tile")
        yield entries


def _upper_levels(tiles: Tiles) -> None:
    level = 1
    while tiles.size >> (HEIGHT * level):
        for number in range(-(-(tiles.size >> (HEIGHT * level)) // WIDTH)):
            below = number * WIDTH
            for place, value in enumerate(tiles.tile(level, number)):
                if tree.root_of(tiles.tile(level - 1, below + place)) != value:
                    raise ProofError(f"tile {level}/{number} does not fit what lies below it")
        level += 1


class Segments:
    """The segment files of a log that is at rest, by number; one in memory at a time."""

    def __init__(self, directory: Path) -> None:
        """List the files."""
        self._paths: dict[int, Path] = {}
        for path in sorted(directory.glob("*.seg")):
            with path.open("rb") as file:
                head = file.read(SEGMENT.size)
            if len(head) == SEGMENT.size:
                _magic, _crc, _version, _must, self._size, number, _uuid = SEGMENT.unpack(head)
                if number != SPARE:
                    self._paths[number] = path
        if not self._paths:
            raise ProofMissingError(f"{directory} holds no log")
        self._oldest = min(self._paths)
        self._number = -1
        self._data = memoryview(b"")

    def compare(self, entry: bytes, fields: dict[str, int]) -> int:
        """Compare a record with its entry; return 0 when its segment was used again since."""
        number, offset = divmod(fields["position"], self._size)
        if number < self._oldest:
            return 0
        if number != self._number:
            if number not in self._paths:
                raise ProofMissingError(f"segment number {number} is missing from the log")
            self._number, self._data = number, memoryview(self._paths[number].read_bytes())
        is_pad = fields["type"] == RecordType.PAD
        length = HEADER.size if is_pad else fields["length"]
        if not leaf.fits(entry, self._data[offset : offset + length]):
            raise ProofError(f"record {fields['sequence']} is not the one that was signed")
        return 1
