"""The growing tree: takes entries, writes tiles as they fill, knows its root.

The files are derived from the log, so they are not synced one by one: `sync` makes all of them
durable before the log may forget what they came from.
"""

import ctypes
import os
import shutil
from hashlib import sha256
from pathlib import Path

from hybridrt.proof import tree
from hybridrt.proof.tiles import WIDTH, Folder, Tiles, bundle_path, pack_bundle, tile_path

MODE = 0o644


class Growth:
    """The right edge of a tree in memory, and the files of the rest."""

    def __init__(self, directory: Path) -> None:
        """Begin with the empty tree."""
        self.size = 0
        self._directory = directory
        self._entries: list[bytes] = []  # of the bundle that is not full yet
        self._levels: list[list[bytes]] = [[]]  # hashes of the tiles that are not full yet

    def load(self, size: int) -> None:
        """Go on from a tree of `size` whose files are there; the caller compares the root."""
        tiles = Tiles(Folder(self._directory), size)
        self.size = size
        self._entries = tiles.bundle(size // WIDTH) if size % WIDTH else []
        self._levels = []
        level = 0
        while size >> (8 * level):
            count = size >> (8 * level)
            self._levels.append(tiles.tile(level, count // WIDTH) if count % WIDTH else [])
            level += 1
        self._levels = self._levels or [[]]

    def extend(self, entries: list[bytes]) -> None:
        """Add leaves."""
        place = 0
        while place < len(entries):
            chunk = entries[place : place + WIDTH - len(self._entries)]
            self._entries += chunk
            self._levels[0] += [sha256(b"\0" + entry).digest() for entry in chunk]
            self.size += len(chunk)
            place += len(chunk)
            if len(self._entries) == WIDTH:
                self._finish_bundle()

    def _finish_bundle(self) -> None:
        number = self.size // WIDTH - 1
        self._write_full(bundle_path(number), pack_bundle(self._entries))
        self._entries = []
        level = 0
        while len(self._levels[level]) == WIDTH:
            hashes = self._levels[level]
            self._write_full(tile_path(level, number), b"".join(hashes))
            self._levels[level] = []
            level += 1
            if level == len(self._levels):
                self._levels.append([])
            self._levels[level].append(tree.root_of(hashes))
            number //= WIDTH

    def root(self) -> bytes:
        """Return the root over all leaves."""
        peaks: list[bytes] = []
        for hashes in reversed(self._levels):
            spans = tree.peaks_of((0, len(hashes)))
            begins = [place << height for height, place in spans]
            ends = [*begins, len(hashes)][1:]
            peaks += [tree.root_of(hashes[b:e]) for b, e in zip(begins, ends, strict=True)]
        return tree.fold(peaks)

    def write_partials(self) -> None:
        """Write the tiles that are not full, as a checkpoint of this size needs them."""
        if self._entries:
            name = bundle_path(self.size // WIDTH, len(self._entries))
            self._write(name, pack_bundle(self._entries))
        for level, hashes in enumerate(self._levels):
            if hashes:
                number = (self.size >> (8 * level)) // WIDTH
                self._write(tile_path(level, number, len(hashes)), b"".join(hashes))

    def _write_full(self, name: str, data: bytes) -> None:
        """Write a full file; the partial ones before it have served."""
        path = self._write(name, data)
        shutil.rmtree(path.with_name(path.name + ".p"), ignore_errors=True)

    def _write(self, name: str, data: bytes) -> Path:
        path = self._directory / name
        write_file(path, data)
        return path

    def sync(self) -> None:
        """Make everything written so far durable.

        By one sync of the file system: there are hundreds of small files, and each fsync of its own
        would hold up those of the log.
        """
        fd = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if ctypes.CDLL(None, use_errno=True).syncfs(fd) != 0:
                raise OSError(ctypes.get_errno(), "cannot sync the tiles", str(self._directory))
        finally:
            os.close(fd)


def write_file(path: Path, data: bytes, mode: int = MODE, *, durable: bool = False) -> None:
    """Write a file that readers see whole or not at all."""
    fresh = path.with_name(f".{path.name}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    try:
        fd = os.open(fresh, flags, mode)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(fresh, flags, mode)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        if durable:
            os.fsync(fd)
    finally:
        os.close(fd)
    fresh.replace(path)


def write_durably(path: Path, data: bytes, mode: int = MODE) -> None:
    """Replace a file so that after a power cut the old or the new one is there, whole."""
    write_file(path, data, mode, durable=True)
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
