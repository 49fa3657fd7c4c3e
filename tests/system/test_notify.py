"""What a service manager sees: the test plays its side with a real datagram socket."""

import array
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import hybridrt
from hybridrt.exits import Status

ROOT = Path(__file__).parent.parent.parent
UNIT = ROOT / "examples" / "systemd" / "hybridrt.service"
DEADLINE_S = 20
RUN = "import sys; from hybridrt.service import run; sys.exit(run(sys.argv[1]))"
# As a manager does: descriptors from 3 on, their names, and whose they are.
RUN_WITH_SOCKET = """
import os, sys
os.dup2(int(sys.argv[2]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES="attach")
from hybridrt.service import run
sys.exit(run(sys.argv[1]))
"""


class Manager:
    """The receiving end of sd_notify."""

    def __init__(self, path: Path) -> None:
        """Listen at `path`."""
        self.address = str(path)
        self.stored: dict[str, socket.socket] = {}
        self.lines: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        self._socket.settimeout(DEADLINE_S)

    def await_line(self, wanted: str) -> None:
        """Read until a line came that begins so."""
        while not any(line.startswith(wanted) for line in self.lines):
            self._receive()

    def _receive(self) -> None:
        size = socket.CMSG_SPACE(array.array("i").itemsize)
        data, ancillary, _, _ = self._socket.recvmsg(4096, size)
        lines = data.decode().splitlines()
        self.lines += lines
        for _, _, raw in ancillary:
            (fd,) = array.array("i", raw)
            assert "FDSTORE=1" in lines
            (name,) = [line.partition("=")[2] for line in lines if line.startswith("FDNAME=")]
            if name in self.stored:
                self.stored.pop(name).close()
            self.stored[name] = socket.socket(fileno=fd)

    def close(self) -> None:
        """Close what was stored."""
        for one in (self._socket, *self.stored.values()):
            one.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    """Give a manager that listens."""
    made = Manager(tmp_path / "notify")
    yield made
    made.close()


def run(instance: Any, manager: Manager, **environment: str) -> subprocess.Popen[bytes]:
    process: subprocess.Popen[bytes] = instance.spawn(
        sys.executable,
        "-c",
        RUN,
        str(instance.config_path),
        NOTIFY_SOCKET=manager.address,
        **environment,
    )
    return process


def test_the_manager_is_told_of_start_reload_and_stop(instance: Any, manager: Manager) -> None:
    instance.write()
    process = run(instance, manager)
    manager.await_line("READY=1")
    assert f"MAINPID={process.pid}" in manager.lines
    assert manager.stored.keys() == {"attach"}
    manager.lines.clear()
    process.send_signal(signal.SIGHUP)
    manager.await_line("READY=1")
    assert [line.partition("=")[0] for line in manager.lines] == [
        "RELOADING",
        "MONOTONIC_USEC",
        "READY",
        "STATUS",
    ]
    process.send_signal(signal.SIGTERM)
    manager.await_line("STOPPING=1")
    assert process.wait(DEADLINE_S) == Status.OK


def test_the_watchdog_is_fed(instance: Any, manager: Manager) -> None:
    instance.write()
    run(instance, manager, WATCHDOG_USEC="300000")
    manager.await_line("READY=1")
    for _ in range(3):
        manager.lines.clear()
        manager.await_line("WATCHDOG=1")


def test_a_stopped_supervisor_does_not_feed_the_watchdog(instance: Any, manager: Manager) -> None:
    instance.write()
    process = run(instance, manager, WATCHDOG_USEC="60000")
    manager.await_line("WATCHDOG=1")
    process.send_signal(signal.SIGSTOP)
    manager._socket.settimeout(0.5)
    with pytest.raises(TimeoutError):  # what was sent before it stopped, and then nothing
        manager.await_line("never")


def test_workers_do_not_inherit_the_managers_variables(
    instance: Any, manager: Manager, tmp_path: Path, await_condition: Any
) -> None:
    seen = tmp_path / "environment"
    command = ["/bin/sh", "-c", f"env > {seen}.new && mv {seen}.new {seen} && sleep 60"]
    instance.write(pool=[{"name": "p", "command": command, "required": False}])
    run(instance, manager, WATCHDOG_USEC="300000")
    await_condition(seen.exists, "the worker wrote its environment")
    names = {line.partition("=")[0] for line in seen.read_text().splitlines()}
    assert "HYBRIDRT_SOCKET" in names
    assert names & {"NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_FDS"} == set()


def test_a_client_that_connects_while_the_service_restarts_waits_and_gets_in(
    instance: Any, manager: Manager
) -> None:
    instance.write()
    process = run(instance, manager)
    manager.await_line("READY=1")
    process.kill()
    process.wait()
    kept = manager.stored["attach"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as early:
        early.connect(str(instance.directory / "attach.sock"))  # queued: nobody accepts it yet
        command = [sys.executable, "-c", RUN_WITH_SOCKET, str(instance.config_path)]
        number = str(kept.fileno())
        again = subprocess.Popen(
            [*command, number],
            pass_fds=[kept.fileno()],
            env={**os.environ, "NOTIFY_SOCKET": manager.address},
        )
        try:
            manager.lines.clear()
            manager.await_line("READY=1")
            early.settimeout(DEADLINE_S)
            early.send(b"hello")  # not a good one: what matters is that somebody answers it
            assert early.recv(4096)
            with hybridrt.connect(instance.directory) as client:
                assert client.call("ping")["pid"] == again.pid
        finally:
            again.kill()
            again.wait()


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_the_unit_of_the_example_is_well_formed(tmp_path: Path) -> None:
    copy = tmp_path / "hybridrt.service"
    copy.write_text(UNIT.read_text().replace("/usr/local/bin/hybridrt", sys.executable))
    check = subprocess.run(
        ["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, check=False
    )
    assert (check.returncode, check.stderr) == (0, "")
