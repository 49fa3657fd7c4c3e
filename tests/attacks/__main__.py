"""Attacks on the real thing. Each prints a line with its counts.

Usage: python -m tests.attacks [--list] [--long] [--json FILE] [--keep] [NAME...]

Without a name all of them run, one after another. Exit status: 0 all held or were skipped, 1 one
has failed. Needs `make build native` and `. .ci/env`; power cuts and full disks need root and what
.ci/tools installs.
LONG=1 is --long. SEED=N repeats what chance has chosen.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

from tests.attacks import bit_rot, clock_jumps, devices, faults, journeys, kills, power_cut
from tests.attacks.report import MissingError, Report, ViolationError

Attack = Callable[[Path, bool], Report]
ATTACKS: dict[str, Attack] = {
    "power-cuts-ext4": partial(power_cut.cut_power, "ext4"),
    "power-cuts-xfs": partial(power_cut.cut_power, "xfs"),
    "kills-append": partial(kills.kill_at_each_instruction, "append"),
    "kills-rotate": partial(kills.kill_at_each_instruction, "rotate"),
    "kills-recover": partial(kills.kill_at_each_instruction, "recover"),
    "kills-takeover": kills.kill_in_takeover,
    "sync-errors": faults.fail_each_sync,
    "sync-errors-supervisor": faults.fail_each_sync_of_supervisor,
    "disk-errors": faults.fail_writes_of_disk,
    "no-space": faults.fail_each_allocation,
    "full-disk": faults.fill_disk,
    "clock-jumps": clock_jumps.jump_clocks,
    "journeys": journeys.make_journeys,
    "bit-rot": bit_rot.turn_every_bit,
    "bit-rot-large": bit_rot.turn_random_bits,
}


def make_directory() -> Path:
    """Return a directory in memory where there is one: what counts is what was written."""
    memory = Path("/dev/shm")
    parent = memory if os.access(memory, os.W_OK) else None
    return Path(tempfile.mkdtemp(prefix="hybridrt-attack-", dir=parent))


def attack(name: str, long: bool, keep: bool) -> Report:
    """Run one attack and judge it."""
    directory = make_directory()
    began = time.monotonic()
    try:
        report = ATTACKS[name](directory, long)
    except MissingError as missing:
        report = Report(name, skipped=str(missing))
    except ViolationError as violation:
        print(violation, flush=True)
        report = Report(name, violations=1)
    finally:
        if keep:
            print(f"kept: {directory}")
        else:
            shutil.rmtree(directory)
    report.seconds = round(time.monotonic() - began, 1)
    return report


def main(arguments: list[str]) -> int:
    """Run the attacks that are named; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.attacks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *ATTACKS], metavar="NAME")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--long", action="store_true", default=bool(os.environ.get("LONG")))
    parser.add_argument("--json", type=Path, help="store the last report there")
    parser.add_argument("--keep", action="store_true", help="keep what the attack worked on")
    options = parser.parse_args(arguments)
    if options.list:
        print("\n".join(ATTACKS))
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if os.geteuid() == 0:
        devices.enter_own_namespace()
    violations = 0
    for name in options.names or ATTACKS:
        report = attack(name, options.long, options.keep)
        violations += report.violations
        print(report.line(), flush=True)
        if options.json:
            options.json.write_text(json.dumps(asdict(report)) + "\n")
    return int(violations > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
