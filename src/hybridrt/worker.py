"""A worker in Python: handlers by kind, run in threads, with the same five outcomes as elsewhere.

Example:
    >>> worker = hybridrt.Worker()                                       # doctest: +SKIP
    >>> @worker.handle("image.resize")
    ... def resize(job: hybridrt.Job) -> dict[str, int]:
    ...     return {"width": job.json()["width"] // 2}
    >>> worker.run()
"""

import contextlib
import os
import queue
import signal
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

import msgspec

from hybridrt.errors import (
    ClosedError,
    DrainingError,
    HybridrtError,
    InvalidArgumentError,
    NotReadyError,
)
from hybridrt.names import DEFAULT_QUEUE, RESULT_BYTES_MAX, Delivery, Outcome, check_name
from hybridrt.native import Buffer, Follow, Lane, Lease, Settlement
from hybridrt.options import Payload, Seconds, encode_payload, make_options
from hybridrt.outcomes import (
    Dead,
    NonRetryableError,
    Ok,
    OutcomeError,
    Retry,
)
from hybridrt.units import NANOSECONDS, parse_duration, to_nanoseconds

Handler = Callable[["Job"], Any]

PERMILLE = 1000


class Stopped(Exception):  # noqa: N818 - it stops a handler, it is no failure of it
    """Raised by `Job.check` once the job was cancelled or is over its time limit."""


class Job:
    """One attempt at a job, handed to a handler."""

    def __init__(self, client: Lane, lease: Lease, kind: str, stopping: threading.Event) -> None:
        """Wrap a lease; `stopping` is set once its worker was told to stop."""
        self._client = client
        self._lease = lease
        self._stopping = stopping
        self._follow: list[Follow] = []
        self._cancelled = threading.Event()
        self.kind = kind
        self.payload = lease.payload
        self.key = lease.key
        self.meta = lease.meta
        self.saved = lease.saved  # with checkpoint, by an earlier attempt; empty: nothing

    @property
    def id(self) -> int:
        """Return the job's id, its place in the log."""
        return self._lease.id

    @property
    def token(self) -> int:
        """Return the token of the lease: unique and increasing, fit for fencing."""
        return self._lease.token

    @property
    def queue(self) -> str:
        """Return the name of the queue that it came from."""
        return self._client.queue_name(self._lease.queue)

    @property
    def attempt(self) -> int:
        """Return which attempt this is, from 1."""
        return self._lease.attempt

    @property
    def max_attempts(self) -> int:
        """Return the attempt whose failure makes the job dead; 0: no limit."""
        return self._lease.max_attempts

    @property
    def parent(self) -> int:
        """Return the job whose settle brought this one, or 0."""
        return self._lease.parent

    @property
    def cancelled(self) -> bool:
        """Say whether the handler should stop."""
        return self._cancelled.is_set()

    @property
    def draining(self) -> bool:
        """Say whether the worker was told to stop, by the runtime or by its own program.

        A handler that would take long may then save what it has done with `checkpoint`, and return
        HandBack.
        """
        return self._stopping.is_set() or self._client.draining

    def checkpoint(self, state: Buffer) -> None:
        """Save state for the next attempt of this job, in place of what was saved before.

        It goes to the log at the durability of the job's queue, in order with everything else that
        this worker says, and is gone when the job ends.

        Raises:
            PayloadTooLargeError: more than 64 KiB.
        """
        self._client.save(self.id, self.token, state)

    def remaining(self) -> float | None:
        """Return the seconds left of this attempt; None: no limit."""
        if not self._lease.deadline_ns:
            return None
        return max(0.0, (self._lease.deadline_ns - time.monotonic_ns()) / NANOSECONDS)

    def check(self) -> None:
        """Raise Stopped when the handler should stop; let it pass through."""
        if self._cancelled.is_set():
            raise Stopped

    def wait(self, seconds: float) -> bool:
        """Sleep, but wake when the job is cancelled; return whether it was."""
        return self._cancelled.wait(seconds)

    def json(self, type: Any = Any) -> Any:  # noqa: A002 - named as msgspec names it
        """Decode the payload as JSON, checked against `type`; a bad payload makes the job dead."""
        try:
            return msgspec.json.decode(self.payload, type=type)
        except msgspec.DecodeError as error:
            raise NonRetryableError(f"the payload is not the JSON expected: {error}") from error

    def text(self) -> str:
        """Decode the payload as UTF-8."""
        return self.payload.decode()

    def enqueue(
        self, kind: str, payload: Payload = b"", *, queue: str = DEFAULT_QUEUE, **options: Any
    ) -> None:
        """Add a follow-up job, which commits with the end of this one, or never if it runs again.

        Options are those of `Supervisor.enqueue`, without block_timeout.
        """
        follow = Follow(
            self._client.kind(kind),
            self._client.queue(queue),
            bytes(encode_payload(payload)),
            make_options(queue=queue, **options),
        )
        self._follow.append(follow)

    def progress(self, fraction: float, note: str = "") -> None:
        """Tell operators how far this attempt is, from 0 to 1."""
        permille = round(min(max(fraction, 0.0), 1.0) * PERMILLE)
        self._client.progress(self.id, self.token, permille, note)

    def extend(self, more: Seconds) -> None:
        """Move the time limit of this attempt to `more` seconds from now."""
        self._client.extend(self.id, self.token, to_nanoseconds(parse_duration(more)))

    def _settlement(self, outcome: OutcomeError) -> Settlement:
        # Only an end commits follow-ups: a job that runs again will add them again.
        commits = outcome.outcome in {Outcome.OK, Outcome.DISCARD, Outcome.DEAD}
        follow = tuple(self._follow) if commits else ()
        return Settlement(
            self.id, self.token, outcome.outcome, outcome.data, outcome.delay_ns, follow
        )


