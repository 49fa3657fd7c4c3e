"""`hybridrt status` and `hybridrt stats`: the whole at a glance, and all counters."""

from __future__ import annotations

from typing import Any

import click

from hybridrt.cli.printing import Status, fields
from hybridrt.cli.render import flat_fields, latency_text, queue_table, rows, sections
from hybridrt.cli.session import Session, session_options
from hybridrt.units import format_duration, format_size

POOL_COLUMNS = ("pool", "state", "wanted", "running", "ready", "restarts", "failure")
KIND_COLUMNS = ("name", "workers", "leased", "completed", "failed", "wait p50/p99", "run p50/p99")


@click.command()
@session_options
def status(session: Session) -> int:
    """Say how the supervisor, its queues and its pools are. Exits 3 while it is not ready."""
    reply = session.ask("status")
    session.show(reply, _status_text(reply))
    return Status.OK if reply["ready"] else Status.NOT_READY


def _status_text(reply: dict[str, Any]) -> str:
    """Show a status; an older supervisor does not tell of all that there is by now."""
    lacking = f"not ready: {', '.join(reply['lacking'])}" if reply["lacking"] else "not ready"
    ready = "ready" if reply["ready"] else lacking
    troubles = [("TROUBLE", text) for text in reply.get("troubles", [])]
    but = ", but in trouble" if troubles else ""
    summary = fields(
        [
            ("state", f"{reply['state']}, {ready}{but}"),
            *troubles,
            ("version", f"{reply['version']}, pid {reply['pid']}"),
            ("uptime", format_duration(reply["uptime_s"])),
            ("config", reply["config"] or "none"),
            ("log", f"{reply['log_directory']}, {format_size(reply['log_bytes'])}"),
            ("unsynced", format_size(reply["unsynced_bytes"])),
            ("jobs", f"{reply['jobs']:,} living, sequence {reply['sequence']:,}"),
            ("epoch", reply["epoch"]),
            *_upkeep(reply.get("upkeep", {})),
            ("standby", _standby_text(reply.get("standby"))),
            ("takeover", _takeover_text(reply.get("takeover"))),
            ("proof", _proof_text(reply.get("proof"))),
            ("lost wake-ups", reply["rescues"]),
        ]
    )
    pools = rows([{**pool, "failure": _first_line(pool)} for pool in reply["pools"]], POOL_COLUMNS)
    return f"{summary}\n\n{queue_table(reply['queues'])}\n\n{pools}"


def _standby_text(standby: dict[str, Any] | None) -> str | None:
    if standby is None:
        return None
    behind = format_size(standby["behind_bytes"])
    state = "ready" if standby["ready"] else "catching up"
    return f"pid {standby['pid']}, {state}, {behind} behind"


def _proof_text(proof: dict[str, Any] | None) -> str | None:
    if proof is None:
        return None
    behind = format_size(proof["behind_bytes"])
    text = f"{proof['size']:,} records signed, {behind} behind"
    return f"{text}, failing: {proof['failure']}" if proof["failure"] else text


def _takeover_text(takeover: dict[str, Any] | None) -> str | None:
    if takeover is None:
        return None
    return f"{takeover['cause']}, {format_duration(takeover['duration_ns'] / 1e9)}"


def _upkeep(upkeep: dict[str, Any]) -> list[tuple[str, str]]:
    lines = []
    if archive := upkeep.get("archive"):
        fault = f", FAILS: {archive['fault']}" if archive["fault"] else ""
        lines.append(("archive", f"{archive['directory']}, {archive['behind']} behind{fault}"))
    if scrub := upkeep.get("scrub"):
        found = [f"{f['segment']} at {f['position']}, {f['what']}" for f in scrub["findings"]]
        text = f"DAMAGED: {'; '.join(found)}" if found else "no damage found"
        lines.append(("scrub", f"{scrub['cycles']} times round, {text}"))
    return lines


def _first_line(pool: dict[str, Any]) -> str | None:
    return next(iter(str(pool["failure"]).splitlines()), None)


@click.command()
@session_options
def stats(session: Session) -> None:
    """Show counters and latencies of the runtime, its queues and its kinds."""
    reply = session.ask("stats")
    session.show(reply, _stats_text(reply))


def _stats_text(reply: dict[str, Any]) -> str:
    runtime = {
        f"{name} p50/p99" if isinstance(value, dict) else name: latency_text(value)
        if isinstance(value, dict)
        else value
        for name, value in reply["runtime"].items()
    }
    kinds = [
        {
            **kind,
            "wait p50/p99": latency_text(kind["wait"]),
            "run p50/p99": latency_text(kind["run"]),
        }
        for kind in reply["kinds"]
    ]
    queues = sections({"queues": reply["queues"]})
    return f"{flat_fields(runtime)}\n\n{queues}\n\n{rows(kinds, KIND_COLUMNS)}"
