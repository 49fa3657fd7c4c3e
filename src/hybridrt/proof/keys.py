"""Key files: private keys one a line, for one name. Two lines mean that a rotation is under way."""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hybridrt.errors import (
    AlreadyRunningError,
    HybridrtError,
    PermissionDeniedError,
    ProofKeyError,
)
from hybridrt.files import PRIVATE, write_durably
from hybridrt.proof.note import ED25519, Signer, Verifier

KEYS_MAX = 2  # the old one and the new one


def make(path: Path, name: str, kind: int = ED25519) -> Verifier:
    """Make a key file; an existing one is never replaced."""
    signer = Signer.generate(name, kind)
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE)
    except FileExistsError as error:
        raise ProofKeyError(
            f"{path} exists already", "name another file; 'checkpoint rotate' changes a key"
        ) from error
    try:
        with os.fdopen(fd, "w") as file:
            file.write(signer.private_text() + "\n")
            file.flush()
            os.fsync(fd)
    except OSError as error:
        path.unlink()  # half a key would be in the way of the next one
        error.filename = str(path)
        raise
    return signer.verifier


def stamp(path: Path) -> tuple[int, int]:
    """Return what changes when a key file is replaced."""
    try:
        status = path.stat()
    except OSError as error:
        raise _unreadable(path, error) from error
    return status.st_ino, status.st_mtime_ns


def load(path: Path, kind: int = ED25519) -> list[Signer]:
    """Read a key file, the old key first. Raises ProofKeyError, PermissionDeniedError."""
    try:
        text = path.read_text()
        mode = path.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error
    if mode & 0o077:
        raise PermissionDeniedError(f"{path} is open to other users", f"chmod 600 {path}")
    signers = [Signer.parse(line) for line in text.splitlines() if line]
    if not 1 <= len(signers) <= KEYS_MAX or len({signer.name for signer in signers}) != 1:
        raise ProofKeyError(f"{path} must hold one key, or two of the same name in a rotation")
    if any(signer.kind != kind for signer in signers):
        raise ProofKeyError(f"the key in {path} is for something else: logs 1, witnesses 4")
    return signers


def _unreadable(path: Path, error: OSError | UnicodeDecodeError) -> HybridrtError:
    reason = error.strerror if isinstance(error, OSError) else "it is not text"
    text = f"cannot read the key file {path}: {reason}"
    if not isinstance(error, PermissionError):
        return ProofKeyError(text)
    return PermissionDeniedError(text, "it has to belong to the user of the prover: chown it")


def begin_rotation(path: Path) -> Verifier:
    """Add a new key: from the next checkpoint on, old and new both sign."""
    with _alone(path):
        signers = load(path)
        if len(signers) > 1:
            raise ProofKeyError(
                "a rotation is under way", "end it with 'checkpoint rotate --finish'"
            )
        fresh = Signer.generate(signers[0].name)
        _write(path, [*signers, fresh])
    return fresh.verifier


def finish_rotation(path: Path) -> Verifier:
    """Drop the old key: from the next checkpoint on, the new one signs alone."""
    with _alone(path):
        signers = load(path)
        if len(signers) == 1:
            raise ProofKeyError("no rotation is under way", "begin one with 'checkpoint rotate'")
        _write(path, signers[1:])
    return signers[1].verifier


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a key file that is about to be replaced: a key that was printed has to be in it."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _unreadable(path, error) from error
    with os.fdopen(fd) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise _taken(path) from error
        if not os.path.samestat(os.fstat(fd), path.stat()):
            raise _taken(path)
        yield


def _taken(path: Path) -> AlreadyRunningError:
    return AlreadyRunningError(
        f"somebody else changes {path}; nothing was done",
        "see 'checkpoint key' for the keys that it holds by then",
    )


def _write(path: Path, signers: list[Signer]) -> None:
    """Replace the keys. The file stays its owner's, who may not be who rotates."""
    text = "".join(signer.private_text() + "\n" for signer in signers)
    place = path.resolve()  # a link stays one
    before = place.stat()
    mode, owner = stat.S_IMODE(before.st_mode), (before.st_uid, before.st_gid)
    write_durably(place, text.encode(), mode, owner)
