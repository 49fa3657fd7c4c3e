"""The control sockets: a ROUTER that answers requests and a PUB that tells events.

ZeroMQ's asyncio layer is fast enough here: jobs never travel through it. Each request runs in a
task of its own, so a long drain never holds up the others.
"""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zmq
import zmq.asyncio

from hybridrt.errors import BusyError, ControlError, HybridrtError
from hybridrt.logs import get_logger
from hybridrt.messages import decode_request, encode_error, encode_event, encode_reply
from hybridrt.tasks import Tasks
from hybridrt.verbs import answer

if TYPE_CHECKING:
    from hybridrt.supervisor import Supervisor

log = get_logger("control")

REQUESTS_MAX = 64  # under way at a time
MESSAGE_BYTES_MAX = 4 * 1024 * 1024
EVENTS_MAX = 10_000  # waiting for one slow subscriber; more are dropped
LAST_REPLY_MILLISECONDS = 500  # to leave in, when a successor answers all others
ID_FRAME = 2  # after the peer's identity and the protocol


class ControlServer:
    """Owns both sockets from `start` to `close`."""

    def __init__(self, supervisor: "Supervisor", control_path: Path, events_path: Path) -> None:
        """Make the sockets; `start` binds them in the directory, whose mode protects them."""
        self._supervisor = supervisor
        self._paths = (control_path, events_path)
        self._context = zmq.asyncio.Context()
        self._router = self._context.socket(zmq.ROUTER)
        self._router.setsockopt(zmq.LINGER, 0)
        self._router.setsockopt(zmq.MAXMSGSIZE, MESSAGE_BYTES_MAX)
        self._events: zmq.Socket[bytes] = zmq.Context.shadow(self._context.underlying).socket(
            zmq.PUB
        )
        self._events.setsockopt(zmq.LINGER, 0)
        self._events.setsockopt(zmq.SNDHWM, EVENTS_MAX)
        self._tasks = Tasks()
        self._serving: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to answer."""
        self.bind()
        self._serving = asyncio.create_task(self._serve(), name="control")

    def bind(self) -> None:
        """Take the places of both sockets, also from another supervisor that has them.

        ZeroMQ removes the path that it bound when a socket is closed. So it is given a path of its
        own, and the socket is moved from there: nobody ever removes his successor's.
        """
        for one, path in zip((self._router, self._events), self._paths, strict=True):
            own = path.with_suffix(".new")
            one.bind(f"ipc://{own}")
            own.rename(path)

    async def close(self, *, handed_over: bool = False) -> None:
        """Stop answering and remove the sockets, unless they are a successor's by now."""
        if self._serving is not None:
            self._serving.cancel()
            await asyncio.gather(self._serving, return_exceptions=True)
        await self._tasks.close()
        linger = LAST_REPLY_MILLISECONDS if handed_over else 0
        self._router.close(linger)
        self._events.close(linger)
        self._context.term()
        for path in self._paths if not handed_over else ():
            path.unlink(missing_ok=True)

    def publish(self, topic: str, body: dict[str, Any]) -> None:
        """Send one event; a subscriber that does not keep up misses some."""
        if not self._events.closed:
            self._events.send_multipart(encode_event(topic, body), zmq.NOBLOCK)

    async def _serve(self) -> None:
        while True:
            peer, *frames = await self._router.recv_multipart()
            if len(self._tasks) >= REQUESTS_MAX:
                error = BusyError("too many requests are under way", "try again")
                await self._reply(peer, encode_error(_request_id(frames), error))
            else:
                self._tasks.start(self._answer(peer, frames), "request")

    async def _answer(self, peer: bytes, frames: list[bytes]) -> None:
        request_id = _request_id(frames)
        try:
            request = decode_request(frames)
            body = await answer(self._supervisor, request.verb, request.arguments)
            reply = encode_reply(request_id, body)
        except HybridrtError as error:
            reply = encode_error(request_id, error)
        except Exception as error:
            log.exception("a request failed")
            reply = encode_error(request_id, ControlError(f"{type(error).__name__}: {error}"))
        await self._reply(peer, reply)

    async def _reply(self, peer: bytes, frames: list[bytes]) -> None:
        try:
            await self._router.send_multipart([peer, *frames])
        except zmq.ZMQError as error:
            log.debug("a reply could not be sent", err=str(error))


def _request_id(frames: list[bytes]) -> bytes:
    """Return the id frame, empty when the request has none."""
    return frames[1] if len(frames) >= ID_FRAME else b""
