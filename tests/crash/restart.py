"""How long a restart takes until a log with many living jobs is ready, all of it read.

Usage: python -m tests.crash.restart [--jobs N] [--size BYTES] [--times N] [--directory DIR]
                                     [--json FILE]

`hrt-bench restart` of the package fills a log and opens it five times; this does that a few times
and prints one JSON object. The log's pages are in the cache, as they are after a crash.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hybridrt.programs import packaged_program
from tests.attacks.report import percentiles, tell


def restarts(directory: Path, jobs: int, size: int) -> Iterator[dict[str, Any]]:
    """Fill a log and open it again; yield what each opening says of itself."""
    words = ("restart", "--directory", directory, "--jobs", jobs, "--size", size)
    command = [str(packaged_program("hrt-bench")), *map(str, words)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    for line in done.stdout.splitlines():
        yield json.loads(line)


def campaign(parent: str | None, jobs: int, size: int, times: int) -> dict[str, Any]:
    """Restart; return what came of it, for the page of evidence."""
    found: list[dict[str, Any]] = []
    for _ in range(times):
        with tempfile.TemporaryDirectory(prefix="hrt-", dir=parent) as directory:
            found += restarts(Path(directory) / "log", jobs, size)
    rate = statistics.median(one["gigabytes_per_second"] for one in found)
    what = f"restarts, {jobs:,} living jobs of {size:,} bytes"
    return {
        "what": what,
        "counts": {"restarts": len(found), "bytes of log": found[0]["bytes"], "GB/s": rate},
        "times_ms": {f"{what}, ready": percentiles([one["seconds"] * 1e3 for one in found])},
        "violations": sum(one["jobs"] != jobs for one in found),
    }


def main() -> None:
    """Run as a command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--times", type=int, default=4)
    parser.add_argument("--directory", default=None, help="below which the log is made")
    parser.add_argument("--json", type=Path, help="where to write the figures too")
    options = parser.parse_args()
    tell(campaign(options.directory, options.jobs, options.size, options.times), options.json)


if __name__ == "__main__":
    main()
