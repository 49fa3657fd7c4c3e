"""Producers in four languages, each a program that does what it is told; see tests/produce."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PROGRAMS = {
    "c": [str(ROOT / "build/bin/produce-c")],
    "go": [str(ROOT / "build/bin/produce-go")],
    "python": [sys.executable, str(ROOT / "tests/produce/python/produce.py")],
    "rust": [str(ROOT / "build/bin/produce-rust")],
}
LANGUAGES = sorted(PROGRAMS)


class Tool:
    """A producer program: one batch in, one answer out."""

    def __init__(self, language: str, address: Path, **options: Any) -> None:
        """Start it; `attached` is its first answer."""
        self._process = subprocess.Popen(
            [*options.pop("command", PROGRAMS[language]), str(address)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            **options,
        )
        self.attached = self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the program exited with {self._process.wait()}"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def begin(self, kind: str = "echo", queue: str = "default", **rest: Any) -> None:
        """Send a batch without waiting for its answer."""
        names = [text.encode().hex() for text in (kind, queue, rest.get("key", ""))]
        numbers = [rest.get("size", 1), rest.get("count", 1), rest.get("block_ms", 0)]
        assert self._process.stdin is not None
        self._process.stdin.write("\t".join([*names, *map(str, numbers)]) + "\n")
        self._process.stdin.flush()

    def end(self) -> dict[str, Any]:
        """Return the answer."""
        return self._read()

    def send(self, *args: str, **rest: Any) -> dict[str, Any]:
        """Send a batch and return the answer."""
        self.begin(*args, **rest)
        return self.end()

    def close(self) -> None:
        """End the program."""
        self._process.kill()
        self._process.communicate()
