"""What tests of several suites share: an instance of its own, gone without a trace afterwards."""

import contextlib
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from hybridrt.client import Control
from hybridrt.config import Config
from hybridrt.errors import HybridrtError
from tests.waiting import await_condition

WORKER = Path(__file__).parent / "system" / "python_worker.py"
MARK = "HYBRIDRT_TEST_INSTANCE"


class Instance:
    """Directories for one runtime, and the processes that a test started around it."""

    def __init__(self, directory: Path, log_directory: Path) -> None:
        """Keep the directories; the one of the sockets has a short name, as sockets want."""
        self.directory = directory
        self.log_directory = log_directory
        self.config_path = log_directory.parent / "hybridrt.toml"
        self.output_path = log_directory.parent / "output.log"
        self._processes: list[subprocess.Popen[bytes]] = []
        # In the environment of every process of this instance: a standby that became the
        # supervisor, and the workers of a dead one, are nobody's children any more.
        self._mark = f"{MARK}={uuid.uuid4().hex}"

    def tables(self, **tables: Any) -> dict[str, Any]:
        """Return a whole configuration: small segments, directories of this instance."""
        return {
            "log": {
                "directory": str(self.log_directory),
                "segment_size": "1MiB",
                "max_size": "64MiB",
                **tables.pop("log", {}),
            },
            "runtime": {"directory": str(self.directory), **tables.pop("runtime", {})},
            **tables,
        }

    def config(self, **tables: Any) -> Config:
        """Return a checked configuration for a supervisor inside the test."""
        return Config.make(self.tables(**tables))

    def python_pool(self, **settings: Any) -> dict[str, Any]:
        """Return a pool of the Python worker of these tests."""
        return {
            "name": "python",
            "command": [sys.executable, str(WORKER)],
            "kinds": [
                *("echo", "fail", "dead", "discard", "snooze", "slow", "crash", "follow"),
                *("save", "save_crash", "save_drain", "save_large"),
            ],
            **settings,
        }

    def spawn(self, *command: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a program that is killed at the end of the test, if it still runs."""
        with self.output_path.open("ab") as output:
            process = subprocess.Popen(
                command,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **environment, **dict([self._mark.split("=")])},
            )
        self._processes.append(process)
        return process

    def processes(self) -> list[psutil.Process]:
        """Return all processes of this instance that run, started by whom so ever."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                name, _, value = self._mark.partition("=")
                running = process.status() != psutil.STATUS_ZOMBIE
                if running and process.environ().get(name) == value:
                    found.append(process)
        return found

    def write(self, **tables: Any) -> Path:
        """Write the configuration file."""
        self.config_path.write_text(to_toml(self.tables(**tables)))
        return self.config_path

    def run(self, *words: str, **tables: Any) -> subprocess.Popen[bytes]:
        """Start `hybridrt run`, with `words` behind it, and wait until it is ready."""
        self.write(**tables)
        command = [sys.executable, "-m", "hybridrt", "run", "--config", str(self.config_path)]
        process = self.spawn(*command, *words)
        await_condition(lambda: self.is_ready(process), "the supervisor is ready")
        return process

    def is_ready(self, process: subprocess.Popen[bytes]) -> bool:
        """Say whether the supervisor answers and is ready; fail when it has exited."""
        if process.poll() is not None:
            pytest.fail(f"the supervisor exited with {process.returncode}:\n{self.output()}")
        try:
            return bool(self.call("status")["ready"])
        except HybridrtError:
            return False

    def call(self, verb: str, **arguments: Any) -> Any:
        """Send one control request."""
        control = Control(self.directory)
        try:
            return control.call(verb, **arguments)
        finally:
            control.close()

    def output(self) -> str:
        """Return what the programs printed so far."""
        return self.output_path.read_text() if self.output_path.exists() else ""

    def clean(self) -> None:
        """Kill what still runs, by process and not by name, until nothing is started any more."""
        while self._processes and (left := self.processes()):
            for process in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        for process in self._processes:
            process.wait()


def to_toml(tables: dict[str, Any]) -> str:
    """Write tables of plain values as TOML."""
    lines: list[str] = []
    for name, table in tables.items():
        rows = table if isinstance(table, list) else [table]
        header = f"[[{name}]]" if isinstance(table, list) else f"[{name}]"
        for row in rows:
            lines.append(header)
            lines += [f"{key} = {_toml_value(value)}" for key, value in row.items()]
    return "\n".join(lines) + "\n"


def _toml_value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml_value(v)}" for key, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_toml_value(item) for item in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return str(value)


@contextlib.contextmanager
def isolated(log_directory: Path) -> Iterator[Instance]:
    """Give an instance, and leave nothing of it running."""
    with tempfile.TemporaryDirectory(prefix="hrt-") as directory:
        Path(directory).chmod(0o700)
        made = Instance(Path(directory), log_directory)
        try:
            yield made
        finally:
            made.clean()


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    """Give an isolated instance."""
    with isolated(tmp_path / "log") as made:
        yield made


@pytest.fixture(scope="module")
def shared_instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """Give one instance to all tests of a module."""
    with isolated(tmp_path_factory.mktemp("shared") / "log") as made:
        yield made


@pytest.fixture(name="await_condition", scope="session")
def _await_condition() -> Callable[..., Any]:
    """Give the waiter to tests that ask for it as for an instance."""
    return await_condition
