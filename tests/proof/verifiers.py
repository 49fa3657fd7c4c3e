"""The verifiers in three languages, each a program that judges a file of cases."""

import json
import subprocess
import sys
from pathlib import Path

from tests.proof.tampering import Cases

ROOT = Path(__file__).parent.parent.parent
VERIFIERS = {
    "python": [sys.executable, str(Path(__file__).parent / "verify_cases.py")],
    "go": [str(ROOT / "build" / "bin" / "hybridrt-verify-go"), "-cases"],
    "rust": [str(ROOT / "build" / "bin" / "hybridrt-verify-rust"), "--cases"],
}
TIMEOUT_S = 300


def verdicts(command: list[str], cases: Cases) -> dict[int, tuple[bool, str]]:
    """Let one verifier judge all cases."""
    words = [*command, str(cases.write())]
    run = subprocess.run(words, check=True, capture_output=True, text=True, timeout=TIMEOUT_S)
    found = [json.loads(line) for line in run.stdout.splitlines()]
    return {verdict["id"]: (verdict["accepted"], verdict["reason"]) for verdict in found}
