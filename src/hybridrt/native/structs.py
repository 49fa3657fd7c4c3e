"""What goes in and out of the C library, one class for a struct, copied out of its memory."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Self

from hybridrt.native.library import Buffer, ffi, lib, plain, text_of
from hybridrt.options import Options


class Spec:
    """One hrt_spec, with the buffers that it points into kept alive."""

    __slots__ = ("_keep", "pointer")

    def __init__(
        self, pointer: Any, *, kind: int, queue: int, payload: Buffer, options: Options
    ) -> None:
        """Fill the struct at `pointer`, which is zero."""
        self.pointer = pointer
        data = ffi.from_buffer(payload)
        key = ffi.from_buffer(options.key) if options.key else ffi.NULL
        meta = ffi.from_buffer(options.meta) if options.meta else ffi.NULL
        self._keep = (data, key, meta)
        pointer.payload = data
        pointer.payload_length = len(data)
        pointer.key = key
        pointer.key_length = len(options.key)
        pointer.meta = meta
        pointer.meta_length = len(options.meta)
        pointer.kind = kind
        pointer.queue = queue
        pointer.delay_ns = options.delay_ns
        pointer.due_ns = options.due_ns
        pointer.timeout_ms = options.timeout_ms
        pointer.result_ttl_ms = options.result_ttl_ms
        pointer.expires_ms = options.expires_ms
        pointer.max_attempts = options.max_attempts


@dataclass(frozen=True, slots=True)
class Packed:
    """Payloads back to back: `lengths` of each, or one `stride` for all."""

    data: Any
    count: int
    stride: int = 0
    lengths: "array[int] | None" = None
    offsets: "array[int] | None" = None

    @classmethod
    def join(cls, payloads: Sequence[Buffer]) -> Self:
        """Copy single payloads into one buffer."""
        data = b"".join(payloads)
        lengths = array("I", map(len, payloads))
        offsets = array("Q", accumulate(lengths, initial=0))
        return cls(data, len(payloads), lengths=lengths, offsets=offsets)

    def offset(self, index: int) -> int:
        """Return where payload `index` begins."""
        return self.offsets[index] if self.offsets is not None else index * self.stride


@dataclass(frozen=True, slots=True)
class Notice:
    """What a client is told about a job: type (names.Delivery), code and perhaps its result."""

    type: int
    code: int
    job: int
    token: int
    queue: int
    data: bytes

    @classmethod
    def take(cls, struct: Any) -> Self:
        """Copy a hrt_notice and free it."""
        data = bytes(ffi.buffer(struct.data, struct.data_length)) if struct.data else b""
        notice = cls(struct.type, struct.code, struct.job, struct.token, struct.queue, data)
        lib.hrt_notice_free(struct)
        return notice


@dataclass(slots=True)
class Lease:
    """One job handed to a worker; bytes are copied out of the log."""

    id: int
    token: int
    kind: int
    queue: int
    payload: bytes
    key: bytes
    meta: bytes
    saved: bytes
    enqueued_ns: int
    deadline_ns: int
    parent: int
    attempt: int
    max_attempts: int
    _struct: Any

    @classmethod
    def copy(cls, job: Any) -> Self:
        """Copy a hrt_job, which stays valid until it is settled."""
        return cls(
            id=job.id,
            token=job.token,
            kind=job.kind,
            queue=job.queue,
            payload=bytes(ffi.buffer(job.payload, job.payload_length)),
            key=bytes(ffi.buffer(job.key, job.key_length)) if job.key_length else b"",
            meta=bytes(ffi.buffer(job.meta, job.meta_length)) if job.meta_length else b"",
            saved=bytes(ffi.buffer(job.saved, job.saved_length)) if job.saved_length else b"",
            enqueued_ns=job.enqueued_ns,
            deadline_ns=job.deadline_ns,
            parent=job.parent,
            attempt=job.attempt,
            max_attempts=job.max_attempts,
            _struct=ffi.new("hrt_job *", job),
        )

    def started(self) -> None:
        """Mark the job as begun: from here a crash counts."""
        lib.hrt_job_started(self._struct)


@dataclass(frozen=True, slots=True)
class Follow:
    """One follow-up job, with its names looked up."""

    kind: int
    queue: int
    payload: Buffer
    options: Options


@dataclass(frozen=True, slots=True)
class Settlement:
    """How one attempt ended, and the follow-up jobs that commit with it."""

    job: int
    token: int
    outcome: int
    data: bytes = b""
    delay_ns: int = 0
    follow: tuple[Follow, ...] = ()

    def fill(self, struct: Any) -> tuple[Any, ...]:
        """Fill a hrt_settlement and return what has to stay alive until it is published."""
        data = ffi.from_buffer(self.data)
        struct.job = self.job
        struct.token = self.token
        struct.outcome = self.outcome
        struct.delay_ns = self.delay_ns
        struct.data = data
        struct.data_length = len(data)
        if not self.follow:
            return (data,)
        specs = ffi.new("hrt_spec[]", len(self.follow))
        kept = [
            Spec(
                specs + index,
                kind=job.kind,
                queue=job.queue,
                payload=job.payload,
                options=job.options,
            )
            for index, job in enumerate(self.follow)
        ]
        struct.follow = specs
        struct.follow_count = len(kept)
        return (data, specs, kept)


@dataclass(frozen=True, slots=True)
class RuntimeOptions:
    """Options of a runtime or standby; zero means the C library's default."""

    directory: str
    segment_bytes: int = 0
    segments_min: int = 0
    segments_max: int = 0
    async_ns: int = 0
    lease_ns: int = 0
    cancel_grace_ns: int = 0
    checkpoint_ns: int = 0
    checkpoint_records: int = 0
    snapshot: bool = False
    snapshot_bytes: int = 0

    def struct(self) -> tuple[Any, Any]:
        """Return a hrt_runtime_options, and what has to stay alive as long as it is used."""
        directory = ffi.new("char[]", self.directory.encode())
        options = ffi.new("hrt_runtime_options *")
        options.struct_size = ffi.sizeof("hrt_runtime_options")
        options.abi_version = lib.HRT_ABI_VERSION
        options.directory = directory
        options.segment_size = self.segment_bytes
        options.segments_min = self.segments_min
        options.segments_max = self.segments_max
        options.async_ns = self.async_ns
        options.lease_ns = self.lease_ns
        options.cancel_grace_ns = self.cancel_grace_ns
        options.checkpoint_ns = self.checkpoint_ns
        options.checkpoint_records = self.checkpoint_records
        options.snapshot = self.snapshot
        options.snapshot_bytes = self.snapshot_bytes
        return options, directory


