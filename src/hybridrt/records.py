"""The records of a log as plain objects, for people and programs that read it. Pure: bytes in.

The layouts are those of native/include/hybridrt/abi.h; tests/unit/test_records.py compares them
with tests/abi/layout.txt. hybridrt.logreader gives the bytes.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import TYPE_CHECKING, Any

from hybridrt.names import JobState, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ENTRY_ALIGN = 8
TRACE_SIZE = 32
TRACE_FLAG = 1
HEADER_NAMES = (
    "length", "crc", "sequence", "position", "durable", "time_ns", "epoch", "type", "flags",
    "kind", "queue", "count", "key_hash",
)  # fmt: skip
HEADER = Struct("<IIQQQQIBBHHxxIQ")
TYPE_OFFSET = 44
# due_ns expires_ns parent timeout_ms result_ttl_ms payload meta attempts key crashes flags
ENQUEUE = Struct("<QQQIIIHHBBB5x")
LEASE = Struct("<Q")
JOB_SIZE = 8
SETTLE = Struct("<QQQIBBxx")  # job token due_ns data_length outcome cause
CONTROL = Struct("<III4x")  # verb id data_length
CHECKPOINT = Struct("<QQ")  # state_hash jobs
EPOCH = Struct("<16sQIIQ8x")  # boot_id instance format_version pid tail_lost
# job token enqueued_ns settled_ns due_ns client error result attempt crashes state outcome cause
KEEP = Struct("<QQQQQQIIHBBBBHI4x")
KEEP_1 = Struct("<QQQQQQIIHBBBB2x")  # format 1
SAVED_LENGTH = 14  # place among the values of a KEEP
SAVED = Struct("<QQI4x")
LANES = Struct("<QQQ")
QUEUE_NAME_BYTES = 64
CANCEL_NOTE = re.compile(r'\{"cancel":(\d+),"token":\d+\}')


class RecordType(IntEnum):
    """What a record says."""

    ENQUEUE = 1
    LEASE = 2
    SETTLE = 3
    CONTROL = 4
    CHECKPOINT = 5
    EPOCH = 6
    PAD = 7
    DUE = 8
    KEEP = 9
    SAVED = 10
    LANES = 11
    VOID = 12


class ControlVerb(IntEnum):
    """What a CONTROL record changes."""

    KIND = 1
    QUEUE = 2
    PAUSE = 3
    RESUME = 4
    NOTE = 5


@dataclass(frozen=True, slots=True)
class Settled:
    """One entry of a SETTLE record."""

    job: int
    token: int
    due_ns: int
    outcome: Outcome
    cause: int
    data: bytes


def record_type(record: memoryview) -> int:
    """Return the type of a record, for readers that pass most of them over."""
    return record[TYPE_OFFSET]


def read_header(record: memoryview) -> dict[str, int]:
    """Return the fields of a record's header."""
    return dict(zip(HEADER_NAMES, HEADER.unpack_from(record), strict=True))


