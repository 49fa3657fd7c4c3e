"""The reference model: what a log means, as plainly as it can be said.

It reads whole records as bytes and keeps the living jobs in a dict. Everything that the C state
does with lists and indices for the sake of speed is done here by looking at every job.
docs/states.md has the rules in words; where this file and the C state disagree, one is wrong.
"""

import struct
from dataclasses import dataclass, field

HEADER = struct.Struct("<IIQQQQIBBHHHIQ")
ENQUEUE = struct.Struct("<QQQIIIHHBBB5x")
SETTLE_ENTRY = struct.Struct("<QQQIBBH")
CONTROL = struct.Struct("<IIII")
KEEP = struct.Struct("<QQQQQQIIHBBBBHI4x")
KEEP_1_SIZE = KEEP.size - 8  # in format 1
SAVED = struct.Struct("<QQI4x")
SETTINGS = struct.Struct("<64sIIIIIIBBHIIB11x")
TRACE_SIZE = 32
TRACE_FLAG = 1
PLACES = 4096  # of a lane; as the place of a job: nowhere

RECORD_ENQUEUE, RECORD_LEASE, RECORD_SETTLE, RECORD_CONTROL = 1, 2, 3, 4
RECORD_CHECKPOINT, RECORD_EPOCH, RECORD_PAD, RECORD_DUE, RECORD_KEEP = 5, 6, 7, 8, 9
RECORD_SAVED = 10

SCHEDULED, READY, RUNNING, RETRYING = 1, 2, 3, 4
COMPLETED, DEAD, CANCELLED, EXPIRED, DISCARDED = 5, 6, 7, 8, 9
WAITING = {SCHEDULED, READY, RETRYING}
RETAINED = {COMPLETED, CANCELLED, EXPIRED, DISCARDED}

OK, RETRY, SNOOZE, DISCARD, DIE, RETURNED, CRASHED, LOST, TIMEOUT = 1, 2, 3, 4, 5, 6, 7, 8, 9
CANCEL, EXPIRE, FORGET, REVIVE = 10, 11, 12, 13

OPERATOR_ENDS = {DISCARD, DIE, CANCEL, EXPIRE}
ALLOWED = {
    SCHEDULED: OPERATOR_ENDS | {REVIVE},
    READY: OPERATOR_ENDS,
    RUNNING: set(range(OK, FORGET)),
    RETRYING: OPERATOR_ENDS | {REVIVE},
    COMPLETED: {FORGET},
    DEAD: {FORGET, REVIVE},
    CANCELLED: {FORGET},
    EXPIRED: {FORGET},
    DISCARDED: {FORGET},
}
KEPT_AS = {OK: COMPLETED, DISCARD: DISCARDED, CANCEL: CANCELLED, EXPIRE: EXPIRED}

KIND, QUEUE, PAUSE, RESUME = 1, 2, 3, 4
BLOCK, SKIP = 0, 1

DIGEST_JOB, DIGEST_KIND, DIGEST_QUEUE = 1, 2, 3
WORD = 0xFFFFFFFFFFFFFFFF


@dataclass(slots=True)
class Header:
    """The 64 bytes that every record begins with."""

    length: int
    sequence: int
    position: int
    time_ns: int
    type: int
    kind: int
    queue: int
    count: int
    key_hash: int

    @classmethod
    def parse(cls, record: bytes) -> "Header":
        """Read the header of a record."""
        fields = HEADER.unpack_from(record)
        length, _crc, sequence, position, _durable, time_ns, _epoch, type_ = fields[:8]
        _flags, kind, queue, _reserved, count, key_hash = fields[8:]
        return cls(length, sequence, position, time_ns, type_, kind, queue, count, key_hash)


@dataclass(slots=True)
class Job:
    """One living job."""

    id: int
    kind: int
    queue: int
    key_hash: int
    state: int = READY
    token: int = 0
    client: int = 0
    parent: int = 0
    enqueued_ns: int = 0
    due_ns: int = 0
    expires_ns: int = 0
    settled_ns: int = 0
    ended: int = 0  # sequence of the record that ended it, if it is retained
    place: int = 0
    timeout_ms: int = 0
    result_ttl_ms: int = 0
    attempt: int = 0
    max_attempts: int = 0
    crashes: int = 0
    max_crashes: int = 0
    outcome: int = 0
    cause: int = 0
    key_length: int = 0
    meta: bytes = b""
    payload: bytes = b""
    error: bytes = b""
    result: bytes = b""
    saved: bytes = b""


