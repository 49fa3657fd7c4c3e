"""What a log, and the archive behind it, tell: records, past states, the story of a job."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

from hybridrt.errors import DamagedLogError, InvalidArgumentError, JobNotFoundError
from hybridrt.fillers import LAST
from hybridrt.logreader import Replay, Scan
from hybridrt.names import JobState, Outcome
from hybridrt.records import (
    Describer,
    RecordType,
    cancelled_by,
    jobs_of,
    read_header,
    record_type,
)
from hybridrt.restore import Moment
from hybridrt.segments import Catalog
from hybridrt.store import Store, open_store, segment_records
from hybridrt.verify import last_run

TELLING = {
    RecordType.LEASE,
    RecordType.SETTLE,
    RecordType.CONTROL,
    RecordType.DUE,
    RecordType.KEEP,
    RecordType.SAVED,
}
NAMING = ("type", "verb", "id")  # of a declaration


class History:
    """All records of a log directory or a copy, with those that an archive holds before them."""

    def __init__(self, directory: Path, archive: Path | None = None) -> None:
        """Look at the directory; `archive` is one for this log, or the root of several."""
        self._directory = directory
        self._archive = archive
        self.report: dict[str, Any] = {"damage": 0, "text": ""}
        # The sequence from which on no living job is missing, by what the segments of a copy say of
        # each other; None: the end, if the log itself is there.
        self.whole_from: int | None = None
        self.ends_whole = True
        self.left_out = ""  # what is there and cannot be told, because something behind it is not

    def __iter__(self) -> Iterator[memoryview]:
        """Give every record; `report` says afterwards how the log ended."""
        if not any(self._directory.glob("*.seg")):
            store = open_store(self._directory)
            numbers = self._joining(store, store.numbers())
            self.ends_whole = self.whole_from is not None
            return segment_records(store, numbers)
        return chain(self._archived(), self._logged())

    def _logged(self) -> Iterator[memoryview]:
        with Scan(str(self._directory)) as scan:
            yield from scan
            self.report = scan.report()

    def _archived(self) -> Iterator[memoryview]:
        """Give what the archive has from before the log begins; it has to join."""
        if self._archive is None:
            return
        catalog = Catalog.settled(self._directory)
        store = open_store(self._archive, catalog.uuid)
        first = min(catalog.numbered)
        older = self._joining(store, [number for number in store.numbers() if number < first])
        if older and older[-1] != first - 1:
            raise DamagedLogError(
                f"{store.path} ends with segment {older[-1]}, the log begins with {first}"
            )
        yield from segment_records(store, older)

    def _joining(self, store: Store, numbers: list[int]) -> list[int]:
        """Return the segments up to the last one between which no record is missing."""
        run = last_run(numbers)
        infos = [store.info(number) for number in run]
        begin = len(run) - 1
        while begin > 0 and infos[begin - 1].last_sequence == infos[begin].first_sequence - 1:
            begin -= 1
        joining = run[max(begin, 0) :]
        ends = (info.last_sequence for info in infos[begin:] if info.head >= joining[0])
        self.whole_from = next(ends, None)
        if len(joining) < len(numbers):
            self.left_out = (
                f"{store.path}: segments {numbers[0]} to {joining[0] - 1} are left out: records "
                f"are missing between them and segment {joining[0]}"
            )
        return joining


def groups(records: Iterator[memoryview]) -> Iterator[list[memoryview]]:
    """Give the records of each whole group; the bytes are copied."""
    group: list[memoryview] = []
    for record in records:
        group.append(memoryview(bytes(record)))
        if read_header(record)["flags"] & LAST:
            yield group
            group = []


def state_at(history: History, moment: Moment) -> tuple[Replay, dict[str, int] | None]:
    """Apply all groups up to a moment; return the state and the header of the last record.

    Raises InvalidArgumentError for a moment that is not known, or not whole: the oldest records
    that are left do not tell of the jobs whose segment has gone, before those are copied forward.
    """
    replay, last, first = Replay(), None, 0
    source = groups(iter(history))
    for group in source:
        header = read_header(group[-1])
        first = first or read_header(group[0])["sequence"]
        if not moment.holds(header):
            if last is None:
                raise InvalidArgumentError(
                    f"what is known begins with sequence {first}, after that moment",
                    "name an archive that goes back further with --archive",
                )
            _check_whole(history, replay, first, last["sequence"], chain([group], source))
            return replay, last
        for record in group:
            replay.apply(record)
        last = header
    reached = last["sequence"] if last else 0
    if moment.sequence is not None and moment.sequence > reached:
        raise InvalidArgumentError(f"what is known ends with sequence {reached}")
    _check_whole(history, replay, first, reached, iter(()))
    return replay, last


def _check_whole(
    history: History, replay: Replay, first: int, reached: int, later: Iterator[list[memoryview]]
) -> None:
    """Raise when jobs lived at a moment of which no record tells before it."""
    if first <= 1:
        return
    why = (
        f"what is left begins with sequence {first} and tells of older jobs only where they are "
        "copied forward"
    )
    further = "name an archive that goes back further with --archive"
    if not history.ends_whole:
        raise InvalidArgumentError(f"no state here is known whole: {why}", further)
    if whole_from := _last_gap(replay, first, _until(history.whole_from, reached, later)):
        raise InvalidArgumentError(
            f"the state before sequence {whole_from} is not known whole: {why}",
            f"name that one or a later one, or {further}",
        )


def _until(
    end: int | None, reached: int, later: Iterator[list[memoryview]]
) -> Iterator[list[memoryview]]:
    """Give the groups that can still tell of a job from before the first record."""
    for group in later:
        if end is not None and reached >= end:
            return
        yield group
        reached = read_header(group[-1])["sequence"]


def _last_gap(replay: Replay, first: int, later: Iterator[list[memoryview]]) -> int:
    """Return the last sequence of the last group that names a job which the state lacks; 0: none.

    A job from before `first` that lives is copied, or ends, before its segment goes. One whose
    result was dropped for others is not named: but then its queue is declared twice in a row.
    """
    describer, copied, gap = Describer(), set[int](), 0
    for group in later:
        said = [describer.describe(r) for r in group if record_type(r) in TELLING]
        older = {job for one in said for job in jobs_of(one) if job < first} - copied
        missing = any(replay.job(job) is None for job in older)
        if missing or any(_is_restated(*pair) for pair in pairwise(said)):
            gap = read_header(group[-1])["sequence"]
        copied |= {one["job"] for one in said if one["type"] == "keep"}
    return gap


def _is_restated(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Say whether two records declare the same queue."""
    first, second = (tuple(said.get(name) for name in NAMING) for said in (one, other))
    return first == second and first[:2] == ("control", "queue")


