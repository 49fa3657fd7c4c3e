"""Attacks on the proof, for the page of evidence.

Usage: python -m tests.proof.attack tampers|kills|power-cuts [--json FILE]
"""

import argparse
import json
import os
import random
import secrets
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.attacks.report import Report
from tests.proof import proven_log
from tests.proof.tampering import Cases, tamper_files, tamper_receipts, tamper_records
from tests.proof.verifiers import ROOT, VERIFIERS, verdicts

TAMPERS = 10_000 if os.environ.get("LONG") else 1_200
JOBS = 700


def tampers(home: Path) -> Report:
    """Change single bytes of everything that is signed; three verifiers judge each case."""
    seed = int(os.environ.get("SEED") or secrets.randbelow(2**32))
    proven = proven_log.make(home / "proven", home / "run", JOBS)
    cases = Cases(home / "cases", random.Random(seed))
    cases.home.mkdir()
    whole = {"keys": [proven.vkey], "directory": str(proven.directory), "log": str(proven.log)}
    cases.add("whole", accepted=True, **whole)
    tamper_records(cases, proven, TAMPERS // 3)
    tamper_files(cases, proven, TAMPERS // 3)
    tamper_receipts(cases, proven, every=max(1, 16 * 1200 // TAMPERS))
    wrong = 0
    for command in VERIFIERS.values():
        found = verdicts(command, cases)
        wrong += sum(found.get(n, (None,))[0] is not good for n, good in cases.expected.items())
    kinds = Counter(cases.kinds[n] for n, good in cases.expected.items() if not good)
    faults = {f"bytes of {_named(kind)}": count for kind, count in sorted(kinds.items())}
    counts = {"cases": len(cases.lines), "verdicts": len(cases.lines) * len(VERIFIERS)}
    what = "single bytes of a proof changed, judged in Python, Go and Rust"
    return Report(what, faults, counts, seed=seed, violations=wrong)


def _named(kind: str) -> str:
    return f"tiles of level {kind}" if kind.isdigit() else f"{kind.rstrip('s')}s"


def kills(home: Path, *options: str) -> Report:
    """Kill a prover before each of its operations on files."""
    proven = proven_log.make(home / "proven", home / "run", JOBS)
    (proven.home / "vkey").write_text(proven.vkey)
    words = [sys.executable, "-m", "tests.proof.kill_points", str(proven.home), "1", *options]
    run = subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(run.stdout)
    power = " and what it had not synced emptied" if options else ""
    what = f"prover killed before each operation on files{power}"
    counts = {"states": found["tried"], "signed heads among them": len(found["sizes"])}
    return Report(what, {"kills": found["tried"]}, counts, violations=len(found["faults"]))


ATTACKS = {
    "tampers": tampers,
    "kills": kills,
    "power-cuts": lambda home: kills(home, "--power-cut"),
}


def main() -> int:
    """Run one attack; exit status 1 when there was a violation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("attack", choices=list(ATTACKS))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="hrt-proof-") as home:
        (Path(home) / "proven").mkdir()
        report = ATTACKS[options.attack](Path(home))
    report.seconds = round(time.monotonic() - begun, 1)
    print(report.line())
    if options.json:
        fields = {name: getattr(report, name) for name in Report.__slots__}
        options.json.write_text(json.dumps(fields))
    return int(report.violations > 0)


if __name__ == "__main__":
    sys.exit(main())