@dataclass(slots=True, frozen=True)
class Settle:
    """One entry of a SETTLE record, without job and token."""

    outcome: int
    cause: int
    due_ns: int
    data: bytes


@dataclass(slots=True)
class Queue:
    """One declared queue: its settings as they are in the log, and whether it is paused."""

    settings: bytes
    paused: bool = False

    @property
    def retain_max(self) -> int:
        """How many terminal jobs are kept for their result."""
        return SETTINGS.unpack(self.settings)[3]

    @property
    def order(self) -> int:
        """BLOCK or SKIP."""
        return SETTINGS.unpack(self.settings)[8]


@dataclass(slots=True)
class Model:
    """The state that a sequence of records describes."""

    jobs: dict[int, Job] = field(default_factory=dict)
    kinds: dict[int, bytes] = field(default_factory=dict)
    queues: dict[int, Queue] = field(default_factory=dict)
    sequence: int = 0  # of the record at hand

    def apply(self, record: bytes) -> None:
        """Change the state by one record."""
        header = Header.parse(record)
        body = record[HEADER.size : header.length]
        self.sequence = header.sequence
        match header.type:
            case 1:
                self._enqueue(header, body)
            case 2:
                self._lease(header, body)
            case 3:
                self._settle_all(header, body)
            case 4:
                self._control(body)
            case 8:
                self._due(body)
            case 9:
                self._keep(header, body)
            case 10:
                self._saved(body)

    # ---- one method for each type of record ----

    def _enqueue(self, header: Header, body: bytes) -> None:
        job = self._new_job(header, header.sequence, body, ENQUEUE.size)
        job.enqueued_ns = header.time_ns
        due_ns = ENQUEUE.unpack_from(body)[0]
        if due_ns > header.time_ns:
            job.state, job.due_ns = SCHEDULED, due_ns

    def _new_job(self, header: Header, job_id: int, body: bytes, data_at: int) -> Job:
        (_due, expires, parent, timeout, ttl, payload, meta, attempts, key, crashes, flags) = (
            ENQUEUE.unpack_from(body)
        )
        assert header.kind in self.kinds
        assert header.queue in self.queues
        assert job_id not in self.jobs
        meta_at = data_at + (TRACE_SIZE if flags & TRACE_FLAG else 0) + key
        payload_at = meta_at + meta
        job = Job(
            id=job_id,
            kind=header.kind,
            queue=header.queue,
            key_hash=header.key_hash,
            parent=parent,
            expires_ns=expires,
            timeout_ms=timeout,
            result_ttl_ms=ttl,
            max_attempts=attempts,
            max_crashes=crashes,
            key_length=key,
            meta=body[meta_at:payload_at],
            payload=body[payload_at : payload_at + payload],
        )
        self.jobs[job_id] = job
        return job

    def _lease(self, header: Header, body: bytes) -> None:
        count = header.count
        if len(body) == 8 + 8 * count:  # format 1: nowhere
            body += struct.pack("<H", PLACES) * count
        client, *rest = struct.unpack(f"<{1 + count}Q{count}H", body)
        for job_id, place in zip(rest[:count], rest[count:], strict=True):
            job = self.jobs.get(job_id)
            if job is not None and job.state == READY:
                job.state, job.token, job.client = RUNNING, header.sequence, client
                job.place = place
                job.attempt += 1

    def _due(self, body: bytes) -> None:
        for (job_id,) in struct.iter_unpack("<Q", body):
            job = self.jobs.get(job_id)
            if job is not None and job.state in {SCHEDULED, RETRYING}:
                make_ready(job)

    def _control(self, body: bytes) -> None:
        verb, id_, length, _reserved = CONTROL.unpack_from(body)
        data = body[CONTROL.size : CONTROL.size + length]
        match verb:
            case 1:
                self.kinds[id_] = data
            case 2:
                paused = id_ in self.queues and self.queues[id_].paused
                self.queues[id_] = Queue(data, paused)
                self._trim(id_)
            case 3 | 4:
                self.queues[id_].paused = verb == PAUSE

    def _keep(self, header: Header, body: bytes) -> None:
        body = in_todays_format(body)
        fields = KEEP.unpack_from(body, ENQUEUE.size)
        job_id, token, enqueued, settled, due, client, error_length, result_length = fields[:8]
        if job_id in self.jobs:
            return
        job = self._new_job(header, job_id, body, ENQUEUE.size + KEEP.size)
        job.token, job.due_ns = token, due
        retained = fields[10] in RETAINED
        job.client, job.ended = (0, client) if retained else (client, 0)
        job.enqueued_ns, job.settled_ns = enqueued, settled
        job.attempt, job.crashes, job.state, job.outcome, job.cause, job.place = fields[8:14]
        saved_at = len(body) - fields[14]
        result_at = saved_at - result_length
        job.error = body[result_at - error_length : result_at]
        job.result = body[result_at:saved_at]
        job.saved = body[saved_at:]
        self._trim(job.queue)

    def _saved(self, body: bytes) -> None:
        job_id, token, length = SAVED.unpack_from(body)
        job = self.jobs.get(job_id)
        if job is not None and job.state == RUNNING and job.token == token:
            job.saved = body[SAVED.size : SAVED.size + length]

    def _settle_all(self, header: Header, body: bytes) -> None:
        at = 0
        for _ in range(header.count):
            job_id, token, due_ns, length, outcome, cause, _reserved = SETTLE_ENTRY.unpack_from(
                body, at
            )
            at += SETTLE_ENTRY.size
            data = body[at : at + length]
            at += (length + 7) & ~7
            job = self.jobs.get(job_id)
            if job is None or token not in {0, job.token} or outcome not in ALLOWED[job.state]:
                continue
            self._settle(job, header.time_ns, Settle(outcome, cause, due_ns, data))

    # ---- what an outcome does to a job ----

    def _settle(self, job: Job, now_ns: int, settle: Settle) -> None:
        outcome, cause = settle.outcome, settle.cause
        if outcome == FORGET:
            del self.jobs[job.id]
            return
        if outcome == REVIVE:
            if job.state == DEAD:
                job.attempt = job.crashes = job.outcome = job.cause = 0
            make_ready(job)
            return
        job.settled_ns = now_ns
        job.token = job.client = 0
        if outcome != RETURNED:
            job.outcome, job.cause = outcome, cause
        if outcome == OK:
            job.result, job.error = settle.data, b""
        elif settle.data:
            job.error = settle.data
        if outcome == CRASHED or (outcome == DIE and cause == CRASHED):
            job.crashes = min(job.crashes + 1, 255)
        if outcome in {SNOOZE, RETURNED}:
            job.attempt = max(job.attempt - 1, 0)
        self._move(job, now_ns, outcome, settle.due_ns)

    def _move(self, job: Job, now_ns: int, outcome: int, due_ns: int) -> None:
        if outcome == DIE:
            job.state, job.due_ns = DEAD, 0
        elif outcome in KEPT_AS:
            self._end(job, KEPT_AS[outcome], due_ns)
        elif outcome == RETURNED or due_ns <= now_ns:
            make_ready(job)
        else:
            job.state = SCHEDULED if outcome == SNOOZE else RETRYING
            job.due_ns = due_ns

    def _end(self, job: Job, state: int, due_ns: int) -> None:
        if due_ns == 0:
            del self.jobs[job.id]
            return
        job.state, job.due_ns, job.payload, job.saved = state, due_ns, b"", b""
        job.ended = self.sequence
        self._trim(job.queue)

    def _trim(self, queue: int) -> None:
        retained = [j for j in self.jobs.values() if j.queue == queue and j.state in RETAINED]
        retained.sort(key=lambda job: (job.ended, job.settled_ns, job.id))
        for job in retained[: max(0, len(retained) - self.queues[queue].retain_max)]:
            del self.jobs[job.id]

    # ---- questions ----

    def may_start(self, job: Job) -> bool:
        """Whether a job is ready and it is its turn within its key."""
        if job.state != READY:
            return False
        if job.key_hash == 0:
            return True
        blocking = self.queues[job.queue].order == BLOCK
        holders = WAITING | {RUNNING} if blocking else {READY, RUNNING}
        same = [
            other
            for other in self.jobs.values()
            if (other.queue, other.key_hash) == (job.queue, job.key_hash) and other.state in holders
        ]
        if any(other.state == RUNNING for other in same):
            return False
        return min(other.id for other in same) == job.id

    def describe(self, job: Job) -> dict[str, int]:
        """Say of a job what hrt_job_info says."""
        names = (
            "id token client parent enqueued_ns due_ns expires_ns settled_ns key_hash timeout_ms "
            "result_ttl_ms kind queue attempt max_attempts crashes max_crashes state outcome cause "
            "key_length"
        )
        info = {name: getattr(job, name) for name in names.split()}
        for part in ("meta", "payload", "error", "result", "saved"):
            info[f"{part}_length"] = len(getattr(job, part))
        info["blocked"] = int(job.state == READY and not self.may_start(job))
        info["suspect"] = int(job.crashes > 0)
        return info

    def hash(self) -> int:
        """Compute the hash of the state: a sum of digests, whatever the order."""
        total = sum(job_digest(job) for job in self.jobs.values())
        for id_, name in self.kinds.items():
            total += digest(DIGEST_KIND, id_, *words(name.ljust(64, b"\0")))
        for id_, queue in self.queues.items():
            total += digest(DIGEST_QUEUE, id_, int(queue.paused), *words(queue.settings))
        return total & WORD


