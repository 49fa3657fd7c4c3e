"""A small writer of logs: turns steps into records, as a scheduler without clocks would.

It asks the model what is possible and adds now and then what is not: unknown jobs, stale tokens,
leases of jobs that wait. A state has to pass those over.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from . import model
from .model import Job, Model

SECOND = 1_000_000_000
KINDS = (b"first", b"second", b"third")
QUEUES = 2
UNKNOWN_JOB = 1 << 40

Step = tuple[int, int, int]


@dataclass(slots=True)
class Writer:
    """Appends records to a log and keeps the model of it."""

    retain_max: int = 3
    state: Model = field(default_factory=Model)
    records: list[bytes] = field(default_factory=list)
    now_ns: int = 1_000 * SECOND
    position: int = 0

    def declare(self) -> None:
        """Begin as every segment does: with all names and settings."""
        for id_, name in enumerate(KINDS):
            self._control(model.KIND, id_, name)
        for id_ in range(QUEUES):
            known = self.state.queues.get(id_)
            self._control(model.QUEUE, id_, known.settings if known else self._settings(id_, id_))
            if known and known.paused:
                self._control(model.PAUSE, id_)

    def step(self, step: Step) -> None:
        """Append what a step says: (what, which, how)."""
        what, which, how = step
        self.now_ns += how % 7 * SECOND // 3
        actions = (
            self.enqueue,
            self.lease,
            self.settle,
            self.settle,
            self.save,
            self.due,
            self.operate,
            self.configure,
            self.keep_one,
        )
        actions[what % len(actions)](which, how)

    def enqueue(self, which: int, how: int) -> None:
        """Append a job: with or without a key, a delay, an expiry, a trace."""
        key = (b"", b"a", b"b", b"c")[which % 4]
        trace = bytes(model.TRACE_SIZE) if how % 5 == 0 else b""
        meta, payload = b"m" * (how % 3), b"p" * (which % 50)
        body = model.ENQUEUE.pack(
            self.now_ns + how % 4 * SECOND if how % 2 else 0,
            self.now_ns + 3 * SECOND if how % 3 == 0 else 0,
            which % 7,
            how % 100,
            how % 2 * 5000,
            len(payload),
            len(meta),
            how % 6,
            len(key),
            which % 4,
            model.TRACE_FLAG if trace else 0,
        )
        self._append(
            model.RECORD_ENQUEUE,
            body + trace + key + meta + payload,
            kind=which % len(KINDS),
            queue=which // 4 % QUEUES,
            key_hash=int.from_bytes(key, "little"),
        )

    def lease(self, which: int, how: int) -> None:
        """Lease jobs whose turn it is; now and then also one that has to be passed over."""
        ready = [job.id for job in self.state.jobs.values() if self.state.may_start(job)]
        ids = ready[: 1 + which % 5]
        if how % 4 == 0:
            ids.append(UNKNOWN_JOB)
        waiting = [j.id for j in self.state.jobs.values() if j.state != model.READY]
        if how % 3 == 0 and waiting:
            ids.append(waiting[which % len(waiting)])
        if ids:
            self._append(
                model.RECORD_LEASE,
                struct.pack(f"<{1 + len(ids)}Q{len(ids)}H", 1 + which % 3, *ids, *range(len(ids))),
                count=len(ids),
            )

    def settle(self, which: int, how: int) -> None:
        """Settle a few running jobs in one record."""
        running = self._in(model.RUNNING)
        entries = []
        for offset in range(1 + how % 3):
            if not running:
                break
            job = running.pop(which % len(running))
            outcome = 1 + (how + offset * 5) % model.LOST
            stale = which % 11 == 0
            entries.append(self._entry(job, job.token + stale, outcome, how + offset))
        self._settle(entries)

    def save(self, which: int, how: int) -> None:
        """Save something, or nothing, for a running job; now and then for one that does not run."""
        jobs = self._in(model.RUNNING) or list(self.state.jobs.values())
        if jobs:
            job = jobs[which % len(jobs)]
            token = job.token + (how % 7 == 0)
            body = model.SAVED.pack(job.id, token, how % 30)
            self._append(model.RECORD_SAVED, body + b"s" * (how % 30))

    def due(self, which: int, _how: int) -> None:
        """Make waiting jobs ready, and name one that is not there."""
        waiting = self._in(model.SCHEDULED) + self._in(model.RETRYING)
        ids = [job.id for job in waiting[: 1 + which % 3]]
        if which % 5 == 0:
            ids.append(UNKNOWN_JOB)
        if ids:
            self._append(model.RECORD_DUE, struct.pack(f"<{len(ids)}Q", *ids), count=len(ids))

    def operate(self, which: int, how: int) -> None:
        """Do what operators and timers do to any job: also what makes no sense for it."""
        jobs = list(self.state.jobs.values())
        if jobs:
            outcome = (model.CANCEL, model.EXPIRE, model.FORGET, model.REVIVE, model.DIE)[how % 5]
            self._settle([self._entry(jobs[which % len(jobs)], 0, outcome, how)])

    def configure(self, which: int, how: int) -> None:
        """Pause, resume or change a queue."""
        queue = which % QUEUES
        if how % 3 == 0:
            self._control(model.QUEUE, queue, self._settings(queue, which // 2 % 2))
        else:
            self._control(model.PAUSE if how % 3 == 1 else model.RESUME, queue)

    def keep_one(self, which: int, _how: int) -> None:
        """Copy a living job forward."""
        jobs = list(self.state.jobs.values())
        if jobs:
            self.keep(jobs[which % len(jobs)])

    def keep(self, job: Job) -> None:
        """Append the KEEP record of a job."""
        enqueue = model.ENQUEUE.pack(
            0,
            job.expires_ns,
            job.parent,
            job.timeout_ms,
            job.result_ttl_ms,
            len(job.payload),
            len(job.meta),
            job.max_attempts,
            job.key_length,
            job.max_crashes,
            0,
        )
        body = model.KEEP.pack(
            job.id,
            job.token,
            job.enqueued_ns,
            job.settled_ns,
            job.due_ns,
            job.client,
            len(job.error),
            len(job.result),
            job.attempt,
            job.crashes,
            job.state,
            job.outcome,
            job.cause,
            job.place,
            len(job.saved),
        )
        data = bytes(job.key_length) + job.meta + job.payload + job.error + job.result + job.saved
        self._append(
            model.RECORD_KEEP,
            enqueue + body + data,
            kind=job.kind,
            queue=job.queue,
            key_hash=job.key_hash,
        )

    # ---- records ----

    def _in(self, state: int) -> list[Job]:
        return [job for job in self.state.jobs.values() if job.state == state]

    def _entry(self, job: Job, token: int, outcome: int, how: int) -> bytes:
        data = b"d" * (how % 20)
        due_ns = self.now_ns + how % 3 * SECOND if how // 8 % 4 else 0
        cause = model.CRASHED if outcome == model.DIE and how % 2 else 0
        head = model.SETTLE_ENTRY.pack(job.id, token, due_ns, len(data), outcome, cause, 0)
        return head + data + bytes(-len(data) % 8)

    def _settle(self, entries: list[bytes]) -> None:
        if entries:
            self._append(model.RECORD_SETTLE, b"".join(entries), count=len(entries))

    def _settings(self, queue: int, order: int) -> bytes:
        name = b"block" if queue == 0 else b"skip"
        numbers = (1, 0, self.retain_max, 100, 1000, 0, 0, order, 5, 0, 0, 3)
        return model.SETTINGS.pack(name, *numbers)

    def _control(self, verb: int, id_: int, data: bytes = b"") -> None:
        self._append(model.RECORD_CONTROL, model.CONTROL.pack(verb, id_, len(data), 0) + data)

    def _append(
        self,
        type_: int,
        body: bytes,
        *,
        kind: int = 0,
        queue: int = 0,
        count: int = 0,
        key_hash: int = 0,
    ) -> None:
        length = model.HEADER.size + len(body)
        sequence = len(self.records) + 1
        times = (sequence, self.position, 0, self.now_ns)
        head = model.HEADER.pack(length, 0, *times, 1, type_, 0, kind, queue, 0, count, key_hash)
        self.position += (length + 63) & ~63
        self.records.append(head + body)
        self.state.apply(head + body)


def write(steps: list[Step]) -> Iterator[Writer]:
    """Run steps; yield the writer after the declarations and after each step."""
    writer = Writer()
    writer.declare()
    yield writer
    for step in steps:
        writer.step(step)
        yield writer
