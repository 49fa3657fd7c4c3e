"""`hybridrt log verify|repair`: what is wrong with a log, and mending it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hybridrt.cli.choices import READABLE_DIRECTORY as DIRECTORY
from hybridrt.cli.printing import Status, fields, note
from hybridrt.cli.session import Session, session_options
from hybridrt.units import format_size

if TYPE_CHECKING:
    from hybridrt.repair import Repair


@click.command()
@click.argument("directory", type=DIRECTORY)
@session_options
def verify(session: Session, directory: Path) -> int:
    """Check every record of a log, archive or backup, apply it, and print what it comes to.

    Exits 0 when every acknowledged job is intact, with a note when the tail is torn (what was never
    synced ends in the middle of a group); 1 when committed data is damaged; 64 when the directory
    is no log.
    """
    from hybridrt.verify import verify as check

    body = check(directory)
    session.show(body, _verdict_text(body))
    for line in (body["damage"]["text"], *body["notes"]):
        if line:
            note(f"hybridrt: {line}")
    if body["verdict"] == "wrong":
        return Status.BAD_DATA
    return Status.OK if body["ok"] else Status.FAILED


def _verdict_text(body: dict[str, Any]) -> str:
    types = ", ".join(f"{name} {count}" for name, count in sorted(body["types"].items()))
    return fields(
        [
            ("verdict", body["verdict"]),
            ("consequence", body["consequence"]),
            ("records", f"{body['records']} ({types})"),
            ("bytes", format_size(body["bytes"])),
            ("last sequence", body["damage"]["sequence"]),
            ("living jobs", body["jobs"]),
            ("state hash", body["state_hash"]),
            *(("place", _place_text(place)) for place in body["places"]),
        ]
    )


def _place_text(place: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in place.items() if value is not None)


@click.command()
@click.argument("directory", type=DIRECTORY)
@click.option("--from", "source", type=DIRECTORY, help="An archive, backup or copy of this log.")
@click.option("--accept-loss", is_flag=True, help="Go on without what cannot be restored.")
@click.option("--yes", is_flag=True, help="Do it; without, only say what would be done.")
@session_options
def repair(
    session: Session, directory: Path, source: Path | None, *, accept_loss: bool, yes: bool
) -> int:
    """Mend a damaged log. Says what it would do; --yes does it.

    With --from, segments are restored byte for byte. With --accept-loss, lost records become VOID:
    their sequences are never given out again, and a note in the log says so. What is replaced stays
    in the folder damaged-<time>. Exits 1 while something is left that needs one of the two.
    """
    from hybridrt import repair as mending
    from hybridrt.store import locked, open_store

    found = mending.look(directory)
    with locked(directory):
        if source is not None:
            found.restore_from(open_store(source, found.found.catalog.uuid))
        if accept_loss and found.found.gaps:
            found.accept_loss()
        return _conclude(session, found, source, yes=yes)


def _conclude(session: Session, found: Repair, source: Path | None, *, yes: bool) -> int:
    left = [gap.describe() for gap in found.found.gaps]
    steps = found.steps()
    body: dict[str, Any] = {
        "steps": steps,
        "left": left,
        "loss": found.loss.describe() if found.loss else None,
        "done": False,
        "copy": None,
    }
    if yes and steps and not left:
        body |= {"done": True, "copy": str(found.write())}
    session.show(body, _repair_text(body))
    if left:
        lacking = f"{source} lacks it: name another copy" if source else "name a copy with --from"
        note(f"hybridrt: nothing was changed: {lacking}, or --accept-loss")
        return Status.FAILED
    return Status.OK


def _repair_text(body: dict[str, Any]) -> str:
    if not body["steps"] and not body["left"]:
        return "there is nothing to repair"
    verb = "done" if body["done"] else "would do"
    lines: list[tuple[str, object]] = [(verb, step) for step in body["steps"]]
    lines += [("lost", _place_text(gap)) for gap in body["left"]]
    if body["loss"]:
        names = {
            "lost_jobs": "jobs lost, by later records",
            "unknown_fate": "jobs that may have ended already, and run again",
            "unfit": "of these sound, but without their context",
        }
        lines += [(text, body["loss"][name]) for name, text in names.items() if body["loss"][name]]
    if body["copy"]:
        lines.append(("what was there", body["copy"]))
    return fields(lines)
