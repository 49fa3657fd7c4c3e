"""Clients in other processes: `connect` for plain code, `aconnect` for asyncio, the same verbs.

Jobs travel through a lane of shared memory; inspection and operation through the control socket
beside it. After a fork, connect again.
"""

import asyncio
import os
import socket
import threading
from array import array
from collections.abc import Generator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import msgspec

from hybridrt import configfile
from hybridrt.errors import ClosedError, ResultTimeoutError, TimedOutError, UnreachableError
from hybridrt.jobs import Enqueued, JobInfo, needs_reason, read_result
from hybridrt.messages import RECONNECT_MILLISECONDS, decode_reply, encode_request
from hybridrt.names import DEFAULT_QUEUE, Delivery, Durability
from hybridrt.native import Lane, Notice, Packed
from hybridrt.options import (
    DEFAULT_OPTIONS,
    Options,
    Payload,
    Seconds,
    encode_payload,
    make_options,
)
from hybridrt.producer import Producer, pack
from hybridrt.units import MILLISECONDS, parse_duration

REPLY_TIMEOUT_SECONDS = 10.0
ENQUEUE_TIMEOUT_SECONDS = 30.0
CHUNK = 16_384  # jobs published before their answers are read
REQUEST_ID_BYTES = 8


def find_directory(address: str | os.PathLike[str] | None) -> Path:
    """Return the runtime directory: of `address`, else $HYBRIDRT_SOCKET, else the user's own."""
    named = os.fspath(address) if address is not None else os.environ.get("HYBRIDRT_SOCKET")
    if not named:
        return configfile.runtime_directory()
    path = Path(named)
    return path.parent if path.suffix == ".sock" else path


class Control:
    """Requests to a supervisor, one after another. Safe to use from several threads."""

    def __init__(self, directory: Path) -> None:
        """Name the runtime directory; the connection is made by the first request."""
        self._path = directory / "control.sock"
        self._lock = threading.Lock()
        self._context: Any = None
        self._socket: Any = None

    def call(self, verb: str, timeout: float = REPLY_TIMEOUT_SECONDS, **arguments: Any) -> Any:
        """Send `verb` and return the body of its reply; see docs/control.md.

        Raises:
            UnreachableError: no supervisor listens there.
            TimedOutError: it did not answer in time.
            HybridrtError: what the supervisor answered with.
        """
        import zmq  # needed by operators only

        with self._lock:
            self._connect(zmq)
            request_id = os.urandom(REQUEST_ID_BYTES)
            self._socket.send_multipart(encode_request(request_id, verb, arguments))
            while self._socket.poll(int(timeout * MILLISECONDS)):
                frames = self._socket.recv_multipart()
                if frames[1:2] == [request_id]:  # else it answers a request that was given up
                    return decode_reply(frames)
            raise TimedOutError(f"{self._path} did not answer {verb} within {timeout:g} s")

    def _connect(self, zmq: Any) -> None:
        probe(self._path)
        if self._socket is None:
            self._context = zmq.Context()
            self._socket = self._context.socket(zmq.DEALER)
            self._socket.linger = 0
            self._socket.reconnect_ivl = RECONNECT_MILLISECONDS
            self._socket.connect(f"ipc://{self._path}")

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            if self._socket is not None:
                self._socket.close()
                self._context.term()
                self._socket = None


