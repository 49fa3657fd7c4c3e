"""The one importer of the C library: statuses become exceptions, handles become objects.

Everything here follows native/include/hybridrt/{hybridrt,runtime}.h, which is the manual. Calls
release the GIL. An object that owns a C handle is closed once; later calls raise ClosedError.
"""

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Self

from hybridrt import errors
from hybridrt._native import ffi as ffi  # noqa: PLC0414 - logreader uses them too
from hybridrt._native import lib as lib  # noqa: PLC0414
from hybridrt.errors import HybridrtError
from hybridrt.names import check_name
from hybridrt.options import Options

FOREVER_NS = -1
EVENTS_BATCH = 64
NOTICES_BATCH = 64
LANES_MAX: int = lib.HRT_LANES_MAX
FD_COUNT: int = lib.HRT_FD_COUNT
GRANT_FD_COUNT: int = lib.HRT_GRANT_FD_COUNT
ABI_VERSION: int = lib.HRT_ABI_VERSION
BACKOFF_NS = 2**64 - 1  # delay of a RETRY: the queue's own back-off
TEXT_SIZE = 1024

Status = int
Buffer = bytes | bytearray | memoryview


# ---- statuses -----------------------------------------------------------------------------------


def last_sentence() -> str:
    """Return what the C library said about the last error of this thread."""
    buffer = ffi.new("char[]", TEXT_SIZE)
    lib.hrt_last_error(buffer, TEXT_SIZE)
    return str(ffi.string(buffer).decode("utf-8", "replace"))


def status_text(status: Status) -> str:
    """Return the sentence of a status code."""
    return str(ffi.string(lib.hrt_strerror(status)).decode())


def error_of(status: Status, message: str = "") -> HybridrtError:
    """Build the exception that stands for a negative status."""
    code = ffi.string(lib.hrt_status_name(status)).decode()
    return errors.from_code(code, message or status_text(status))


def check(status: Status) -> None:
    """Raise the exception of a negative status, with the C library's own sentence."""
    if status < 0:
        raise error_of(status, last_sentence())


def version() -> str:
    """Return the version of the C library."""
    return str(ffi.string(lib.hrt_version()).decode())


def key_hash(key: bytes) -> int:
    """Return the hash by which the log knows a key."""
    return int(lib.hrt_key_hash(key, len(key)))


def keep_memory() -> int:
    """Start a process that shares our memory, so that our death frees our files at once."""
    out = ffi.new("int *")
    check(lib.hrt_keep_memory(out))
    return int(out[0])


def _text(characters: Any) -> str:
    return str(ffi.string(characters).decode("utf-8", "replace"))


def _nanoseconds(seconds: float | None) -> int:
    return FOREVER_NS if seconds is None else round(seconds * 1e9)


# ---- jobs to enqueue ----------------------------------------------------------------------------


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


# ---- the client half ----------------------------------------------------------------------------


