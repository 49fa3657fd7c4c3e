"""docs/sdk.md, followed to the letter: from a wheel to workers in Go, Rust and C outside the tree.

The page is the script: its named blocks are written to files and its bash blocks run in their
order, in one shell, in an empty folder that holds nothing but the wheel.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parent.parent.parent
BLOCK = re.compile(r"(?ms)(?:^`([^`\n]+)`:\n\n)?^```(\w+)\n(.*?)^```$")
TIMEOUT_S = 600
EXPECTED = ["hello Ada", "small-cat.png", "QUIETLY"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2 * TIMEOUT_S)]


def blocks() -> Iterator[tuple[str, str, str]]:
    """Yield file name (or nothing), language and text of each block of the page, in order."""
    for match in BLOCK.finditer((ROOT / "docs" / "sdk.md").read_text()):
        yield match[1] or "", match[2], match[3]


def write_files(folder: Path) -> str:
    """Write the named blocks below `folder`; return the bash blocks as one script."""
    script = ["set -euo pipefail"]
    for name, language, text in blocks():
        if name:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        elif language == "bash":
            script.append(text)
    return "\n".join(script)


def build_wheel(folder: Path) -> None:
    """Build the wheel with the tools at hand, into `folder`."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder]
    options = ["--no-build-isolation", f"--config-settings=build-dir={ROOT / 'build' / 'wheel'}"]
    subprocess.run([*command, *options, ROOT], check=True, timeout=TIMEOUT_S)


def clean_environment(folder: Path) -> dict[str, str]:
    """Return an environment in which nothing points to the repository or its .venv."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("HYBRIDRT", "PKG_CONFIG", "CGO", "PYTHON", "VIRTUAL_ENV"))
        and name not in {"CARGO_TARGET_DIR", "XDG_RUNTIME_DIR"}
    }
    venv = str(Path(sys.prefix) / "bin")
    kept["PATH"] = ":".join(part for part in kept["PATH"].split(":") if part != venv)
    # The crates were fetched when the repository was built; their newest versions need not be.
    return {**kept, "CARGO_NET_OFFLINE": "true", "GOPROXY": "off", "HRT_TEST": str(folder)}


def end_leftovers(folder: Path) -> list[str]:
    """Kill what still runs out of the test's folder, and name it."""
    found = []
    for process in psutil.process_iter(["environ", "cmdline"]):
        if (process.info["environ"] or {}).get("HRT_TEST") == str(folder):
            found.append(" ".join(process.info["cmdline"] or []))
            process.kill()
    return found


def run_script(script: str, folder: Path) -> int:
    """Run the page; its output goes to a file, because a pipe would outlive a failed script."""
    with (folder / "output").open("wb") as output:
        return subprocess.run(
            ["bash", "-c", script],
            cwd=folder,
            env=clean_environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=TIMEOUT_S,
            check=False,
        ).returncode


def test_the_page_on_writing_workers_tells_the_truth(tmp_path: Path) -> None:
    script = write_files(tmp_path)
    build_wheel(tmp_path)
    try:
        status = run_script(script, tmp_path)
    finally:
        leftovers = end_leftovers(tmp_path)
    output = (tmp_path / "output").read_text()
    assert status == 0, output
    assert [line for line in output.splitlines() if line in EXPECTED] == EXPECTED
    assert leftovers == []
