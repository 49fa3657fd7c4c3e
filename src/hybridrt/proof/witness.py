"""A witness: remembers the last head of a log, and cosigns only what goes on from it.

Its state is one directory for each log, named as C2SP tlog-witness names it, with the cosigned
`checkpoint`. What contradicts it is kept beside it as evidence and changes nothing.
"""

import fcntl
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from hybridrt.errors import AlreadyRunningError, ForkError, RollbackError
from hybridrt.files import write_durably
from hybridrt.proof import note
from hybridrt.proof.audit import extends, read_checkpoint
from hybridrt.proof.checkpoint import Head, parse_head
from hybridrt.proof.tiles import CHECKPOINT, Source, Tiles
from hybridrt.proof.tree import EMPTY_ROOT

EVIDENCE = "evidence"


@dataclass(frozen=True, slots=True)
class Witnessed:
    """What a look at a log came to."""

    head: Head
    before: int  # size of the last head
    note: str  # cosigned


class Witness:
    """One witness, of any number of logs."""

    def __init__(self, directory: Path, signer: note.Signer) -> None:
        """Keep the state in `directory`."""
        self._directory = directory
        self._signer = signer

    def look(self, source: Source, keys: Sequence[note.Verifier]) -> Witnessed:
        """Check the log at `source` against what was seen before, remember and cosign it.

        Raises RollbackError or ForkError, which are proof against the log when its signature is
        good; ProofError when nothing can be told.
        """
        shown = read_checkpoint(source)
        head, _ = note.signed_head(shown, keys)
        place = self._directory / sha256(head.origin.encode()).hexdigest()
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _Lock(place / "lock"):
            known = self._known(place, head.origin)
            try:
                extends(Tiles(source, head.size), known, head)
            except (ForkError, RollbackError):
                name = f"{EVIDENCE}-{sha256(shown.encode()).hexdigest()[:16]}"
                write_durably(place / name, shown.encode())
                raise
            cosigned = shown + self._signer.line(note.split(shown)[0], int(time.time()))
            write_durably(place / CHECKPOINT, cosigned.encode())
        return Witnessed(head, known.size, cosigned)

    def _known(self, place: Path, origin: str) -> Head:
        try:
            text, _ = note.verified(
                (place / CHECKPOINT).read_bytes().decode(), [self._signer.verifier]
            )
        except FileNotFoundError:
            return Head(origin, 0, EMPTY_ROOT)
        return parse_head(text)


class _Lock:
    """Two runs of a witness must not both compare and then both write."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._fd)
            raise AlreadyRunningError("another run of this witness is under way") from error

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)
