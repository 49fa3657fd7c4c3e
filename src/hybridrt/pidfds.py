"""Processes by their pidfd, which never names another one."""

import os
import signal
import subprocess
from typing import Any


def of_child(popen: "subprocess.Popen[Any]") -> int:
    """Return the pidfd of a child that was just started; `collect` learns how it ended."""
    popen.returncode = 0  # Popen shall not ask for it
    return os.pidfd_open(popen.pid)


def collect(pidfd: int) -> int | None:
    """Return how a process ended, whose pidfd is readable: its exit status, or minus the signal.

    None: it is no child of ours, or collected already, so nobody tells.
    """
    try:
        end = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)
    except ChildProcessError:
        return None
    if end is None:
        return None
    return end.si_status if end.si_code == os.CLD_EXITED else -end.si_status


def send(pidfd: int, number: signal.Signals) -> bool:
    """Send a signal; False when the process is gone already, which is no error."""
    try:
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return False
    return True
