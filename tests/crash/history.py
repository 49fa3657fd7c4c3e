"""Reads a whole log and judges it by the contract, with rules of its own, not those of the state.

A history knows nothing of the library's state machine: it holds, record for record, that leases
and settles alternate, that keys are served in order, and that follow-ups come with their parent.
"""

import threading
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
FOLLOW_PAUSE_S = 0.005
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
    kept: int = 0  # jobs copied forward, so that old segments could be recycled
    faults: list[str] = field(default_factory=list)
    fault_count: int = 0
    hashes: int = 0  # checkpoints whose state hash was that of the replay
    checkpointed: int = 0  # sequence of the last of these
    replay_hash: int = 0
    replay_jobs: int = 0
    _group: int = 1
    _sequence: int = 0
    _out: dict[tuple[int, int], int] = field(default_factory=dict)  # key: job leased
    _waiting: dict[tuple[int, int], list[int]] = field(default_factory=lambda: defaultdict(list))
    _skipping: set[int] = field(default_factory=set)  # queues of order skip
    _broken: bool = False  # what follows cannot be read
    _scan: Scan | None = None
    _replay: Replay | None = None

    def fault(self, text: str) -> None:
        """Note something that must not be."""
        self.fault_count += 1
        if len(self.faults) < FAULTS_SHOWN:
            self.faults.append(text)

    def begin(self, directory: str) -> None:
        """Open the log in `directory`."""
        self._scan = Scan(directory)
        self._replay = Replay()

    def step(self) -> None:
        """Judge and replay what was written since the last step, also beside a writer."""
        assert self._scan is not None
        assert self._replay is not None
        if self._broken:
            return
        try:
            for record in self._scan:
                self._replay.apply(record)
                self._take(record)
        except HybridrtError as error:
            self._broken = True
            self.fault(f"after record {self._sequence}: {type(error).__name__}: {error}")

    def end(self) -> None:
        """Read the rest and note how the log ends."""
        assert self._scan is not None
        assert self._replay is not None
        self.step()
        report = self._scan.report()
        if report["damage"]:
            self.fault(f"the log ends badly: {report['text']}")
        self.replay_hash, self.replay_jobs = self._replay.state_hash(), self._replay.jobs()
        self.close()

    def close(self) -> None:
        """Close the log; nothing happens when it was not opened."""
        if self._scan is not None:
            self._scan.close()
            self._scan = None

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
            RecordType.CHECKPOINT: self._checkpoint,
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

    def _checkpoint(self, header: dict[str, int], record: memoryview) -> None:
        """Hold the state that the supervisor had then against the one that its records make."""
        state_hash, _jobs = records.CHECKPOINT.unpack_from(record, records.HEADER.size)
        if state_hash == 0 or self._replay is None:
            return
        if state_hash != self._replay.state_hash():
            self.fault(f"checkpoint {header['sequence']} has another state than its records")
        self.hashes += 1
        self.checkpointed = header["sequence"]

    def ended_well(self) -> bool:
        """Say whether the log ends with a checkpoint that has the whole state."""
        return self.checkpointed == self._sequence

    def _keep(self, header: dict[str, int], record: memoryview) -> None:
        self.kept += 1
        body = records.KEEP.unpack_from(record, records.HEADER.size + records.ENQUEUE.size)
        job, token, attempts = body[0], body[1], body[8]
        life = self.lives.get(job)
        if life is None or (token, attempts) != (life.token, life.attempts):
            self.fault(f"record {header['sequence']} copies job {job} forward as another: {life}")

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


class Follower:
    """Reads a log while it is written, in a thread, so that nothing is recycled unread."""

    def __init__(self, history: History, directory: str) -> None:
        """Begin to read."""
        history.begin(directory)
        self._history = history
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="follower")
        self._thread.start()

    def _follow(self) -> None:
        while not self._stopped.wait(FOLLOW_PAUSE_S):
            self._history.step()

    def stop(self) -> None:
        """Stop reading; what is written from now on waits for the history's end."""
        self._stopped.set()
        self._thread.join()
