"""Block devices of our own: nbdkit serves one, nbdfuse makes it a file, a loop device a disk.

All of it belongs to this process: mounts lie in a namespace of its own, helpers die with it.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.attacks.report import MissingError, ViolationError

CLONE_NEWNS = 0x20000
MS_REC, MS_PRIVATE = 0x4000, 0x40000
PR_SET_PDEATHSIG = 1
DEADLINE_S = 20.0
PAUSE_S = 0.01
TOOLS = ("nbdkit", "nbdfuse", "fusermount3", "mount", "umount")
MAKE = {
    "ext4": ["mkfs.ext4", "-q", "-J", "size=4"],
    "xfs": ["mkfs.xfs", "-q", "-f", "--unsupported"],  # below 300 MB it calls itself that
}

libc = ctypes.CDLL(None, use_errno=True)


def need_root() -> None:
    """Skip without the right to mount."""
    if os.geteuid() != 0:
        raise MissingError("needs root, to mount file systems")


def need(*programs: str) -> None:
    """Skip when one of the programs is missing."""
    search = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    missing = [name for name in programs if shutil.which(name, path=search) is None]
    if missing:
        raise MissingError(f"needs {', '.join(missing)}; .ci/tools installs what Debian has")


def need_devices(filesystem: str) -> None:
    """Skip when this machine cannot make a block device of its own with that file system."""
    need_root()
    need(*TOOLS, MAKE[filesystem][0])
    for path in ("/dev/fuse", "/dev/loop-control"):
        if not Path(path).exists():
            raise MissingError(f"needs {path}")


def enter_own_namespace() -> None:
    """Let what is mounted from now on be seen by nobody else, and end with this process."""
    private = MS_REC | MS_PRIVATE
    if libc.unshare(CLONE_NEWNS) != 0 or libc.mount(None, b"/", None, private, None) != 0:
        raise OSError(ctypes.get_errno(), "cannot enter a mount namespace")


def run(*command: str | Path) -> None:
    """Run a helper that has to succeed."""
    words = [str(word) for word in command]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode != 0:
        raise ViolationError(f"{words} exited with {done.returncode}: {done.stderr.decode()}")


def _die_with_parent() -> None:
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


@contextlib.contextmanager
def serving(*command: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a helper for as long as the block lasts."""
    process = subprocess.Popen(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,  # each error that it is told to make
        preexec_fn=_die_with_parent,  # noqa: PLW1509 -- this process has one thread
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def await_path(path: Path, process: subprocess.Popen[bytes]) -> None:
    """Wait until a helper has made a path."""
    end = time.monotonic() + DEADLINE_S
    while not path.exists():
        if process.poll() is not None or time.monotonic() > end:
            raise MissingError(f"{process.args} did not make {path}")
        time.sleep(PAUSE_S)


def make_image(path: Path, filesystem: str, size: int) -> None:
    """Make a file with an empty file system."""
    with path.open("wb") as file:
        file.truncate(size)
    run(*MAKE[filesystem], path)


@contextlib.contextmanager
def mounted(file: Path, directory: Path, filesystem: str, *options: str) -> Iterator[Path]:
    """Mount a file through a loop device that goes when the mount does."""
    directory.mkdir(exist_ok=True)
    run("mount", "-t", filesystem, "-o", ",".join(("loop", *options)), file, directory)
    try:
        yield directory
    finally:
        run("umount", directory)


@contextlib.contextmanager
def memory_disk(directory: Path, size: int) -> Iterator[Path]:
    """Mount a small file system in memory."""
    directory.mkdir()
    run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", directory)
    try:
        yield directory
    finally:
        run("umount", directory)


@contextlib.contextmanager
def served(directory: Path, *plugin: str) -> Iterator[Path]:
    """Serve a disk with a plugin of nbdkit; give the file that is that disk."""
    socket, point = directory / "socket", directory / "fuse"
    point.mkdir()
    with serving("nbdkit", "--exit-with-parent", "-f", "-U", socket, *plugin) as nbdkit:
        await_path(socket, nbdkit)
        uri = f"nbd+unix:///?socket={socket}"
        with serving("nbdfuse", point / "disk", uri) as nbdfuse:
            await_path(point / "disk", nbdfuse)
            try:
                yield point / "disk"
            finally:
                run("fusermount3", "-u", "-z", point)


def plugin_path(name: str) -> str:
    """Return the setting that names a plugin of ours."""
    return f"script={Path(__file__).parent / name}"