class Client:
    """A lane: enqueue, wait for answers, fetch and settle. Safe to use from several threads."""

    def __init__(self, handle: Any) -> None:
        """Own `handle`, a hrt_client pointer."""
        self._handle = handle
        self._kinds: dict[str, int] = {}
        self._queues: dict[str, int] = {}

    @classmethod
    def attach(cls, address: str | None = None, name: str = "", timeout: float = 5.0) -> Self:
        """Join a runtime; see hrt_attach for where an `address` of None leads."""
        options = ffi.new("hrt_attach_options *")
        options.struct_size = ffi.sizeof("hrt_attach_options")
        options.abi_version = lib.HRT_ABI_VERSION
        address_text = ffi.new("char[]", address.encode()) if address else ffi.NULL
        name_text = ffi.new("char[]", name.encode()) if name else ffi.NULL
        options.address = address_text
        options.name = name_text
        options.timeout_ns = round(timeout * 1e9)
        out = ffi.new("hrt_client **")
        check(lib.hrt_attach(options, out))
        return cls(out[0])

    @property
    def handle(self) -> Any:
        """Return the C handle, or raise ClosedError."""
        if self._handle is None:
            raise errors.ClosedError("the client is closed")
        return self._handle

    def close(self) -> None:
        """Detach: jobs held go back uncounted. No other call may be under way."""
        handle, self._handle = self._handle, None
        if handle is not None:
            lib.hrt_detach(handle)

    @property
    def closed(self) -> bool:
        """Say whether `close` was called."""
        return self._handle is None

    @property
    def incarnation(self) -> int:
        """Return the number by which the runtime knows this client."""
        return int(lib.hrt_incarnation(self.handle))

    @property
    def page(self) -> "Page":
        """Return the shared counters; valid until `close`."""
        return Page(lib.hrt_client_page(self.handle), self)

    # names

    def kind(self, name: str) -> int:
        """Return the number of a kind; raise UnknownKindError."""
        number = self._kinds.get(name)
        if number is None:
            number = self._lookup(lib.hrt_kind, name)
            self._kinds[name] = number
        return number

    def queue(self, name: str) -> int:
        """Return the number of a queue; raise UnknownQueueError."""
        number = self._queues.get(name)
        if number is None:
            number = self._lookup(lib.hrt_queue, name)
            self._queues[name] = number
        return number

    def _lookup(self, function: Callable[..., int], name: str) -> int:
        out = ffi.new("uint16_t *")
        encoded = name.encode()
        check(function(self.handle, encoded, len(encoded), out))
        return int(out[0])

    def kind_name(self, number: int) -> str:
        """Return the name of a kind, empty when there is none."""
        text = lib.hrt_kind_name(self.handle, number)
        return _text(text) if text else ""

    def queue_name(self, number: int) -> str:
        """Return the name of a queue, empty when there is none."""
        text = lib.hrt_queue_name(self.handle, number)
        return _text(text) if text else ""

    def durability(self, queue: int) -> int:
        """Return the durability (names.Durability) that a queue promises just now."""
        return int(lib.hrt_client_page(self.handle).queues[queue].durability)

    # enqueue

    def _spec(self, kind: int, payload: Buffer, options: Options) -> Spec:
        queue = self.queue(options.queue)
        struct = ffi.new("hrt_spec *")
        return Spec(struct, kind=kind, queue=queue, payload=payload, options=options)

    def enqueue(
        self, kind: int, payload: Buffer, options: Options, timeout: float | None = 0.0
    ) -> int:
        """Publish one job and return its ticket; wait up to `timeout` for room in the lane."""
        spec = self._spec(kind, payload, options)
        ticket = ffi.new("uint64_t *")
        check(lib.hrt_enqueue(self.handle, spec.pointer, 1, _nanoseconds(timeout), ticket))
        return int(ticket[0])

    def enqueue_wait(
        self, kind: int, payload: Buffer, options: Options, timeout: float | None, *, block: bool
    ) -> int:
        """Publish one job and wait for its id; with `block`, also for room in a full queue."""
        spec = self._spec(kind, payload, options)
        spec.pointer.block = block
        out = ffi.new("int64_t *")
        check(lib.hrt_enqueue_wait(self.handle, spec.pointer, 1, _nanoseconds(timeout), out))
        return int(out[0])

    def enqueue_packed(
        self, kind: int, packed: Packed, span: range, options: Options, timeout: float
    ) -> tuple[int, int]:
        """Publish the payloads of `span`; return the first ticket and how many are in.

        Fewer than asked are in when the lane had no more room within `timeout` seconds.
        """
        like = self._spec(kind, b"", options)
        data = ffi.from_buffer(packed.data)
        lengths = ffi.NULL
        if packed.lengths is not None:
            lengths = ffi.cast("uint32_t *", ffi.from_buffer(packed.lengths)) + span.start
        ticket = ffi.new("uint64_t *")
        done = ffi.new("uint32_t *")
        status = lib.hrt_enqueue_packed(
            self.handle,
            like.pointer,
            data + packed.offset(span.start),
            lengths,
            packed.stride,
            len(span),
            _nanoseconds(timeout),
            ticket,
            done,
        )
        if status != lib.HRT_ETIMEOUT:
            check(status)
        return int(ticket[0]), int(done[0])

    def wait(self, end: int, timeout: float | None) -> None:
        """Wait until every ticket below `end` is answered."""
        check(lib.hrt_wait(self.handle, end, _nanoseconds(timeout)))

    def reply(self, ticket: int) -> int | None:
        """Return the answer to a ticket: a job id or a negative status; None: not yet."""
        out = ffi.new("int64_t *")
        return int(out[0]) if self._replies(ticket, 1, out) else None

    def replies(self, first: int, ids: memoryview) -> bool:
        """Fill `ids` (64-bit, signed) with the answers from ticket `first`; False: not all yet."""
        return self._replies(first, len(ids), ffi.cast("int64_t *", ffi.from_buffer(ids)))

    def _replies(self, first: int, count: int, out: Any) -> bool:
        status = lib.hrt_replies(self.handle, first, count, out)
        if status == lib.HRT_EAGAIN:
            return False
        check(status)
        return True

    # work

    def register(self, kinds: Sequence[str], *, concurrency: int, pool: str | None = None) -> None:
        """Say which kinds this client serves; call it once."""
        texts = [ffi.new("char[]", kind.encode()) for kind in kinds]
        names = ffi.new("const char *[]", texts)
        pool_text = ffi.new("char[]", pool.encode()) if pool is not None else ffi.NULL
        language = ffi.new("char[]", b"python")
        software = ffi.new("char[]", version().encode())
        options = ffi.new("hrt_register_options *")
        options.kinds = names
        options.pool = pool_text
        options.language = language
        options.version = software
        options.kind_count = len(texts)
        options.concurrency = concurrency
        check(lib.hrt_register(self.handle, options))

    def fetch(self, maximum: int, timeout: float | None) -> list[Lease]:
        """Take up to `maximum` jobs; raise NotReadyError, DrainingError or ClosedError."""
        jobs = ffi.new("hrt_job[]", maximum)
        count = ffi.new("uint32_t *")
        check(lib.hrt_fetch(self.handle, jobs, maximum, _nanoseconds(timeout), count))
        return [_lease(jobs, index) for index in range(count[0])]

    def settle(self, settlements: Sequence[Settlement]) -> None:
        """End attempts; all are published in one step."""
        structs = ffi.new("hrt_settlement[]", len(settlements))
        keep = [_fill_settlement(*pair) for pair in zip(structs, settlements, strict=True)]
        check(lib.hrt_settle(self.handle, structs, len(settlements)))
        del keep

    def extend(self, job: int, token: int, more_ns: int) -> None:
        """Move the time limit of an attempt to `more_ns` from now."""
        check(lib.hrt_extend(self.handle, job, token, more_ns))

    def save(self, job: int, token: int, state: Buffer) -> None:
        """Save bytes for the next attempt of a job."""
        data = ffi.from_buffer(state)
        check(lib.hrt_save(self.handle, job, token, data, len(data)))

    def progress(self, job: int, token: int, permille: int, note: str) -> None:
        """Report progress."""
        text = note.encode()[: lib.HRT_NOTE_MAX]
        check(lib.hrt_progress(self.handle, job, token, permille, text, len(text)))

    # notices

    def watch(self, job: int) -> None:
        """Ask for a RESULT notice when the job ends."""
        check(lib.hrt_watch(self.handle, job))

    def cancel(self, job: int) -> None:
        """Ask the runtime to cancel a job."""
        check(lib.hrt_cancel(self.handle, job))

    def poll(self, timeout: float | None) -> list[Notice]:
        """Take notices, waiting for the first; an empty list when none came in time."""
        notices = ffi.new("hrt_notice[]", NOTICES_BATCH)
        count = ffi.new("uint32_t *")
        status = lib.hrt_poll(self.handle, notices, NOTICES_BATCH, _nanoseconds(timeout), count)
        if status == lib.HRT_EAGAIN:
            return []
        check(status)
        return [_notice(notices + index) for index in range(count[0])]

    def interrupt(self) -> None:
        """Make blocked fetches, polls and waits of this client return."""
        lib.hrt_interrupt(self.handle)

    @property
    def draining(self) -> bool:
        """Say whether the runtime asked this client to drain, or is gone."""
        return bool(lib.hrt_draining(self.handle))

    @property
    def event_fd(self) -> int:
        """Return the eventfd for event loops; see `arm`."""
        return int(lib.hrt_event_fd(self.handle))

    def arm(self) -> bool:
        """Ask for the eventfd to be written at the next news; False: there is some already."""
        status = lib.hrt_arm(self.handle)
        if status == lib.HRT_EAGAIN:
            return False
        check(status)
        return True


