"""What a log remembers of a place outside of it, so that an empty one is not taken for a new one.

An archive and a proof may lie on disks of their own. Who starts while such a disk is not mounted
finds an empty directory where it belongs; a file beside the segments says what was there before.
"""

import contextlib
from pathlib import Path

import msgspec

from hybridrt.files import PRIVATE, write_durably


class Kept(msgspec.Struct, frozen=True):
    """The content of the file."""

    uuid: str  # of the log
    place: str
    number: int


class Memo:
    """One such file. What is remembered of another log or of another place is not recalled."""

    def __init__(self, path: Path, uuid: bytes, place: Path) -> None:
        """Keep the memo at `path`, which need not exist yet."""
        self.path = path
        self._uuid = uuid.hex()
        self._place = str(place.absolute())

    def recall(self) -> int | None:
        """Return the number that was kept last; None: there is none, and the place may be new."""
        try:
            kept = msgspec.json.decode(self.path.read_bytes(), type=Kept)
        except (OSError, msgspec.DecodeError):
            return None
        return kept.number if (kept.uuid, kept.place) == (self._uuid, self._place) else None

    def keep(self, number: int) -> None:
        """Remember that something is in the place; a disk without room for that stops nobody."""
        kept = Kept(self._uuid, self._place, number)
        with contextlib.suppress(OSError):
            write_durably(self.path, msgspec.json.encode(kept), PRIVATE)
