"""`hybridrt log archive|backup|restore`: copies of a log, and logs made of copies."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hybridrt.cli.choices import READABLE_DIRECTORY as DIRECTORY
from hybridrt.cli.printing import UsageError, fields
from hybridrt.cli.session import Session, session_options
from hybridrt.errors import AlreadyRunningError, HybridrtError

if TYPE_CHECKING:
    from hybridrt.restore import Moment

NEW_DIRECTORY = click.Path(file_okay=False, readable=False, path_type=Path)
BACKUP_S = 3600.0  # that a backup may take
NANOSECONDS = 1_000_000_000


def parse_moment(text: str | None, option: str = "--at") -> Moment:
    """Understand a sequence, a number of seconds with a point, or an ISO time (UTC if unnamed)."""
    from hybridrt.restore import Moment

    if text is None:
        return Moment()
    if text.isdigit():
        return Moment(sequence=int(text))
    try:
        when = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            f"{option} {text!r} is neither a sequence nor a time such as 2026-11-22T01:30:00"
        ) from error
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return Moment(time_ns=round(when.timestamp() * 1e6) * 1000)


def time_text(time_ns: int) -> str:
    """Write a wall clock time as people and `--at` read it."""
    seconds, rest = divmod(time_ns, NANOSECONDS)
    moment = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{moment}.{rest // 1000:06d}Z"


def _shown(body: dict[str, Any]) -> str:
    return fields([(name.replace("_", " "), value) for name, value in body.items()])


@click.command()
@click.argument("directory", type=DIRECTORY)
@click.argument("archive", type=NEW_DIRECTORY)
@session_options
def archive(session: Session, directory: Path, archive: Path) -> None:
    """Copy the full segments of a log to an archive that lacks them.

    A supervisor with [archive] does it by itself; this is for logs that are not running.
    """
    from hybridrt.archive import archive_log
    from hybridrt.store import Archive, LogFiles, check_apart

    check_apart(directory, archive)
    files = LogFiles(directory)
    place = Archive(archive / files.uuid.hex())
    place.clean()
    full = [number for number in files.numbers() if files.info(number).full]
    copied = archive_log(directory, place, max(full, default=-1) + 1)
    body = {"directory": str(place.path), "copied": copied, "segments": len(place.numbers())}
    session.show(body, _shown({**body, "copied": len(copied)}))


@click.command()
@click.argument("directory", type=DIRECTORY)
@click.argument("destination", type=NEW_DIRECTORY)
@session_options
def backup(session: Session, directory: Path, destination: Path) -> None:
    """Copy a log up to what is durable now, while jobs run, and check the copy.

    A running supervisor makes the copy itself. A second backup to the same place copies only what
    is new. 'hybridrt log restore' makes a log of it.
    """
    from hybridrt.backup import back_up
    from hybridrt.store import check_apart, is_locked

    check_apart(directory, destination)
    if is_locked(directory):
        body = _backup_by_supervisor(session, directory, destination)
    else:
        body = back_up(directory, destination)
    session.show(body, _shown(body))


def _backup_by_supervisor(session: Session, directory: Path, destination: Path) -> dict[str, Any]:
    hint = f"name its --runtime-dir, or stop who holds {directory}"
    try:
        running = session.ask("status")["log_directory"]
    except HybridrtError as error:
        raise AlreadyRunningError(
            f"the log in {directory} is held, and no supervisor answers: {error.message}", hint
        ) from error
    if Path(running).resolve() != directory.resolve():
        raise AlreadyRunningError(
            f"the log in {directory} is held by another supervisor than the one asked", hint
        )
    return session.ask("log.backup", {"directory": str(destination.absolute())}, BACKUP_S)


@click.command()
@click.argument("source", type=DIRECTORY)
@click.argument("directory", type=NEW_DIRECTORY)
@click.option("--at", metavar="SEQUENCE|TIME", help="As of then, instead of the end.")
@session_options
def restore(session: Session, source: Path, directory: Path, at: str | None) -> None:
    """Make a log of an archive or a backup, as of its end or of an earlier moment.

    DIRECTORY has to be new or empty. The log gets a uuid of its own: what happens in it is another
    history than what happened in the old one after that moment.
    """
    from hybridrt.restore import restore as make
    from hybridrt.store import open_store

    made = make(open_store(source), directory, parse_moment(at))
    body = {**made, "time": time_text(made["time_ns"])}
    session.show(body, _shown({name: body[name] for name in body if name != "time_ns"}))
