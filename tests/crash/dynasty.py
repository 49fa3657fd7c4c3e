"""A world whose supervisor has a standby: kills are followed by takeovers, not by restarts.

Only when both are killed at once does a new supervisor start on the log. Half of those so started
have their standbys write snapshots, and begin from one.
"""

import contextlib
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

from hybridrt.client import Control
from hybridrt.errors import HybridrtError
from tests.crash.kin import RUN, Kin
from tests.crash.world import DEADLINE_S, LANGUAGES, ROOT, StuckError, World, alive

SNAPSHOTS = 'snapshot = true\nsnapshot_every = "64KiB"\n'
BEGAN_FROM_ONE = 1  # snapshot, in what the recovery found
LEASE = "5s"  # when both were killed the lanes wait so long: less than the producer for an answer


class Dynasty(World):
    """Supervisors that follow one another; the first is started here, the others by themselves."""

    def __init__(self, directory: Path, durability: str, seed: str, *, recycle: bool) -> None:
        """Describe it."""
        super().__init__(directory, durability, seed, recycle=recycle)
        self.takeovers = 0
        self.resumed = 0  # supervisors that began from a snapshot
        self._kin = Kin()

    def _config(self) -> str:
        runtime = f'[runtime]\nstandby = true\nlease = "{LEASE}"\nlog_format = "json"\n'
        log = f"[log]\n{SNAPSHOTS if self._snapshots() else ''}"
        return super()._config().replace("[runtime]\n", runtime).replace("[log]\n", log)

    def _snapshots(self) -> bool:
        """Say whether this supervisor has snapshots: two do, two do not, in turns.

        So some begin where the one before left a snapshot, and some from an older one.
        """
        return (self.supervisors - 1) // 2 % 2 == 0

    def start_supervisor(self) -> None:
        """Start a supervisor that starts its standby."""
        self.supervisors += 1
        self._config_path.write_text(self._config())
        with (self.directory / "output").open("ab") as output:
            self.supervisor = subprocess.Popen(
                [sys.executable, "-c", RUN, str(self._config_path)],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._kin.environment(),
            )

    def _call(self, verb: str) -> Any:
        """Send one control request; None while nobody answers."""
        with contextlib.suppress(HybridrtError, OSError):
            control = Control(self.runtime_directory)
            try:
                return control.call(verb, 5.0)
            finally:
                control.close()
        return None

    def active(self) -> Any:
        """Return the status of who supervises, once somebody does."""
        return self.until(lambda: self._call("status"), "a supervisor answers")

    def ready(self) -> Any:
        """Return the status once a standby is ready too."""

        def has_standby() -> Any:
            status = self._call("status")
            return status if status and (status["standby"] or {}).get("ready") else None

        return self.until(has_standby, "a standby is ready")

    def workers(self, language: str) -> list[psutil.Process]:
        """Return the worker processes of a language."""
        listed = self._call("worker.ls") or {"workers": []}
        found = []
        for row in listed["workers"]:
            if row["pool"] == language and row["pid"]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process = psutil.Process(row["pid"])
                    self._known[process.pid] = process
                    found.append(process)
        return found

    def restart(self) -> None:
        """Start a supervisor where all are dead, and see what it began from."""
        self.start_supervisor()
        self.attach()
        self.resumed += self.active()["recovery"]["snapshot"] == BEGAN_FROM_ONE
        self.await_orphans()

    def kill_active(self) -> None:
        """Kill the supervisor while its standby is ready, and wait until that one supervises."""
        before = self.ready()
        psutil.Process(before["pid"]).kill()

        def another() -> Any:
            status = self._call("status")
            return status and status["pid"] != before["pid"]

        self.until(another, f"the standby of {before['pid']} goes on")
        self.takeovers += 1

    def kill_standby(self) -> None:
        """Kill the standby, ready or not, and wait until the supervisor knows.

        Until then it calls the dead one ready, and to kill it too would leave nobody to go on.
        """
        standby = self.until(lambda: (self._call("status") or {}).get("standby"), "a standby")
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(standby["pid"]).kill()

        def gone() -> Any:
            status = self._call("status")
            return status and (status["standby"] or {}).get("pid") != standby["pid"]

        self.until(gone, f"the supervisor misses its standby {standby['pid']}")

    def kill_supervisor(self) -> None:
        """Kill the supervisor and its standby: the log is all that is left."""
        for language in LANGUAGES:
            self.workers(language)
        workers = set(self._known)
        while family := [p for p in self._family() if p.pid not in workers]:
            for process in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        self._collect()

    def _family(self) -> list[psutil.Process]:
        """Return supervisors and standbys that run: what was started with the mark, but workers."""
        found = []
        for process in self._kin.running():
            with contextlib.suppress(psutil.Error):
                if "python" in process.name():
                    found.append(process)
        return found

    def _collect(self) -> None:
        """Collect the first supervisor, which is dead; the others are not our children.

        Its main thread is a zombie before its other threads have left: this waits for them.
        """
        if self.supervisor is not None:
            self.supervisor.wait()

    def check(self) -> None:
        """Raise StuckError when the producer ended, which nobody killed."""
        if self.producer is not None and self.producer.poll() is not None:
            raise StuckError(f"the producer ended by itself with {self.producer.returncode}")

    def stop_supervisor(self) -> None:
        """Ask whoever supervises to end, and wait until all of them have."""
        process = psutil.Process(self.active()["pid"])
        process.send_signal(signal.SIGTERM)
        self.until(lambda: not alive(process), "the supervisor stops", DEADLINE_S)
        self.until(lambda: not self._family(), "its standby leaves", DEADLINE_S)
        self._collect()
        self.supervisor = None