@dataclass(frozen=True, slots=True)
class Event:
    """What the runtime tells the supervisor; `type` is names.EventType."""

    type: int
    code: int
    incarnation: int
    job: int
    value: int
    time_ns: int
    pid: int
    count: int
    text: str

    @classmethod
    def copy(cls, struct: Any) -> Self:
        """Copy a hrt_event."""
        return cls(
            type=struct.type,
            code=struct.code,
            incarnation=struct.incarnation,
            job=struct.job,
            value=struct.value,
            time_ns=struct.time_ns,
            pid=struct.pid,
            count=struct.count,
            text=text_of(struct.text),
        )


@dataclass(frozen=True, slots=True)
class Filter:
    """Selects jobs; -1 and 0 mean all."""

    after: int = 0
    states: int = 0
    queue: int = -1
    kind: int = -1


@dataclass(frozen=True, slots=True)
class Grant:
    """One lane as a standby needs it; goes along with its memory and its eventfd."""

    incarnation: int
    number: int
    submit_capacity: int
    pid: int
    pool: str
    name: str

    @classmethod
    def copy(cls, struct: Any) -> Self:
        """Copy a hrt_grant."""
        return cls(**plain(struct))

    def fill(self, struct: Any) -> None:
        """Fill a hrt_grant."""
        for name in self.__slots__:
            value = getattr(self, name)
            setattr(struct, name, value.encode() if isinstance(value, str) else value)
