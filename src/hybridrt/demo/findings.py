"""What was found out about each file, kept small: a tree may have hundreds of thousands."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKED = Struct("<QQH32s")  # size, zstd, number of the type, SHA-256


@dataclass(frozen=True, slots=True)
class Digest:
    """One file: bytes, type, SHA-256, bytes after zstd."""

    size: int
    kind: str
    sha256: bytes
    zstd: int


class Findings:
    """Digests by path, 50 bytes each besides the path."""

    def __init__(self) -> None:
        """Begin empty."""
        self._packed: dict[str, bytes] = {}
        self._kinds: list[str] = []
        self._numbers: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._packed)

    def __contains__(self, path: str) -> bool:
        return path in self._packed

    def add(self, path: str, digest: Digest) -> None:
        """Keep a digest; the last one of a path counts."""
        number = self._numbers.get(digest.kind)
        if number is None:
            number = self._numbers[digest.kind] = len(self._kinds)
            self._kinds.append(digest.kind)
        self._packed[path] = PACKED.pack(digest.size, digest.zstd, number, digest.sha256)

    def get(self, path: str) -> Digest | None:
        """Return the digest of a path."""
        packed = self._packed.get(path)
        return None if packed is None else self._digest(packed)

    def items(self) -> Iterator[tuple[str, Digest]]:
        """Give paths with their digests."""
        for path, packed in self._packed.items():
            yield path, self._digest(packed)

    def values(self) -> Iterator[Digest]:
        """Give the digests."""
        return map(self._digest, self._packed.values())

    def _digest(self, packed: bytes) -> Digest:
        size, zstd, number, sha256 = PACKED.unpack(packed)
        return Digest(size, self._kinds[number], sha256, zstd)