def counts(replay: Replay) -> dict[str, dict[str, int]]:
    """Count the living jobs by queue and state."""
    names = [queue["name"] for queue in replay.page.queues()]
    found: Counter[tuple[str, str]] = Counter()
    for info in replay.job_list():
        found[names[info["queue"]], JobState(info["state"]).name.lower()] += 1
    by_queue: dict[str, dict[str, int]] = {}
    for (queue, state), count in sorted(found.items()):
        by_queue.setdefault(queue, {})[state] = count
    return by_queue


def job_rows(replay: Replay) -> Iterator[dict[str, Any]]:
    """Describe each living job in short."""
    queues = [queue["name"] for queue in replay.page.queues()]
    kinds = replay.page.kinds()
    for info in replay.job_list():
        yield {
            "id": info["id"],
            "kind": kinds[info["kind"]],
            "queue": queues[info["queue"]],
            "state": JobState(info["state"]).name.lower(),
            "attempt": info["attempt"],
            "due_ns": info["due_ns"],
            "parent": info["parent"],
        }


# ---- the story of a job -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Event:
    """One record that touched a job, in words."""

    sequence: int
    time_ns: int
    type: str
    text: str
    state: str  # of the job afterwards; empty: it has left
    attempt: int


ENDS = {
    Outcome.OK: "it completed",
    Outcome.RETRY: "it failed and is to be tried again",
    Outcome.SNOOZE: "it asked to be run later; no attempt is counted",
    Outcome.DISCARD: "it was dropped, as its handler said",
    Outcome.DEAD: "it became a dead letter",
    Outcome.RETURNED: "it was handed back; no attempt is counted",
    Outcome.CRASHED: "its worker died while it ran; a crash and an attempt are counted",
    Outcome.LOST: "its lease was lost with the supervisor or with a hung worker",
    Outcome.TIMEOUT: "it ran over its time limit",
    Outcome.CANCELLED: "it was cancelled",
    Outcome.EXPIRED: "it expired before a worker began it",
    Outcome.FORGOTTEN: "its result is no longer kept; the job leaves the state",
    Outcome.REVIVED: "an operator sent it back to ready, its attempts begin anew",
}