class Worker:
    """Serves kinds with Python functions, `concurrency` at a time."""

    def __init__(self, *, concurrency: int | None = None, address: str | None = None) -> None:
        """Describe a worker; it attaches in `run`.

        Args:
            concurrency: handlers at a time; default: the number of CPUs.
            address: attach socket; default: what the supervisor passed, else the user's own.
        """
        self._concurrency = concurrency or os.cpu_count() or 1
        self._address = address
        self._handlers: dict[str, Handler] = {}
        self._stopping = threading.Event()
        self._ended = threading.Event()
        self._jobs: queue.SimpleQueue[Lease | None] = queue.SimpleQueue()
        self._slots = threading.Semaphore(self._concurrency)
        self._running: dict[tuple[int, int], Job] = {}
        self._failure: HybridrtError | None = None
        self._client: Lane | None = None

    def handle(self, kind: str) -> Callable[[Handler], Handler]:
        """Register a function for a kind, as a decorator; the function stays callable as it is.

        The handler gets a Job. It returns a result (bytes, text or JSON-able), or an outcome: Ok,
        Retry, Snooze, HandBack, Discard, Dead. An exception is a retry; a NonRetryableError is
        dead.
        """
        check_name(kind, "kind")
        if kind in self._handlers:
            raise InvalidArgumentError(f"the kind {kind!r} has a handler already")

        def keep(handler: Handler) -> Handler:
            self._handlers[kind] = handler
            return handler

        return keep

    def stop(self) -> None:
        """Take no more jobs, finish what runs, and let `run` return."""
        self._stopping.set()
        client = self._client
        if client is not None:
            with contextlib.suppress(ClosedError):
                client.interrupt()

    def run(self) -> None:
        """Work until the runtime drains, SIGTERM or SIGINT comes, or `stop` is called.

        Raises:
            UnreachableError, VersionError, PermissionDeniedError: cannot attach.
            ClosedError: the runtime died.
        """
        client = self._client = Lane.attach(self._address, "python")
        self._catch_signals()
        try:
            kinds = sorted(self._handlers)
            client.register(kinds, concurrency=self._concurrency)
            self._serve(client)
        finally:
            self._client = None
            client.close()
        if self._failure is not None:
            raise self._failure

    def _serve(self, client: Lane) -> None:
        threads = [
            threading.Thread(target=self._work, args=(client,), name=f"handler-{index}")
            for index in range(self._concurrency)
        ]
        fetcher = threading.Thread(target=self._fetch, args=(client,), name="fetch")
        notices = threading.Thread(target=self._read_notices, args=(client,), name="notices")
        for thread in (*threads, fetcher, notices):
            thread.start()
        # Signal handlers run in this thread, so it must not sit in a C call.
        fetcher.join()
        for _ in threads:
            self._jobs.put(None)
        for thread in threads:
            thread.join()
        self._ended.set()
        client.interrupt()
        notices.join()

    def _catch_signals(self) -> None:
        """SIGTERM and SIGINT finish what runs; only the main thread may ask for that."""
        if threading.current_thread() is not threading.main_thread():
            return

        def stop(_number: int, _frame: Any) -> None:
            self.stop()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)

    def _fetch(self, client: Lane) -> None:
        """Take jobs as handlers become free, until there are no more to come."""
        try:
            while not self._stopping.is_set():
                self._slots.acquire()
                if not self._fetch_one(client):
                    self._slots.release()
        except DrainingError:
            pass
        except HybridrtError as error:
            self._failure = error
        self._stopping.set()

    def _fetch_one(self, client: Lane) -> bool:
        try:
            for lease in client.fetch(1, None):
                self._jobs.put(lease)
        except NotReadyError:
            return False
        return True

    def _work(self, client: Lane) -> None:
        while (lease := self._jobs.get()) is not None:
            job = Job(client, lease, client.kind_name(lease.kind), self._stopping)
            self._running[job.id, job.token] = job
            lease.started()
            outcome = self._attempt(job)
            del self._running[job.id, job.token]
            self._settle(client, job, outcome)
            self._slots.release()

    def _attempt(self, job: Job) -> OutcomeError:
        """Run the handler and turn whatever happens into an outcome."""
        try:
            returned = self._handlers[job.kind](job)
            return _within_limit(returned if isinstance(returned, OutcomeError) else Ok(returned))
        except OutcomeError as outcome:
            return outcome
        except Stopped:
            return Retry("it stopped when it was asked to")  # the runtime knows why it asked
        except NonRetryableError as error:
            return Dead(f"{type(error).__name__}: {error}")
        except Exception as error:  # noqa: BLE001 - whatever it raises, the attempt failed
            return Retry(_describe(error))

    def _settle(self, client: Lane, job: Job, outcome: OutcomeError) -> None:
        try:
            try:
                client.settle([job._settlement(outcome)])  # noqa: SLF001 - the two are one
            except InvalidArgumentError as error:
                # A result or follow-up over its limit will be so again: no use in retrying.
                client.settle([job._settlement(Dead(str(error)))])  # noqa: SLF001 - as above
        except HybridrtError as error:
            self._failure = self._failure or error
            self._stopping.set()

    def _read_notices(self, client: Lane) -> None:
        try:
            while not self._ended.is_set():
                for notice in client.poll(None):
                    if notice.type in {Delivery.CANCEL, Delivery.REFUSED}:
                        job = self._running.get((notice.job, notice.token))
                        if job is not None:
                            job._cancelled.set()  # noqa: SLF001 - the two are one
        except HybridrtError:
            # The runtime is gone, which the fetching thread reports; what runs should stop.
            for job in list(self._running.values()):
                job._cancelled.set()  # noqa: SLF001 - the two are one


def _within_limit(outcome: OutcomeError) -> OutcomeError:
    """Return the outcome, or Dead when its result is too long to be kept: it would be so again."""
    if len(outcome.data) <= RESULT_BYTES_MAX:
        return outcome
    size = len(outcome.data)
    return Dead(f"the result of {size} bytes is over the limit of {RESULT_BYTES_MAX}")


def _describe(error: Exception) -> str:
    """Return the error first, then its stack, the innermost call last."""
    stack = "".join(traceback.format_exception(error))
    return f"{type(error).__name__}: {error}\n{stack}"
