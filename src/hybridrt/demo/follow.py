"""Follow the live log: what the workers settled is read from there, as any other program could."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from hybridrt.demo.findings import Digest, Findings
from hybridrt.logreader import Scan
from hybridrt.names import Outcome
from hybridrt.records import RecordType, read_header, record_type, settlements

if TYPE_CHECKING:
    from pathlib import Path

ERRORS_KEPT = 50
ENDS = {Outcome.OK, Outcome.DISCARD, Outcome.DEAD, Outcome.CANCELLED, Outcome.EXPIRED}


class Result(msgspec.Struct):
    """A result of any of the three kinds; which one is told by the fields that are there."""

    path: str = ""
    error: str = ""
    folders: int = -1
    files: int = 0
    size: int = 0
    type: str = ""
    sha256: str = ""
    zstd: int = 0


class Follower:
    """Reads settles off the log and keeps what the workers found."""

    def __init__(self, directory: Path) -> None:
        """Open the log of a running supervisor."""
        self.findings = Findings()
        self.folders = 0
        self.files = 0
        self.unreadable = 0
        self.repeated = 0  # digests of a path that had one: must stay 0
        self.outcomes: Counter[Outcome] = Counter()
        self.errors: list[str] = []
        self.records = 0
        self._scan = Scan(str(directory))
        self._decoder = msgspec.json.Decoder(Result)

    def close(self) -> None:
        """Close the log."""
        self._scan.close()

    @property
    def ended(self) -> int:
        """Jobs seen to their end."""
        return sum(count for outcome, count in self.outcomes.items() if outcome in ENDS)

    def advance(self, limit: int) -> int:
        """Read up to `limit` records that are new; return how many there were."""
        count = 0
        for record in islice(self._scan, limit):
            count += 1
            if record_type(record) == RecordType.SETTLE:
                self._read_settles(record, read_header(record)["count"])
        self.records += count
        return count

    def _read_settles(self, record: memoryview, count: int) -> None:
        for entry in settlements(record, count):
            self.outcomes[entry.outcome] += 1
            if entry.outcome is Outcome.OK:
                if entry.data:
                    self._take(self._decoder.decode(entry.data))
            elif entry.outcome in ENDS:
                self._keep_error(f"job {entry.job}: {entry.data.decode('utf-8', 'replace')}")

    def _take(self, result: Result) -> None:
        if result.sha256:
            self._take_digest(result)
        elif result.folders >= 0:
            self.folders += result.folders
            self.files += result.files
            if result.error:
                self._keep_error(f"{result.path}: {result.error}")
        elif result.error:
            self.unreadable += 1
            self._keep_error(f"{result.path}: {result.error}")

    def _take_digest(self, result: Result) -> None:
        self.repeated += result.path in self.findings
        sha256 = bytes.fromhex(result.sha256)
        self.findings.add(result.path, Digest(result.size, result.type, sha256, result.zstd))

    def _keep_error(self, text: str) -> None:
        if len(self.errors) < ERRORS_KEPT:
            self.errors.append(text)

    def state(self) -> dict[str, Any]:
        """Return the counts for the report."""
        return {
            "folders": self.folders,
            "files": self.files,
            "digests": len(self.findings),
            "unreadable": self.unreadable,
            "repeated": self.repeated,
            "records": self.records,
            "outcomes": {outcome.name.lower(): n for outcome, n in self.outcomes.items()},
        }
