"""The producer's verbs over a mailbox: the same in the supervisor and in an asyncio client."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from hybridrt.errors import ClosedError, HybridrtError, InvalidArgumentError, QueueFullError
from hybridrt.jobs import Enqueued, JobHandle, JobInfo
from hybridrt.mailbox import BlockingLane, Mailbox
from hybridrt.names import DEFAULT_QUEUE, Durability
from hybridrt.native import Lane, Notice, Packed, error_of
from hybridrt.options import (
    DEFAULT_OPTIONS,
    Options,
    Payload,
    Seconds,
    When,
    encode_payload,
    make_options,
)
from hybridrt.units import parse_duration


def pack(payloads: Any) -> Packed:
    """Lay a sequence of payloads back to back; of a numpy array, each element is a payload.

    Raises:
        InvalidArgumentError: a payload has no JSON form, or the array is not contiguous.
    """
    if hasattr(payloads, "dtype"):
        if payloads.ndim != 1 or not payloads.flags.c_contiguous:
            raise InvalidArgumentError("give a contiguous, one-dimensional array")
        data = payloads.view("u1")
        return Packed(memoryview(data), len(payloads), stride=payloads.dtype.itemsize)
    return Packed.join([encode_payload(payload) for payload in payloads])


class Producer:
    """Enqueues through one lane, from the thread of one event loop."""

    def __init__(self) -> None:
        """Begin without a lane; see `begin`."""
        self._client: Lane | None = None
        self._mailbox: Mailbox
        self._blocking: BlockingLane
        self._describe: Callable[[int], Awaitable[JobInfo]]

    def begin(
        self,
        client: Lane,
        attach: Callable[[], Lane],
        describe: Callable[[int], Awaitable[JobInfo]],
    ) -> None:
        """Own and read `client`; `attach` makes another lane, `describe` looks a job up."""
        self._client = client
        self._mailbox = Mailbox(client, asyncio.get_running_loop())
        self._blocking = BlockingLane(attach)
        self._describe = describe

    @property
    def client(self) -> Lane:
        """Return the lane, or raise ClosedError."""
        if self._client is None:
            raise ClosedError("there is no runtime: it was closed, or not entered yet")
        return self._client

    async def end(self) -> None:
        """Fail what still waits, then detach."""
        client, self._client = self._client, None
        if client is None:
            return
        self._mailbox.close()
        await self._blocking.close()
        client.close()

    def fail(self, error: HybridrtError) -> None:
        """Fail everything that waits: the runtime is lost."""
        if self._client is not None:
            self._mailbox.close(error)

    async def enqueue(
        self,
        kind: str,
        payload: Payload = b"",
        *,
        queue: str = DEFAULT_QUEUE,
        key: str | bytes | None = None,
        delay: Seconds | None = None,
        at: When | None = None,
        max_attempts: int | None = None,
        timeout: Seconds | None = None,
        result_ttl: Seconds | None = None,
        expires: Seconds | None = None,
        meta: bytes | Mapping[str, Any] | None = None,
        block_timeout: Seconds | None = None,
    ) -> JobHandle:
        """Enqueue one job; return its handle once it is as durable as its queue promises.

        Args:
            kind: what to run; declared in the configuration or registered by a worker.
            payload: bytes as they are, text as UTF-8, anything else as JSON; at most 256 KiB.
            queue: where it waits.
            key: jobs of a queue with the same key start in order, one at a time.
            delay: run it this much later, in seconds; or
            at: run it at this time, a datetime with a zone or seconds since 1970.
            max_attempts: of which the last failure makes it dead; default: the queue's.
            timeout: of one attempt, in seconds; 0: none; default: the queue's.
            result_ttl: keep the result so long after the end; 0: not; default: the queue's.
            expires: give it up when it has not begun within so many seconds.
            meta: bytes or a mapping, carried along to the handler; at most 4 KiB.
            block_timeout: when the queue is full, wait so long for room; default: do not.

        Raises:
            UnknownKindError, UnknownQueueError: the name is not declared.
            InvalidArgumentError: an option is out of its range, or the payload is too large.
            QueueFullError, LogFullError, DiskFullError, PausedError: try again later.
            ClosedError: the runtime is gone.

        Example:
            >>> job = await rt.enqueue("image.resize", {"id": 7}, key="7")   # doctest: +SKIP
            >>> await job.result(timeout=10)                                 # doctest: +SKIP
        """
        options = DEFAULT_OPTIONS
        given = (key, delay, at, max_attempts, timeout, result_ttl, expires, meta)
        if queue != DEFAULT_QUEUE or any(value is not None for value in given):
            options = make_options(
                queue=queue,
                key=key,
                delay=delay,
                at=at,
                max_attempts=max_attempts,
                timeout=timeout,
                result_ttl=result_ttl,
                expires=expires,
                meta=meta,
            )
        number = self.client.kind(kind)
        data = encode_payload(payload)
        answer = await self._mailbox.enqueue(number, data, options)
        if answer < 0:
            answer = await self._refused(answer, number, data, options, block_timeout)
        durability = self.client.durability(self.client.queue(options.queue))
        return JobHandle(answer, kind, Durability(durability), self)

    async def _refused(
        self,
        answer: int,
        kind: int,
        data: bytes | bytearray | memoryview,
        options: Options,
        block_timeout: Seconds | None,
    ) -> int:
        """Wait for room in a full queue when that was asked for, else raise."""
        error = error_of(answer)
        if isinstance(error, QueueFullError) and block_timeout is not None:
            patience = parse_duration(block_timeout)
            return await self._blocking.enqueue(kind, data, options, patience)
        raise type(error)(f'{error.message}: queue "{options.queue}"')

    async def enqueue_many(self, kind: str, payloads: Any, **options: Any) -> Enqueued:
        """Enqueue jobs that differ only in their payload, in a few steps for all.

        `payloads` is a sequence of payloads or a numpy array, of which each element is one. The
        options are those of `enqueue`, without block_timeout. Returns the job ids in order; a
        job that was refused has a negative status there, see `Enqueued.errors` and `check`.
        """
        chosen = make_options(**options)
        packed = pack(payloads)
        answers = await self._mailbox.enqueue_packed(self.client.kind(kind), packed, chosen)
        return Enqueued(answers)

    def watch(self, job: int) -> "asyncio.Future[Notice]":
        """Return the future of the notice that says how a job ended."""
        return self._mailbox.watch(job)

    async def cancel(self, job: int) -> None:
        """Ask the runtime to cancel a job."""
        self.client.cancel(job)

    async def info(self, job: int) -> JobInfo:
        """Describe a job; raise JobNotFoundError."""
        return await self._describe(job)

    def handle(self, job: int, kind: str = "", queue: str = DEFAULT_QUEUE) -> JobHandle:
        """Return the handle of a job that was enqueued before."""
        durability = self.client.durability(self.client.queue(queue))
        return JobHandle(job, kind, Durability(durability), self)
