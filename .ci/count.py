"""Count the tests that a run of .ci/run executed, in all four languages.

Usage: count.py DIRECTORY   with *.xml (JUnit), *.jsonl (go test -json), *.cargo (cargo test)
"""

import json
import re
import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree as ET

CARGO = re.compile(r"^test result: .*? (\d+) passed; (\d+) failed; (\d+) ignored", re.MULTILINE)
GO_ACTIONS = {"pass": "passed", "fail": "failed", "skip": "skipped"}


def junit(path: Path) -> Counter[str]:
    """Count pytest's and meson's test cases."""
    counts: Counter[str] = Counter()
    for case in ET.parse(path).iter("testcase"):
        tags = {child.tag for child in case}
        failed = bool(tags & {"failure", "error"})
        counts["failed" if failed else "skipped" if "skipped" in tags else "passed"] += 1
    return counts


def go(path: Path) -> Counter[str]:
    """Count tests and subtests of go test -json; lines about whole packages do not count."""
    counts: Counter[str] = Counter()
    for line in path.read_text().splitlines():
        event = json.loads(line) if line.startswith("{") else {}
        if "Test" in event and event["Action"] in GO_ACTIONS:
            counts[GO_ACTIONS[event["Action"]]] += 1
    return counts


def cargo(path: Path) -> Counter[str]:
    """Add up the summaries of all test programs of cargo test."""
    counts: Counter[str] = Counter()
    for passed, failed, ignored in CARGO.findall(path.read_text()):
        counts += Counter(passed=int(passed), failed=int(failed), skipped=int(ignored))
    return counts


def main(directory: Path) -> None:
    """Print passed, failed and skipped as three numbers."""
    counts: Counter[str] = Counter()
    for suffix, count in ((".xml", junit), (".jsonl", go), (".cargo", cargo)):
        for path in sorted(directory.glob(f"*{suffix}")):
            counts += count(path)
    print(counts["passed"], counts["failed"], counts["skipped"])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
