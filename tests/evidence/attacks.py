"""The list of attacks: what is run, in its short form and in its long one."""

import json
import os
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.attacks.__main__ import ATTACKS as ON_THE_SYSTEM

ROOT = Path(__file__).parent.parent.parent
JSON_LINE = "# json "  # how the C programs print their figures


@dataclass(frozen=True, slots=True)
class Attack:
    """One command. {json} in it stands for a file to write; without one it prints its figures."""

    name: str
    short: str
    long: str = ""

    def command(self, *, long: bool) -> str:
        """Return the command line, as a reader would type it."""
        return self.long if long and self.long else self.short


PYTHON = "python -m tests.crash"
ATTACKS = [
    Attack(
        "kills",
        f"{PYTHON}.campaign --kills 1000 --json {{json}}",
        f"{PYTHON}.campaign --kills 5000 --json {{json}}",
    ),
    Attack(
        "kills-recycle",
        f"{PYTHON}.campaign --kills 200 --recycle --json {{json}}",
        f"{PYTHON}.campaign --kills 2000 --recycle --json {{json}}",
    ),
    Attack(
        "kills-memory",
        f"{PYTHON}.campaign --kills 200 --durability memory --json {{json}}",
        f"{PYTHON}.campaign --kills 2000 --durability memory --json {{json}}",
    ),
    Attack(
        "kills-standby",
        f"{PYTHON}.campaign --kills 200 --standby --json {{json}}",
        f"{PYTHON}.campaign --kills 2000 --standby --json {{json}}",
    ),
    Attack(
        "simulator",
        "build/native/native/sim/hrt-sim --seeds 10000 -j 2 --json {json}",
        "build/native/native/sim/hrt-sim --seeds 200000 -j 2 --json {json}",
    ),
    Attack(
        "takeovers",
        f"{PYTHON}.takeover --trials 10 --jobs 1000000 --directory /dev/shm --json {{json}}",
        f"{PYTHON}.takeover --trials 100 --jobs 1000000 --directory /dev/shm --json {{json}}",
    ),
    Attack(
        "upgrades",
        f"{PYTHON}.takeover --upgrade --trials 10 --jobs 1000000 --directory /dev/shm "
        "--json {json}",
        f"{PYTHON}.takeover --upgrade --trials 100 --jobs 1000000 --directory /dev/shm "
        "--json {json}",
    ),
    Attack(
        "workers-killed",
        "python -m bench.deaths --trials 20 --json {json}",
        "python -m bench.deaths --trials 200 --json {json}",
    ),
    Attack("restarts", f"{PYTHON}.restart --json {{json}}"),
    Attack("restarts-1KiB", f"{PYTHON}.restart --size 1024 --times 2 --json {{json}}"),
    Attack("stale-tokens", "build/native/native/tests/test_zombie"),
    Attack(
        "reused-pids",
        f"{PYTHON}.reuse --times 200 --json {{json}}",
        f"{PYTHON}.reuse --times 1000 --json {{json}}",
    ),
    Attack("power-cuts", "build/native/native/tests/test_power_cut"),
    Attack("system-calls", "build/native/native/tests/test_crash"),
    Attack("system-calls-runtime", "build/native/native/tests/test_crash_runtime"),
    Attack("hostile-lane", "build/native/native/tests/test_hostile"),
    Attack("tampered-proofs", "python -m tests.proof.attack tampers --json {json}"),
    Attack("killed-provers", "python -m tests.proof.attack kills --json {json}"),
    Attack("power-cut-provers", "python -m tests.proof.attack power-cuts --json {json}"),
    *(Attack(name, f"python -m tests.attacks {name} --json {{json}}") for name in ON_THE_SYSTEM),
]


def run(attack: Attack, *, long: bool) -> list[dict[str, Any]]:
    """Run one attack and return its reports; several when its program has several parts."""
    shown = attack.command(long=long)
    with tempfile.TemporaryDirectory(prefix="hrt-evidence-") as directory:
        path = Path(directory) / "report.json"
        words = shlex.split(shown.format(json=path))
        if words[0] == "python":
            words[0] = sys.executable
        environment = {**os.environ, **({"LONG": "1"} if long else {})}
        done = subprocess.run(
            words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=False
        )
        texts = [path.read_text()] if path.exists() else _printed(done.stdout)
    reports = [json.loads(text) for text in texts]
    if not reports:
        reports = [{"what": attack.name, "violations": int(done.returncode != 0)}]
    for report in reports:
        prefix = "LONG=1 " if long and not attack.long else ""
        report["command"] = prefix + shown.removesuffix(" --json {json}")
        report["violations"] += int(done.returncode != 0 and report["violations"] == 0)
    return reports


def _printed(output: str) -> list[str]:
    lines = output.splitlines()
    return [line.removeprefix(JSON_LINE) for line in lines if line.startswith(JSON_LINE)]
