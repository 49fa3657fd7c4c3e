"""A directory that is in use, and whether its name still leads to it."""

from pathlib import Path


class Place:
    """A directory as it was first seen."""

    def __init__(self, path: Path) -> None:
        """Look at a directory that exists."""
        self.path = path
        self._identity = _identity(path)

    def is_lost(self) -> bool:
        """Say whether it was moved, removed, or hidden by another one that was mounted there."""
        return _identity(self.path) != self._identity


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what a name leads to: the file system and the number in it; None: to nothing."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
