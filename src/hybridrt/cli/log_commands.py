"""`hybridrt log`: the log itself, beside a running supervisor or without one."""

from __future__ import annotations

import click

from hybridrt.cli.log_copies import archive, backup, restore
from hybridrt.cli.log_history import cat, replay, why
from hybridrt.cli.log_repair import repair, verify
from hybridrt.cli.session import Session, session_options

PARTS = (archive, backup, cat, repair, replay, restore, verify, why)


@click.group()
def log() -> None:
    """Print, verify, copy, mend and replay the log."""


@log.command("sync")
@session_options
def sync(session: Session) -> None:
    """Wait until everything acknowledged so far is on the disk."""
    session.show(session.ask("log.sync"), "synced")


for command in PARTS:
    log.add_command(command)
