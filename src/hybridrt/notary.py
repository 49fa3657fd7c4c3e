"""The supervisor's side of the proof: starts the prover, tells it what is durable, holds the log.

One thread, so that neither the event loop nor the dispatch thread ever waits for it.
"""

import os
import select
import subprocess
import sys
import threading
import time
from typing import Any

import msgspec

from hybridrt import configfile
from hybridrt.config import Config
from hybridrt.errors import HybridrtError
from hybridrt.holds import Holds
from hybridrt.logs import get_logger
from hybridrt.native import Runtime

log = get_logger("notary")

HOLDER = "proof"
SYNC_TIMEOUT_S = 1.0
FINISH_TIMEOUT_S = 10.0  # to sign the rest; what is left then is signed after the next start
BACKOFF_MIN_S = 0.2
BACKOFF_MAX_S = 30.0
READ_BYTES = 65_536
LINE_BYTES_MAX = 65_536
EVENTFD_BYTES = 8


class Notary:
    """Keeps one prover running beside a runtime."""

    def __init__(self, config: Config, runtime: Runtime, holds: Holds) -> None:
        """Hold the whole log until the prover says what it has read."""
        self._config = config
        self._runtime: Runtime | None = runtime
        self._holds = holds
        self._calling = threading.Lock()  # held around every use of the runtime
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._ended = threading.Event()
        self._final = 0
        self._told = -1
        self._progress: dict[str, int] = {}
        self._failure = ""
        self._thread = threading.Thread(target=self._run, name="hybridrt-notary", daemon=True)
        holds.set(HOLDER, 0)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def detach(self) -> None:
        """Use the runtime no more, for it is about to end."""
        with self._calling:
            self._runtime = None

    def end(self, durable: int) -> None:
        """Tell the prover the last durable position, and to finish."""
        self._final = durable
        self._ended.set()
        with self._calling:
            if self._wake >= 0:
                os.eventfd_write(self._wake, 1)

    def join(self) -> None:
        """Wait until the prover is gone."""
        self._thread.join()

    def describe(self) -> dict[str, Any]:
        """Return how far the proof is."""
        with self._calling:
            tail = self._counters()["log_tail"] if self._runtime is not None else 0
        return {
            "size": self._progress.get("size", 0),
            "sequence": self._progress.get("sequence", 0),
            "behind_bytes": max(tail - self._progress.get("position", 0), 0),
            "directory": str(configfile.proof_directory(self._config)),
            "failure": self._failure,
        }

    # ---- the thread -----------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._keep_running()
        finally:
            with self._calling:
                wake, self._wake = self._wake, -1
            os.close(wake)

    def _keep_running(self) -> None:
        backoff_s = BACKOFF_MIN_S
        while not self._ended.is_set():
            started = time.monotonic()
            try:
                self._attend()
            except OSError as error:
                self._failure = f"cannot run the prover: {error}"
            if self._ended.is_set():
                return
            log.error("the prover ended; the log is held until it goes on", err=self._failure)
            lived = time.monotonic() - started
            backoff_s = BACKOFF_MIN_S if lived > BACKOFF_MAX_S else backoff_s
            self._ended.wait(backoff_s)
            backoff_s = min(2 * backoff_s, BACKOFF_MAX_S)

    def _command(self) -> list[str]:
        proof = self._config.proof
        words = {
            "--log": configfile.log_directory(self._config).absolute(),
            "--directory": configfile.proof_directory(self._config),
            "--key": configfile.proof_key(self._config),
            "--interval": float(proof.interval),
            "--records": proof.records,
        }
        options = [str(word) for pair in words.items() for word in pair]
        return [sys.executable, "-m", "hybridrt.cli", "checkpoint", "run", "--supervised", *options]

    def _attend(self) -> None:
        """Run one prover until it ends."""
        with subprocess.Popen(
            self._command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,
        ) as prover:
            assert prover.stdin is not None
            assert prover.stdout is not None
            os.set_blocking(prover.stdin.fileno(), False)
            self._told = -1
            try:
                self._serve(prover, prover.stdin.fileno(), prover.stdout.fileno())
            finally:
                if prover.poll() is None:
                    prover.kill()

    def _serve(self, prover: "subprocess.Popen[bytes]", stdin: int, stdout: int) -> None:
        interval_s = self._config.proof.interval
        rest, deadline = b"", None
        while deadline is None or time.monotonic() < deadline:
            ready, _, _ = select.select([stdout, self._wake], [], [], interval_s)
            if self._wake in ready:
                os.read(self._wake, EVENTFD_BYTES)
            if stdout in ready:
                data = os.read(stdout, READ_BYTES)
                if not data:
                    prover.wait(FINISH_TIMEOUT_S)
                    return
                *lines, rest = (rest + data)[-LINE_BYTES_MAX:].split(b"\n")
                for line in lines:
                    self._hear(line)
            if deadline is not None:
                continue
            if self._ended.is_set():
                self._write(stdin, self._final)
                assert prover.stdin is not None
                prover.stdin.close()
                deadline = time.monotonic() + FINISH_TIMEOUT_S
            else:
                self._write(stdin, self._durable())
        log.warning("the prover did not finish in time; it goes on after the next start")

    def _hear(self, line: bytes) -> None:
        """Take progress; what is no JSON object is what a prover says before it fails."""
        if not line.startswith(b"{"):
            text = line.decode("utf-8", "replace").removeprefix("hybridrt: ")
            log.warning(text)
            if not text.startswith(" "):  # a hint follows the sentence that it is for
                self._failure = text
            return
        self._progress = msgspec.json.decode(line, type=dict[str, int])
        self._failure = ""
        with self._calling:
            if self._runtime is not None:
                self._holds.set(HOLDER, self._progress["segment"])

    def _durable(self) -> int:
        """Return up to where the disk has the log, after a sync if it has not all of it."""
        with self._calling:
            if self._runtime is None:
                return self._told
            counters = self._counters()
            if counters["log_durable"] < counters["log_tail"]:
                try:
                    self._runtime.sync(SYNC_TIMEOUT_S)
                except HybridrtError:
                    return self._told
                counters = self._counters()
            return int(counters["log_durable"])

    def _counters(self) -> dict[str, Any]:
        assert self._runtime is not None
        return self._runtime.page.runtime_counters()

    def _write(self, stdin: int, durable: int) -> None:
        if durable <= self._told:
            return
        try:
            os.write(stdin, b"%d\n" % durable)
        except BlockingIOError:  # the prover is busy; it reads on before it pauses
            return
        except BrokenPipeError:  # it has ended, as its stdout is about to say
            return
        self._told = durable
