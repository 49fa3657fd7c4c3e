"""`hybridrt log cat|why|replay`: what a log tells."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hybridrt.cli.choices import READABLE_DIRECTORY as DIRECTORY
from hybridrt.cli.log_copies import parse_moment, time_text
from hybridrt.cli.printing import Status, UsageError, fields, note, table
from hybridrt.cli.session import Session, session_options
from hybridrt.errors import DamagedLogError, JobNotFoundError
from hybridrt.names import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hybridrt.history import History
    from hybridrt.restore import Moment

TYPES = (
    "enqueue", "lease", "settle", "control", "checkpoint", "epoch", "pad", "due", "keep", "saved",
    "lanes", "void",
)  # fmt: skip
SAFE = (0, 1)  # enum hrt_damage
ARCHIVE = click.option(
    "--archive", type=DIRECTORY, help="Begin with what this archive has from before the log."
)
NAMELESS = (
    "the log knows clients by their number only; which worker it was, with its pid, says the "
    "supervisor's own log: incarnation=NUMBER"
)
QUOTED = ("payload", "meta")  # may hold anything
HIDDEN = ("sequence", "type", "position", "time_ns", "epoch", "length")


@dataclass(slots=True)
class Filter:
    """Which records to print. Those about jobs are chosen by what is known of the jobs."""

    types: tuple[str, ...] = ()
    job: int | None = None
    follow_ups: bool = False
    kind: str | None = None
    queue: str | None = None
    key: str | None = None
    epoch: int | None = None
    first: int = 0
    last: Moment | None = None
    since_ns: int = 0
    jobs: dict[int, dict[str, Any]] = field(default_factory=dict)
    family: set[int] = field(default_factory=set)

    def takes(self, record: dict[str, Any]) -> bool:
        """Look at one record after the other: names of jobs are remembered on the way."""
        if record["type"] in {"enqueue", "keep"}:
            self.jobs[record["job"]] = record
            if self.follow_ups and record.get("parent") in self.family:
                self.family.add(record["job"])
        if record["sequence"] < self.first or record["time_ns"] < self.since_ns:
            return False
        if self.types and record["type"] not in self.types:
            return False
        if self.epoch is not None and record["epoch"] != self.epoch:
            return False
        return self._concerns(record)

    def _concerns(self, record: dict[str, Any]) -> bool:
        from hybridrt.records import jobs_of

        about = jobs_of(record)
        if self.job is not None and not about & self.family and record.get("parent") != self.job:
            return False
        wanted = {"kind": self.kind, "queue": self.queue, "key": self.key}
        chosen = {name: value for name, value in wanted.items() if value is not None}
        if not chosen:
            return True
        known = [self.jobs.get(job, {}) for job in about]
        return any(all(k.get(name) == value for name, value in chosen.items()) for k in known)

    def unknown(self) -> Iterator[str]:
        """Say which names no record had, after all of them: they may be mistyped."""
        for name in ("kind", "queue", "key"):
            value = getattr(self, name)
            if value is not None and not any(job.get(name) == value for job in self.jobs.values()):
                yield f"no job in these records has the {name} {value!r}"
        if self.job is not None and self.job not in self.jobs:
            yield f"no record here enqueues job {self.job}"


@click.command()
@click.argument("directory", type=DIRECTORY)
@click.option("--type", "types", type=click.Choice(TYPES), multiple=True, help="Only these types.")
@click.option("--job", type=click.IntRange(min=1), help="Only records about this job.")
@click.option(
    "--follow-ups", is_flag=True, help="With --job: also jobs that it brought, and so on."
)
@click.option("--kind", help="Only records about jobs of this kind.")
@click.option("--queue", help="Only records about jobs of this queue.")
@click.option("--key", help="Only records about jobs with this key.")
@click.option("--epoch", type=click.IntRange(min=1), help="Only records of this epoch.")
@click.option("--after", type=click.IntRange(min=0), default=0, help="Only higher sequences.")
@click.option("--since", metavar="TIME", help="Only records from then on.")
@click.option("--until", metavar="SEQUENCE|TIME", help="Only records up to then.")
@click.option("--payload", is_flag=True, help="With what each job was asked to do.")
@ARCHIVE
@session_options
def cat(
    session: Session, /, directory: Path, archive: Path | None, *, payload: bool, **options: Any
) -> int:
    """Print the records of a log in their order; with --json one object a line."""
    history = open_history(directory, archive)
    wanted = _filter(options)
    for record in _chosen(history, wanted, payloads=payload):
        session.show(record, _line(record))
    for text in wanted.unknown():
        note(f"hybridrt: {text}")
    return _conclude(history)


def _filter(options: dict[str, Any]) -> Filter:
    since, until = options.pop("since"), options.pop("until")
    after = options.pop("after")
    made = Filter(**options, first=after + 1)
    made.last = parse_moment(until, "--until") if until else None
    made.since_ns = _time_of(since) if since else 0
    if made.job is not None:
        made.family.add(made.job)
    return made


def _time_of(since: str) -> int:
    time_ns = parse_moment(since, "--since").time_ns
    if time_ns is None:
        raise UsageError(f"--since takes a time; for a sequence there is --after {since}")
    return time_ns


def _chosen(history: History, wanted: Filter, *, payloads: bool) -> Iterator[dict[str, Any]]:
    """Describe every record, so that names are known, and give those that were asked for."""
    from hybridrt.records import Describer

    describer = Describer(payloads=payloads)
    for raw in history:
        record = describer.describe(raw)
        if wanted.last is not None and not wanted.last.holds(record):
            return
        if wanted.takes(record):
            yield record


def _line(record: dict[str, Any]) -> str:
    head = f"{record['sequence']:>10}  {time_text(record['time_ns'])}  {record['type']:<10}"
    parts = [
        f"{name}={json.dumps(value) if name in QUOTED or isinstance(value, list) else value}"
        for name, value in record.items()
        if name not in HIDDEN
    ]
    return f"{head}  {' '.join(parts)}".rstrip()


def _conclude(history: History) -> Status:
    """Say how the log ended; only damage to committed data is a failure."""
    if history.left_out:
        note(f"hybridrt: {history.left_out}")
    if history.report["damage"] == 0:
        return Status.OK
    note(f"hybridrt: {history.report['text']}")
    return Status.OK if history.report["damage"] in SAFE else Status.FAILED


@click.command()
@click.argument("directory", type=DIRECTORY)
@click.argument("job", type=click.IntRange(min=1))
@ARCHIVE
@session_options
def why(session: Session, directory: Path, job: int, archive: Path | None) -> int:
    """Tell what a job went through, and why: each record that touched it, in words."""
    return _tell(session, open_history(directory, archive), job)


def open_history(directory: Path, archive: Path | None) -> History:
    """Look at a log and the archive behind it."""
    from hybridrt.history import History

    return History(directory, archive)


def _tell(session: Session, history: History, job: int) -> int:
    from hybridrt.history import Story

    story = Story(job)
    events = list(story.tell(history))
    try:
        ending = story.ending()
    except JobNotFoundError as error:
        if history.report["damage"] in SAFE:
            raise
        raise DamagedLogError(
            f"{history.report['text']}; what can be read before it tells nothing of job {job}",
            "see 'hybridrt log verify' for all that is damaged, and mend it with 'log repair'",
        ) from error
    rows = [
        (event.sequence, time_text(event.time_ns), event.state or "gone", event.text)
        for event in events
    ]
    body = {
        "job": job,
        "events": [asdict(event) for event in events],
        "ending": ending,
        "clients": story.clients,
    }
    text = f"{table(('sequence', 'time', 'then', 'what'), rows)}\n{ending}"
    session.show(body, f"{text}\n{NAMELESS}" if story.clients else text)
    return _conclude(history)


@click.command()
@click.argument("directory", type=DIRECTORY)
@click.option("--at", metavar="SEQUENCE|TIME", help="The state as of then, instead of the end.")
@click.option("--jobs", is_flag=True, help="List the living jobs.")
@click.option("--job", type=click.IntRange(min=1), help="What this job went through; as 'log why'.")
@click.option("--python", metavar="PROGRAM", help="Compare with the hybridrt of this interpreter.")
@click.option("--library", type=DIRECTORY, help="Compare with the hybridrt package in this folder.")
@ARCHIVE
@session_options
def replay(
    session: Session, /, directory: Path, archive: Path | None, job: int | None, **options: Any
) -> int:
    """Rebuild a past state from the log and its archive, and print what it comes to.

    With --python or --library another version of hybridrt applies the same records: the first group
    after which the two states differ is named. Where the history has a lease, jobs that became due
    or the end of an attempt, the schedulers of both decide about it: those that differ are counted,
    the first is told. Exits 1 if anything differs.
    """
    history = open_history(directory, archive)
    if job is not None:
        return _tell(session, history, job)
    if options["python"] or options["library"]:
        return _compare(session, history, options["python"], options["library"])
    return _show_state(session, history, parse_moment(options["at"]), with_jobs=options["jobs"])


def _show_state(session: Session, history: History, moment: Moment, *, with_jobs: bool) -> int:
    from hybridrt.history import counts, job_rows, state_at

    state, last = state_at(history, moment)
    body: dict[str, Any] = {
        "sequence": last["sequence"] if last else 0,
        "time_ns": last["time_ns"] if last else 0,
        "epoch": last["epoch"] if last else 0,
        "jobs": state.jobs(),
        "state_hash": f"{state.state_hash():016x}",
        "queues": counts(state),
    }
    listed = list(job_rows(state)) if with_jobs else []
    text = _state_text(body)
    if listed:
        rows = [tuple(row.values()) for row in listed]
        text += f"\n\n{table(tuple(listed[0]), rows)}"
    session.show({**body, "list": listed} if with_jobs else body, text)
    return _conclude(history)


def _state_text(body: dict[str, Any]) -> str:
    queues = [
        (name, ", ".join(f"{state} {count}" for state, count in states.items()))
        for name, states in body["queues"].items()
    ]
    head = [
        ("sequence", body["sequence"]),
        ("time", time_text(body["time_ns"])),
        ("epoch", body["epoch"]),
        ("living jobs", body["jobs"]),
        ("state hash", body["state_hash"]),
    ]
    return fields([*head, *queues])


def _compare(session: Session, history: History, python: str | None, library: Path | None) -> int:
    from hybridrt.versions import compare

    body = compare(history, python, library)
    other = f"version {body['version']} in {body['place']}"
    text = f"{other}: equal in {body['checks']} comparisons"
    if (found := body["difference"]) is not None:
        text = (
            f"{other}: differs after sequence {found['sequence']}\n"
            f"  this one: {found['mine']}\n  other:    {found['theirs']}\n"
        ) + "\n".join(_line(record) for record in found["records"])
    session.show(body, f"{text}\n{_decisions(body)}")
    return Status.OK if body["equal"] else Status.FAILED


def _decisions(body: dict[str, Any]) -> str:
    """Say how the two schedulers decide."""
    if not body["decisions"]:
        return "scheduler: not compared; the history has no decision, or the other cannot be asked"
    text = f"scheduler: {body['decisions']} decisions, {body['otherwise']} of them otherwise"
    if (found := body["decision"]) is None:
        return text
    record = next(one for one in found["records"] if one["sequence"] == found["sequence"])
    said = {
        "this one:": found["mine"],
        "other:   ": found["theirs"],
        "history: ": found["history"],
    }
    told = [f"  {who} {_decision(record['type'], numbers)}" for who, numbers in said.items()]
    first = f"{text}, the first at sequence {found['sequence']}"
    return "\n".join([first, *told, *(_line(record) for record in found["records"])])


def _decision(kind: str, numbers: list[int]) -> str:
    if kind != "settle":
        return f"jobs {', '.join(map(str, numbers)) or 'none'}"
    ends = zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True)
    return "; ".join(
        (Outcome(outcome).name.lower() if outcome else "of a job that is not known")
        + (f", because of {Outcome(cause).name.lower()}" if cause else "")
        + (f", due {time_text(due_ns)}" if due_ns else "")
        for outcome, cause, due_ns in ends
    )
