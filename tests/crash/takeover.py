"""How long nothing is dispatched when a supervisor dies, or is upgraded, with many jobs pending.

Usage: python -m tests.crash.takeover [--trials N] [--jobs M] [--upgrade] [--directory DIR]
                                      [--snapshot-every SIZE] [--json FILE]

Each trial kills the supervisor (or asks for an upgrade) while its standby is ready, and
looks at two clocks: the time of the first LEASE record of the new epoch, and when the worker began
that job. Prints one JSON object. docs/design.md has the figures of one run.
"""

import argparse
import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psutil

import hybridrt
from hybridrt.client import Client, Control
from hybridrt.errors import HybridrtError
from hybridrt.logreader import Scan
from hybridrt.records import HEADER, HEADER_NAMES, RecordType
from tests.attacks.report import percentiles, tell
from tests.crash.clock import BEGUN
from tests.crash.kin import RUN, Kin

ROOT = Path(__file__).parent.parent.parent
DEADLINE_S = 120.0
PAUSE_S = 0.02
BATCH = 10_000


@dataclass(frozen=True, slots=True)
class Epoch:
    """Where an epoch began, and its first lease; the last lease before it."""

    number: int
    begun_ns: int
    leased_ns: int
    token: int
    before_ns: int


class LogFollower:
    """Reads the log as it grows, and finds the first lease of each epoch."""

    def __init__(self, directory: Path) -> None:
        """Open the log at its beginning."""
        self._scan = Scan(str(directory))
        self._last_lease_ns = 0
        self._begun: tuple[int, int, int] | None = None
        self.epochs: list[Epoch] = []

    def read(self) -> list[Epoch]:
        """Take what was written up to now; return all epochs that have leased.

        What is written meanwhile waits: a busy log has no end that a reader could come to.
        """
        now_ns = time.time_ns()
        for raw in self._scan:
            header = dict(zip(HEADER_NAMES, HEADER.unpack_from(raw), strict=True))
            if header["type"] == RecordType.EPOCH:
                self._begun = (header["epoch"], header["time_ns"], self._last_lease_ns)
            elif header["type"] == RecordType.LEASE:
                self._last_lease_ns = header["time_ns"]
                if self._begun is not None:
                    number, begun_ns, before_ns = self._begun
                    lease = (header["time_ns"], header["sequence"], before_ns)
                    self.epochs.append(Epoch(number, begun_ns, *lease))
                    self._begun = None
            if header["time_ns"] >= now_ns:
                break
        return self.epochs

    def close(self) -> None:
        """Close the log."""
        self._scan.close()


