"""The control protocol as structs: requests, replies, errors and events; see docs/control.md.

A request travels from a DEALER to the ROUTER as frames [protocol, id, verb, JSON]; the reply is
[protocol, id, b"ok" or b"error", JSON]. Events are published as [topic, JSON]. Pure: bytes in,
structs out.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from hybridrt.errors import (
    ControlError,
    ControlVersionError,
    HybridrtError,
    UnknownVerbError,
    from_code,
)

PROTOCOL = b"hrt1"
OK = b"ok"
ERROR = b"error"
FRAMES = 4
RECONNECT_MILLISECONDS = 5  # of a client, when a standby takes the place of a supervisor
LIMIT_MAX = 10_000  # jobs in one answer

JobId = Annotated[int, msgspec.Meta(ge=1)]
Limit = Annotated[int, msgspec.Meta(ge=1, le=LIMIT_MAX)]


class Arguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of all arguments; by itself, of verbs that take none."""


class QueueArguments(Arguments, frozen=True, kw_only=True):
    """Names a queue."""

    queue: str


class JobArguments(Arguments, frozen=True, kw_only=True):
    """Names one job; `payload` asks for its bytes too, in base64."""

    id: JobId
    payload: bool = False


class JobsArguments(Arguments, frozen=True, kw_only=True):
    """Names jobs."""

    ids: list[JobId]


class JobFilter(Arguments, frozen=True, kw_only=True):
    """Selects jobs; `after` is the `next` of the previous answer."""

    queue: str | None = None
    kind: str | None = None
    state: str | None = None
    after: Annotated[int, msgspec.Meta(ge=0)] = 0
    limit: Limit = 100


class DeadArguments(JobFilter, frozen=True, kw_only=True):
    """Selects dead jobs: by ids, or by filter; without either, nothing is selected."""

    ids: list[JobId] = []
    all: bool = False
    state: None = None


class WorkerArguments(Arguments, frozen=True, kw_only=True):
    """Names a worker by pool/number (``"images/0"``), by pid or by incarnation."""

    worker: str


class PoolArguments(Arguments, frozen=True, kw_only=True):
    """Names a pool."""

    pool: str


class UpgradeArguments(Arguments, frozen=True, kw_only=True):
    """Names the Python that runs the next supervisor; None: the one that runs this one."""

    python: str | None = None


class ScaleArguments(Arguments, frozen=True, kw_only=True):
    """Sets the number of workers of a pool until the next reload."""

    pool: str
    workers: Annotated[int, msgspec.Meta(ge=0, le=100)]


class DrainArguments(Arguments, frozen=True, kw_only=True):
    """Gives workers this long to finish; None: as configured."""

    timeout: Annotated[float, msgspec.Meta(ge=0)] | None = None


class SyncArguments(Arguments, frozen=True, kw_only=True):
    """Waits this long for the disk."""

    timeout: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 30.0


class BackupArguments(Arguments, frozen=True, kw_only=True):
    """Names a directory of this machine."""

    directory: Annotated[str, msgspec.Meta(min_length=1)]


class EnqueueArguments(Arguments, frozen=True, kw_only=True):
    """One job for the command line; programs enqueue through a lane. Payload in base64."""

    kind: str
    payload: bytes = b""
    queue: str = "default"
    key: str | None = None
    meta: bytes | None = None
    delay: float | None = None
    at: float | None = None
    max_attempts: int | None = None
    timeout: float | None = None
    result_ttl: float | None = None
    expires: float | None = None
    block_timeout: float | None = None


VERBS: dict[str, type[Arguments]] = {
    "ping": Arguments,
    "status": Arguments,
    "stats": Arguments,
    "config.show": Arguments,
    "queue.ls": Arguments,
    "queue.show": QueueArguments,
    "queue.pause": QueueArguments,
    "queue.resume": QueueArguments,
    "job.show": JobArguments,
    "job.ls": JobFilter,
    "job.retry": JobsArguments,
    "job.cancel": JobsArguments,
    "job.discard": JobsArguments,
    "dead.ls": JobFilter,
    "dead.show": JobArguments,
    "dead.retry": DeadArguments,
    "dead.discard": DeadArguments,
    "worker.ls": Arguments,
    "worker.drain": WorkerArguments,
    "worker.restart": WorkerArguments,
    "worker.roll": PoolArguments,
    "pool.ls": Arguments,
    "pool.scale": ScaleArguments,
    "drain": DrainArguments,
    "shutdown": DrainArguments,
    "reload": Arguments,
    "upgrade": UpgradeArguments,
    "log.sync": SyncArguments,
    "log.backup": BackupArguments,
    "enqueue": EnqueueArguments,
}


class Request(msgspec.Struct, frozen=True):
    """One request, understood."""

    id: bytes
    verb: str
    arguments: Arguments


class ErrorBody(msgspec.Struct, frozen=True):
    """The JSON of an error reply."""

    code: str
    message: str
    hint: str = ""


def encode_request(request_id: bytes, verb: str, arguments: dict[str, Any]) -> list[bytes]:
    """Build the frames of a request; arguments that are None are left out."""
    given = {name: value for name, value in arguments.items() if value is not None}
    return [PROTOCOL, request_id, verb.encode(), msgspec.json.encode(given)]


def decode_request(frames: Sequence[bytes]) -> Request:
    """Understand the frames of a request; raise ControlError."""
    check_protocol(frames)
    verb = frames[2].decode("utf-8", "replace")
    if verb not in VERBS:
        raise UnknownVerbError(f"unknown verb {verb!r}", f"known: {', '.join(VERBS)}")
    try:
        arguments = msgspec.json.decode(frames[3] or b"{}", type=VERBS[verb])
    except msgspec.DecodeError as error:
        message = f"{verb}: {error}"
        raise ControlError(message) from error
    return Request(frames[1], verb, arguments)


def check_protocol(frames: Sequence[bytes]) -> None:
    """Raise ControlVersionError or ControlError unless these are frames of this protocol."""
    spoken = frames[0] if frames else b""
    if spoken != PROTOCOL:
        theirs = spoken[:16].decode("utf-8", "replace")
        raise ControlVersionError(
            f"this side speaks {PROTOCOL.decode()!r}, the other one {theirs!r}",
            "install the same version of hybridrt on both sides",
        )
    if len(frames) != FRAMES:
        raise ControlError(f"a message has {FRAMES} frames, this one has {len(frames)}")


def encode_reply(request_id: bytes, body: object) -> list[bytes]:
    """Build the frames of a good reply."""
    return [PROTOCOL, request_id, OK, msgspec.json.encode(body)]


def encode_error(request_id: bytes, error: HybridrtError) -> list[bytes]:
    """Build the frames of an error reply."""
    body = ErrorBody(error.code, error.message, error.hint)
    return [PROTOCOL, request_id, ERROR, msgspec.json.encode(body)]


def decode_reply(frames: Sequence[bytes]) -> Any:
    """Return the body of a good reply, or raise the error that an error reply stands for."""
    check_protocol(frames)
    if frames[2] == OK:
        return msgspec.json.decode(frames[3])
    body = msgspec.json.decode(frames[3], type=ErrorBody)
    raise from_code(body.code, body.message, body.hint)


def encode_event(topic: str, body: object) -> list[bytes]:
    """Build the frames of an event."""
    return [topic.encode(), msgspec.json.encode(body)]


def decode_event(frames: Sequence[bytes]) -> tuple[str, dict[str, Any]]:
    """Return topic and body of an event."""
    return frames[0].decode(), msgspec.json.decode(frames[1], type=dict[str, Any])
