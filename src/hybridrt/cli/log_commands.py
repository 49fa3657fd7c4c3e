"""`hybridrt log`: read the log itself, beside a running supervisor or without one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hybridrt.cli.log_copies import archive, backup, restore
from hybridrt.cli.log_repair import repair, verify
from hybridrt.cli.printing import Status, note
from hybridrt.cli.session import Session, session_options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hybridrt.logreader import Scan

TYPES = ("enqueue", "lease", "settle", "control", "checkpoint", "epoch", "pad", "due", "keep")
# enum hrt_damage; a torn tail was never acknowledged as durable, so nothing is lost by it.
VERDICTS = ("clean", "torn", "committed", "missing", "header", "foreign", "version")
SAFE = (0, 1)
DIRECTORY = click.Path(exists=True, file_okay=False, path_type=Path)


@click.group()
def log() -> None:
    """Print, verify and sync the log."""


@log.command("cat")
@click.argument("directory", type=DIRECTORY)
@click.option("--type", "types", type=click.Choice(TYPES), multiple=True, help="Only these types.")
@click.option("--job", type=click.IntRange(min=1), help="Only records about this job.")
@click.option("--after", type=click.IntRange(min=0), default=0, help="Only higher sequences.")
@session_options
def cat(
    session: Session, directory: Path, types: tuple[str, ...], job: int | None, after: int
) -> int:
    """Print the records of a log in their order; with --json one object a line."""
    from hybridrt.logreader import Scan

    with Scan(str(directory)) as scan:
        for record in _chosen(scan, types, job, after):
            session.show(record, _line(record))
        return _conclude(scan.report())


def _chosen(
    scan: Scan,
    types: tuple[str, ...],
    job: int | None,
    after: int,
) -> Iterator[dict[str, Any]]:
    """Describe every record, so that names are known, and give those that were asked for."""
    from hybridrt.records import Describer

    describer = Describer()
    for raw in scan:
        record = describer.describe(raw)
        if record["sequence"] <= after or (types and record["type"] not in types):
            continue
        if job is None or _concerns(record, job):
            yield record


def _concerns(record: dict[str, Any], job: int) -> bool:
    if record.get("job") == job or record.get("parent") == job or job in record.get("jobs", ()):
        return True
    return any(entry["job"] == job for entry in record.get("settled", ()))


def _line(record: dict[str, Any]) -> str:
    head = f"{record['sequence']:>10}  {record['type']:<10}"
    hidden = ("sequence", "type", "position", "time_ns", "epoch", "length")
    parts = [
        f"{name}={json.dumps(value) if isinstance(value, list | dict) else value}"
        for name, value in record.items()
        if name not in hidden
    ]
    return f"{head}  {' '.join(parts)}".rstrip()


def _conclude(report: dict[str, Any]) -> Status:
    """Say how the log ended; only damage to committed data is a failure."""
    if report["damage"] == 0:
        return Status.OK
    note(f"hybridrt: {report['text']}")
    return Status.OK if report["damage"] in SAFE else Status.FAILED


@log.command("sync")
@session_options
def sync(session: Session) -> None:
    """Wait until everything acknowledged so far is on the disk."""
    session.show(session.ask("log.sync"), "synced")


log.add_command(archive)
log.add_command(backup)
log.add_command(restore)
log.add_command(verify)
log.add_command(repair)