def settlements(record: memoryview, count: int) -> Iterator[Settled]:
    """Give the `count` entries of a SETTLE record."""
    place = HEADER.size
    for _ in range(count):
        job, token, due_ns, length, outcome, cause = SETTLE.unpack_from(record, place)
        place += SETTLE.size
        data = bytes(record[place : place + length])
        yield Settled(job, token, due_ns, Outcome(outcome), cause, data)
        place += -(-length // ENTRY_ALIGN) * ENTRY_ALIGN


def decided(record: memoryview) -> list[int] | None:
    """Return what the scheduler decided in a record, as hrt_hindsight_ask answers; None: nothing.

    Jobs of a LEASE or a DUE; of a SETTLE outcome, cause and due_ns of each entry.
    """
    kind, count = record_type(record), read_header(record)["count"]
    if kind == RecordType.LEASE:
        return _numbers("Q", record, HEADER.size + LEASE.size, count)
    if kind == RecordType.DUE:
        return _numbers("Q", record, HEADER.size, count)
    if kind == RecordType.SETTLE:
        entries = settlements(record, count)
        return [number for e in entries for number in (int(e.outcome), e.cause, e.due_ns)]
    return None


class Describer:
    """Turns records into plain objects; remembers the names of kinds and queues on the way."""

    def __init__(self, *, payloads: bool = False) -> None:
        """Know no names yet. `payloads`: with what jobs were asked to do, up to 256 KiB each."""
        self._payloads = payloads
        self._kinds: dict[int, str] = {}
        self._queues: dict[int, str] = {}
        self._bodies: dict[int, Callable[[dict[str, int], memoryview], dict[str, Any]]] = {
            RecordType.ENQUEUE: self._enqueue,
            RecordType.LEASE: _lease,
            RecordType.SETTLE: _settle,
            RecordType.CONTROL: self._control,
            RecordType.CHECKPOINT: _checkpoint,
            RecordType.EPOCH: _epoch,
            RecordType.DUE: _due,
            RecordType.KEEP: self._keep,
            RecordType.SAVED: _saved,
            RecordType.LANES: _lanes,
        }

    def describe(self, record: memoryview) -> dict[str, Any]:
        """Return what one record says."""
        header = read_header(record)
        body = self._bodies.get(header["type"])
        return {
            "sequence": header["sequence"],
            "type": type_name(header["type"]),
            "position": header["position"],
            "length": header["length"],
            "epoch": header["epoch"],
            "time_ns": header["time_ns"],
            **(body(header, record) if body else {}),
        }

    def _names(self, header: dict[str, int]) -> dict[str, Any]:
        kind, queue = header["kind"], header["queue"]
        return {"kind": self._kinds.get(kind, kind), "queue": self._queues.get(queue, queue)}

    def _enqueue(self, header: dict[str, int], record: memoryview) -> dict[str, Any]:
        names = self._names(header)
        return {"job": header["sequence"], **names, **self._fields(record, ENQUEUE.size)}

    def _keep(self, header: dict[str, int], record: memoryview) -> dict[str, Any]:
        size = _keep_size(header, record)
        shape = KEEP if size == KEEP.size else KEEP_1
        values = shape.unpack_from(record, HEADER.size + ENQUEUE.size)
        saved = values[SAVED_LENGTH] if shape is KEEP else 0
        return {
            "job": values[0],
            **self._names(header),
            "state": JobState(values[10]).name.lower(),
            "attempt": values[8],
            "crashes": values[9],
            **self._fields(record, ENQUEUE.size + size),
            **({"saved_length": saved} if saved else {}),
        }

    def _fields(self, record: memoryview, before_key: int) -> dict[str, Any]:
        found = _enqueue_fields(record, before_key)
        return found | _asked(record, before_key) if self._payloads else found

    def _control(self, _: dict[str, int], record: memoryview) -> dict[str, Any]:
        verb, number, length = CONTROL.unpack_from(record, HEADER.size)
        place = HEADER.size + CONTROL.size
        data = bytes(record[place : place + length])
        text = data[:QUEUE_NAME_BYTES] if verb == ControlVerb.QUEUE else data
        name = text.partition(b"\0")[0].decode("utf-8", "replace")
        if verb == ControlVerb.KIND:
            self._kinds[number] = name
        if verb == ControlVerb.QUEUE:
            self._queues[number] = name
        body: dict[str, Any] = {"verb": ControlVerb(verb).name.lower(), "id": number}
        if verb in {ControlVerb.PAUSE, ControlVerb.RESUME}:
            body["queue_name"] = self._queues.get(number, number)
        return {**body, "text": name} if name else body


def jobs_of(record: dict[str, Any]) -> set[int]:
    """Return the jobs that a record, as it was described, is about."""
    several = record.get("jobs", ())
    found = set(several) if isinstance(several, list) else set()  # a CHECKPOINT counts them
    found |= {entry["job"] for entry in record.get("settled", ())}
    return found | ({record["job"]} if "job" in record else set())


def cancelled_by(note: str) -> int | None:
    """Return the job that a note asks to stop; None: it is an operator's note of something else."""
    found = CANCEL_NOTE.fullmatch(note)
    return int(found[1]) if found else None


def type_name(number: int) -> str:
    """Return the name of a record type, or its number when it is not known."""
    known = number in RecordType.__members__.values()
    return RecordType(number).name.lower() if known else str(number)


def _keep_size(header: dict[str, int], record: memoryview) -> int:
    """Return the size of what a KEEP has behind its ENQUEUE; in format 1 it was less."""
    _, _, _, _, _, payload, meta, _, key, _, flags = ENQUEUE.unpack_from(record, HEADER.size)
    error, result = KEEP_1.unpack_from(record, HEADER.size + ENQUEUE.size)[6:8]
    data = payload + meta + key + error + result + (TRACE_SIZE if flags & TRACE_FLAG else 0)
    first = HEADER.size + ENQUEUE.size + KEEP_1.size + data
    return KEEP_1.size if header["length"] == first else KEEP.size


def _enqueue_fields(record: memoryview, before_key: int) -> dict[str, Any]:
    """Read the description of a job, and its key, which lies `before_key` bytes into the body."""
    values = ENQUEUE.unpack_from(record, HEADER.size)
    due_ns, expires_ns, parent = values[:3]
    key_length, flags = values[8], values[10]
    place = _key_place(flags, before_key)
    found: dict[str, Any] = {"payload_length": values[5]}
    if key_length:
        found["key"] = bytes(record[place : place + key_length]).decode("utf-8", "replace")
    optional = {"due_ns": due_ns, "expires_ns": expires_ns, "parent": parent}
    return found | {name: value for name, value in optional.items() if value}


def _key_place(flags: int, before_key: int) -> int:
    return HEADER.size + before_key + (TRACE_SIZE if flags & TRACE_FLAG else 0)


def _asked(record: memoryview, before_key: int) -> dict[str, str]:
    """Read meta, if there is any, and payload, which lie behind the key."""
    _, _, _, _, _, payload, meta, _, key, _, flags = ENQUEUE.unpack_from(record, HEADER.size)
    place = _key_place(flags, before_key) + key
    end = place + meta
    found = _readable(bytes(record[place:end]), "meta") if meta else {}
    return found | _readable(bytes(record[end : end + payload]), "payload")


def _lease(header: dict[str, int], record: memoryview) -> dict[str, Any]:
    count = header["count"]
    (client,) = LEASE.unpack_from(record, HEADER.size)
    found = {"client": client, "jobs": _numbers("Q", record, HEADER.size + LEASE.size, count)}
    places = HEADER.size + LEASE.size + count * JOB_SIZE
    if header["length"] > places:  # format 1 has none
        found["places"] = _numbers("H", record, places, count)
    return found


def _due(header: dict[str, int], record: memoryview) -> dict[str, Any]:
    return {"jobs": _numbers("Q", record, HEADER.size, header["count"])}


def _numbers(kind: str, record: memoryview, place: int, count: int) -> list[int]:
    return list(Struct(f"<{count}{kind}").unpack_from(record, place))


def _saved(_: dict[str, int], record: memoryview) -> dict[str, Any]:
    job, token, length = SAVED.unpack_from(record, HEADER.size)
    return {"job": job, "token": token, "length": length}


def _lanes(header: dict[str, int], record: memoryview) -> dict[str, Any]:
    entries = LANES.iter_unpack(record[HEADER.size : HEADER.size + header["count"] * LANES.size])
    return {"lanes": [dict(zip(("client", "submit", "reply"), e, strict=True)) for e in entries]}


def _settle(header: dict[str, int], record: memoryview) -> dict[str, Any]:
    entries = settlements(record, header["count"])
    return {"settled": [_settled_fields(entry) for entry in entries]}


def _settled_fields(entry: Settled) -> dict[str, Any]:
    found: dict[str, Any] = {"job": entry.job, "outcome": entry.outcome.name.lower()}
    if entry.cause:
        found["cause"] = Outcome(entry.cause).name.lower()
    if entry.token:
        found["token"] = entry.token
    if entry.due_ns:
        found["due_ns"] = entry.due_ns
    if entry.data:
        found |= _readable(entry.data)
    return found


def _readable(data: bytes, name: str = "data") -> dict[str, str]:
    """Give bytes as text if they are some, else in base64: none is lost."""
    try:
        return {name: data.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(data).decode()}


def _checkpoint(_: dict[str, int], record: memoryview) -> dict[str, Any]:
    state_hash, jobs = CHECKPOINT.unpack_from(record, HEADER.size)
    return {"state_hash": f"{state_hash:016x}", "jobs": jobs}


def _epoch(_: dict[str, int], record: memoryview) -> dict[str, Any]:
    _boot, instance, _format, pid, tail_lost = EPOCH.unpack_from(record, HEADER.size)
    return {"pid": pid, "instance": f"{instance:016x}", "tail_lost": tail_lost}
