"""The C programs of the attacks, as meson builds them; they print their counts as JSON."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

from tests.attacks.report import Counts, ViolationError

ROOT = Path(__file__).parent.parent.parent
BUILD = Path(os.environ.get("HYBRIDRT_NATIVE_BUILD", ROOT / "build" / "native"))
JSON_LINE = "# json "
LAST_LINES = 20


def program(name: str) -> Path:
    """Return the path of a C program."""
    path = BUILD / "native" / "tests" / name
    if not path.exists():
        sys.exit(f"{path} is not built: run 'make native', or .ci/native {BUILD}")
    return path


def start(name: str, *words: object, errors: Path | None = None) -> subprocess.Popen[str]:
    """Start a C program; what it says on its error output goes to a file, if one is named."""
    command = [str(program(name)), *(str(word) for word in words)]
    with contextlib.ExitStack() as stack:
        output = None if errors is None else stack.enter_context(errors.open("w"))
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=output, stdin=subprocess.DEVNULL, text=True
        )


def finish(process: subprocess.Popen[str]) -> Counts:
    """Wait for a program; return its counts."""
    output, _ = process.communicate()
    lines = output.splitlines()
    counts = [json.loads(line.removeprefix(JSON_LINE)) for line in lines if JSON_LINE in line]
    if process.returncode != 0 or not counts:
        told = "\n".join(lines[-LAST_LINES:])
        raise ViolationError(f"{process.args} exited with {process.returncode}:\n{told}")
    found: Counts = counts[-1]
    return found


def finish_all(processes: list[subprocess.Popen[str]]) -> list[Counts]:
    """Wait for several; when one has failed, for the others too, before that is told."""
    failures: list[ViolationError] = []
    counts: list[Counts] = []
    for process in processes:
        try:
            counts.append(finish(process))
        except ViolationError as violation:
            failures.append(violation)
    if failures:
        raise failures[0]
    return counts