class Field:
    """A supervisor with a standby, one worker and a long queue."""

    def __init__(self, directory: Path, jobs: int, snapshot_every: str) -> None:
        """Start everything and fill the queue."""
        self.directory = directory
        self._snapshot_every = snapshot_every
        self.begun_path = directory / "begun"
        self._kin = Kin()
        self._write_config()
        with (directory / "output").open("ab") as output:
            self._first = subprocess.Popen(
                [sys.executable, "-c", RUN, str(directory / "hybridrt.toml")],
                cwd=ROOT,
                stdout=output,
                stderr=output,
                env=self._kin.environment(),
            )
        try:
            self.until(self.status, "the supervisor answers")
            self.client = hybridrt.connect(directory / "run")
            self._fill(self.client, jobs)
        except BaseException:
            self.close()
            raise

    def _write_config(self) -> None:
        command = [sys.executable, "-m", "tests.crash.clock", str(self.begun_path)]
        every = self._snapshot_every
        snapshots = f'snapshot = true\nsnapshot_every = "{every}"\n' if every else ""
        (self.directory / "hybridrt.toml").write_text(
            f'[log]\ndirectory = "{self.directory}/log"\nmax_size = "8GiB"\n{snapshots}'
            f'[runtime]\ndirectory = "{self.directory}/run"\nstandby = true\nroll = false\n'
            'log_format = "json"\n'
            '[[queue]]\nname = "long"\ndurability = "memory"\nmax_jobs = 0\nresult_ttl = 0\n'
            f'[[pool]]\nname = "clock"\ncommand = {json.dumps(command)}\nkinds = ["clock"]\n'
        )

    @staticmethod
    def _fill(client: Client, jobs: int) -> None:
        payloads = [bytes(64)] * BATCH
        for _ in range(jobs // BATCH):
            client.enqueue_many("clock", payloads, queue="long").check()

    def call(self, verb: str, timeout: float = 5.0, **arguments: Any) -> Any:
        """Send one control request."""
        control = Control(self.directory / "run")
        try:
            return control.call(verb, timeout, **arguments)
        finally:
            control.close()

    def status(self) -> Any:
        """Return the status, or None while nobody answers."""
        with contextlib.suppress(HybridrtError):
            return self.call("status")
        return None

    def ready(self) -> Any:
        """Return the status once a standby is ready and has caught up."""
        status = self.status()
        there = status and status["state"] == "running" and status["standby"]
        return status if there and there["ready"] else None

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        """Return the first true value of `condition`."""
        end = time.monotonic() + DEADLINE_S
        while not (value := condition()):
            if time.monotonic() > end:
                output = (self.directory / "output").read_text(errors="replace")[-4000:]
                raise TimeoutError(f"not within {DEADLINE_S:g} s: {what}\n{output}")
            time.sleep(PAUSE_S)
        return value

    def starts(self) -> list[tuple[int, int]]:
        """Return when each job began and its token."""
        raw = self.begun_path.read_bytes()
        return list(BEGUN.iter_unpack(raw[: len(raw) - len(raw) % BEGUN.size]))

    def writes_snapshot(self) -> bool:
        """Say whether somebody writes a snapshot just now; the files of those who died stay."""
        for path in (self.directory / "log").glob("snapshot.*.new"):
            with contextlib.suppress(psutil.NoSuchProcess):
                writer = psutil.Process(int(path.suffixes[0][1:]))
                if writer.status() != psutil.STATUS_ZOMBIE:
                    return True
        return False

    def close(self) -> None:
        """Kill all processes of this campaign, by process."""
        with contextlib.suppress(HybridrtError, AttributeError):
            self.client.close()
        while left := self._kin.running():
            for process in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        self._first.wait()


class Pulse(threading.Thread):
    """Enqueues one job after the other and keeps the longest wait for an acknowledgement.

    As a context it has ended before anybody closes the client, also when a trial fails.
    """

    def __init__(self, client: Client) -> None:
        """Use `client`, which nobody else uses meanwhile."""
        super().__init__(daemon=True)
        self._client = client
        self._stopping = threading.Event()
        self._failure: HybridrtError | None = None
        self.longest_ns = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """End after the job under way; what failed here is told unless more did."""
        self._stopping.set()
        self.join()
        if kind is None and self._failure is not None:
            raise self._failure

    def run(self) -> None:
        """Enqueue until the context ends."""
        try:
            while not self._stopping.is_set():
                began = time.monotonic_ns()
                self._client.enqueue("clock", b"pulse", queue="long")
                self.longest_ns = max(self.longest_ns, time.monotonic_ns() - began)
                self._stopping.wait(0.001)
        except HybridrtError as error:
            self._failure = error


def kill_trial(field: Field) -> int:
    """Kill the supervisor; return when."""
    pid = int(field.call("ping")["pid"])
    pidfd = os.pidfd_open(pid)
    began_ns = time.time_ns()
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    os.close(pidfd)
    return began_ns


def upgrade_trial(field: Field) -> int:
    """Ask for an upgrade; the pause counts from the last lease before it."""
    field.call("upgrade", DEADLINE_S)
    return 0


def measure(field: Field, log: LogFollower, *, upgrade: bool) -> dict[str, float]:
    """Do one trial; return milliseconds."""
    status = field.until(field.ready, "a standby is ready")
    log.read()
    writing = field.writes_snapshot()

    def next_epoch() -> Epoch | None:
        return next((e for e in log.read() if e.number > status["epoch"]), None)

    with Pulse(field.client) as pulse:
        began_ns = upgrade_trial(field) if upgrade else kill_trial(field)
        epoch = field.until(next_epoch, "the standby dispatches")

        def next_start() -> int:
            later = (begun_ns for begun_ns, token in field.starts() if token >= epoch.token)
            return next(later, 0)

        started_ns = field.until(next_start, "the worker begins a job of the standby's")
        successor = field.until(field.status, "the standby answers")
    began_ns = began_ns or epoch.before_ns
    return {
        "leased_ms": (epoch.leased_ns - began_ns) / 1e6,
        "begun_ms": (started_ns - began_ns) / 1e6,
        "enqueue_ms": pulse.longest_ns / 1e6,
        "takeover_ms": successor["takeover"]["duration_ns"] / 1e6,
        "death_ms": successor["takeover"]["death_ns"] / 1e6,
        "load": os.getloadavg()[0],
        "jobs": successor["jobs"],
        "writing": writing,
    }


TIMES = {  # of a trial: how the page of evidence calls them
    "leased_ms": "first job leased by the successor",
    "begun_ms": "first job begun under the successor",
    "enqueue_ms": "longest enqueue of a producer meanwhile",
    "takeover_ms": "the successor's own part",
}


def campaign(
    directory: Path, trials: int, jobs: int, *, upgrade: bool, snapshot_every: str = ""
) -> dict[str, Any]:
    """Run the trials, with snapshots after so much log; return what they gave."""
    found: list[dict[str, float]] = []
    with (
        contextlib.closing(Field(directory, jobs, snapshot_every)) as field,
        contextlib.closing(LogFollower(directory / "log")) as log,
    ):
        for number in range(trials):
            found.append(measure(field, log, upgrade=upgrade))
            print(f"{number + 1}/{trials} {found[-1]}", file=sys.stderr, flush=True)
        rescues = field.call("stats")["runtime"]["rescues"]
    amid = sum(trial["writing"] for trial in found)
    what, begin = ("upgrades", "upgrade") if upgrade else ("takeovers", "supervisor killed")
    return {
        "what": f"{what} under load, {jobs:,} jobs pending",
        "faults": {"upgrades" if upgrade else "supervisors killed": trials},
        "counts": {
            "rescues": rescues,
            **({"killed amid a snapshot": amid} if snapshot_every else {}),
            "highest load average": round(max(trial["load"] for trial in found), 1),
        },
        "times_ms": {
            f"{begin}, {text}": percentiles([trial[name] for trial in found])
            for name, text in TIMES.items()
        },
        "violations": 0,
        "machine": f"{os.cpu_count()} cpus, Linux {platform.release()}",
    }


def main() -> int:
    """Run as a command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--upgrade", action="store_true")
    parser.add_argument("--directory", default=None, help="below which the log is made")
    parser.add_argument("--snapshot-every", default="", metavar="SIZE", help="write snapshots")
    parser.add_argument("--json", type=Path, help="where to write the figures too")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that all is cleaned up
    with tempfile.TemporaryDirectory(prefix="hrt-", dir=options.directory) as name:
        report = campaign(
            Path(name),
            options.trials,
            options.jobs,
            upgrade=options.upgrade,
            snapshot_every=options.snapshot_every,
        )
    tell(report, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