def in_todays_format(keep: bytes) -> bytes:
    """Return the body of a KEEP record as it is written today; format 1 had nothing saved."""
    _, _, _, _, _, payload, meta, _, key, _, flags = ENQUEUE.unpack_from(keep)
    error, result = struct.unpack_from("<II", keep, ENQUEUE.size + 48)
    data = payload + meta + key + error + result + (TRACE_SIZE if flags & TRACE_FLAG else 0)
    first = ENQUEUE.size + KEEP_1_SIZE
    return keep[:first] + bytes(8) + keep[first:] if len(keep) == first + data else keep


def make_ready(job: Job) -> None:
    """Move a job to READY."""
    job.state, job.due_ns = READY, 0


def words(data: bytes) -> tuple[int, ...]:
    """Split bytes into little-endian words of 64 bits."""
    return struct.unpack(f"<{len(data) // 8}Q", data)


def mix(value: int) -> int:
    """Spread the bits of a word (the finalizer of splitmix64)."""
    value ^= value >> 30
    value = value * 0xBF58476D1CE4E5B9 & WORD
    value ^= value >> 27
    value = value * 0x94D049BB133111EB & WORD
    return value ^ value >> 31


def digest(*parts: int) -> int:
    """Absorb words one after the other; the first one is where the digest begins."""
    value = parts[0]
    for word in parts[1:]:
        value = mix(((value ^ word) + 0x9E3779B97F4A7C15) & WORD)
    return value


def job_digest(job: Job) -> int:
    """Digest the fields of a job that the hash covers."""
    counts = (
        job.state
        | job.outcome << 8
        | job.crashes << 16
        | job.cause << 24
        | job.attempt << 32
        | job.max_attempts << 48
    )
    place = job.kind | job.queue << 16 | len(job.result) << 32
    who = (job.id, job.token, job.due_ns, job.key_hash, counts, place, job.client, job.parent)
    limits = job.timeout_ms | job.result_ttl_ms << 32
    lengths = len(job.payload) | len(job.meta) << 32 | job.key_length << 48 | job.max_crashes << 56
    when = (job.enqueued_ns, job.settled_ns, limits, lengths, job.expires_ns, len(job.error))
    text = words(job.error + bytes(-len(job.error) % 8))
    return digest(DIGEST_JOB, *who, *when, len(job.saved), *text)
