"""Runs the attacks and writes docs/evidence.md.

Usage: python -m tests.evidence [--long] [--page] [ATTACK...]

Results of attacks that are not run this time stay as they were. --page only writes the page.
"""

import argparse
import json
import subprocess
import sys
import time
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

from bench import machine
from tests.evidence.attacks import ATTACKS, ROOT, run
from tests.evidence.page import render

RESULTS = ROOT / "docs" / "evidence.json"
PAGE = ROOT / "docs" / "evidence.md"
BUGS = Path(__file__).parent / "bugs.toml"


def describe_machine() -> str:
    """Say in a line what the attacks ran on."""
    facts = machine.facts()
    memory = facts["memory_bytes"] / 2**30
    cores = f"{facts['cores']} cores of {facts['processor']}, {memory:.0f} GiB"
    return f"{cores}, Linux {facts['kernel']}, logs in {facts['disk_directory']}"


def load() -> dict[str, Any]:
    """Return the results so far."""
    if RESULTS.exists():
        found: dict[str, Any] = json.loads(RESULTS.read_text())
        return found
    return {"machine": "", "attacks": {}}


def page(results: dict[str, Any]) -> str:
    """Return the page for these results."""
    return render(results, tomllib.loads(BUGS.read_text())["bug"])


def add_up(total: dict[str, Any], reports: list[dict[str, Any]]) -> None:
    """Add the faults and counts of one more run to those of all runs so far."""
    total["runs"] = total.get("runs", 0) + 1
    total["violations"] = total.get("violations", 0) + sum(r["violations"] for r in reports)
    for name in ("faults", "counts"):
        sums = Counter(total.get(name, {}))
        for report in reports:
            found = report.get(name, {}).items()
            sums.update({what: count for what, count in found if isinstance(count, int)})
        total[name] = dict(sums)


def attack_all(results: dict[str, Any], names: list[str], *, long: bool) -> int:
    """Run attacks one after another, keep their results, return the violations."""
    commit = subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, text=True)
    violations = 0
    for attack in ATTACKS:
        if names and attack.name not in names:
            continue
        begun = time.monotonic()
        reports = run(attack, long=long)
        for report in reports:
            report.setdefault("seconds", round(time.monotonic() - begun, 1))
            report["date"] = time.strftime("%Y-%m-%d")
            report["commit"] = commit.strip()
            violations += report["violations"]
            print(f"{attack.name}: {report['what']}: {report['violations']} violations", flush=True)
        results["attacks"][attack.name] = reports
        add_up(results.setdefault("so_far", {}).setdefault(attack.name, {}), reports)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    return violations


def main() -> int:
    """Do as told; exit status 1 when there was a violation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--page", action="store_true")
    parser.add_argument("attacks", nargs="*", choices=[[], *(attack.name for attack in ATTACKS)])
    options = parser.parse_args()
    results = load()
    violations = 0
    if not options.page:
        results["machine"] = describe_machine()
        violations = attack_all(results, options.attacks, long=options.long)
    PAGE.write_text(page(results))
    return int(violations > 0)


if __name__ == "__main__":
    sys.exit(main())
