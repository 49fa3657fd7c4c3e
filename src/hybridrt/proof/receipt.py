"""Receipts: C2SP tlog-proof files, each the proof of one record. Pure.

The extra line holds the leaf's entry. It needs no trust: the proof is checked against its hash.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from hybridrt.errors import ProofError
from hybridrt.proof import leaf, note, tree
from hybridrt.proof.checkpoint import (
    Head,
    decode_base64,
    decode_hash,
    decode_number,
    encode_hash,
)

FIRST_LINE = "c2sp.org/tlog-proof@v1"
HASHES_MAX = 63
SUFFIX = ".tlog-proof"


@dataclass(frozen=True, slots=True)
class Receipt:
    """The parts of a receipt, not yet judged."""

    index: int
    entry: bytes
    proof: tuple[bytes, ...]
    note: str

    def text(self) -> str:
        """Return the file."""
        lines = [FIRST_LINE, f"extra {encode_hash(self.entry)}", f"index {self.index}"]
        lines += [encode_hash(value) for value in self.proof]
        return "\n".join(lines) + "\n\n" + self.note


def parse_receipt(text: str) -> Receipt:
    """Take a file apart; raise ProofError when it is malformed."""
    head, gap, signed = text.partition("\n\n")
    lines = head.split("\n")
    if not gap or lines[0] != FIRST_LINE:
        raise ProofError(f"not a receipt: it begins with {FIRST_LINE!r} and holds a checkpoint")
    words = dict(zip(("extra", "index"), lines[1:3], strict=False))
    values = {name: _after(line, name) for name, line in words.items()}
    hashes = lines[3:]
    if set(values) != {"extra", "index"} or len(hashes) > HASHES_MAX:
        raise ProofError("the receipt lacks a line, or has too many")
    entry, index = decode_base64(values["extra"]), decode_number(values["index"])
    return Receipt(index, entry, tuple(decode_hash(line) for line in hashes), signed)


def _after(line: str, name: str) -> str:
    word, _, rest = line.partition(" ")
    if word != name:
        raise ProofError(f"expected a line {name!r}: {line[:80]!r}")
    return rest


def verify(
    receipt: Receipt, keys: Iterable[note.Verifier], record: memoryview | None = None
) -> tuple[Head, list[note.Verifier]]:
    """Check a receipt, and the record it is for; return the head and who signed it."""
    head, signed = note.signed_head(receipt.note, keys)
    leaf.read_entry(receipt.entry)
    if not tree.proves_inclusion(
        receipt.proof,
        index=receipt.index,
        leaf=tree.leaf_hash(receipt.entry),
        size=head.size,
        root=head.root,
    ):
        raise ProofError("the record is not in the tree of the checkpoint")
    if record is not None and not leaf.fits(receipt.entry, record):
        raise ProofError("the receipt is for another record")
    return head, signed
