"""The processes of a journey: a supervisor and who follows it, a producer, and commands."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psutil

from hybridrt.client import Control
from hybridrt.errors import HybridrtError
from hybridrt.exits import Status
from tests.attacks.journey_settings import Settings
from tests.attacks.programs import ROOT
from tests.attacks.report import ViolationError
from tests.crash.kin import Kin

DEADLINE_S = 60.0
PAUSE_S = 0.02
OUTPUT_LINES = 60
WORKERS = ("journey_worker", "conformance-go", "conformance-c")
KNOWN = frozenset(Status) - {Status.INTERRUPTED}


@dataclass(frozen=True, slots=True)
class Answer:
    """How a command ended."""

    words: tuple[str, ...]
    status: int
    out: str
    err: str

    def body(self) -> Any:
        """Return the JSON that it printed."""
        return json.loads(self.out)

    def text(self) -> str:
        """Return all of it, for people."""
        return f"{' '.join(self.words)}: {self.status}\n{self.out}{self.err}"


class Running:
    """A command that is under way."""

    def __init__(self, words: tuple[str, ...], environment: dict[str, str]) -> None:
        """Start it."""
        self.words = words
        self._end = time.monotonic() + DEADLINE_S
        self._process = subprocess.Popen(
            [sys.executable, "-m", "hybridrt.cli", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def finish(self) -> Answer:
        """Wait for it; it has to end in time, with a status that has a name, and to say why."""
        try:
            left = max(self._end - time.monotonic(), 1.0)
            out, err = self._process.communicate(timeout=left)
        except subprocess.TimeoutExpired as error:
            raise ViolationError(f"{self.words} hangs") from error
        finally:
            self._process.kill()
            self._process.wait()
        answer = Answer(self.words, self._process.returncode, out, err)
        if answer.status not in KNOWN or "Traceback" in err:
            raise ViolationError(f"ended without a name: {answer.text()}")
        if answer.status != Status.OK and not (out + err).strip():
            raise ViolationError(f"failed without a word: {answer.text()}")
        return answer


class JourneyWorld:
    """One runtime directory and the processes around it; `close` leaves none behind."""

    def __init__(self, settings: Settings, seed: str) -> None:
        """Describe it; `start` and `start_producer` bring it to life."""
        self.settings = settings
        self.statuses: Counter[str] = Counter()
        self._seed = seed
        self._directory = settings.directory
        self._config = self._directory / "hybridrt.toml"
        self._kin = Kin()
        self._producers = 0
        self._producer: subprocess.Popen[bytes] | None = None
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._running: list[Running] = []

    # ---- the supervisor ----

    def write(self) -> None:
        """Write the configuration."""
        self.settings.write(self._config)

    def start(self) -> None:
        """Start a supervisor."""
        with (self._directory / "output").open("ab") as output:
            self._supervisor = subprocess.Popen(
                [sys.executable, "-m", "hybridrt.cli", "run", "--config", str(self._config)],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._kin.environment(),
            )

    def call(self, verb: str, **arguments: Any) -> Any:
        """Send one control request; None while nobody answers."""
        with contextlib.suppress(HybridrtError, OSError):
            control = Control(self._directory / "run")
            try:
                return control.call(verb, 2.0, **arguments)
            finally:
                control.close()
        return None

    def await_supervisor(self) -> dict[str, Any]:
        """Return the status of who supervises; start one when nobody is left to go on."""

        def answers() -> Any:
            self._check_supervisor()
            status = self.call("status")
            if status and status["state"] == "running":
                return status
            if not self.family():
                self._check_supervisor()
                if self._supervisor is None:  # a process that just begins may show no environment
                    self.start()
            return None

        found: dict[str, Any] = self.until(answers, "a supervisor runs")
        return found

    def _check_supervisor(self) -> None:
        """Raise when one that was started has ended and nobody told it to."""
        process = self._supervisor
        if process is not None and process.poll() is not None:
            self._supervisor = None
            if process.returncode not in {Status.OK, -signal.SIGKILL}:
                raise ViolationError(f"hybridrt run ended with {process.returncode}")

    def family(self) -> list[psutil.Process]:
        """Return supervisors, standbys and provers that run, but no workers."""
        found = []
        for process in self._kin.running():
            with contextlib.suppress(psutil.Error):
                line = " ".join(process.cmdline())
                if not any(name in line for name in WORKERS):
                    found.append(process)
        return found

    def workers(self) -> list[psutil.Process]:
        """Return the workers that run, also those of a dead supervisor."""
        family = {process.pid for process in self.family()}
        return [process for process in self._kin.running() if process.pid not in family]

    def kill_family(self) -> None:
        """Kill supervisor, standby and prover: the log is all that is left."""
        while family := self.family():
            for process in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        if self._supervisor is not None:
            self._supervisor.wait()

    def stop(self) -> None:
        """Ask who supervises to end well, and wait until its standby has left too."""
        process = psutil.Process(self.await_supervisor()["pid"])
        process.send_signal(signal.SIGTERM)
        self.until(lambda: not self.family(), "the supervisor ends")
        self._check_supervisor()

    # ---- the producer ----

    def start_producer(self) -> None:
        """Start a producer."""
        self._producers += 1
        words = (self._directory / "run", self._directory / "notes", self.settings.era)
        with (self._directory / "output").open("ab") as output:
            self._producer = subprocess.Popen(
                [sys.executable, "-m", "tests.attacks.journey_producer", *map(str, words),
                 str(self._producers), self._seed],
                cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip

    def kill_producer(self) -> None:
        """Kill the producer."""
        if self._producer is not None:
            self.check_producer()
            self._producer.kill()
            self._producer.wait()
            self._producer = None

    def check_producer(self) -> None:
        """Raise when the producer has given up."""
        if self._producer is not None and self._producer.poll() is not None:
            raise ViolationError("the producer gave up")

    # ---- commands ----

    def begin(self, *words: object) -> Running:
        """Start a command; it finds the supervisor by itself."""
        environment = {**os.environ, "HYBRIDRT_RUNTIME_DIR": str(self._directory / "run")}
        running = Running(tuple(map(str, words)), environment)
        self._running.append(running)
        return running

    def end(self, running: Running, *allowed: Status) -> Answer:
        """Wait for a command; no other status than OK and those allowed is right."""
        self._running.remove(running)
        answer = running.finish()
        name = " ".join(word for word in answer.words[:2] if "/" not in word)
        self.statuses[f"{name} {answer.status}"] += 1
        if answer.status not in {Status.OK, *allowed}:
            raise ViolationError(f"ended as it must not: {answer.text()}")
        return answer

    def run(self, *words: object, allowed: tuple[Status, ...] = ()) -> Answer:
        """Run a command to its end."""
        return self.end(self.begin(*words), *allowed)

    # ---- waiting and the end ----

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        """Return the first true value of `condition`."""
        end = time.monotonic() + DEADLINE_S
        while not (value := condition()):
            if time.monotonic() > end:
                raise ViolationError(f"not within {DEADLINE_S:g} s: {what}")
            time.sleep(PAUSE_S)
        return value

    def output(self) -> str:
        """Return the end of what the processes printed."""
        path = self._directory / "output"
        text = path.read_text(errors="replace") if path.exists() else ""
        return "\n".join(text.splitlines()[-OUTPUT_LINES:])

    def close(self) -> None:
        """Kill what still runs."""
        for running in self._running:
            with contextlib.suppress(ViolationError):
                running.finish()
        if self._producer is not None:
            self._producer.kill()
            self._producer.wait()
        while left := self._kin.running():
            for process in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        if self._supervisor is not None:
            self._supervisor.wait()
