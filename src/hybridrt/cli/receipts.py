"""`hybridrt receipt`: offline proofs of single jobs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from hybridrt.cli.choices import JOB_ID
from hybridrt.cli.printing import Status, fields, note
from hybridrt.cli.proofs import (
    FILE,
    FOLDER,
    Places,
    archive_option,
    directory_option,
    keys_option,
    log_option,
    read_exactly,
    verifiers,
)
from hybridrt.cli.session import Session, session_options

RECORD_SUFFIX = ".record"
UNKNOWN = (
    "its record is no longer in the log, so what it asked for and how it ended is not known here: "
    "name the archive with --archive"
)


class JobFirst(click.Group):
    """A group whose first word may be a job: `receipt 17` is `receipt make 17`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the name of the command in front of a job's number."""
        words = ["make", *args] if args and args[0].isdigit() else args
        return super().parse_args(ctx, words)


@click.group(cls=JobFirst)
def receipt() -> None:
    """Write and verify receipts: `receipt JOB` proves a job to somebody who was not there.

    `receipt JOB` is short for `receipt make JOB`, and takes what that takes.
    """


@receipt.command("make")
@click.argument("job", type=JOB_ID)
@log_option
@archive_option
@directory_option
@click.option("--checkpoint", "signed", type=FILE, help="Prove by this one, say a cosigned one.")
@click.option("--output", type=FOLDER, default=Path(), help="Where the files go.  [default: .]")
@session_options
def make(
    session: Session,
    job: int,
    log: Path | None,
    archive: Path | None,
    directory: Path | None,
    signed: Path | None,
    output: Path,
) -> int:
    """Write JOB-enqueue.tlog-proof and, once it has ended, JOB-settle.tlog-proof.

    Beside each goes its record, for as long as the log or the archive has it.
    """
    from hybridrt.files import write_file
    from hybridrt.proof.audit import read_checkpoint
    from hybridrt.proof.issuer import issue
    from hybridrt.proof.receipt import SUFFIX
    from hybridrt.proof.tiles import Folder

    places = Places.published(session, log, directory)
    source = Folder(places.directory)
    checkpoint = read_exactly(signed) if signed else read_checkpoint(source)
    output.mkdir(parents=True, exist_ok=True)
    files: dict[Path, bytes] = {}
    lacking = []
    for issued in issue(source, checkpoint, places.log, job, archive or places.archive):
        name = output / f"{job}-{issued.role}"
        files[name.with_suffix(SUFFIX)] = issued.receipt.text().encode()
        if issued.record is None:
            lacking.append(issued.role)
        else:
            files[name.with_suffix(RECORD_SUFFIX)] = issued.record
    for path, data in files.items():
        write_file(path, data)
    written = [str(path) for path in files]
    session.show({"job": job, "files": written, "lacking": lacking}, "\n".join(written))
    if lacking:
        note(UNKNOWN)
    return Status.OK


@receipt.command("verify")
@click.argument("file", type=FILE)
@keys_option
@click.option("--record", type=FILE, help="The record itself, to see what it says.")
@session_options
def verify(session: Session, file: Path, keys: tuple[str, ...], record: Path | None) -> int:
    """Check a receipt offline; nothing but the file and the verifier key is needed."""
    from hybridrt.proof import leaf
    from hybridrt.proof.receipt import parse_receipt
    from hybridrt.proof.receipt import verify as check

    parsed = parse_receipt(read_exactly(file))
    data = memoryview(record.read_bytes()) if record else None
    head, signers = check(parsed, verifiers(keys), data)
    header = leaf.read_entry(parsed.entry)
    body = {
        "ok": True,
        "origin": head.origin,
        "size": head.size,
        "signed_by": [str(key) for key in signers],
        "index": parsed.index,
        **_said(header, data),
        "record_sha256": parsed.entry[leaf.DIGEST_OFFSET :].hex(),
    }
    session.show(
        body, fields([(name.replace("_", " "), _plain(value)) for name, value in body.items()])
    )
    return Status.OK


def _plain(value: object) -> object:
    """Return what a person reads: the entries of a settle as JSON, as 'log cat' shows them."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return json.dumps(value, ensure_ascii=False)
    return value


def _said(header: dict[str, int], record: memoryview | None) -> dict[str, Any]:
    """Return what the record says; without it, what its header says."""
    from hybridrt.records import Describer, type_name

    if record is not None:
        return Describer().describe(record)
    names = ("sequence", "time_ns", "epoch", "kind", "queue", "count")
    return {"type": type_name(header["type"]), **{name: header[name] for name in names}}
