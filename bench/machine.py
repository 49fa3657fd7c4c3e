"""What a number means nothing without: machine, kernel, load, and what one sync costs."""

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.pace import sleep_exactly
from hybridrt.cli.load import DISK_DIRECTORY, MEMORY_DIRECTORY

BLOCK = bytes(4096)
PROBE_BLOCKS = 1024
PAUSE_S = 0.002
STAMP_BYTES = 8
LISTENER = """
import os, sys, time
there, back, probes = map(int, sys.argv[1:])
os.write(back, bytes(8))
for _ in range(probes):
    os.read(there, 1)
    os.write(back, time.monotonic_ns().to_bytes(8, "little"))
"""


def facts() -> dict[str, Any]:
    """Describe the machine."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "memory_directory": f"{MEMORY_DIRECTORY} ({_file_system(MEMORY_DIRECTORY)})",
        "disk_directory": f"{DISK_DIRECTORY} ({_file_system(DISK_DIRECTORY)})",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "load_average": load_average(),
    }


def load_average() -> float:
    """Return how many processes wanted to run in the last minute, on average."""
    return round(os.getloadavg()[0], 2)


def fdatasync_ns(probes: int) -> int:
    """Return the median time of one fdatasync of 4 KiB that overwrites, at an idle pace."""
    with tempfile.TemporaryFile(dir=DISK_DIRECTORY) as file:
        fd = file.fileno()
        os.pwrite(fd, BLOCK * PROBE_BLOCKS, 0)
        os.fsync(fd)
        return round(statistics.median(_sync_ns(fd, turn) for turn in range(probes)))


def _sync_ns(fd: int, turn: int) -> int:
    time.sleep(PAUSE_S)
    os.pwrite(fd, b"x" * len(BLOCK), turn % PROBE_BLOCKS * len(BLOCK))
    begin_ns = time.monotonic_ns()
    os.fdatasync(fd)
    return time.monotonic_ns() - begin_ns


def wake_ns(probes: int) -> dict[str, int]:
    """Return percentiles of the time until a process that waits on a pipe has read a byte of it.

    At the pace of the latency runs: what the machine itself takes to wake an idle core.
    """
    there, back = os.pipe(), os.pipe()
    command = [sys.executable, "-c", LISTENER, str(there[0]), str(back[1]), str(probes)]
    sleep_exactly()
    with subprocess.Popen(command, pass_fds=(there[0], back[1])) as listener:
        os.read(back[0], STAMP_BYTES)  # it listens
        took_ns = sorted(_wake_ns(there[1], back[0]) for _ in range(probes))
        listener.wait()
    for fd in (*there, *back):
        os.close(fd)
    return {f"p{mark}": took_ns[probes * mark // 100] for mark in (50, 90, 99)}


def _wake_ns(there: int, back: int) -> int:
    time.sleep(PAUSE_S)
    begin_ns = time.monotonic_ns()
    os.write(there, b"x")
    return int.from_bytes(os.read(back, STAMP_BYTES), "little") - begin_ns


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _file_system(directory: str) -> str:
    """Return the type of the file system that holds a directory: the longest mount above it."""
    real = os.path.realpath(directory)
    found = ("", "?")
    for line in Path("/proc/self/mounts").read_text().splitlines():
        mount, kind = line.split()[1:3]
        inside = real == mount or real.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= len(found[0]):
            found = (mount, kind)
    return found[1]
