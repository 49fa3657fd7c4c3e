"""The Merkle tree of RFC 6962 with SHA-256: hashes, what a proof consists of, how it is checked.

Pure. A tree of `size` leaves is never held as a whole: proofs are lists of ranges of leaves, whose
hashes hybridrt.proof.tiles looks up.
"""

from collections.abc import Sequence
from hashlib import sha256

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()

Range = tuple[int, int]  # leaves from the first number up to, not including, the second


def leaf_hash(entry: bytes) -> bytes:
    """Hash what stands at a leaf."""
    return sha256(b"\0" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two neighbours into the node above them."""
    return sha256(b"\1" + left + right).digest()


def root_of(hashes: Sequence[bytes]) -> bytes:
    """Return the root over hashes of subtrees that are full and of one height."""
    level = list(hashes)
    while len(level) > 1:
        odd = [level[-1]] if len(level) % 2 else []
        pairs = zip(level[::2], level[1::2], strict=False)
        level = [sha256(b"\1" + left + right).digest() for left, right in pairs] + odd
    return level[0] if level else EMPTY_ROOT


def fold(peaks: Sequence[bytes]) -> bytes:
    """Return the root over full subtrees of falling height."""
    if not peaks:
        return EMPTY_ROOT
    root = peaks[-1]
    for peak in reversed(peaks[:-1]):
        root = node_hash(peak, root)
    return root


def _split(begin: int, end: int) -> int:
    """Return where a node over more than one leaf divides."""
    return begin + (1 << ((end - begin - 1).bit_length() - 1))


def inclusion_ranges(index: int, size: int) -> list[Range]:
    """Return the ranges whose hashes prove leaf `index`, the leaf's neighbour first."""
    assert 0 <= index < size
    begin, end = 0, size
    ranges: list[Range] = []
    while end - begin > 1:
        middle = _split(begin, end)
        if index < middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((begin, middle))
            begin = middle
    return ranges[::-1]


def consistency_ranges(old: int, size: int) -> list[Range]:
    """Return the ranges whose hashes prove that a tree of `size` begins with one of `old`."""
    assert 0 < old <= size
    begin, end = 0, size
    ranges: list[Range] = []
    while end != old:
        middle = _split(begin, end)
        if old <= middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((begin, middle))
            begin = middle
    if begin > 0:
        ranges.append((begin, end))
    return ranges[::-1]


def peaks_of(span: Range) -> list[tuple[int, int]]:
    """Divide a range that begins at a node into full subtrees: height, and place at that height."""
    begin, end = span
    peaks = []
    while begin < end:
        height = (end - begin).bit_length() - 1
        peaks.append((height, begin >> height))
        begin += 1 << height
    return peaks


def proves_inclusion(
    proof: Sequence[bytes], *, index: int, leaf: bytes, size: int, root: bytes
) -> bool:
    """Say whether a tree of `size` with this root has this hash at leaf `index`."""
    if not 0 <= index < size:
        return False
    place, last, hashed = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if place & 1 or place == last:
            hashed = node_hash(sibling, hashed)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            hashed = node_hash(hashed, sibling)
        place, last = place >> 1, last >> 1
    return last == 0 and hashed == root


def proves_consistency(
    proof: Sequence[bytes], *, old: int, old_root: bytes, size: int, root: bytes
) -> bool:
    """Say whether a tree of `size` with `root` begins with the tree of `old` with `old_root`."""
    if old == 0:
        return not proof and old_root == EMPTY_ROOT
    if old >= size:
        return old == size and not proof and old_root == root
    path = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if not path:
        return False
    place, last = old - 1, size - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    before = after = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            before, after = node_hash(sibling, before), node_hash(sibling, after)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            after = node_hash(after, sibling)
        place, last = place >> 1, last >> 1
    return last == 0 and before == old_root and after == root
