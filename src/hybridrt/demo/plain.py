"""The plain pass: one Python process reads the same folder and has to find the same."""

from __future__ import annotations

import hashlib
import os
import stat
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hybridrt.demo.findings import Digest
from hybridrt.demo.sniffing import SNIFF_BYTES, content_type

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hybridrt.demo.findings import Findings

CHUNK_BYTES = 1 << 20
ZSTD_LEVEL = 3
DIFFERENCES_SHOWN = 20
# Two versions of the zstd library may compress to different sizes. Then many files differ; when
# only a few do, it is an error.
ZSTD_STRANGERS_MAX = 0.01


@dataclass(slots=True)
class Walk:
    """The regular files below a folder; symbolic links are not followed."""

    root: str
    since_ns: int
    folders: int = 0
    files: int = 0
    changed_folders: int = 0  # since `since_ns`

    def __iter__(self) -> Iterator[str]:
        """Give paths relative to the root, folder by folder."""
        waiting = [""]
        while waiting:
            folder = waiting.pop()
            self._note_change(folder)
            for entry in _entries(f"{self.root}/{folder}"):
                path = f"{folder}/{entry.name}" if folder else entry.name
                if entry.is_dir(follow_symlinks=False):
                    self.folders += 1
                    waiting.append(path)
                elif entry.is_file(follow_symlinks=False):
                    self.files += 1
                    yield path

    def _note_change(self, folder: str) -> None:
        try:
            changed_ns = os.lstat(f"{self.root}/{folder}").st_ctime_ns
        except OSError:
            return
        self.changed_folders += changed_ns >= self.since_ns


def _entries(folder: str) -> list[os.DirEntry[str]]:
    """List a folder without the names that are not UTF-8, which JSON cannot carry."""
    try:
        with os.scandir(folder) as listing:
            return [entry for entry in listing if _is_text(entry.name)]
    except OSError:
        return []


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def digest_file(path: str) -> Digest:
    """Read one file in chunks; raise OSError when it cannot be read."""
    import zstandard

    sha256 = hashlib.sha256()
    zstd = zstandard.ZstdCompressor(level=ZSTD_LEVEL).compressobj()
    size = compressed = 0
    kind = content_type(b"")
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - a hundred thousand of them
        while chunk := file.read(CHUNK_BYTES):
            if size == 0:
                kind = content_type(chunk[:SNIFF_BYTES])
            sha256.update(chunk)
            compressed += len(zstd.compress(chunk))
            size += len(chunk)
    compressed += len(zstd.flush())
    return Digest(size, kind, sha256.digest(), compressed)


@dataclass(slots=True)
class Comparison:
    """How the plain pass and the workers agree."""

    folders: int = 0
    files: int = 0
    bytes: int = 0
    digests: int = 0
    unreadable: int = 0
    changed: int = 0  # since the run began: no difference
    types: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0  # files whose content another file before had
    differences: int = 0
    examples: list[str] = field(default_factory=list)
    zstd_equal: int = 0
    zstd_different: int = 0

    @property
    def zstd_comparable(self) -> bool:
        """Say whether both sides compress alike at all."""
        return self.zstd_different <= self.zstd_equal * ZSTD_STRANGERS_MAX

    def differ(self, text: str) -> None:
        """Count a difference and keep the first ones."""
        self.differences += 1
        if len(self.examples) < DIFFERENCES_SHOWN:
            self.examples.append(text)


def compare(
    root: str,
    since_ns: int,
    findings: Findings,
    counts: dict[str, int],
    step: Callable[[int], None],
) -> Comparison:
    """Read everything below `root` and hold it against what the workers found.

    `counts` has the folders, files and unreadable files of the workers; `step` is told the number
    of files read so far.
    """
    result = Comparison()
    walk = Walk(root, since_ns)
    contents: set[bytes] = set()
    for path in walk:
        _compare_file(result, contents, f"{root}/{path}", findings.get(path), since_ns)
        step(walk.files)
    result.files, result.folders = walk.files, walk.folders
    result.changed += walk.changed_folders
    if not result.changed:
        _compare_counts(result, findings, counts)
    if result.zstd_different and result.zstd_comparable:
        result.differ(f"{result.zstd_different} files have another compressed size")
    return result


def _compare_counts(result: Comparison, findings: Findings, counts: dict[str, int]) -> None:
    types = Counter(digest.kind for digest in findings.values())
    duplicates = len(findings) - len({digest.sha256 for digest in findings.values()})
    pairs = {
        "folders": (counts["folders"], result.folders),
        "files": (counts["files"], result.files),
        "unreadable files": (counts["unreadable"], result.unreadable),
        "digests": (len(findings), result.digests),
        "duplicates": (duplicates, result.duplicates),
        "types": (dict(types), dict(result.types)),
    }
    for name, (theirs, own) in pairs.items():
        if theirs != own:
            result.differ(f"{name}: {theirs} by the workers, {own} by the plain pass")


def _compare_file(
    result: Comparison, contents: set[bytes], path: str, found: Digest | None, since_ns: int
) -> None:
    try:
        own = digest_file(path)
    except OSError:
        result.unreadable += 1
        if found is not None and not _changed(path, since_ns):
            result.differ(f"{path}: digested by the workers, unreadable now")
        return
    result.digests += 1
    result.bytes += own.size
    result.types[own.kind] += 1
    result.duplicates += own.sha256 in contents
    contents.add(own.sha256)
    if found is None or (own.size, own.kind, own.sha256) != (found.size, found.kind, found.sha256):
        _judge_difference(result, path, own, found, since_ns)
    elif own.zstd == found.zstd:
        result.zstd_equal += 1
    else:
        result.zstd_different += 1


def _judge_difference(
    result: Comparison, path: str, own: Digest, found: Digest | None, since_ns: int
) -> None:
    """Read the file again: one that changes while it is looked at is no difference."""
    if _changed(path, since_ns) or digest_file(path) != own:
        result.changed += 1
    elif found is None:
        result.differ(f"{path}: not digested by the workers")
    else:
        result.differ(f"{path}: {found} by the workers, {own} by the plain pass")


def _changed(path: str, since_ns: int) -> bool:
    try:
        about = os.lstat(path)
    except OSError:
        return True
    return about.st_ctime_ns >= since_ns or not stat.S_ISREG(about.st_mode)
