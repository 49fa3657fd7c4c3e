"""Handles of jobs that were enqueued, and what is known of a job."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from hybridrt.errors import (
    HybridrtError,
    JobCancelledError,
    JobDeadError,
    JobDiscardedError,
    JobError,
    JobExpiredError,
    JobNotFoundError,
    ResultTimeoutError,
)
from hybridrt.names import Durability, JobState, Outcome
from hybridrt.native import Notice, error_of

_ENDS: dict[JobState, type[JobError]] = {
    JobState.DEAD: JobDeadError,
    JobState.CANCELLED: JobCancelledError,
    JobState.EXPIRED: JobExpiredError,
    JobState.DISCARDED: JobDiscardedError,
}


class JobInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot of one job. Times ending in _ns are wall clock, 0: none."""

    id: int
    state: str
    kind: str
    queue: str
    attempt: int
    max_attempts: int
    enqueued_ns: int
    due_ns: int = 0
    expires_ns: int = 0
    settled_ns: int = 0
    token: int = 0
    parent: int = 0
    client: int = 0
    timeout_ms: int = 0
    result_ttl_ms: int = 0
    payload_length: int = 0
    result_length: int = 0
    saved_length: int = 0
    progress: int = 0
    note: str = ""
    crashes: int = 0
    max_crashes: int = 0
    outcome: str = ""
    cause: str = ""
    blocked: bool = False
    suspect: bool = False
    key: str = ""
    error: str = ""

    @classmethod
    def make(cls, info: dict[str, Any], **texts: str) -> "JobInfo":
        """Put names in the place of numbers; `texts` are kind, queue, key and error."""
        known = {field: info[field] for field in cls.__struct_fields__ if field in info}
        known |= {
            "state": JobState(info["state"]).name.lower(),
            "outcome": Outcome(info["outcome"]).name.lower() if info["outcome"] else "",
            "cause": Outcome(info["cause"]).name.lower() if info["cause"] else "",
            **texts,
            "blocked": bool(info["blocked"]),
            "suspect": bool(info["suspect"]),
        }
        return cls(**known)


def needs_reason(notice: Notice) -> bool:
    """Say whether a RESULT notice of a failed job came without the reason, as a late one does."""
    return notice.code > JobState.COMPLETED and not notice.data


def read_result(notice: Notice, reason: str = "") -> bytes:
    """Return the result that a RESULT notice carries, or raise how else the job ended."""
    if notice.code < 0:
        error = error_of(notice.code)
        if isinstance(error, JobNotFoundError):
            raise JobNotFoundError(
                f"job {notice.job} is not kept any more", "give it a result_ttl when you enqueue it"
            )
        raise error
    state = JobState(notice.code)
    if state is JobState.COMPLETED:
        return notice.data
    text = notice.data.decode("utf-8", "replace") or reason
    raise _ENDS[state](text or f"job {notice.job} is {state.name.lower()}")


class Owner(Protocol):
    """What a handle needs of the side that made it."""

    def watch(self, job: int) -> "asyncio.Future[Notice]":
        """Return the future of the end of a job."""

    async def cancel(self, job: int) -> None:
        """Cancel a job."""

    async def info(self, job: int) -> JobInfo:
        """Describe a job."""


@dataclass(frozen=True, slots=True)
class JobHandle:
    """One acknowledged job. `durability` is the one that was reached before `enqueue` returned."""

    id: int
    kind: str
    durability: Durability
    _owner: Owner

    async def result(self, timeout: float | None = None) -> bytes:
        """Wait up to `timeout` seconds for the end and return the result.

        Raises:
            ResultTimeoutError: the job goes on; ask again.
            JobDeadError, JobCancelledError, JobExpiredError, JobDiscardedError: it ended so.
            JobNotFoundError: it ended and its result is no longer kept.
        """
        ended = asyncio.shield(self._owner.watch(self.id))
        try:
            notice = await asyncio.wait_for(ended, timeout)
        except TimeoutError as error:
            raise ResultTimeoutError(f"job {self.id} did not end within {timeout} s") from error
        if needs_reason(notice):
            return read_result(notice, (await self.info()).error)
        return read_result(notice)

    async def cancel(self) -> None:
        """Cancel the job: at once when it waits, through its worker when it runs."""
        await self._owner.cancel(self.id)

    async def info(self) -> JobInfo:
        """Return a snapshot; raise JobNotFoundError when the job has left the state."""
        return await self._owner.info(self.id)


class Enqueued(Sequence[int]):
    """The answers of an enqueue_many, in order: job ids, or negative statuses of refused jobs."""

    def __init__(self, answers: Sequence[int]) -> None:
        """Keep the answers."""
        self.answers = answers

    def __len__(self) -> int:
        return len(self.answers)

    def __getitem__(self, index: Any) -> Any:
        return self.answers[index]

    def __iter__(self) -> Iterator[int]:
        return iter(self.answers)

    @property
    def errors(self) -> dict[int, HybridrtError]:
        """Return the error of each refused job by its place."""
        return {place: error_of(answer) for place, answer in enumerate(self.answers) if answer < 0}

    def check(self) -> "Enqueued":
        """Return self when all jobs are in, else raise the first error."""
        for place, answer in enumerate(self.answers):
            if answer < 0:
                first = error_of(answer)
                message = f"payload {place} of {len(self)}: {first.message}"
                raise type(first)(message)
        return self
