"""`hybridrt worker`, `pool`, `drain`, `shutdown`, `reload`: the processes."""

from __future__ import annotations

from typing import Any

import click

from hybridrt.cli.choices import duration
from hybridrt.cli.render import flat_fields, rows
from hybridrt.cli.session import Session, session_options
from hybridrt.units import format_size

DRAIN_PATIENCE_S = 60.0  # for a worker that finishes a long job
WORKER_COLUMNS = (
    "incarnation", "worker", "pid", "language", "state", "begun", "held", "settled", "cpu",
    "memory", "kinds",
)  # fmt: skip
POOL_COLUMNS = ("pool", "state", "wanted", "running", "ready", "restarts", "command")


@click.group()
def worker() -> None:
    """List, drain and restart workers."""


@worker.command("ls")
@session_options
def list_workers(session: Session) -> None:
    """List the attached processes and what they do."""
    reply = session.ask("worker.ls")
    session.show(reply, rows([_worker_row(lane) for lane in reply["workers"]], WORKER_COLUMNS))


def _worker_row(lane: dict[str, Any]) -> dict[str, Any]:
    """Say in a few words what a lane's process is and does."""
    states = {"draining": lane["draining"], "works": lane["registered"], "itself": lane["local"]}
    sampled = "rss_bytes" in lane
    return {
        **lane,
        "worker": lane["worker"] or lane["name"],
        "language": lane["language"] or None,
        "state": next((name for name, holds in states.items() if holds), "produces"),
        "begun": lane["started"],
        "held": lane["outstanding"],
        "cpu": f"{lane['cpu_percent']:.0f}%" if sampled else None,
        "memory": format_size(lane["rss_bytes"]) if sampled else None,
    }


@worker.command("drain")
@click.argument("name", metavar="WORKER")
@session_options
def drain_worker(session: Session, name: str) -> None:
    """Let a worker finish what it began and leave. WORKER is pool/number, a pid or a lane."""
    reply = session.ask("worker.drain", {"worker": name}, DRAIN_PATIENCE_S)
    session.show(reply, f"{name} drained")


@worker.command("restart")
@click.argument("name", metavar="WORKER")
@session_options
def restart_worker(session: Session, name: str) -> None:
    """Drain a worker and start a fresh one in its place."""
    reply = session.ask("worker.restart", {"worker": name}, DRAIN_PATIENCE_S)
    session.show(reply, f"{name} restarted")


@worker.command("roll")
@click.argument("pool_name", metavar="POOL")
@session_options
def roll_pool(session: Session, pool_name: str) -> None:
    """Replace the workers of a pool one by one; each new one works before an old one leaves."""
    reply = session.ask("worker.roll", {"pool": pool_name}, DRAIN_PATIENCE_S)
    session.show(reply, f"{pool_name} rolled")


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
    reply = session.ask("pool.scale", {"pool": name, "workers": workers}, DRAIN_PATIENCE_S)
    session.show(reply, f"{name}: {workers} workers")


@click.command()
@click.option("--grace", type=duration, help="Time for running jobs; else as configured.")
@session_options
def drain(session: Session, grace: float | None) -> None:
    """Take no new jobs and let the workers finish; returns when they have."""
    patience_s = DRAIN_PATIENCE_S if grace is None else grace
    session.show(session.ask("drain", {"timeout": grace}, patience_s), "drained")


@click.command()
@click.option("--grace", type=duration, help="Time for running jobs; else as configured.")
@session_options
def shutdown(session: Session, grace: float | None) -> None:
    """Ask the supervisor to drain and to end; returns at once."""
    session.show(session.ask("shutdown", {"timeout": grace}), "shutting down")


@click.command()
@session_options
def reload(session: Session) -> None:
    """Read the configuration again and apply what changed."""
    reply = session.ask("reload", patience_s=DRAIN_PATIENCE_S)
    session.show(reply, flat_fields(reply) or "reloaded")
