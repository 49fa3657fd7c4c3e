"""Each attack in its default size, as the command that a reader would type."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.attacks.__main__ import ATTACKS
from tests.attacks.programs import ROOT

LONG = bool(os.environ.get("LONG"))


@pytest.mark.slow
@pytest.mark.timeout(7200 if LONG else 600)
@pytest.mark.parametrize("name", ATTACKS)
def test_it_holds_under_the_attack(name: str, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    words = [sys.executable, "-m", "tests.attacks", name, "--json", str(path)]
    done = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    print(done.stdout)
    report = json.loads(path.read_text())
    if report["skipped"]:
        pytest.skip(report["skipped"])
    assert done.returncode == 0, done.stdout
    assert report["violations"] == 0
    assert sum(report["faults"].values()) > 0
