"""How replies of the supervisor look to people."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hybridrt.cli.printing import Status, exit_status, fields, note, table
from hybridrt.names import Durability
from hybridrt.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hybridrt.cli.session import Session

QUEUE_COLUMNS = (
    "name", "ready", "running", "scheduled", "retrying", "dead", "completed", "durability",
    "paused",
)  # fmt: skip
JOB_COLUMNS = ("id", "kind", "queue", "state", "attempt", "key", "error")
ERROR_COLUMN_WIDTH = 60
TIME_FIELDS = {"enqueued_ns", "due_ns", "expires_ns", "settled_ns"}


def rows(items: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Lay out the chosen fields of each item."""
    return table(columns, [[item.get(column) for column in columns] for item in items])


def job_table(reply: Mapping[str, Any]) -> str:
    """Lay out a list of jobs, and say how to see the next ones."""
    text = rows([_short(job) for job in reply["jobs"]], JOB_COLUMNS)
    following = reply.get("next")
    return f"{text}\nmore: --after {following}" if following else text


def _short(job: Mapping[str, Any]) -> dict[str, Any]:
    """Keep a job on one line: attempts as 1/10, an error cut at its first line."""
    error = str(job.get("error") or "").splitlines()
    attempts = f"{job.get('attempt', 0)}/{job.get('max_attempts', 0)}"
    return {
        **job,
        "attempt": attempts,
        "key": job.get("key") or None,
        "error": error[0][:ERROR_COLUMN_WIDTH] if error else None,
    }


def job_fields(job: Mapping[str, Any]) -> list[tuple[str, object]]:
    """Return what is known of one job, empty fields left out."""
    return [(name, _value(name, value)) for name, value in job.items() if value]


def _value(name: str, value: object) -> object:
    """Show a point in time as a date; everything else as it is."""
    if name in TIME_FIELDS and isinstance(value, int):
        return datetime.fromtimestamp(value / 1e9, UTC).isoformat(timespec="milliseconds")
    return value


def flat_fields(body: Mapping[str, Any]) -> str:
    """Lay out an object, inner ones as name.inner; lists of objects are left to tables."""
    pairs: list[tuple[str, object]] = []
    for name, value in body.items():
        if isinstance(value, dict):
            pairs += [(f"{name}.{inner}", item) for inner, item in value.items()]
        elif not (isinstance(value, list) and value and isinstance(value[0], dict)):
            pairs.append((name, value))
    return fields(pairs)


def sections(body: Mapping[str, Any]) -> str:
    """Lay out plain values first, then a table for each list of objects."""
    parts = [flat_fields(body)]
    for name, value in body.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            columns = [column for column, cell in value[0].items() if not isinstance(cell, dict)]
            parts.append(f"{name}\n{rows(value, columns)}")
    return "\n\n".join(part for part in parts if part)


def queue_table(queues: Iterable[Mapping[str, Any]]) -> str:
    """Lay out queues with what waits in them."""
    flat = [
        {**queue, **queue["counters"], "durability": Durability(queue["durability"]).name.lower(),
         "paused": bool(queue["counters"]["paused"])}
        for queue in queues
    ]  # fmt: skip
    return rows(flat, QUEUE_COLUMNS)


def latency_text(summary: Mapping[str, Any]) -> str | None:
    """Show a histogram's summary as p50 and p99."""
    if not summary["count"]:
        return None
    marks = (format_duration(summary[name] / 1e9) for name in ("p50_ns", "p99_ns"))
    return " / ".join(marks)


def deeds(session: Session, reply: Mapping[str, Any], done: str) -> Status:
    """Show which jobs were acted on; the first refusal decides the exit status."""
    jobs: list[int] = list(reply.get("done", []))
    errors: dict[str, dict[str, str]] = dict(reply.get("errors", {}))
    session.show(reply, "\n".join(f"{job} {done}" for job in jobs))
    if not session.as_json:
        for job, error in errors.items():
            named = f"job {job}"
            sentence = error["message"]
            note(f"hybridrt: {sentence if named in sentence else f'{named}: {sentence}'}")
    return exit_status(next(iter(errors.values()))["code"]) if errors else Status.OK
