"""Tiles as plain files (C2SP tlog-tiles): where they are, and the proofs that come out of them."""

import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from hybridrt.errors import ProofError, ProofMissingError, UnreachableError
from hybridrt.proof import tree
from hybridrt.proof.leaf import ENTRY_BYTES, ITEM_BYTES, LENGTH_BYTES
from hybridrt.proof.tree import HASH_BYTES, Range

WIDTH = 256
HEIGHT = 8  # of a tile: 2 ** 8 is WIDTH
FILE_BYTES_MAX = 32 * 1024 * 1024
TIMEOUT_S = 30.0
CHECKPOINT = "checkpoint"
NOT_FOUND = 404
GROUP = 1000  # tiles in one directory


def _number_path(number: int) -> str:
    parts = [f"{number % GROUP:03d}"]
    while number := number // GROUP:
        parts.append(f"x{number % GROUP:03d}")
    return "/".join(reversed(parts))


def tile_path(level: int, number: int, width: int = WIDTH) -> str:
    """Return the name of a tile below the directory of the log."""
    partial = f".p/{width}" if width < WIDTH else ""
    return f"tile/{level}/{_number_path(number)}{partial}"


def bundle_path(number: int, width: int = WIDTH) -> str:
    """Return the name of a bundle of entries."""
    partial = f".p/{width}" if width < WIDTH else ""
    return f"tile/entries/{_number_path(number)}{partial}"


def unpack_bundle(data: bytes) -> list[bytes]:
    """Take a bundle apart; raise ProofError when its lengths do not come out even."""
    entries, place = [], 0
    while place < len(data):
        begin = place + LENGTH_BYTES
        place = begin + int.from_bytes(data[place:begin], "big")
        entries.append(data[begin:place])
    if place != len(data):
        raise ProofError("a bundle of entries is cut short")
    return entries


class Source(Protocol):
    """Where the files of a log are read."""

    def read(self, name: str) -> bytes:
        """Return a file; raise ProofMissingError when it is not there."""


class Folder:
    """The files of a log in a directory."""

    def __init__(self, path: Path) -> None:
        """Read below `path`."""
        self.path = path

    def read(self, name: str) -> bytes:
        """Return a file; raise ProofMissingError when it is not there."""
        try:
            return (self.path / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ProofMissingError(f"{self.path / name} is missing") from error


class Site:
    """The files of a log on a web server, at `prefix`."""

    def __init__(self, prefix: str) -> None:
        """Read below the address."""
        self._prefix = prefix.rstrip("/")

    def read(self, name: str) -> bytes:
        """Return a file; raise ProofMissingError or UnreachableError."""
        address = f"{self._prefix}/{name}"
        try:
            with urllib.request.urlopen(address, timeout=TIMEOUT_S) as reply:  # noqa: S310
                data: bytes = reply.read(FILE_BYTES_MAX)
                return data
        except urllib.error.HTTPError as error:
            if error.code == NOT_FOUND:
                raise ProofMissingError(f"{address} is missing") from error
            raise UnreachableError(f"{address}: {error}") from error
        except OSError as error:
            reason = getattr(error, "reason", error)  # urllib wraps what the system said
            raise UnreachableError(
                f"{address}: {getattr(reason, 'strerror', None) or reason}"
            ) from error


def open_source(place: str) -> Source:
    """Return the source at a path or an http address."""
    return Site(place) if place.startswith(("http://", "https://")) else Folder(Path(place))


class Tiles:
    """Reads one tree of `size` leaves. What it reads is not trusted: callers check it by a root."""

    def __init__(self, source: Source, size: int) -> None:
        """Read tiles of a tree of `size`."""
        self.size = size
        self._source = source
        self._kept: dict[tuple[int, int], bytes] = {}

    def _width(self, level: int, number: int) -> int:
        return min((self.size >> (HEIGHT * level)) - number * WIDTH, WIDTH)

    def _file(self, partial: str, full: str, width: int, item_bytes: int) -> bytes:
        """Read a tile or bundle; a partial one may have given way to the full one."""
        try:
            data = self._source.read(partial)
        except ProofMissingError:
            if width == WIDTH:
                raise
            data = self._source.read(full)
            if len(data) != WIDTH * item_bytes:
                raise ProofMissingError(f"{full} is cut short") from None
        wanted = width * item_bytes
        if len(data) not in {wanted, WIDTH * item_bytes}:
            raise ProofMissingError(f"{partial} has {len(data)} bytes in place of {wanted}")
        return data[:wanted]

    def tile(self, level: int, number: int) -> list[bytes]:
        """Return the hashes of a tile, as wide as it is in this tree."""
        width = self._width(level, number)
        data = self._kept.get((level, number))
        if data is None:
            names = tile_path(level, number, width), tile_path(level, number)
            data = self._kept[level, number] = self._file(*names, width, HASH_BYTES)
        return [data[i : i + HASH_BYTES] for i in range(0, len(data), HASH_BYTES)]

    def bundle(self, number: int) -> list[bytes]:
        """Return the entries of a bundle, as many as there are in this tree."""
        width = self._width(0, number)
        names = bundle_path(number, width), bundle_path(number)
        entries = unpack_bundle(self._file(*names, width, ITEM_BYTES))
        if any(len(entry) != ENTRY_BYTES for entry in entries):
            raise ProofError(f"{names[0]} holds an entry that has not {ENTRY_BYTES} bytes")
        return entries

    def entry(self, index: int) -> bytes:
        """Return the entry at leaf `index`."""
        return self.bundle(index // WIDTH)[index % WIDTH]

    def entries(self, begin: int) -> Iterator[list[bytes]]:
        """Give the entries from `begin` on, a bundle at a time."""
        while begin < self.size:
            found = self.bundle(begin // WIDTH)[begin % WIDTH :]
            begin += len(found)
            yield found

    def _peak(self, height: int, place: int) -> bytes:
        """Return the root of a full subtree."""
        level, within = divmod(height, HEIGHT)
        first = place << within
        found = self.tile(level, first // WIDTH)
        start = first % WIDTH
        return tree.root_of(found[start : start + (1 << within)])

    def hash_of(self, span: Range) -> bytes:
        """Return the hash of a node, given by its leaves."""
        return tree.fold([self._peak(*peak) for peak in tree.peaks_of(span)])

    def root(self) -> bytes:
        """Return the root of the tree."""
        return self.hash_of((0, self.size))

    def leads_to(self, root: bytes) -> bool:
        """Say whether every tile that was read so far belongs to the tree with this root."""
        if self.root() != root:
            return False
        read = list(self._kept)
        for level, number in read:  # grows by parents while it is walked
            if self._width(level, number) < WIDTH:
                continue  # at the right edge, where the root itself covers it
            above, place = divmod(number, WIDTH)
            if tree.root_of(self.tile(level, number)) != self.tile(level + 1, above)[place]:
                return False
            if (level + 1, above) not in read:
                read.append((level + 1, above))
        return True

    def inclusion(self, index: int) -> list[bytes]:
        """Return the proof that leaf `index` is in the tree."""
        return [self.hash_of(span) for span in tree.inclusion_ranges(index, self.size)]

    def consistency(self, old: int) -> list[bytes]:
        """Return the proof that the tree begins with that of `old` leaves."""
        if old in {0, self.size}:
            return []
        return [self.hash_of(span) for span in tree.consistency_ranges(old, self.size)]
