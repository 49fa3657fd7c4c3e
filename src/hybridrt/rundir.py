"""The runtime directory: where one supervisor has its lock and its sockets."""

import errno
import fcntl
import os
import stat
from pathlib import Path

from hybridrt.errors import (
    AlreadyRunningError,
    ConfigError,
    DiskFullError,
    PermissionDeniedError,
    SystemCallError,
)
from hybridrt.handover import SOCKET_NAME

SOCKET_PATH_BYTES_MAX = 107  # of a sockaddr_un


def make_directory(place: str, path: Path) -> None:
    """Make a directory that the configuration names at `place`, for this user alone."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise ConfigError([f"{place}: {path} is not a directory, or lies below a file"]) from error
    except PermissionError as error:
        raise PermissionDeniedError(
            f"{place}: cannot make {path}: {error.strerror}",
            "name a directory that this user may write to",
        ) from error
    except OSError as error:
        kind = DiskFullError if error.errno == errno.ENOSPC else SystemCallError
        raise kind(f"{place}: cannot make {path}: {error.strerror}") from error


class RunDirectory:
    """A directory of one user, and of one supervisor from `claim` or `inherit` to `close`."""

    def __init__(self, path: Path) -> None:
        """Name the directory; nothing is touched yet."""
        self.path = path
        self.attach = path / "attach.sock"  # where lanes are handed out
        self.control = path / "control.sock"
        self.events = path / "events.sock"
        self.standby = path / SOCKET_NAME  # where a standby connects
        self.lock_fd = -1

    def claim(self) -> None:
        """Make the directory and take its lock; refuse to share it."""
        make_directory("runtime.directory", self.path)
        self._check()
        fd = os.open(self.path / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(fd)
            raise AlreadyRunningError(
                f"another supervisor uses {self.path}",
                "stop it with 'hybridrt shutdown', or use another [runtime] directory",
            ) from error
        self.lock_fd = fd
        for socket_path in (self.standby, self.control, self.events):
            socket_path.unlink(missing_ok=True)  # left behind by a supervisor that was killed

    def inherit(self, lock_fd: int) -> None:
        """Go on with the lock of an earlier supervisor."""
        self.lock_fd = lock_fd
        self.standby.unlink(missing_ok=True)

    def close(self) -> None:
        """Give the lock back."""
        if self.lock_fd >= 0:
            os.close(self.lock_fd)

    def _check(self) -> None:
        status = self.path.stat()
        if status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o077:
            raise PermissionDeniedError(
                f"{self.path} must belong to this user with mode 0700",
                f"chmod 700 {self.path}, or name another one in [runtime] directory",
            )
        if len(os.fsencode(self.control)) > SOCKET_PATH_BYTES_MAX:
            limit = f"the path of a socket in it has at most {SOCKET_PATH_BYTES_MAX} bytes"
            raise ConfigError(
                [f"runtime.directory: {self.path} is too long: {limit}"],
                "name a shorter one, such as a directory in /run or /tmp",
            )
