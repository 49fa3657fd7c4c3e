"""The processes of a kill campaign: a supervisor with its pools, a producer, and who watches."""

import contextlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

import hybridrt
from hybridrt.client import Client
from hybridrt.errors import HybridrtError
from tests.crash.mix import CRASHES_MAX, MAIN_QUEUES, NEVER_LAST, PIN_QUEUE

ROOT = Path(__file__).parent.parent.parent
LANGUAGES = ("go", "rust", "c")
CONCURRENCY = 2
WAITING_MAX = 400  # jobs of a queue: the producer runs into the limit now and then
DEADLINE_S = 60.0
PAUSE_S = 0.002
LARGE_SEGMENTS = 'segment_size = "1MiB"'
SMALL_SEGMENTS = 'segment_size = "256KiB"\nhistory = "4MiB"'  # kept for the one who reads along
ENDING = "ending.json"
STRANGE = re.compile(  # a snapshot is too old once the log has used segments behind it again
    r'"worker \S+ (was killed by (?!SIGKILL)|exited with status [1-9])'
    r'|"a snapshot was refused(?!.*: the log has given up what followed it)'
)


class StuckError(Exception):
    """A condition did not come true in time, or a process ended by itself."""


class World:
    """One runtime and the processes around it; `close` leaves none behind."""

    def __init__(self, directory: Path, durability: str, seed: str, *, recycle: bool) -> None:
        """Describe a world; `start_supervisor` and `start_producer` bring it to life."""
        self.directory = directory
        self.log_directory = directory / "log"
        self.supervisor: subprocess.Popen[bytes] | None = None
        self.producer: subprocess.Popen[bytes] | None = None
        self.monitor: Client | None = None
        self.supervisors = 0
        self.producers = 0
        self.rescues = 0  # of all supervisors, as the next one
        self.lane_faults = 0
        self._durability = durability
        self._recycle = recycle
        self._seed = seed
        self._known: dict[int, psutil.Process] = {}  # every worker ever seen, until it is gone
        self._config_path = directory / "hybridrt.toml"
        self._config_path.write_text(self._config())

    @property
    def runtime_directory(self) -> Path:
        """Return where the sockets are."""
        return self.directory / "run"

    def _config(self) -> str:
        queues = [self._queue(name) for name in (*MAIN_QUEUES, PIN_QUEUE)]
        pools = [self._pool(language) for language in LANGUAGES]
        size = SMALL_SEGMENTS if self._recycle else LARGE_SEGMENTS
        head = (
            f'[log]\ndirectory = "{self.log_directory}"\n{size}\nmax_size = "4GiB"\n'
            f'[runtime]\ndirectory = "{self.runtime_directory}"\n'
        )
        return "\n".join([head, *queues, *pools])

    def _queue(self, name: str) -> str:
        kept = 'result_ttl = "1h"\nretain = 50\n' if name == "kept" else "result_ttl = 0\n"
        limit = 0 if name == PIN_QUEUE else WAITING_MAX
        order = "skip" if name == "skip" else "block"
        return (
            f'[[queue]]\nname = "{name}"\ndurability = "{self._durability}"\norder = "{order}"\n'
            f"max_jobs = {limit}\nmax_attempts = {NEVER_LAST}\nmax_crashes = {CRASHES_MAX}\n"
            f'retry_base = "2ms"\nretry_cap = "20ms"\n{kept}'
        )

    def _pool(self, language: str) -> str:
        program = ROOT / "build" / "bin" / f"conformance-{language}"
        option = "--concurrency" if language == "rust" else "-concurrency"
        return (
            f'[[pool]]\nname = "{language}"\ncommand = ["{program}", "{option}", "{CONCURRENCY}"]\n'
            'restart_backoff = "5ms"\nrestart_backoff_max = "50ms"\ncrash_limit = 65535\n'
        )

    # ---- processes ----

    def _spawn(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.directory / "output").open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", f"tests.crash.{module}", *arguments],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def start_supervisor(self) -> None:
        """Start a supervisor; `attach` waits for it."""
        self.supervisors += 1
        ending = str(self.directory / ENDING)
        self.supervisor = self._spawn("host", str(self._config_path), ending)

    def start_producer(self) -> None:
        """Start a producer with a seed and a ledger of its own."""
        self.producers += 1
        places = (str(self.runtime_directory), str(self.directory))
        self.producer = self._spawn("load", *places, self._seed, str(self.producers))

    def attach(self) -> None:
        """Wait until the supervisor hands out lanes, and watch its counters through one."""
        self.detach()
        self.monitor = self.until(self._try_attach, "the supervisor hands out lanes")

    def _try_attach(self) -> Client | None:
        with contextlib.suppress(HybridrtError):
            return hybridrt.connect(self.runtime_directory, name="campaign")
        return None

    def detach(self) -> None:
        """Let the watched supervisor go; its page outlives it, so its last count is known."""
        if self.monitor is not None:
            self.rescues += self.counter("rescues")
            self.lane_faults += self.counter("lane_faults")
            self.monitor.close()
            self.monitor = None

    def counter(self, name: str) -> int:
        """Return one of the runtime's counters; it counts from the supervisor's start."""
        assert self.monitor is not None
        return int(self.monitor.stats().runtime[name])

    def open_jobs(self) -> int:
        """Return how many jobs of the main queues have not ended."""
        assert self.monitor is not None
        states = ("scheduled", "ready", "running", "retrying")
        rows = [self.monitor.stats().queue(name) for name in MAIN_QUEUES]
        return sum(int(row[state]) for row in rows for state in states)

    def workers(self, language: str) -> list[psutil.Process]:
        """Return the worker processes of a language that the supervisor runs just now."""
        assert self.supervisor is not None
        found = []
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in psutil.Process(self.supervisor.pid).children():
                with contextlib.suppress(psutil.NoSuchProcess):
                    if process.name() == f"conformance-{language}":
                        found.append(process)
                        self._known[process.pid] = process
        return found

    def holds_log(self) -> bool:
        """Say whether the supervisor that starts has locked the log: it recovers just now."""
        assert self.supervisor is not None
        lock = str(self.log_directory / "lock")
        with contextlib.suppress(OSError):
            for fd in Path(f"/proc/{self.supervisor.pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    if fd.readlink() == Path(lock):
                        return True
        return False

    def kill_supervisor(self) -> None:
        """Kill the supervisor; its workers have to leave by themselves."""
        assert self.supervisor is not None
        for language in LANGUAGES:
            self.workers(language)
        kill(self.supervisor)

    def kill_producer(self) -> None:
        """Kill the producer."""
        assert self.producer is not None
        kill(self.producer)

    def await_orphans(self) -> None:
        """Wait until the workers of a dead supervisor have left."""
        own = {worker.pid for language in LANGUAGES for worker in self.workers(language)}
        orphans = [process for pid, process in self._known.items() if pid not in own]
        self.until(lambda: not any(map(alive, orphans)), "orphaned workers leave")
        self._known = {pid: self._known[pid] for pid in own}

    # ---- conditions ----

    def until(self, condition: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S) -> Any:
        """Return the first true value of `condition`, or raise StuckError."""
        end = time.monotonic() + deadline_s
        while not (value := condition()):
            self.check()
            if time.monotonic() > end:
                raise StuckError(f"not within {deadline_s:g} s: {what}")
            time.sleep(PAUSE_S)
        return value

    def check(self) -> None:
        """Raise StuckError when a process ended that was not killed."""
        for name, process in (("supervisor", self.supervisor), ("producer", self.producer)):
            if process is not None and process.poll() is not None:
                raise StuckError(f"the {name} ended by itself with {process.returncode}")

    def output(self, lines: int = 40) -> str:
        """Return the end of what the processes printed."""
        path = self.directory / "output"
        text = path.read_text(errors="replace") if path.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def strange_lines(self) -> list[str]:
        """Return what tells of an end that no kill explains: an assertion, a signal, a status."""
        lines = (self.directory / "output").read_text(errors="replace").splitlines()
        return [line for line in lines if not line.startswith("{") or STRANGE.search(line)]

    # ---- the end ----

    def finish(self) -> None:
        """Stop the producer, let everything that is open run to its end, drain."""
        assert self.producer is not None
        assert self.supervisor is not None
        ledger = self.directory / f"ledger-{self.producers}"
        self.until(ledger.exists, "the producer can be told to stop")
        stop(self.producer, "producer")
        self.producer = None
        self.until(lambda: self.open_jobs() == 0, "all jobs end", 2 * DEADLINE_S)
        self.detach()
        self.stop_supervisor()

    def stop_supervisor(self) -> None:
        """Ask the supervisor to end well."""
        assert self.supervisor is not None
        stop(self.supervisor, "supervisor")
        self.supervisor = None

    def close(self) -> None:
        """Kill what still runs."""
        if self.monitor is not None:
            self.monitor.close()
            self.monitor = None
        if self.supervisor is not None:
            self.kill_supervisor()
        if self.producer is not None:
            self.kill_producer()
        for process in self._known.values():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and collect it."""
    process.send_signal(signal.SIGKILL)
    process.wait()


def stop(process: subprocess.Popen[bytes], name: str) -> None:
    """Ask a process to end; raise StuckError unless it ends well."""
    process.send_signal(signal.SIGTERM)
    try:
        status = process.wait(DEADLINE_S)
    except subprocess.TimeoutExpired as error:
        raise StuckError(f"the {name} does not stop") from error
    if status != 0:
        raise StuckError(f"the {name} stopped with {status}")


def alive(process: psutil.Process) -> bool:
    """Say whether a process runs; a zombie that nobody collects does not."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False
