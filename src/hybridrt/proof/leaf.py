"""What stands at a leaf: the header and the digest of one record. Pure.

The 64 bytes of the record's header, with the version of this layout where the checksum was, and the
SHA-256 of the record. So a payload may go while the proof of it stays, and every field has the
offset that docs/layout.md gives it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Self

from hybridrt.errors import ProofError
from hybridrt.proof.tree import HASH_BYTES, leaf_hash
from hybridrt.records import HEADER, HEADER_NAMES, TYPE_OFFSET, RecordType

VERSION = 1
ENTRY_BYTES = 96
LENGTH_BYTES = 2  # in front of each entry of a bundle
ITEM_BYTES = LENGTH_BYTES + ENTRY_BYTES
DIGEST_OFFSET = HEADER.size
RECORD_ALIGN = 64
LOST = 0  # type of a leaf whose record was lost before it was read
_VERSION_FIELD = VERSION.to_bytes(4, "little")
_PAD = int(RecordType.PAD)


def entry_of(record: memoryview) -> bytes:
    """Return the entry of a whole record; of a PAD only the header counts."""
    covered = record[: HEADER.size] if record[TYPE_OFFSET] == _PAD else record
    return b"".join((record[:4], _VERSION_FIELD, record[8:64], sha256(covered).digest()))


def fits(entry: bytes, record: memoryview) -> bool:
    """Say whether an entry is that of a record, which may be of any bytes."""
    return len(record) >= HEADER.size and entry_of(record) == entry


def lost_entry(sequence: int) -> bytes:
    """Return the entry that says: this record existed, and is not to be had."""
    return b"".join((bytes(4), _VERSION_FIELD, sequence.to_bytes(8, "little"), bytes(80)))


def read_entry(entry: bytes) -> dict[str, int]:
    """Return the fields of an entry's header; raise ProofError when it is of no known layout."""
    if len(entry) != ENTRY_BYTES:
        raise ProofError(f"an entry has {ENTRY_BYTES} bytes, this one has {len(entry)}")
    fields = dict(zip(HEADER_NAMES, HEADER.unpack_from(entry), strict=True))
    if fields.pop("crc") != VERSION:
        raise ProofError("the entry is of a newer layout", "use a newer hybridrt")
    return fields


def sequence_of(entry: bytes | memoryview) -> int:
    """Return the sequence of an entry's record."""
    return int.from_bytes(entry[8:16], "little")


def end_of(entry: bytes) -> int:
    """Return the position after the record of an entry."""
    length = int.from_bytes(entry[:4], "little")
    return int.from_bytes(entry[16:24], "little") + -(-length // RECORD_ALIGN) * RECORD_ALIGN


@dataclass(slots=True)
class Leaves:
    """Leaves in a row: their entries as they stand in a bundle, and their hashes."""

    items: bytearray = field(default_factory=bytearray)
    hashes: bytearray = field(default_factory=bytearray)

    @classmethod
    def of(cls, entries: Iterable[bytes]) -> Self:
        """Make leaves of entries."""
        made = cls()
        for entry in entries:
            made.items += len(entry).to_bytes(LENGTH_BYTES, "big") + entry
            made.hashes += leaf_hash(entry)
        return made

    def __len__(self) -> int:
        return len(self.hashes) // HASH_BYTES

    def entry(self, index: int) -> bytes:
        """Return one entry; a negative index counts from the end."""
        begin = (index % len(self)) * ITEM_BYTES + LENGTH_BYTES
        return bytes(self.items[begin : begin + ENTRY_BYTES])

    def add(self, items: bytes | bytearray, hashes: bytes | bytearray) -> None:
        """Put leaves at the end."""
        self.items += items
        self.hashes += hashes

    def take(self, count: int) -> "Leaves":
        """Take leaves from the front."""
        taken = Leaves(self.items[: count * ITEM_BYTES], self.hashes[: count * HASH_BYTES])
        del self.items[: count * ITEM_BYTES]
        del self.hashes[: count * HASH_BYTES]
        return taken

    def clear(self) -> None:
        """Drop all."""
        self.items.clear()
        self.hashes.clear()
