"""Processes of one campaign, whoever started them: each has the campaign's mark in its environment.

A standby that became the supervisor, and the workers of a dead one, are nobody's children any more.
"""

import contextlib
import os
import time

import psutil

RUN = "import sys; from hybridrt.service import run; sys.exit(run(sys.argv[1]))"
MARK = "HYBRIDRT_CAMPAIGN"


class Kin:
    """All processes that were started with one environment, or by one of them."""

    def __init__(self) -> None:
        """Make a mark of its own."""
        self._mark = f"{os.getpid()}-{time.monotonic_ns()}"

    def environment(self) -> dict[str, str]:
        """Return the environment for the first of them."""
        return {**os.environ, MARK: self._mark}

    def running(self) -> list[psutil.Process]:
        """Return those that run."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                marked = process.environ().get(MARK) == self._mark
                if marked and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found
