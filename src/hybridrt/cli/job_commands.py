"""`hybridrt enqueue` and `hybridrt job`: single jobs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO, Any

import click

from hybridrt.cli.choices import JOB_ID, STATES, duration
from hybridrt.cli.printing import UsageError, fields
from hybridrt.cli.render import deeds, job_fields, job_table
from hybridrt.cli.session import Session, session_options
from hybridrt.errors import PayloadTooLargeError
from hybridrt.names import PAYLOAD_BYTES_MAX
from hybridrt.units import format_size

ENQUEUE_OPTIONS = (
    ("delay", duration, "Start no sooner than this from now, such as 30s or 1h30m."),
    ("expires", duration, "Drop the job when no worker began it within this time."),
    ("time_limit", duration, "Longest time of one attempt."),
    ("result_ttl", duration, "How long the result is kept."),
    ("block", duration, "Wait this long for room when the queue is full."),
    ("max_attempts", click.IntRange(1, 65535), "Attempts before the job is a dead letter."),
)


def enqueue_options(function: Any) -> Any:
    """Add the options that only fill a field of the request."""
    for name, kind, text in reversed(ENQUEUE_OPTIONS):
        function = click.option(f"--{name.replace('_', '-')}", name, type=kind, help=text)(function)
    return function


@click.command()
@click.argument("kind")
@click.argument("payload", required=False)
@click.option(
    "--file",
    "file",
    type=click.Path(dir_okay=False, readable=False, allow_dash=True, path_type=Path),
    help="Read the payload from a file, - for standard input.",
)
@click.option("--queue", default="default", show_default=True, help="Where the job waits.")
@click.option("--key", help="Jobs with one key start in order, one at a time.")
@enqueue_options
@session_options
def enqueue(
    session: Session,
    /,
    kind: str,
    payload: str | None,
    file: Path | None,
    **options: Any,
) -> None:
    """Enqueue one job and print its id.

    PAYLOAD is taken as it is, in UTF-8. Returns once the job is in the log, at the durability of
    its queue.
    """
    import base64

    renamed = {"time_limit": "timeout", "block": "block_timeout"}
    body = {renamed.get(name, name): value for name, value in options.items() if value is not None}
    body |= {"kind": kind, "payload": base64.b64encode(_payload(payload, file)).decode()}
    reply = session.ask("enqueue", body, body.get("block_timeout", 0.0))
    session.show(reply, str(reply.get("id", "")))


def _payload(text: str | None, file: Path | None) -> bytes:
    if text is not None and file is not None:
        message = "give PAYLOAD or --file, not both"
        raise UsageError(message)
    if file is None:
        return (text or "").encode("utf-8", "surrogateescape")
    if str(file) == "-":
        return _within_limit(sys.stdin.buffer)
    try:
        with file.open("rb") as opened:
            return _within_limit(opened)
    except PermissionError:
        raise
    except OSError as err:
        message = f"cannot read {file}: {err.strerror}"
        raise UsageError(message) from err


def _within_limit(source: IO[bytes]) -> bytes:
    """Read a payload; one that no supervisor takes is not even sent."""
    data = source.read(PAYLOAD_BYTES_MAX + 1)
    if len(data) > PAYLOAD_BYTES_MAX:
        text = f"the payload is over the limit of {format_size(PAYLOAD_BYTES_MAX)}"
        raise PayloadTooLargeError(text, "put it into a file, and its name into the payload")
    return data


@click.group()
def job() -> None:
    """Show, list, retry, cancel and drop jobs."""


@job.command("show")
@click.argument("job_id", metavar="ID", type=JOB_ID)
@click.option("--payload", is_flag=True, help="With its payload.")
@session_options
def show_job(session: Session, job_id: int, payload: bool) -> None:
    """Show one job."""
    reply = session.ask("job.show", {"id": job_id, "payload": payload})
    session.show(reply, fields(job_fields(reply)))


@job.command("ls")
@click.option("--queue", help="Only jobs of this queue.")
@click.option("--kind", help="Only jobs of this kind.")
@click.option("--state", type=click.Choice(STATES), help="Only jobs in this state.")
@click.option("--after", type=click.IntRange(min=0), default=0, help="Only ids above this one.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)
@session_options
def list_jobs(session: Session, /, **filters: Any) -> None:
    """List living jobs in the order of their ids."""
    reply = session.ask("job.ls", filters)
    session.show(reply, job_table(reply))


def _act(session: Session, verb: str, done: str, ids: tuple[int, ...]) -> int:
    return deeds(session, session.ask(verb, {"ids": list(ids)}), done)


@job.command("retry")
@click.argument("ids", metavar="ID...", type=JOB_ID, nargs=-1, required=True)
@session_options
def retry_jobs(session: Session, ids: tuple[int, ...]) -> int:
    """Make dead, retrying or scheduled jobs ready now."""
    return _act(session, "job.retry", "sent to ready", ids)


@job.command("cancel")
@click.argument("ids", metavar="ID...", type=JOB_ID, nargs=-1, required=True)
@session_options
def cancel_jobs(session: Session, ids: tuple[int, ...]) -> int:
    """Cancel jobs: waiting ones at once, running ones are asked to stop."""
    return _act(session, "job.cancel", "cancelled", ids)


@job.command("discard")
@click.argument("ids", metavar="ID...", type=JOB_ID, nargs=-1, required=True)
@session_options
def discard_jobs(session: Session, ids: tuple[int, ...]) -> int:
    """Drop jobs that have ended: dead letters and kept results."""
    return _act(session, "job.discard", "dropped", ids)
