"""Reads a whole log and judges it by the contract, with rules of its own, not those of the state.

A history knows nothing of the library's state machine: it holds, record for record, that leases
and settles alternate, that keys are served in order, and that follow-ups come with their parent.
"""

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from struct import Struct

from hybridrt import records
from hybridrt.errors import HybridrtError
from hybridrt.logreader import Replay, Scan
from hybridrt.names import Outcome
from hybridrt.records import RecordType, Settled

LAST = 1  # enum hrt_record_flag
FAULTS_SHOWN = 30
FINAL = {Outcome.OK, Outcome.DISCARD, Outcome.DEAD, Outcome.CANCELLED, Outcome.EXPIRED}
UNCOUNTED = {Outcome.SNOOZE, Outcome.RETURNED}
ENQUEUE_PLACE = records.HEADER.size


@dataclass(slots=True)
class Life:
    """What the log says of one job."""

    kind: int
    queue: int
    key: int  # hash, 0: none
    parent: int
    group: int  # of its enqueue
    payload: bytes
    token: int = 0  # of the lease that is out, 0: none
    leases: int = 0
    attempts: int = 0
    outcome: Outcome | None = None  # final
    settled_group: int = 0


@dataclass(slots=True)
class History:
    """A log as it was read, with everything that is wrong with it."""

    kinds: dict[int, str] = field(default_factory=dict)
    queues: dict[int, str] = field(default_factory=dict)
    lives: dict[int, Life] = field(default_factory=dict)
    children: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    outcomes: Counter[str] = field(default_factory=Counter)
    records: int = 0
    bytes: int = 0
    epochs: int = 0
    torn: int = 0  # epochs that began over a torn tail
    faults: list[str] = field(default_factory=list)
    fault_count: int = 0
    replay_hash: int = 0
    replay_jobs: int = 0
    _group: int = 1
    _sequence: int = 0
    _out: dict[tuple[int, int], int] = field(default_factory=dict)  # key: job leased
    _waiting: dict[tuple[int, int], list[int]] = field(default_factory=lambda: defaultdict(list))
    _skipping: set[int] = field(default_factory=set)  # queues of order skip

    def fault(self, text: str) -> None:
        """Note something that must not be."""
        self.fault_count += 1
        if len(self.faults) < FAULTS_SHOWN:
            self.faults.append(text)

    def read(self, directory: str) -> None:
        """Read the log in `directory`, judge each record, and replay it."""
        replay = Replay()
        try:
            self._read(directory, replay)
        except HybridrtError as error:
            self.fault(f"after record {self._sequence}: {type(error).__name__}: {error}")
        self.replay_hash, self.replay_jobs = replay.state_hash(), replay.jobs()

    def _read(self, directory: str, replay: Replay) -> None:
        with Scan(directory) as scan:
            for record in scan:
                replay.apply(record)
                self._take(record)
            report = scan.report()
        if report["damage"]:
            self.fault(f"the log ends badly: {report['text']}")

    def _take(self, record: memoryview) -> None:
        header = records.read_header(record)
        self.records += 1
        self.bytes += len(record)
        if header["sequence"] != self._sequence + 1:
            self.fault(f"record {header['sequence']} follows {self._sequence}")
        self._sequence = header["sequence"]
        takers: dict[int, Callable[[dict[str, int], memoryview], None]] = {
            RecordType.ENQUEUE: self._enqueue,
            RecordType.LEASE: self._lease,
            RecordType.SETTLE: self._settle,
            RecordType.CONTROL: self._control,
            RecordType.EPOCH: self._epoch,
            RecordType.KEEP: self._keep,
        }
        if taker := takers.get(header["type"]):
            taker(header, record)
        self._group += header["flags"] & LAST

    def _control(self, _: dict[str, int], record: memoryview) -> None:
        verb, number, length = records.CONTROL.unpack_from(record, records.HEADER.size)
        place = records.HEADER.size + records.CONTROL.size
        data = bytes(record[place : place + length])
        if verb == records.ControlVerb.KIND:
            self.kinds[number] = data.decode()
        elif verb == records.ControlVerb.QUEUE:
            name = data[: records.QUEUE_NAME_BYTES].partition(b"\0")[0].decode()
            self.queues[number] = name
            if name == "skip":
                self._skipping.add(number)

    def _epoch(self, _: dict[str, int], record: memoryview) -> None:
        self.epochs += 1
        tail_lost = records.EPOCH.unpack_from(record, records.HEADER.size)[4]
        self.torn += tail_lost != 0

    def _keep(self, header: dict[str, int], _: memoryview) -> None:
        self.fault(f"record {header['sequence']} copies a job forward: the log was recycled")

    def _enqueue(self, header: dict[str, int], record: memoryview) -> None:
        job = header["sequence"]
        body = records.ENQUEUE.unpack_from(record, ENQUEUE_PLACE)
        parent, payload_length = body[2], body[5]
        payload = bytes(record[len(record) - payload_length :])
        queue = header["queue"]
        life = Life(header["kind"], queue, header["key_hash"], parent, self._group, payload)
        self.lives[job] = life
        if life.parent:
            self.children[life.parent].append(job)
        if life.key:
            self._waiting[queue, life.key].append(job)

    def _lease(self, header: dict[str, int], record: memoryview) -> None:
        place = records.HEADER.size + records.LEASE.size
        for job in Struct(f"<{header['count']}Q").unpack_from(record, place):
            life = self.lives.get(job)
            if life is None or life.outcome is not None or life.token:
                self.fault(f"lease {header['sequence']} of job {job}: {life}")
                continue
            life.token = header["sequence"]
            life.leases += 1
            life.attempts += 1
            if life.key:
                self._lease_key(header["sequence"], job, life)

    def _lease_key(self, token: int, job: int, life: Life) -> None:
        key = (life.queue, life.key)
        if key in self._out:
            self.fault(f"lease {token} of job {job}: its key is out with job {self._out[key]}")
        self._out[key] = job
        head = self._waiting[key][0]
        if job != head and life.queue not in self._skipping:
            self.fault(f"lease {token} of job {job}: its key belongs to job {head}")

    def _settle(self, header: dict[str, int], record: memoryview) -> None:
        for entry in records.settlements(record, header["count"]):
            self.outcomes[entry.outcome.name] += 1
            life = self.lives.get(entry.job)
            where = f"settle {header['sequence']} of job {entry.job} as {entry.outcome.name}"
            if life is None:
                self.fault(f"{where}: no such job")
            elif entry.outcome == Outcome.FORGOTTEN:
                if life.outcome is None:
                    self.fault(f"{where}: it has not ended")
            else:
                self._settle_one(where, entry, life)

    def _settle_one(self, where: str, entry: Settled, life: Life) -> None:
        if life.outcome is not None:
            self.fault(f"{where}: it was settled as {life.outcome.name}")
        if life.token == 0 or entry.token != life.token:
            self.fault(f"{where}: token {entry.token}, but the lease out is {life.token}")
        life.token = 0
        life.attempts -= entry.outcome in UNCOUNTED
        key = (life.queue, life.key)
        if self._out.get(key) == entry.job:
            del self._out[key]
        if entry.outcome in FINAL:
            life.outcome = entry.outcome
            life.settled_group = self._group
            if life.key:
                self._waiting[key].remove(entry.job)
