"""Files that readers see whole or not at all, and what brings them to the disk."""

import os
from pathlib import Path

PRIVATE = 0o600
PUBLIC = 0o644


def write_file(path: Path, data: bytes | bytearray, mode: int = PUBLIC) -> None:
    """Replace a file in one step; its directory is made if it is not there."""
    _replace(path, data, mode)


def write_durably(
    path: Path, data: bytes, mode: int = PUBLIC, owner: tuple[int, int] | None = None
) -> None:
    """Replace a file so that after a power cut the old or the new one is there, whole.

    `owner` is the user and the group to give it to, None: who writes it.
    """
    _replace(path, data, mode, durable=True, owner=owner)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Bring the names of a directory to the disk."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_all(fd: int, data: bytes | bytearray, *, durable: bool = False) -> None:
    """Write all of it and close the descriptor."""
    try:
        with memoryview(data) as view:
            done = 0
            while done < len(view):
                done += os.write(fd, view[done:])
        if durable:
            os.fsync(fd)
    finally:
        os.close(fd)


def _replace(
    path: Path,
    data: bytes | bytearray,
    mode: int,
    *,
    durable: bool = False,
    owner: tuple[int, int] | None = None,
) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    try:
        fd = os.open(temporary, flags, mode)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(temporary, flags, mode)
    try:
        if owner is not None:
            os.fchmod(fd, mode)  # it may have been left behind with another one
            os.fchown(fd, *owner)
        write_all(fd, data, durable=durable)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        error.filename = error.filename or str(path)
        raise
