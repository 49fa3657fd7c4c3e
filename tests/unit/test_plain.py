"""The plain pass finds what differs, and forgives what changed while it looked."""

import time
from pathlib import Path

import pytest

from hybridrt.demo.findings import Digest, Findings
from hybridrt.demo.plain import Comparison, Walk, compare, digest_file

LATER_NS = 2**62  # nothing has changed since


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Make a small tree: a duplicate, an empty file, a link that is not followed."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one.txt").write_text("the same\n" * 100)
    (tmp_path / "a" / "two.txt").write_text("the same\n" * 100)
    (tmp_path / "empty").touch()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    return tmp_path


def found(tree: Path) -> Findings:
    findings = Findings()
    for path in Walk(str(tree), LATER_NS):
        findings.add(path, digest_file(str(tree / path)))
    return findings


def checked(tree: Path, findings: Findings, since_ns: int = LATER_NS) -> Comparison:
    counts = {"folders": 1, "files": 3, "unreadable": 0}
    return compare(str(tree), since_ns, findings, counts, lambda _: None)


def test_a_walk_gives_regular_files_and_counts(tree: Path) -> None:
    walk = Walk(str(tree), LATER_NS)
    assert sorted(walk) == ["a/one.txt", "a/two.txt", "empty"]
    assert (walk.folders, walk.files) == (1, 3)


def test_findings_give_back_what_was_kept(tree: Path) -> None:
    digest = Digest(5, "text/plain", bytes(range(32)), 3)
    findings = Findings()
    findings.add("x", digest)
    assert findings.get("x") == digest
    assert findings.get("y") is None
    assert tree.exists()


def test_the_same_findings_match(tree: Path) -> None:
    result = checked(tree, found(tree))
    assert result.differences == 0
    assert (result.digests, result.duplicates, result.zstd_equal) == (3, 1, 3)
    assert result.types == {"text/plain": 2, "inode/x-empty": 1}


def test_another_digest_is_a_difference_with_its_path(tree: Path) -> None:
    findings = found(tree)
    findings.add("a/one.txt", Digest(900, "text/plain", bytes(32), 20))
    result = checked(tree, findings)
    assert result.differences > 0
    assert "a/one.txt" in result.examples[0]


def test_a_file_that_the_workers_missed_is_a_difference(tree: Path) -> None:
    findings = found(tree)
    (tree / "new").write_text("x")
    result = checked(tree, findings)
    assert any("new: not digested" in example for example in result.examples)


def test_a_file_that_changed_meanwhile_is_none(tree: Path) -> None:
    findings = found(tree)
    since_ns = time.time_ns() - 10**9
    (tree / "a" / "one.txt").write_text("changed")
    result = checked(tree, findings, since_ns)
    assert result.differences == 0
    assert result.changed > 0


def test_zstd_sizes_that_all_differ_are_left_out(tree: Path) -> None:
    findings = found(tree)
    for path, digest in list(findings.items()):
        findings.add(path, Digest(digest.size, digest.kind, digest.sha256, digest.zstd + 1))
    result = checked(tree, findings)
    assert result.differences == 0
    assert not result.zstd_comparable
