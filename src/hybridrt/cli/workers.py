"""`hybridrt worker`, `pool`, `drain`, `shutdown`, `reload`: the processes."""

from __future__ import annotations

import click

from hybridrt.cli.choices import duration
from hybridrt.cli.render import flat_fields, rows
from hybridrt.cli.session import Session, session_options

WORKER_COLUMNS = (
    "worker", "pid", "language", "state", "running", "outstanding", "settled", "cpu", "memory",
    "kinds",
)  # fmt: skip
POOL_COLUMNS = ("name", "workers", "running", "restarts", "state", "command")


@click.group()
def worker() -> None:
    """List, drain and restart workers."""


@worker.command("ls")
@session_options
def list_workers(session: Session) -> None:
    """List the attached processes and what they do."""
    reply = session.ask("worker.ls")
    session.show(reply, rows(reply["workers"], WORKER_COLUMNS))


@worker.command("drain")
@click.argument("name", metavar="WORKER")
@session_options
def drain_worker(session: Session, name: str) -> None:
    """Let a worker finish what it began and leave. WORKER is pool/number, a pid or a lane."""
    session.show(session.ask("worker.drain", {"worker": name}), f"{name} drains")


@worker.command("restart")
@click.argument("name", metavar="WORKER")
@session_options
def restart_worker(session: Session, name: str) -> None:
    """Drain a worker and start a fresh one in its place."""
    session.show(session.ask("worker.restart", {"worker": name}), f"{name} restarts")


@click.group()
def pool() -> None:
    """List and scale pools of workers."""


@pool.command("ls")
@session_options
def list_pools(session: Session) -> None:
    """List the pools."""
    reply = session.ask("pool.ls")
    session.show(reply, rows(reply["pools"], POOL_COLUMNS))


@pool.command("scale")
@click.argument("name")
@click.argument("workers", type=click.IntRange(0, 100))
@session_options
def scale_pool(session: Session, name: str, workers: int) -> None:
    """Set the number of workers of a pool, until the next reload."""
    reply = session.ask("pool.scale", {"pool": name, "workers": workers})
    session.show(reply, f"{name}: {workers} workers")


@click.command()
@click.option("--grace", type=duration, help="Time for running jobs; else as configured.")
@session_options
def drain(session: Session, grace: float | None) -> None:
    """Hand out no more jobs and let the workers finish; the supervisor stays."""
    session.show(session.ask("drain", {"timeout": grace}), "draining")


@click.command()
@click.option("--grace", type=duration, help="Time for running jobs; else as configured.")
@session_options
def shutdown(session: Session, grace: float | None) -> None:
    """Drain and end the supervisor."""
    session.show(session.ask("shutdown", {"timeout": grace}), "shutting down")


@click.command()
@session_options
def reload(session: Session) -> None:
    """Read the configuration again and apply what changed."""
    reply = session.ask("reload")
    session.show(reply, flat_fields(reply) or "reloaded")
