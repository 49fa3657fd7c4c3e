"""Receipts: their size, and files that are none."""

import pytest

from hybridrt.errors import ProofError
from hybridrt.proof import leaf, note, tree
from hybridrt.proof.checkpoint import Head
from hybridrt.proof.note import COSIGNATURE, Signer
from hybridrt.proof.receipt import Receipt, parse_receipt, verify

SIZE = 100_000_000
INDEX = 4_711  # on the left, where proofs are longest
RECEIPT_BYTES_MAX = 2048


@pytest.fixture(scope="module")
def signers() -> list[Signer]:
    return [
        Signer.generate("jobs.example.org/production/eu-1"),
        Signer.generate("witness.example.org/w1", COSIGNATURE),
    ]


def receipt_of(signers: list[Signer]) -> Receipt:
    """Make a receipt in a tree of a hundred million leaves, most of them made up."""
    entry = leaf.lost_entry(INDEX + 1)
    proof = [tree.leaf_hash(b"%d" % n) for n in range(len(tree.inclusion_ranges(INDEX, SIZE)))]
    root = tree.leaf_hash(entry)
    for (begin, _), sibling in zip(tree.inclusion_ranges(INDEX, SIZE), proof, strict=True):
        pair = (sibling, root) if begin < INDEX else (root, sibling)
        root = tree.node_hash(*pair)
    text = Head(signers[0].name, SIZE, root).text()
    signed = note.sign(text, signers[:1]) + signers[1].line(text, 1_800_000_000)
    return Receipt(INDEX, entry, tuple(proof), signed)


def test_a_receipt_among_a_hundred_million_leaves_is_small(signers: list[Signer]) -> None:
    receipt = receipt_of(signers)
    assert len(receipt.proof) == 27
    assert len(receipt.text().encode()) <= RECEIPT_BYTES_MAX
    head, signed = verify(parse_receipt(receipt.text()), [s.verifier for s in signers])
    assert head.size == SIZE
    assert [key.name for key in signed] == [signer.name for signer in signers]


def test_a_receipt_is_of_its_place_and_its_record(signers: list[Signer]) -> None:
    receipt = receipt_of(signers)
    keys = [signer.verifier for signer in signers]
    moved = Receipt(INDEX - 1, receipt.entry, receipt.proof, receipt.note)
    with pytest.raises(ProofError, match="not in the tree"):
        verify(moved, keys)
    for record in (b"", bytes(64), bytes(63)):
        with pytest.raises(ProofError, match="another record"):
            verify(receipt, keys, memoryview(record))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "c2sp.org/tlog-proof@v1\n\n",
        "c2sp.org/tlog-proof@v1\nextra AA==\n\nnote",
        "c2sp.org/tlog-proof@v1\nindex 1\nextra AA==\n\nnote",
        "c2sp.org/tlog-proof@v1\nextra AA==\nindex 01\n\nnote",
        "c2sp.org/tlog-proof@v1\nextra AB==\nindex 1\n\nnote",
        "c2sp.org/tlog-proof@v1\nextra AA==\nindex 1\nAAAA\n\nnote",
        "c2sp.org/tlog-proof@v2\nextra AA==\nindex 1\n\nnote",
        "c2sp.org/tlog-proof@v1\nextra AA==\nindex 1\n" + "A" * 43 + "=\n" * 64 + "\n\nnote",
    ],
)
def test_what_is_no_receipt_is_refused(text: str) -> None:
    with pytest.raises(ProofError):
        parse_receipt(text)
