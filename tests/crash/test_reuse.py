"""The pid of a dead client goes to another process: no signal, lane or job follows it there.

LONG=1 makes it a thousand times.
"""

import os
import shutil
import subprocess
import sys

import pytest

TIMES = 1000 if os.environ.get("LONG") else 40


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None,
    reason="a pid namespace needs root and unshare(1)",
)
@pytest.mark.timeout(600)
def test_a_reused_pid_is_nobody_we_know() -> None:
    command = [sys.executable, "-m", "tests.crash.reuse", "--times", str(TIMES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{TIMES} pids were given to another process, 0 of those were hit" in done.stdout
