"""`hybridrt dead`: dead letters, the jobs that failed for good and wait for an operator."""

from __future__ import annotations

from typing import Any

import click

from hybridrt.cli.choices import JOB_ID
from hybridrt.cli.printing import UsageError, fields
from hybridrt.cli.render import deeds, job_fields, job_table
from hybridrt.cli.session import Session, session_options


@click.group()
def dead() -> None:
    """Look at dead letters, send them back or drop them."""


@dead.command("ls")
@click.option("--queue", help="Only jobs of this queue.")
@click.option("--kind", help="Only jobs of this kind.")
@click.option("--after", type=click.IntRange(min=0), default=0, help="Only ids above this one.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)
@session_options
def list_dead(session: Session, /, **filters: Any) -> None:
    """List dead letters in the order of their ids."""
    reply = session.ask("dead.ls", filters)
    session.show(reply, job_table(reply))


@dead.command("show")
@click.argument("job_id", metavar="ID", type=JOB_ID)
@click.option("--payload", is_flag=True, help="With its payload.")
@session_options
def show_dead(session: Session, job_id: int, payload: bool) -> None:
    """Show one dead letter with its last error."""
    reply = session.ask("dead.show", {"id": job_id, "payload": payload})
    session.show(reply, fields(job_fields(reply)))


def selection_options(function: Any) -> Any:
    """Let a command take ids, a filter, or --all."""
    function = click.option("--all", "all_", is_flag=True, help="Every dead letter.")(function)
    function = click.option("--kind", help="All of this kind.")(function)
    function = click.option("--queue", help="All of this queue.")(function)
    return click.argument("ids", metavar="[ID]...", type=JOB_ID, nargs=-1)(function)


def _selection(
    ids: tuple[int, ...], queue: str | None, kind: str | None, *, everything: bool
) -> dict[str, Any]:
    filters = {"queue": queue, "kind": kind}
    filtered = any(filters.values())
    if sum([bool(ids), filtered, everything]) != 1:
        message = "name jobs by ID, by --queue and --kind, or all of them with --all"
        raise UsageError(message)
    return {"ids": list(ids), "all": everything or None, **filters, "limit": 10_000}


@dead.command("retry")
@selection_options
@session_options
def retry_dead(
    session: Session,
    ids: tuple[int, ...],
    queue: str | None,
    kind: str | None,
    all_: bool,
) -> int:
    """Send dead letters back to ready, their attempts counted anew."""
    body = _selection(ids, queue, kind, everything=all_)
    return deeds(session, session.ask("dead.retry", body), "sent to ready")


@dead.command("discard")
@selection_options
@session_options
def discard_dead(
    session: Session,
    ids: tuple[int, ...],
    queue: str | None,
    kind: str | None,
    all_: bool,
) -> int:
    """Drop dead letters for good."""
    body = _selection(ids, queue, kind, everything=all_)
    return deeds(session, session.ask("dead.discard", body), "dropped")