def probe(path: Path) -> None:
    """Raise UnreachableError when nobody listens: ZeroMQ would wait for ever without a word."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
            one.connect(str(path))
    except OSError as error:
        raise UnreachableError(
            f"cannot reach a supervisor at {path}: {error.strerror}",
            "start one with 'hybridrt run'",
        ) from error


# ---- plain code ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ClientJob:
    """One acknowledged job. `durability` is the one that was reached before `enqueue` returned."""

    id: int
    kind: str
    durability: Durability
    _client: "Client"

    def result(self, timeout: float | None = None) -> bytes:
        """Wait up to `timeout` seconds for the end and return the result.

        Raises:
            ResultTimeoutError: the job goes on; ask again.
            JobDeadError, JobCancelledError, JobExpiredError, JobDiscardedError: it ended so.
            JobNotFoundError: it ended and its result is no longer kept.
        """
        ended = self._client.watch(self.id)
        try:
            notice = ended.result(timeout)
        except FutureTimeoutError as error:
            raise ResultTimeoutError(f"job {self.id} did not end within {timeout} s") from error
        if needs_reason(notice):
            return read_result(notice, self.info().error)
        return read_result(notice)

    def cancel(self) -> None:
        """Cancel the job: at once when it waits, through its worker when it runs."""
        self._client.cancel(self.id)

    def info(self) -> JobInfo:
        """Return a snapshot; raise JobNotFoundError when the job has left the state."""
        return self._client.info(self.id)


class Client:
    """A producer in a process of its own, for plain code. Safe to use from several threads.

    Example:
        >>> with hybridrt.connect() as client:                            # doctest: +SKIP
        ...     job = client.enqueue("image.resize", {"id": 7}, key="7")
        ...     print(job.result(timeout=10))
    """

    def __init__(self, directory: Path, name: str, timeout: float) -> None:
        """Attach to the runtime in `directory`."""
        self._lane = Lane.attach(str(directory / "attach.sock"), name, timeout)
        self._control = Control(directory)
        self._lock = threading.Lock()
        self._watched: dict[int, Future[Notice]] = {}
        self._reader: threading.Thread | None = None
        self._closing = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Detach; what still waits for a result gets a ClosedError."""
        self._closing = True
        if self._reader is not None:
            self._lane.interrupt()
            self._reader.join()
        self._lane.close()
        self._control.close()

    def enqueue(
        self,
        kind: str,
        payload: Payload = b"",
        *,
        queue: str = DEFAULT_QUEUE,
        block_timeout: Seconds | None = None,
        **options: Any,
    ) -> ClientJob:
        """Enqueue one job; return its handle once it is as durable as its queue promises.

        Options and errors are those of `Supervisor.enqueue`.
        """
        chosen = self._options(queue, options)
        block = block_timeout is not None
        patience = parse_duration(block_timeout) if block_timeout else ENQUEUE_TIMEOUT_SECONDS
        number = self._lane.kind(kind)
        data = encode_payload(payload)
        job = self._lane.enqueue_wait(number, data, chosen, patience, block=block)
        durability = Durability(self._lane.durability(self._lane.queue(queue)))
        return ClientJob(job, kind, durability, self)

    def enqueue_many(
        self, kind: str, payloads: Any, *, queue: str = DEFAULT_QUEUE, **options: Any
    ) -> Enqueued:
        """Enqueue jobs that differ only in their payload, in a few steps for all.

        See `Supervisor.enqueue_many`. Answers are waited for in chunks, while the next one is
        under way.
        """
        chosen = self._options(queue, options)
        packed = pack(payloads)
        answers = array("q", bytes(8 * packed.count))
        chunks = self._publish(self._lane.kind(kind), packed, chosen)
        self._collect(chunks, memoryview(answers))
        return Enqueued(answers)

    def _options(self, queue: str, options: dict[str, Any]) -> Options:
        if not options and queue == DEFAULT_QUEUE:
            return DEFAULT_OPTIONS
        return make_options(queue=queue, **options)

    def _publish(
        self, kind: int, packed: Packed, options: Options
    ) -> Generator[tuple[int, int], None, None]:
        """Publish chunk after chunk; yield (first ticket, count) of each."""
        place = 0
        while place < packed.count:
            span = range(place, min(place + CHUNK, packed.count))
            first, done = self._lane.enqueue_packed(
                kind, packed, span, options, ENQUEUE_TIMEOUT_SECONDS
            )
            if done == 0:
                raise TimedOutError(f"the lane had no room for {ENQUEUE_TIMEOUT_SECONDS:g} s")
            place += done
            yield first, done

    def _collect(self, chunks: Generator[tuple[int, int], None, None], answers: memoryview) -> None:
        """Read the answers of each chunk after the next one was published."""
        place = 0
        behind: tuple[int, int] | None = None
        for chunk in chunks:
            place = self._read_chunk(behind, answers, place)
            behind = chunk
        self._read_chunk(behind, answers, place)

    def _read_chunk(self, chunk: tuple[int, int] | None, answers: memoryview, place: int) -> int:
        if chunk is None:
            return place
        first, count = chunk
        self._lane.wait(first + count, ENQUEUE_TIMEOUT_SECONDS)
        self._lane.replies(first, answers[place : place + count])
        return place + count

    def watch(self, job: int) -> "Future[Notice]":
        """Return the future of the notice that says how a job ended; one for all who ask."""
        with self._lock:
            future = self._watched.get(job)
            if future is None:
                future = self._watched[job] = Future()
                self._lane.watch(job)
            if self._reader is None:
                self._reader = threading.Thread(
                    target=self._read_notices, name="hybridrt-notices", daemon=True
                )
                self._reader.start()
            return future

    def _read_notices(self) -> None:
        """Resolve watched jobs until the client closes; one thread for all of them."""
        error: Exception = ClosedError("the client was closed")
        try:
            while not self._closing:
                for notice in self._lane.poll(None):
                    self._take(notice)
        except Exception as failure:  # noqa: BLE001 - handed to everyone who waits
            error = failure
        with self._lock:
            for future in self._watched.values():
                future.set_exception(error)
            self._watched.clear()

    def _take(self, notice: Notice) -> None:
        if notice.type != Delivery.RESULT:
            return
        with self._lock:
            future = self._watched.pop(notice.job, None)
        if future is not None:
            future.set_result(notice)

    def cancel(self, job: int) -> None:
        """Ask the runtime to cancel a job."""
        self._lane.cancel(job)

    def info(self, job: int) -> JobInfo:
        """Describe a job; raise JobNotFoundError."""
        return msgspec.convert(self._control.call("job.show", id=job), JobInfo)

    def call(self, verb: str, timeout: float = REPLY_TIMEOUT_SECONDS, **arguments: Any) -> Any:
        """Send a request of the control protocol; see docs/control.md."""
        return self._control.call(verb, timeout, **arguments)

    def stats(self) -> Any:
        """Return numpy views on the runtime's counters; see hybridrt.stats."""
        from hybridrt.stats import Stats  # numpy is heavy

        return Stats(self._lane.page)


