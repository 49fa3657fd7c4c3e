"""`hybridrt standby` and `hybridrt upgrade`: who comes after the supervisor."""

from __future__ import annotations

from pathlib import Path

import click

from hybridrt.cli.session import (
    Session,
    config_option,
    runtime_dir_option,
    runtime_directory,
    session_options,
)

UPGRADE_PATIENCE_S = 120.0  # for the new supervisor to start and to catch up with the log


@click.command()
@config_option("The configuration file, for its directory.")
@runtime_dir_option
@click.option("--upgrade", is_flag=True, hidden=True)
@click.option("--again", is_flag=True, hidden=True)
def standby(config_path: Path | None, runtime_dir: Path | None, upgrade: bool, again: bool) -> int:
    """Follow a supervisor, and go on in its place when it dies or hangs.

    Workers keep running and do not notice; producers see a pause of milliseconds. Leaves when the
    supervisor ends on purpose; after an upgrade it follows the new one.
    """
    from hybridrt.handover import SOCKET_NAME
    from hybridrt.standby import run

    directory = runtime_directory(runtime_dir, config_path)
    return run(directory.absolute() / SOCKET_NAME, upgrade=upgrade, again=again)


@click.command()
@click.option(
    "--python",
    type=click.Path(exists=True, dir_okay=False, resolve_path=False),
    help="The Python that the new supervisor runs on; else the one of the old.",
)
@session_options
def upgrade(session: Session, python: str | None) -> None:
    """Hand over to a new supervisor without a pause for workers; returns when it has taken over.

    The new one is started from the installation of PYTHON. If it does not get ready, the old one
    goes on as if nothing had been. Afterwards the pools are rolled, unless [runtime] roll is false.
    """
    named = str(Path(python).absolute()) if python else None
    reply = session.ask("upgrade", {"python": named}, UPGRADE_PATIENCE_S)
    session.show(reply, f"process {reply['pid']} is the supervisor")
