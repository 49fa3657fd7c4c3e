"""The client half, hybridrt.h: a process attaches, enqueues, works, and hears of its jobs."""

from collections.abc import Callable, Sequence
from typing import Any, Self

from hybridrt.errors import ClosedError
from hybridrt.native.library import Buffer, check, ffi, lib, nanoseconds, text_of, version
from hybridrt.native.page import Page
from hybridrt.native.structs import Lease, Notice, Packed, Settlement, Spec
from hybridrt.options import Options

NOTICES_BATCH = 64


class Lane:
    """One process attached: enqueue, wait, fetch, settle. Safe to use from several threads."""

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
            raise ClosedError("the client is closed")
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
    def page(self) -> Page:
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
        return text_of(text) if text else ""

    def queue_name(self, number: int) -> str:
        """Return the name of a queue, empty when there is none."""
        text = lib.hrt_queue_name(self.handle, number)
        return text_of(text) if text else ""

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
        check(lib.hrt_enqueue(self.handle, spec.pointer, 1, nanoseconds(timeout), ticket))
        return int(ticket[0])

    def enqueue_wait(
        self, kind: int, payload: Buffer, options: Options, timeout: float | None, *, block: bool
    ) -> int:
        """Publish one job and wait for its id; with `block`, also for room in a full queue."""
        spec = self._spec(kind, payload, options)
        spec.pointer.block = block
        out = ffi.new("int64_t *")
        check(lib.hrt_enqueue_wait(self.handle, spec.pointer, 1, nanoseconds(timeout), out))
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
            nanoseconds(timeout),
            ticket,
            done,
        )
        if status != lib.HRT_ETIMEOUT:
            check(status)
        return int(ticket[0]), int(done[0])

    def wait(self, end: int, timeout: float | None) -> None:
        """Wait until every ticket below `end` is answered."""
        check(lib.hrt_wait(self.handle, end, nanoseconds(timeout)))

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
        check(lib.hrt_fetch(self.handle, jobs, maximum, nanoseconds(timeout), count))
        return [Lease.copy(jobs[index]) for index in range(count[0])]

    def settle(self, settlements: Sequence[Settlement]) -> None:
        """End attempts; all are published in one step."""
        structs = ffi.new("hrt_settlement[]", len(settlements))
        keep = [one.fill(struct) for one, struct in zip(settlements, structs, strict=True)]
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
        status = lib.hrt_poll(self.handle, notices, NOTICES_BATCH, nanoseconds(timeout), count)
        if status == lib.HRT_EAGAIN:
            return []
        check(status)
        return [Notice.take(notices + index) for index in range(count[0])]

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