def connect(
    address: str | os.PathLike[str] | None = None, *, name: str = "python", timeout: float = 5.0
) -> Client:
    """Attach to a running supervisor.

    Args:
        address: its runtime directory or attach socket; None: $HYBRIDRT_SOCKET, else the user's
            own ($XDG_RUNTIME_DIR/hybridrt or /tmp/hybridrt-<uid>).
        name: shown to operators.
        timeout: seconds to wait for the connection.

    Raises:
        UnreachableError, VersionError, PermissionDeniedError, LimitError, TimedOutError.
    """
    return Client(find_directory(address), name, timeout)


# ---- asyncio ------------------------------------------------------------------------------------


class AsyncClient(Producer):
    """A producer in a process of its own, for asyncio; the verbs of `Supervisor`.

    Example:
        >>> async with hybridrt.aconnect() as client:                     # doctest: +SKIP
        ...     job = await client.enqueue("image.resize", {"id": 7})
        ...     print(await job.result(timeout=10))
    """

    def __init__(self, directory: Path, name: str, timeout: float) -> None:
        """Describe a client; it attaches when it is entered."""
        super().__init__()
        self._directory = directory
        self._name = name
        self._timeout = timeout
        self._control = Control(directory)

    async def __aenter__(self) -> Self:
        lane = await asyncio.to_thread(self._attach)
        self.begin(lane, self._attach, self._show)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.end()
        self._control.close()

    def _attach(self) -> Lane:
        return Lane.attach(str(self._directory / "attach.sock"), self._name, self._timeout)

    async def call(
        self, verb: str, timeout: float = REPLY_TIMEOUT_SECONDS, **arguments: Any
    ) -> Any:
        """Send a request of the control protocol; see docs/control.md."""
        return await asyncio.to_thread(self._control.call, verb, timeout, **arguments)

    async def _show(self, job: int) -> JobInfo:
        return msgspec.convert(await self.call("job.show", id=job), JobInfo)

    def stats(self) -> Any:
        """Return numpy views on the runtime's counters; see hybridrt.stats."""
        from hybridrt.stats import Stats  # numpy is heavy

        return Stats(self.client.page)


def aconnect(
    address: str | os.PathLike[str] | None = None, *, name: str = "python", timeout: float = 5.0
) -> AsyncClient:
    """Describe an asyncio client, to be entered with ``async with``; see `connect`."""
    return AsyncClient(find_directory(address), name, timeout)