class Story:
    """Follows one job through the records."""

    def __init__(self, job: int) -> None:
        """Know nothing yet."""
        self._job = job
        self._replay = Replay()
        self._describer = Describer()
        self._queue: object = None
        self._known = False
        self._no_job = ""  # the type of the record that has its number and is no job
        self.clients: list[int] = []  # that the job was handed to, in order

    def tell(self, history: History) -> Iterator[Event]:
        """Give what touched the job, in order, until it left."""
        for record in history:
            before = self._info()
            said = self._describer.describe(record)
            self._replay.apply(record)
            for text in self._words(said, before):
                after = self._info() or {}
                state = JobState(after["state"]).name.lower() if after else ""
                yield Event(
                    said["sequence"], said["time_ns"], said["type"], text, state,
                    after.get("attempt", (before or {}).get("attempt", 0)),
                )  # fmt: skip

    def ending(self) -> str:
        """Say how it stands at the end of the log; raise JobNotFoundError if nothing was told."""
        info = self._info()
        if info is not None:
            state = JobState(info["state"]).name.lower()
            behind = ", behind others of its key" if info["blocked"] else ""
            return f"at the end of the log it is {state}{behind}"
        if not self._known and self._no_job:
            raise JobNotFoundError(f"{self._job} is no job: that record is a {self._no_job}")
        if not self._known:
            raise JobNotFoundError(
                f"the log tells nothing of job {self._job}",
                "name the archive with --archive; before it, nothing is kept",
            )
        return "it has left the state"

    def _info(self) -> dict[str, Any] | None:
        return self._replay.job(self._job)

    def _words(self, said: dict[str, Any], before: dict[str, Any] | None) -> Iterator[str]:
        tellers = {
            "enqueue": self._enqueued, "keep": self._kept, "lease": self._leased,
            "settle": self._settled, "due": self._due, "saved": self._saved,
        }  # fmt: skip
        if said["sequence"] == self._job and said["type"] != "enqueue":
            yield from self._not_enqueued(said["type"])
        elif teller := tellers.get(said["type"]):
            for text in teller(said):
                self._known = True
                yield text
        elif before is not None and before["state"] < JobState.COMPLETED:
            yield from self._around(said)

    def _not_enqueued(self, what: str) -> Iterator[str]:
        if what == "void":
            self._known = True
            yield "the record with its number was lost, and the loss was accepted"
        else:
            self._no_job = what

    def _around(self, said: dict[str, Any]) -> Iterator[str]:
        """Tell what happened to the whole log, or to its queue, while the job lived."""
        if said["type"] == "epoch":
            lost = f"; a torn tail at {said['tail_lost']} was left out" if said["tail_lost"] else ""
            yield f"a supervisor, pid {said['pid']}, began epoch {said['epoch']}{lost}"
        elif said["type"] == "void":
            yield "a record was lost here; what it said of the job, if anything, is not known"
        elif said.get("verb") in {"pause", "resume"} and said["queue_name"] == self._queue:
            yield f"queue {self._queue} was {said['verb']}d"
        elif said.get("verb") == "note":
            yield from self._noted(said["text"])

    def _noted(self, text: str) -> Iterator[str]:
        if (cancelled := cancelled_by(text)) is None:
            yield f"an operator's note: {text}"
        elif cancelled == self._job:
            yield "it was asked to stop: somebody cancelled it"

    def _enqueued(self, said: dict[str, Any]) -> Iterator[str]:
        if said.get("parent") == self._job:
            yield f"its settle brought job {said['job']}, kind {said['kind']}"
        if said["job"] != self._job:
            return
        self._queue = said["queue"]
        extra = [f"key {said['key']}"] if "key" in said else []
        extra += ["to be run later"] if "due_ns" in said else []
        extra += [f"as a follow-up of job {said['parent']}"] if "parent" in said else []
        extra.append(f"{said['payload_length']} B of payload")
        yield f"enqueued into {said['queue']} as {said['kind']}: {', '.join(extra)}"

    def _kept(self, said: dict[str, Any]) -> Iterator[str]:
        if said["job"] == self._job:
            self._queue = said["queue"]
            yield f"copied forward from an old segment, {said['state']}, attempt {said['attempt']}"

    def _leased(self, said: dict[str, Any]) -> Iterator[str]:
        info = self._info() if self._job in said["jobs"] else None
        if info is not None and info["token"] == said["sequence"]:
            self.clients.append(said["client"])
            yield f"attempt {info['attempt']} was handed to client {said['client']}"

    def _settled(self, said: dict[str, Any]) -> Iterator[str]:
        for entry in said["settled"]:
            if entry["job"] != self._job:
                continue
            outcome = Outcome[entry["outcome"].upper()]
            because = f", because of {entry['cause']}" if "cause" in entry else ""
            data = entry.get("data", "")
            what = "result" if outcome is Outcome.OK else "reason"
            yield f"{ENDS[outcome]}{because}" + (f"; {what}: {data[:500]}" if data else "")

    def _due(self, said: dict[str, Any]) -> Iterator[str]:
        if self._job in said["jobs"]:
            yield "its time had come: ready"

    def _saved(self, said: dict[str, Any]) -> Iterator[str]:
        if said["job"] == self._job:
            yield f"its handler saved {said['length']} B for the next attempt"
