"""The growing tree: takes entries, writes tiles as they fill, knows its root.

The files are derived from the log, so they are not synced one by one: `sync` makes all of them
durable before the log may forget what they came from.
"""

import ctypes
import os
import shutil
from pathlib import Path

from hybridrt.files import PUBLIC, write_all, write_file
from hybridrt.native import check, ffi, lib
from hybridrt.proof import tree
from hybridrt.proof.leaf import Leaves
from hybridrt.proof.tiles import HEIGHT, WIDTH, Folder, Tiles, bundle_path, tile_path
from hybridrt.proof.tree import HASH_BYTES


def _root_of(hashes: bytes | bytearray) -> bytes:
    """Return the root over the hashes of a tile, or of a part of one."""
    root = ffi.new("uint8_t[]", HASH_BYTES)
    check(lib.hrt_tree_root(ffi.from_buffer(hashes), len(hashes) // HASH_BYTES, root))
    return bytes(ffi.buffer(root))


class Growth:
    """The right edge of a tree in memory, and the files of the rest."""

    def __init__(self, directory: Path) -> None:
        """Begin with the empty tree."""
        self.size = 0
        self._directory = directory
        self._open = Leaves()  # of the bundle and tile that are not full yet
        self._levels: list[bytearray] = []  # above the leaves: hashes of tiles that are not full

    def load(self, size: int) -> None:
        """Go on from a tree of `size` whose files are there; the caller compares the root."""
        tiles = Tiles(Folder(self._directory), size)
        self.size = size
        self._open = Leaves.of(tiles.bundle(size // WIDTH) if size % WIDTH else [])
        self._levels = []
        while count := size >> (HEIGHT * (len(self._levels) + 1)):
            level = len(self._levels) + 1
            hashes = tiles.tile(level, count // WIDTH) if count % WIDTH else []
            self._levels.append(bytearray(b"".join(hashes)))

    def extend(self, leaves: Leaves) -> None:
        """Add leaves; they are used up."""
        while leaves:
            taken = leaves.take(min(WIDTH - len(self._open), len(leaves)))
            self._open.add(taken.items, taken.hashes)
            self.size += len(taken)
            if len(self._open) == WIDTH:
                self._finish_bundle()

    def _finish_bundle(self) -> None:
        number = self.size // WIDTH - 1
        self._write_full(bundle_path(number), self._open.items)
        hashes, level = self._open.hashes, 0
        while True:
            self._write_full(tile_path(level, number), hashes)
            if level == len(self._levels):
                self._levels.append(bytearray())
            above = self._levels[level]
            above += _root_of(hashes)
            if len(above) < WIDTH * HASH_BYTES:
                break
            self._levels[level] = bytearray()
            hashes, level, number = above, level + 1, number // WIDTH
        self._open = Leaves()

    def _edge(self) -> list[bytearray]:
        """Return the hashes of the tiles that are not full, the leaves first."""
        return [self._open.hashes, *self._levels]

    def root(self) -> bytes:
        """Return the root over all leaves."""
        peaks: list[bytes] = []
        for hashes in reversed(self._edge()):
            for height, place in tree.peaks_of((0, len(hashes) // HASH_BYTES)):
                begin = (place << height) * HASH_BYTES
                peaks.append(_root_of(hashes[begin : begin + (HASH_BYTES << height)]))
        return tree.fold(peaks)

    def write_partials(self) -> None:
        """Write the tiles that are not full, as a checkpoint of this size needs them."""
        if self._open:
            self._write(bundle_path(self.size // WIDTH, len(self._open)), self._open.items)
        for level, hashes in enumerate(self._edge()):
            if hashes:
                number = (self.size >> (HEIGHT * level)) // WIDTH
                self._write(tile_path(level, number, len(hashes) // HASH_BYTES), hashes)

    def _write_full(self, name: str, data: bytearray) -> None:
        """Write a full file; the partial ones before it have served.

        Nobody reads it before the next checkpoint, so it may appear bit by bit; one that is there
        already, from before a crash, is replaced in one step.
        """
        path = f"{self._directory}/{name}"
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PUBLIC)
        except OSError:
            write_file(Path(path), data)
        else:
            write_all(fd, data)
        partial = f"{path}.p"
        if os.path.isdir(partial):  # noqa: PTH112 - twice for each bundle, and Path is slow
            shutil.rmtree(partial)

    def _write(self, name: str, data: bytearray) -> None:
        write_file(self._directory / name, data)

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