def _lease(jobs: Any, index: int) -> Lease:
    job = jobs[index]
    return Lease(
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


def _fill_settlement(struct: Any, settlement: Settlement) -> tuple[Any, ...]:
    """Fill one hrt_settlement and return what has to stay alive until it is published."""
    data = ffi.from_buffer(settlement.data)
    struct.job = settlement.job
    struct.token = settlement.token
    struct.outcome = settlement.outcome
    struct.delay_ns = settlement.delay_ns
    struct.data = data
    struct.data_length = len(data)
    if not settlement.follow:
        return (data,)
    specs = ffi.new("hrt_spec[]", len(settlement.follow))
    kept = [
        Spec(
            specs + index,
            kind=job.kind,
            queue=job.queue,
            payload=job.payload,
            options=job.options,
        )
        for index, job in enumerate(settlement.follow)
    ]
    struct.follow = specs
    struct.follow_count = len(kept)
    return (data, specs, kept)


def _notice(struct: Any) -> Notice:
    data = bytes(ffi.buffer(struct.data, struct.data_length)) if struct.data else b""
    notice = Notice(struct.type, struct.code, struct.job, struct.token, struct.queue, data)
    lib.hrt_notice_free(struct)
    return notice


# ---- the shared page ----------------------------------------------------------------------------


class Page:
    """Counters and names in shared memory, read-only. Valid as long as its owner is open."""

    def __init__(self, pointer: Any, owner: object) -> None:
        """Read the hrt_page at `pointer`, which `owner` keeps mapped."""
        self._page = pointer
        self._owner = owner

    def buffer(self) -> memoryview:
        """Return the whole page as a read-only view."""
        return memoryview(ffi.buffer(self._page)).toreadonly()

    def kinds(self) -> list[str]:
        """Return the names of all kinds, in the order of their numbers."""
        return [_text(self._page.kinds[number].text) for number in range(self._page.kind_count)]

    def queues(self) -> list[dict[str, Any]]:
        """Return the settings of all queues, in the order of their numbers."""
        return [_plain(self._page.queues[number]) for number in range(self._page.queue_count)]

    def runtime_counters(self) -> dict[str, Any]:
        """Return the runtime's counters; histograms as dicts."""
        return _plain(self._page.runtime)

    def queue_counters(self, number: int) -> dict[str, Any]:
        """Return the counters of one queue."""
        return _plain(self._page.queue_counters[number])

    def kind_counters(self, number: int) -> dict[str, Any]:
        """Return the counters of one kind; histograms as dicts."""
        return _plain(self._page.kind_counters[number])


def histogram_value_ns(bucket: int) -> int:
    """Return the lowest value that falls into a bucket of a histogram."""
    return int(lib.hrt_histogram_value(bucket))


def histogram_bucket(value_ns: int) -> int:
    """Return the bucket of a histogram that a value falls into."""
    return int(lib.hrt_histogram_bucket(value_ns))


def layout(name: str) -> list[tuple[str, str, int, int]]:
    """Return (field, C type, offset, bytes) of a struct, as the compiler laid it out."""
    fields = ffi.typeof(name).fields
    return [(key, f.type.cname, f.offset, ffi.sizeof(f.type)) for key, f in fields]


def struct_size(name: str) -> int:
    """Return the size of a C type in bytes."""
    return int(ffi.sizeof(name))


def _plain(struct: Any) -> dict[str, Any]:
    """Turn a struct into a dict: text for characters, dicts for histograms, no padding."""
    plain: dict[str, Any] = {}
    for name, field in ffi.typeof(struct).fields:
        if name.startswith(("reserved", "pad", "state_hash_unused")):
            continue
        value = getattr(struct, name)
        if field.type.kind == "primitive":
            plain[name] = value
        elif field.type.cname.startswith("char["):
            plain[name] = _text(value)
        elif field.type.cname.endswith("hrt_histogram"):
            plain[name] = _histogram(value)
    return plain


def _histogram(struct: Any) -> dict[str, Any]:
    buckets = ffi.unpack(struct.buckets, lib.HRT_HISTOGRAM_BUCKETS)
    filled = {index: count for index, count in enumerate(buckets) if count}
    return {
        "count": struct.count,
        "sum_ns": struct.sum_ns,
        "max_ns": struct.max_ns,
        "buckets": filled,
    }


# ---- the runtime half ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RuntimeOptions:
    """Options of Runtime.open; zero means the C library's default."""

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


@dataclass(frozen=True, slots=True)
class Filter:
    """Selects jobs; -1 and 0 mean all."""

    after: int = 0
    states: int = 0
    queue: int = -1
    kind: int = -1
    key_hash: int = 0


@dataclass(frozen=True, slots=True)
class Grant:
    """One lane as a standby needs it; goes along with its memory and its eventfd."""

    incarnation: int
    number: int
    submit_capacity: int
    pid: int
    pool: str
    name: str


def _runtime_options(wanted: RuntimeOptions) -> tuple[Any, Any]:
    """Return the struct, and what has to stay alive as long as it is used."""
    directory = ffi.new("char[]", wanted.directory.encode())
    options = ffi.new("hrt_runtime_options *")
    options.struct_size = ffi.sizeof("hrt_runtime_options")
    options.abi_version = lib.HRT_ABI_VERSION
    options.directory = directory
    options.segment_size = wanted.segment_bytes
    options.segments_min = wanted.segments_min
    options.segments_max = wanted.segments_max
    options.async_ns = wanted.async_ns
    options.lease_ns = wanted.lease_ns
    options.cancel_grace_ns = wanted.cancel_grace_ns
    options.checkpoint_ns = wanted.checkpoint_ns
    options.checkpoint_records = wanted.checkpoint_records
    options.snapshot = wanted.snapshot
    options.snapshot_bytes = wanted.snapshot_bytes
    return options, directory


class Runtime:
    """The log, the state and the lanes of one supervisor."""

    def __init__(self, handle: Any) -> None:
        """Own `handle`, a hrt_runtime pointer."""
        self._handle = handle

    @classmethod
    def open(cls, wanted: RuntimeOptions) -> Self:
        """Lock the log, recover it and start a new epoch."""
        options, keep = _runtime_options(wanted)
        out = ffi.new("hrt_runtime **")
        check(lib.hrt_runtime_open(options, out))
        del keep
        return cls(out[0])

    @property
    def handle(self) -> Any:
        """Return the C handle, or raise ClosedError."""
        if self._handle is None:
            raise errors.ClosedError("the runtime is closed")
        return self._handle

    def recovery(self) -> dict[str, Any]:
        """Return what recovery found; times in nanoseconds."""
        out = ffi.new("hrt_recovery *")
        lib.hrt_runtime_recovery(self.handle, out)
        return _plain(out[0])

    def run(self) -> None:
        """Dispatch until `stop`; raises StorageError when the log failed."""
        check(lib.hrt_runtime_run(self.handle))

    def stop(self) -> None:
        """Make `run` return."""
        lib.hrt_runtime_stop(self.handle)

    def close(self) -> None:
        """Sync and free; only after `run` has returned and every local client is closed."""
        handle, self._handle = self._handle, None
        if handle is not None:
            lib.hrt_runtime_close(handle)

    @property
    def page(self) -> Page:
        """Return the shared counters; valid until `close`."""
        return Page(lib.hrt_runtime_page(self.handle), self)

    # a standby

    def touch(self) -> None:
        """Take the dispatch lock and give it back: the sign of life of the dispatch loop."""
        count = ffi.new("uint32_t *")
        check(lib.hrt_runtime_lanes(self.handle, ffi.NULL, 0, count))

    def page_fd(self) -> int:
        """Return a descriptor of the page, for reading and writing; the caller owns it."""
        out = ffi.new("int *")
        check(lib.hrt_runtime_page_fd(self.handle, out))
        return int(out[0])

    def grant(self, incarnation: int) -> tuple[Grant, list[int]]:
        """Return what a standby needs to go on with a lane; the caller owns the descriptors."""
        out = ffi.new("hrt_grant *")
        fds = ffi.new("int[]", GRANT_FD_COUNT)
        check(lib.hrt_runtime_grant(self.handle, incarnation, out, fds))
        fields = _plain(out[0])
        return Grant(**{name: fields[name] for name in Grant.__slots__}), list(fds)

    def standby(self, *, present: bool) -> None:
        """Tell all clients whether a standby would go on with their lanes."""
        lib.hrt_runtime_standby(self.handle, present)

    def release(self) -> None:
        """Let go of the log in place of `close`; the lanes stay open for who takes them over."""
        handle, self._handle = self._handle, None
        check(lib.hrt_runtime_release(handle))

    # names and queues

    def kind(self, name: str) -> int:
        """Declare a kind and return its number; a known one keeps it."""
        check_name(name, "kind")
        out = ffi.new("uint16_t *")
        check(lib.hrt_runtime_kind(self.handle, name.encode(), out))
        return int(out[0])

    def queue(self, settings: dict[str, Any]) -> int:
        """Declare a queue, or change its settings; keys are fields of hrt_queue_settings."""
        struct = ffi.new("hrt_queue_settings *")
        for field, value in settings.items():
            setattr(struct, field, value.encode() if isinstance(value, str) else value)
        out = ffi.new("uint16_t *")
        check(lib.hrt_runtime_queue(self.handle, struct, out))
        return int(out[0])

    def pause(self, queue: int, *, paused: bool) -> None:
        """Stop or start handing out jobs of a queue."""
        check(lib.hrt_runtime_pause(self.handle, queue, paused))

    # clients

    def client(self) -> Client:
        """Return the lane of this process itself."""
        out = ffi.new("hrt_client **")
        check(lib.hrt_runtime_client(self.handle, out))
        return Client(out[0])

    def lane(self, pool: str, name: str) -> tuple[int, list[int]]:
        """Make a lane for a process to be spawned; return incarnation and descriptors."""
        fds = ffi.new("int[]", FD_COUNT)
        out = ffi.new("uint64_t *")
        check(lib.hrt_runtime_lane(self.handle, 0, 0, pool.encode(), name.encode(), fds, out))
        return int(out[0]), list(fds)

    def lane_pid(self, incarnation: int, pid: int) -> None:
        """Name the process that a lane was made for."""
        self._of_lane(lib.hrt_runtime_lane_pid(self.handle, incarnation, pid))

    def admit(self, hello: bytes, pid: int, uid: int) -> tuple[int, bytes, int, list[int]]:
        """Judge a hello; return status, welcome to send back, incarnation and descriptors."""
        welcome = ffi.new("hrt_welcome *")
        fds = ffi.new("int[]", FD_COUNT)
        status = lib.hrt_runtime_admit(self.handle, hello, len(hello), pid, uid, welcome, fds)
        granted = list(fds) if status == lib.HRT_OK else []
        return int(status), bytes(ffi.buffer(welcome)), int(welcome.incarnation), granted

    def drain(self, incarnation: int = 0) -> None:
        """Ask one client, or all, to finish and hand back; one that left already is no error."""
        self._of_lane(lib.hrt_runtime_drain(self.handle, incarnation))

    def pardon(self, incarnation: int) -> None:
        """Say that a client's process is about to be stopped: its death counts nothing."""
        self._of_lane(lib.hrt_runtime_pardon(self.handle, incarnation))

    def lane_gone(self, incarnation: int, *, counted: bool) -> None:
        """Say that a client's process is reaped; see hrt_runtime_lane_gone."""
        self._of_lane(lib.hrt_runtime_lane_gone(self.handle, incarnation, counted))

    @staticmethod
    def _of_lane(status: Status) -> None:
        """Check the status of a call about a lane that may have gone meanwhile."""
        if status != lib.HRT_ENOTFOUND:
            check(status)

    def refuse(self, *, refuse: bool) -> None:
        """Answer new enqueues with PausedError, or stop doing so."""
        lib.hrt_runtime_refuse(self.handle, refuse)

    def lanes(self) -> list[dict[str, Any]]:
        """Return what is known of every lane."""
        infos = ffi.new("hrt_lane_info[]", LANES_MAX)
        count = ffi.new("uint32_t *")
        check(lib.hrt_runtime_lanes(self.handle, infos, LANES_MAX, count))
        return [_lane_info(infos[index]) for index in range(count[0])]

    # events

    @property
    def event_fd(self) -> int:
        """Return the eventfd that is readable when `events` has something."""
        return int(lib.hrt_runtime_event_fd(self.handle))

    def events(self) -> list[Event]:
        """Take events; never blocks."""
        structs = ffi.new("hrt_event[]", EVENTS_BATCH)
        count = ffi.new("uint32_t *")
        check(lib.hrt_runtime_events(self.handle, structs, EVENTS_BATCH, count))
        return [_event(structs[index]) for index in range(count[0])]

    # jobs

    def job(self, job: int) -> dict[str, Any]:
        """Return what is known of a job; raise JobNotFoundError."""
        info = ffi.new("hrt_job_info *")
        check(lib.hrt_runtime_job(self.handle, job, info))
        return _plain(info[0])

    def job_part(self, job: int, part: int, size: int) -> bytes:
        """Return up to `size` bytes of a part (enum hrt_job_part) of a job."""
        buffer = ffi.new("uint8_t[]", max(size, 1))
        length = ffi.new("size_t *")
        check(lib.hrt_runtime_job_part(self.handle, job, part, buffer, size, length))
        return bytes(ffi.buffer(buffer, min(size, length[0])))

    def jobs(self, wanted: Filter, maximum: int) -> tuple[list[dict[str, Any]], int]:
        """Return living jobs in order of id, and the `after` of the next call (0: the end)."""
        fields = (wanted.after, wanted.states, wanted.queue, wanted.kind, 0, wanted.key_hash)
        infos = ffi.new("hrt_job_info[]", maximum)
        count = ffi.new("uint32_t *")
        following = ffi.new("uint64_t *")
        check(
            lib.hrt_runtime_jobs(
                self.handle, ffi.new("hrt_job_filter *", fields), infos, maximum, count, following
            )
        )
        return [_plain(infos[index]) for index in range(count[0])], int(following[0])

    def cancel(self, job: int) -> None:
        """Cancel a waiting job, or ask a running one to stop."""
        check(lib.hrt_runtime_cancel(self.handle, job))

    def retry(self, job: int) -> None:
        """Send a dead, retrying or scheduled job to ready."""
        check(lib.hrt_runtime_retry(self.handle, job))

    def discard(self, job: int) -> None:
        """Drop a terminal job."""
        check(lib.hrt_runtime_discard(self.handle, job))

    def state_hash(self) -> int:
        """Return the hash over jobs, names and settings."""
        return int(lib.hrt_runtime_state_hash(self.handle))

    def hold(self, segment: int) -> None:
        """Keep segments from this number on from being used again; see hybridrt.holds."""
        lib.hrt_runtime_hold(self.handle, segment)

    def sync(self, timeout: float) -> None:
        """Wait until everything acknowledged so far is on the disk."""
        check(lib.hrt_runtime_sync(self.handle, _nanoseconds(timeout)))


class Standby:
    """Follows the log of a runtime, and goes on with its lanes when it ends."""

    def __init__(self, handle: Any) -> None:
        """Own `handle`, a hrt_standby pointer."""
        self._handle = handle

    @classmethod
    def open(cls, wanted: RuntimeOptions, page_fd: int) -> Self:
        """Begin to follow; `page_fd` stays the caller's."""
        options, keep = _runtime_options(wanted)
        out = ffi.new("hrt_standby **")
        check(lib.hrt_standby_open(options, page_fd, out))
        del keep
        return cls(out[0])

    @property
    def handle(self) -> Any:
        """Return the C handle, or raise ClosedError."""
        if self._handle is None:
            raise errors.ClosedError("the standby is closed")
        return self._handle

    def grant(self, grant: Grant, fds: Sequence[int]) -> None:
        """Keep a lane; takes its descriptors over, whatever the outcome."""
        struct = ffi.new("hrt_grant *")
        for name in Grant.__slots__:
            value = getattr(grant, name)
            setattr(struct, name, value.encode() if isinstance(value, str) else value)
        check(lib.hrt_standby_grant(self.handle, struct, list(fds)))

    def forget(self, incarnation: int) -> None:
        """Say that a lane has ended."""
        lib.hrt_standby_forget(self.handle, incarnation)

    def run(self) -> bool:
        """Apply the log until the runtime died or let go (True), or until `stop` (False)."""
        status = lib.hrt_standby_run(self.handle)
        if status != lib.HRT_ECLOSED:
            check(status)
        return bool(status == lib.HRT_ECLOSED)

    def stop(self) -> None:
        """Make `run` return."""
        lib.hrt_standby_stop(self.handle)

    def status(self) -> dict[str, Any]:
        """Return how far it is, as in hrt_standby_info."""
        out = ffi.new("hrt_standby_info *")
        lib.hrt_standby_status(self.handle, out)
        return _plain(out[0])

    def take_over(self, timeout: float) -> Runtime:
        """Go on as the runtime; raise AlreadyRunningError when its log is still held then.

        Only after `run` has returned. Every other error closes the standby.
        """
        out = ffi.new("hrt_runtime **")
        handle = self.handle
        status = lib.hrt_standby_take_over(handle, _nanoseconds(timeout), out)
        if status != lib.HRT_EBUSY:
            self._handle = None
        check(status)
        return Runtime(out[0])

    def close(self) -> None:
        """Free; only after `run` has returned."""
        handle, self._handle = self._handle, None
        if handle is not None:
            lib.hrt_standby_close(handle)


def job_fields(struct: Any) -> dict[str, Any]:
    """Return a hrt_job_info in plain values."""
    return _plain(struct)


def _lane_info(struct: Any) -> dict[str, Any]:
    return {**_plain(struct), "kinds": list(struct.kinds)[: struct.kind_count]}


def _event(struct: Any) -> Event:
    return Event(
        type=struct.type,
        code=struct.code,
        incarnation=struct.incarnation,
        job=struct.job,
        value=struct.value,
        time_ns=struct.time_ns,
        pid=struct.pid,
        count=struct.count,
        text=_text(struct.text),
    )
