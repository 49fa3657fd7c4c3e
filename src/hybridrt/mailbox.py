"""Joins a lane to an event loop: tickets and watched jobs become futures.

One reader on the lane's eventfd serves all futures; there is no polling and no thread per call.
A reply that is there already is taken at once, so an enqueue into a `memory` queue of the own
process never waits for the loop. All methods belong to the loop's thread.
"""

import asyncio
import os
from array import array
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hybridrt.errors import ClosedError, HybridrtError
from hybridrt.names import Delivery
from hybridrt.native import Buffer, Lane, Notice, Packed
from hybridrt.options import Options

# Answers that may wait to be read. The reply ring holds twice as many, so none is overwritten.
TICKETS_MAX = 32_768
EVENTFD_BYTES = 8


@dataclass(slots=True)
class _Batch:
    """Tickets published in one step, whose answers fill `ids`."""

    first: int
    ids: memoryview
    done: asyncio.Future[None]


class Mailbox:
    """The futures of one lane."""

    def __init__(self, client: Lane, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to read; `client` stays the caller's until `close`."""
        self._client = client
        self._loop = loop
        self._fd = client.event_fd
        self._batches: deque[_Batch] = deque()
        self._tickets = 0
        self._watched: dict[int, asyncio.Future[Notice]] = {}
        self._closed: HybridrtError | None = None
        loop.add_reader(self._fd, self._readable)
        self._arm()

    def close(self, error: HybridrtError | None = None) -> None:
        """Stop reading and fail everything that still waits."""
        if self._closed is not None:
            return
        self._closed = error or ClosedError("the runtime was closed")
        self._loop.remove_reader(self._fd)
        waiting: list[asyncio.Future[Any]] = [batch.done for batch in self._batches]
        for future in (*waiting, *self._watched.values()):
            if not future.done():
                future.set_exception(self._closed)
                future.exception()  # read once: nobody may be left to hear of it
        self._batches.clear()
        self._watched.clear()

    async def enqueue(self, kind: int, payload: Buffer, options: Options) -> int:
        """Publish one job and return its answer: the job id or a negative status."""
        await self._room(1)
        ticket = self._client.enqueue(kind, payload, options)
        answer = self._client.reply(ticket)
        if answer is not None:
            return answer
        ids = memoryview(array("q", (0,)))
        await self._answered(ticket, ids)
        return int(ids[0])

    async def enqueue_packed(self, kind: int, packed: Packed, options: Options) -> "array[int]":
        """Publish all payloads and return their answers, job ids or negative statuses."""
        answers = array("q", bytes(8 * packed.count))
        view = memoryview(answers)
        place = 0
        while place < packed.count:
            span = range(place, min(place + TICKETS_MAX // 2, packed.count))
            await self._room(len(span))
            first, done = self._client.enqueue_packed(kind, packed, span, options, 0.0)
            if done:
                self._expect(first, view[place : place + done])
                place += done
            elif self._batches:
                await asyncio.shield(self._batches[0].done)
            else:
                await asyncio.sleep(0)  # the dispatch thread is at work in this lane
        if self._batches:
            await asyncio.shield(self._batches[-1].done)
        return answers

    def watch(self, job: int) -> "asyncio.Future[Notice]":
        """Return the future of the notice that says how a job ended; one for all who ask."""
        self._check()
        future = self._watched.get(job)
        if future is None:
            future = self._watched[job] = self._loop.create_future()
            self._client.watch(job)
            self._arm()
        return future

    def _check(self) -> None:
        if self._closed is not None:
            raise self._closed

    async def _room(self, count: int) -> None:
        """Wait until `count` more answers may be outstanding."""
        self._check()
        if self._tickets and self._tickets + count > TICKETS_MAX:
            self._read()
        while self._tickets and self._tickets + count > TICKETS_MAX:
            await asyncio.shield(self._batches[0].done)
            self._check()

    def _expect(self, first: int, ids: memoryview) -> "asyncio.Future[None]":
        done: asyncio.Future[None] = self._loop.create_future()
        self._batches.append(_Batch(first, ids, done))
        self._tickets += len(ids)
        self._arm()
        return done

    async def _answered(self, first: int, ids: memoryview) -> None:
        # Shielded: a caller that gives up does not make the answers behind it unreadable.
        await asyncio.shield(self._expect(first, ids))

    def _readable(self) -> None:
        try:
            os.read(self._fd, EVENTFD_BYTES)
        except BlockingIOError:
            return
        self._arm()

    def _arm(self) -> None:
        """Read what is there, until the lane promises to write the eventfd for the next."""
        try:
            self._read()
            while not self._client.arm():
                self._read()
        except HybridrtError as error:
            self.close(error)

    def _read(self) -> None:
        self._read_answers()
        while notices := self._client.poll(0.0):
            for notice in notices:
                self._take(notice)

    def _read_answers(self) -> None:
        while self._batches and self._client.replies(self._batches[0].first, self._batches[0].ids):
            batch = self._batches.popleft()
            self._tickets -= len(batch.ids)
            if not batch.done.done():
                batch.done.set_result(None)

    def _take(self, notice: Notice) -> None:
        if notice.type != Delivery.RESULT:
            return  # a producer's lane has nothing to cancel and no settle to be refused
        future = self._watched.pop(notice.job, None)
        if future is not None and not future.done():
            future.set_result(notice)


class BlockingLane:
    """A second lane for producers that wait for room in a full queue, in threads of their own.

    A lane whose eventfd is armed must not be slept on, so those that may sleep get this one. It is
    made when it is first needed.
    """

    def __init__(self, attach: Callable[[], Lane]) -> None:
        """Remember how to make the lane."""
        self._attach = attach
        self._client: Lane | None = None
        self._waiting: set[asyncio.Future[int]] = set()

    async def enqueue(self, kind: int, payload: Buffer, options: Options, timeout: float) -> int:
        """Publish one job, waiting up to `timeout` seconds for room; return its id."""
        if self._client is None:
            self._client = self._attach()
        client = self._client
        waiting = asyncio.get_running_loop().run_in_executor(
            None, lambda: client.enqueue_wait(kind, payload, options, timeout, block=True)
        )
        self._waiting.add(waiting)
        waiting.add_done_callback(self._waiting.discard)
        return await waiting

    async def close(self) -> None:
        """Let the waiting ones end, then detach. Their time limits bound this."""
        client, self._client = self._client, None
        if client is None:
            return
        client.interrupt()
        await asyncio.gather(*self._waiting, return_exceptions=True)
        client.close()
