"""Reads a log by the rule of docs/design.md for times of day: nothing happens before its time.

What counts is the time of the record itself, on the clock of the supervisor that wrote it.
"""

from dataclasses import dataclass, field
from struct import Struct

from hybridrt import records
from hybridrt.names import Outcome
from hybridrt.records import RecordType, Settled
from tests.crash.history import History, Life

WAITS = {  # until the time that their settle names
    Outcome.RETRY, Outcome.SNOOZE, Outcome.TIMEOUT, Outcome.CRASHED, Outcome.LOST,
}  # fmt: skip


@dataclass
class DueHistory(History):
    """A history that knows when each job is due, and when it is too late for it."""

    went_back: int = 0  # records that are older than the one before them
    promoted: int = 0
    _time_ns: int = 0
    _due_ns: dict[int, int] = field(default_factory=dict)  # of jobs that wait for a time
    _expires_ns: dict[int, int] = field(default_factory=dict)
    _kept_until_ns: dict[int, int] = field(default_factory=dict)

    def _take(self, record: memoryview) -> None:
        header = records.read_header(record)
        time_ns = header["time_ns"]
        self.went_back += time_ns < self._time_ns
        self._time_ns = time_ns
        if header["type"] == RecordType.DUE:
            self._promote(header, record)
        super()._take(record)

    def _promote(self, header: dict[str, int], record: memoryview) -> None:
        for job in Struct(f"<{header['count']}Q").unpack_from(record, records.HEADER.size):
            due_ns = self._due_ns.pop(job, None)
            self.promoted += 1
            if due_ns is None or due_ns > self._time_ns:
                self.fault(f"job {job} became due at {self._time_ns}, not at {due_ns}")

    def _wait(self, job: int, due_ns: int) -> None:
        if due_ns > self._time_ns:
            self._due_ns[job] = due_ns

    def _enqueue(self, header: dict[str, int], record: memoryview) -> None:
        super()._enqueue(header, record)
        due_ns, expires_ns = records.ENQUEUE.unpack_from(record, records.HEADER.size)[:2]
        self._wait(header["sequence"], due_ns)
        self._expires_ns[header["sequence"]] = expires_ns

    def _lease(self, header: dict[str, int], record: memoryview) -> None:
        place = records.HEADER.size + records.LEASE.size
        for job in Struct(f"<{header['count']}Q").unpack_from(record, place):
            if job in self._due_ns:
                self.fault(f"job {job} was leased at {self._time_ns}, before {self._due_ns[job]}")
        super()._lease(header, record)

    def _settle(self, header: dict[str, int], record: memoryview) -> None:
        for entry in records.settlements(record, header["count"]):
            if entry.outcome == Outcome.FORGOTTEN:
                until_ns = self._kept_until_ns.pop(entry.job, None)
                if not until_ns or until_ns > self._time_ns:
                    self.fault(f"job {entry.job} was forgotten before {until_ns}")
        super()._settle(header, record)

    def _settle_one(self, where: str, entry: Settled, life: Life) -> None:
        if entry.outcome == Outcome.EXPIRED:
            self._expire(where, entry, life)
        else:
            super()._settle_one(where, entry, life)
        if entry.outcome in WAITS:
            self._wait(entry.job, entry.due_ns)
        elif life.outcome is not None:
            self._kept_until_ns[entry.job] = entry.due_ns  # 0: not at all

    def _expire(self, where: str, entry: Settled, life: Life) -> None:
        expires_ns = self._expires_ns[entry.job]
        self._due_ns.pop(entry.job, None)
        if life.token or life.outcome is not None or not 0 < expires_ns <= self._time_ns:
            self.fault(f"{where}: at {self._time_ns}, it expires at {expires_ns}: {life}")
        life.outcome = entry.outcome
        if life.key:
            self._waiting[life.queue, life.key].remove(entry.job)
