"""A log that can prove itself: a Merkle tree over its records, signed, in the C2SP formats.

docs/proof.md says what it proves. Pure modules: tree, leaf, note, checkpoint, receipt.
"""
