"""`hybridrt status` and `hybridrt stats`: the whole at a glance, and all counters."""

from __future__ import annotations

import click

from hybridrt.cli.render import sections
from hybridrt.cli.session import Session, session_options


@click.command()
@session_options
def status(session: Session) -> None:
    """Say how the supervisor, its queues and its pools are."""
    reply = session.ask("status")
    session.show(reply, sections(reply))


@click.command()
@session_options
def stats(session: Session) -> None:
    """Show counters and latencies of the runtime, its queues and its kinds."""
    reply = session.ask("stats")
    session.show(reply, sections(reply))
