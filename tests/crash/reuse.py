"""Gives the pid of a dead client to an innocent process, before the supervisor can look.

Usage: python -m tests.crash.reuse [--times N] [--json FILE]

Runs in a pid namespace of its own, where the next pid can be chosen (needs root). In each round the
supervisor is stopped; a client dies and is reaped; a process that has nothing to do with it gets
its pid; the supervisor goes on. It must take the dead client's lane and job back, and the
innocent must never see a signal. Half of the clients die while they run a job, the other half
while they wait to be admitted.
"""

import argparse
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import hybridrt
from hybridrt.client import Client
from hybridrt.errors import HybridrtError

ROOT = Path(__file__).parent.parent.parent
INSIDE = "HYBRIDRT_TEST_IN_NAMESPACE"
LAST_PID = Path("/proc/sys/kernel/ns_last_pid")
DEADLINE_S = 30.0
PAUSE_S = 0.002
TRIES = 50
LONG_SLEEP_MS = 600_000
INNOCENT = "import signal; [signal.pause() for _ in iter(int, 1)]"


class StuckError(Exception):
    """A condition did not come true in time."""


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for a callable to be true."""
    end = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > end:
            raise StuckError(what)
        time.sleep(PAUSE_S)


def innocent_with(pid: int) -> subprocess.Popen[bytes] | None:
    """Start a process that has this pid, or return None when another one was faster."""
    LAST_PID.write_text(str(pid - 1))
    process = subprocess.Popen([sys.executable, "-S", "-c", INNOCENT])
    if process.pid == pid:
        return process
    process.kill()
    process.wait()
    return None


def take_pid(pid: int) -> subprocess.Popen[bytes]:
    """Start a process that has this pid."""
    for _ in range(TRIES):
        if innocent := innocent_with(pid):
            return innocent
    raise StuckError(f"pid {pid} could not be had")


class Round:
    """One supervisor, one client that watches, and victims one after another."""

    def __init__(self, home: Path) -> None:
        """Start the supervisor."""
        self.home = home
        self.misdirected = 0
        config = home / "hybridrt.toml"
        config.write_text(
            f'[log]\ndirectory = "{home}/log"\nsegment_size = "1MiB"\nmax_size = "64MiB"\n'
            f'[runtime]\ndirectory = "{home}/run"\nlog_level = "error"\n'
            '[[queue]]\nname = "default"\nmax_crashes = 3\nresult_ttl = 0\n'
            '[[kind]]\nname = "conf.sleep"\n'
        )
        command = [sys.executable, "-m", "hybridrt.cli", "run", "--config", str(config)]
        self.supervisor = subprocess.Popen(command, cwd=ROOT)
        self.client = self._connect()

    def _connect(self) -> Client:
        found: list[Client] = []

        def connected() -> bool:
            try:
                found.append(hybridrt.connect(str(self.socket)))
            except HybridrtError:
                return False
            return True

        until(connected, "the supervisor admits a client")
        return found[0]

    @property
    def socket(self) -> Path:
        """Return where clients attach."""
        return self.home / "run" / "attach.sock"

    def counter(self, name: str) -> int:
        """Return a counter of the runtime."""
        return int(self.client.stats().runtime[name])

    def running_client_dies(self) -> None:
        """Kill a worker amid a job."""
        lanes = self.counter("lanes")
        worker = subprocess.Popen(
            [str(ROOT / "build" / "bin" / "conformance-c")],
            env={**os.environ, "HYBRIDRT_SOCKET": str(self.socket)},
        )
        job = self.client.enqueue("conf.sleep", {"ms": LONG_SLEEP_MS})
        until(self._runs, "the job runs")
        with self._pid_reused(worker):
            until(lambda: not self._runs(), "the job of the dead worker is taken back")
            until(lambda: self.counter("lanes") == lanes, "its lane is taken back")
        job.cancel()

    def _runs(self) -> bool:
        return int(self.client.stats().queue("default")["running"]) == 1

    def waiting_client_dies(self) -> None:
        """Kill a client that has said hello and was not admitted yet."""
        lanes = self.counter("lanes")
        self.supervisor.send_signal(signal.SIGSTOP)
        hello = "import socket, sys; s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET);"
        hello += "s.connect(sys.argv[1]); s.send(bytes.fromhex(sys.argv[2])); s.recv(1)"
        peer = subprocess.Popen(
            [sys.executable, "-S", "-c", hello, str(self.socket), self._hello().hex()]
        )
        until(lambda: self._sent(peer), "the peer has said hello")
        with self._pid_reused(peer):
            until(lambda: self.counter("lanes") == lanes, "the lane of the dead peer is taken back")

    @staticmethod
    def _sent(peer: subprocess.Popen[bytes]) -> bool:
        """Say whether the peer waits for its answer, in recvfrom(2) of x86-64 or aarch64."""
        call = Path(f"/proc/{peer.pid}/syscall").read_text().split(maxsplit=1)[0]
        return call == {"x86_64": "45", "aarch64": "207"}[platform.machine()]

    @staticmethod
    def _hello() -> bytes:
        from hybridrt.native import ffi, lib

        hello = ffi.new("hrt_hello *")
        hello.magic, hello.abi_version = lib.HRT_MAGIC_HELLO, lib.HRT_ABI_VERSION
        return bytes(ffi.buffer(hello))

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as peer:
            peer.connect(str(self.socket))
            peer.send(b"who is there?")
            return bool(peer.recv(512))

    @contextmanager
    def _pid_reused(self, victim: subprocess.Popen[bytes]) -> Iterator[None]:
        """Kill and reap the victim while the supervisor cannot look; its pid lives on meanwhile."""
        self.supervisor.send_signal(signal.SIGSTOP)
        victim.kill()
        victim.wait()
        innocent = take_pid(victim.pid)
        try:
            self.supervisor.send_signal(signal.SIGCONT)
            until(self._answers, "the supervisor goes on")
            yield
            self.misdirected += innocent.poll() is not None
        finally:
            innocent.kill()
            innocent.wait()

    def close(self) -> None:
        """End the supervisor."""
        self.client.close()
        self.supervisor.send_signal(signal.SIGCONT)
        self.supervisor.kill()
        self.supervisor.wait()


def reuse(times: int) -> int:
    """Go through so many rounds; return how many innocents were hit."""
    with tempfile.TemporaryDirectory(prefix="hrt-") as directory:
        home = Path(directory)
        (home / "run").mkdir(mode=0o700)
        world = Round(home)
        try:
            for number in range(times):
                if number % 2 == 0:
                    world.running_client_dies()
                else:
                    world.waiting_client_dies()
        finally:
            world.close()
        return world.misdirected


def main() -> int:
    """Run the attack; exit status 1 when an innocent was hit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if INSIDE not in os.environ:
        command = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
        command += [sys.executable, "-m", "tests.crash.reuse", *sys.argv[1:]]
        return subprocess.run(command, env={**os.environ, INSIDE: "1"}, check=False).returncode
    begun = time.monotonic()
    hit = reuse(options.times)
    report = {
        "what": "reused process ids",
        "command": f"python -m tests.crash.reuse --times {options.times}",
        "faults": {"pids given to another process": options.times},
        "violations": hit,
        "seconds": round(time.monotonic() - begun, 1),
    }
    if options.json:
        options.json.write_text(json.dumps(report) + "\n")
    print(f"{options.times} pids were given to another process, {hit} of those were hit")
    return int(hit > 0)


if __name__ == "__main__":
    sys.exit(main())
