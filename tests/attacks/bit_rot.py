"""Bits that rot: every one of a small log, random ones of a large one."""

import os
import random
from pathlib import Path

from tests.attacks.programs import finish_all, start
from tests.attacks.report import Counts, Report, add_up

PROGRAM = "test_bit_rot"
FLIPS, FLIPS_LONG = 50, 5000  # of each worker, in 256 MiB


def _add(parts: list[Counts], key: str) -> Counts:
    return add_up([part[key] for part in parts])


def turn_every_bit(_directory: Path, _long: bool) -> Report:
    """Turn over every bit of a full segment and of the next, with the last boot known and not."""
    workers = 2 * ((os.cpu_count() or 2) // 2 or 1)
    parts = finish_all([start(PROGRAM, "all", worker, workers) for worker in range(workers)])
    return Report("every bit of a log of 64 KiB", _add(parts, "faults"), _add(parts, "counts"))


def turn_random_bits(_directory: Path, long: bool) -> Report:
    """Turn over random bits of large logs."""
    seed = int(os.environ.get("SEED", random.randrange(1 << 32)))
    flips = FLIPS_LONG if long else FLIPS
    parts = finish_all([start(PROGRAM, "large", flips, seed + half) for half in range(2)])
    what = "random bits of a log of 256 MiB"
    return Report(what, _add(parts, "faults"), _add(parts, "counts"), seed=seed)
