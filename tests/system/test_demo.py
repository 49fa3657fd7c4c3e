"""The demonstration on generated trees: it matches, also when workers are killed."""

import html.parser
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDERS = 40
FILES_IN_EACH = 1500  # enough that half-way is noticed before the end, also by a late observer


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a tree with many duplicates."""
    root = tmp_path_factory.mktemp("tree")
    for folder in range(FOLDERS):
        place = root / f"folder {folder}"
        place.mkdir()
        for number in range(FILES_IN_EACH):
            (place / f"{number}.txt").write_text(f"{number % 100}\n" * 50)
    (root / "empty").touch()
    (root / "käse").write_bytes(b"\x00\x01\x02")
    return root


def demo(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hybridrt.cli", "demo", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        env={**os.environ, "NO_COLOR": "1"},
    )


def report_of(file: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(file.read_text())
    return report


def test_killed_workers_lose_nothing(tree: Path, tmp_path: Path) -> None:
    file, page = tmp_path / "report.json", tmp_path / "report.html"
    done = demo(tree, "--json", file, "--html", page, "--durability", "async")
    assert done.returncode == 0, done.stdout + done.stderr
    report = report_of(file)
    assert report["check"]["matches"]
    assert report["found"]["digests"] == FOLDERS * FILES_IN_EACH + 2
    assert report["found"]["repeated"] == 0
    assert report["duplicates"]["files"] == FOLDERS * FILES_IN_EACH - 100
    assert {kill["language"] for kill in report["recoveries"]} == {"go", "rust"}
    assert all(kill["recovery_ms"] is not None for kill in report["recoveries"])
    assert report["runtime"]["lane_deaths"] == 2
    assert report["runtime"]["rescues"] == 0
    assert "The plain pass matches" in done.stdout
    html.parser.HTMLParser().feed(page.read_text())
    assert "The plain pass matches" in page.read_text()


def test_without_killing_nobody_dies(tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "file").write_text("x")
    file = tmp_path / "report.json"
    words = ("--no-kill", "--durability", "memory", "--workers", "1", "--json", file)
    done = demo(tmp_path / "small", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    report = report_of(file)
    assert report["recoveries"] == []
    assert report["runtime"]["lane_deaths"] == 0
    assert report["types"] == [{"type": "text/plain", "files": 1, "bytes": 1}]


def test_missing_programs_are_named(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hybridrt.cli", "demo", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "HYBRIDRT_BIN": str(tmp_path)},
    )
    assert done.returncode == 1
    assert "filework-go" in done.stderr
    assert "make build" in done.stderr
