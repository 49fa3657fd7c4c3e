"""`hybridrt queue`: look at queues, pause and resume them."""

from __future__ import annotations

import click

from hybridrt.cli.render import flat_fields, queue_table
from hybridrt.cli.session import Session, session_options


@click.group()
def queue() -> None:
    """Show, pause and resume queues."""


@queue.command("ls")
@session_options
def list_queues(session: Session) -> None:
    """List the queues and what waits in them."""
    reply = session.ask("queue.ls")
    session.show(reply, queue_table(reply["queues"]))


@queue.command("show")
@click.argument("name")
@session_options
def show_queue(session: Session, name: str) -> None:
    """Show settings and counters of one queue."""
    reply = session.ask("queue.show", {"queue": name})
    session.show(reply, flat_fields(reply))


@queue.command("pause")
@click.argument("name")
@session_options
def pause_queue(session: Session, name: str) -> None:
    """Hand out no more jobs of a queue; it still takes new ones."""
    session.show(session.ask("queue.pause", {"queue": name}), f"{name} paused")


@queue.command("resume")
@click.argument("name")
@session_options
def resume_queue(session: Session, name: str) -> None:
    """Hand out jobs of a paused queue again."""
    session.show(session.ask("queue.resume", {"queue": name}), f"{name} resumed")
