"""Whether the disk has room for the log to grow: without, it goes on in the files that it has."""

import os
from pathlib import Path

from hybridrt.config import LogConfig
from hybridrt.units import format_size


def lack_of_space(directory: Path, settings: LogConfig) -> str:
    """Say that the log may grow but the disk has no room; empty: it has, or it need not."""
    try:
        files = [path.stat().st_size for path in directory.glob("*.seg")]
        disk = os.statvfs(directory)
    except OSError:
        return ""
    blocks = disk.f_bavail if os.getuid() else disk.f_bfree  # some are kept for root
    free = disk.f_frsize * blocks
    size, more = sum(files), max(files, default=settings.segment_size)
    if free >= more or size + more > settings.max_size:
        return ""
    return (
        f"the disk is full: the log has {format_size(size)} of its {format_size(settings.max_size)}"
        f" and needs {format_size(more)} to grow, {format_size(free)} are free"
    )
