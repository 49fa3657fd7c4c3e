"""The Merkle tree against the plain definition of RFC 6962, and against its known values."""

import pytest

from hybridrt.proof import tree

# Leaves of the test vectors that Certificate Transparency implementations share.
LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOT = "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
SIZES = range(1, 34)


def hashes(count: int) -> list[bytes]:
    return [tree.leaf_hash(b"%d" % number) for number in range(count)]


def defined_root(leaves: list[bytes]) -> bytes:
    """Follow the definition, which divides at the largest power of two below the size."""
    if len(leaves) <= 1:
        return leaves[0] if leaves else tree.EMPTY_ROOT
    middle = 1
    while middle * 2 < len(leaves):
        middle *= 2
    return tree.node_hash(defined_root(leaves[:middle]), defined_root(leaves[middle:]))


def proof_of(ranges: list[tree.Range], leaves: list[bytes]) -> list[bytes]:
    return [defined_root(leaves[begin:end]) for begin, end in ranges]


def test_known_values() -> None:
    leaves = [tree.leaf_hash(leaf) for leaf in LEAVES]
    assert defined_root(leaves).hex() == ROOT
    assert tree.root_of(leaves).hex() == ROOT
    assert tree.EMPTY_ROOT.hex().startswith("e3b0c442")


@pytest.mark.parametrize("size", SIZES)
def test_peaks_fold_to_the_root(size: int) -> None:
    leaves = hashes(size)
    peaks = [
        defined_root(leaves[place << height : (place + 1) << height])
        for height, place in tree.peaks_of((0, size))
    ]
    assert tree.fold(peaks) == defined_root(leaves) == tree.root_of(leaves)


@pytest.mark.parametrize("size", SIZES)
def test_inclusion_is_proven_of_that_leaf_alone(size: int) -> None:
    leaves = hashes(size)
    root = defined_root(leaves)
    for index in range(size):
        proof = proof_of(tree.inclusion_ranges(index, size), leaves)
        for place in range(size + 1):
            fits = tree.proves_inclusion(
                proof, index=place, leaf=leaves[index], size=size, root=root
            )
            assert fits is (place == index)
        for worse in (proof[:-1], [*proof, root]):
            assert worse == proof or not tree.proves_inclusion(
                worse, index=index, leaf=leaves[index], size=size, root=root
            )


@pytest.mark.parametrize("size", SIZES)
def test_consistency_is_proven_of_that_beginning_alone(size: int) -> None:
    leaves = hashes(size)
    root = defined_root(leaves)
    for old in range(1, size):
        proof = proof_of(tree.consistency_ranges(old, size), leaves)
        for claimed in range(1, size):
            old_root = defined_root(leaves[:claimed])
            fits = tree.proves_consistency(proof, old=old, old_root=old_root, size=size, root=root)
            assert fits is (claimed == old)
        fork = defined_root([tree.leaf_hash(b"forked"), *leaves[1:old]])
        assert not tree.proves_consistency(proof, old=old, old_root=fork, size=size, root=root)


def test_the_empty_tree_is_the_beginning_of_every_tree() -> None:
    root = defined_root(hashes(5))
    empty = {"old": 0, "old_root": tree.EMPTY_ROOT, "size": 5, "root": root}
    assert tree.proves_consistency([], **empty)
    assert not tree.proves_consistency([root], **empty)
    assert not tree.proves_consistency([], **{**empty, "old_root": root})


def test_a_tree_is_consistent_with_itself_and_not_with_a_smaller_one() -> None:
    root = defined_root(hashes(5))
    assert tree.proves_consistency([], old=5, old_root=root, size=5, root=root)
    assert not tree.proves_consistency([], old=5, old_root=root, size=5, root=bytes(32))
    assert not tree.proves_consistency([], old=6, old_root=root, size=5, root=root)
