"""What the service manager is told, by the protocol of sd_notify: a datagram of lines.

Without $NOTIFY_SOCKET, which systemd sets for units of Type=notify, nothing is sent.
"""

import array
import os
import socket
from collections.abc import Mapping, Sequence

from hybridrt.logs import get_logger

log = get_logger("notify")

FIRST_FD = 3  # of those that the manager passes on
FDS_MAX = 64  # that are looked at
MICROSECONDS = 1_000_000
# Of the supervisor only: workers must not speak for it.
MANAGER_NAMES = frozenset(
    {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID"}
    | {"LISTEN_FDNAMES", "LISTEN_PIDFDID"}
)


def without_manager(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment for workers."""
    return {name: value for name, value in environment.items() if name not in MANAGER_NAMES}


def managed() -> bool:
    """Say whether a service manager listens."""
    return bool(os.environ.get("NOTIFY_SOCKET"))


def notify(*lines: str, fds: Sequence[int] = ()) -> None:
    """Send lines such as ``READY=1``, with descriptors for the store; never fails."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    place = "\0" + address[1:] if address.startswith("@") else address
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
            one.setblocking(False)  # a manager that hangs must not hang us
            one.sendmsg(["\n".join(lines).encode()], ancillary, 0, place)
    except OSError as error:
        log.warning("the service manager was not told", err=str(error), lines=list(lines))


def watchdog_seconds() -> float:
    """Return how often the manager wants a sign of life at least; 0: not at all."""
    text = os.environ.get("WATCHDOG_USEC", "")
    return int(text) / MICROSECONDS if text.isdigit() else 0.0


def passed_sockets() -> dict[str, socket.socket]:
    """Take the sockets that the manager passed on, by name; those of others are left alone."""
    count, pid = os.environ.pop("LISTEN_FDS", ""), os.environ.pop("LISTEN_PID", "")
    names = os.environ.pop("LISTEN_FDNAMES", "").split(":")
    if not count.isdigit() or pid != str(os.getpid()):
        return {}
    numbers = range(FIRST_FD, FIRST_FD + min(int(count), FDS_MAX))
    taken: dict[str, socket.socket] = {}
    for fd, name in zip(numbers, names, strict=False):
        os.set_inheritable(fd, False)
        if name in taken:
            os.close(fd)  # stored twice
        else:
            taken[name] = socket.socket(fileno=fd)
    return taken
