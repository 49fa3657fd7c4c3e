"""`hybridrt checkpoint`: sign the log, verify what was signed, and look after the keys."""

from __future__ import annotations

from pathlib import Path

import click

from hybridrt.cli.choices import duration
from hybridrt.cli.printing import Status, UsageError, fields
from hybridrt.cli.proofs import (
    FILE,
    FOLDER,
    Places,
    directory_option,
    keys_option,
    log_option,
    read_exactly,
    verifiers,
)
from hybridrt.cli.session import Session, session_options


@click.group()
def checkpoint() -> None:
    """Sign the log and verify what was signed (docs/proof.md)."""


@checkpoint.command("run")
@log_option
@directory_option
@click.option("--key", type=FILE, help="The private keys; else as configured.")
@click.option("--interval", type=duration, help="Sign so often.  [default: 1s]")
@click.option("--records", type=click.IntRange(min=1), help="And after so many.  [default: 10000]")
@click.option("--accept-loss", is_flag=True, help="Records that are gone become leaves saying so.")
@click.option("--supervised", is_flag=True, hidden=True)
@session_options
def run(
    session: Session,
    log: Path | None,
    directory: Path | None,
    key: Path | None,
    interval: float | None,
    records: int | None,
    accept_loss: bool,
    supervised: bool,
) -> int:
    """Follow a log and sign checkpoints until SIGTERM. A supervisor does this when configured."""
    from hybridrt import configfile
    from hybridrt.proof.prover import Options
    from hybridrt.proof.proving import run as prove

    places = Places.find(session, log, directory)
    settings = places.config.proof
    if key is None and not settings.key:
        raise UsageError("no key: name --key FILE, or [proof] key")
    options = Options(
        log=places.log,
        directory=places.directory,
        key=key or configfile.proof_key(places.config),
        interval_s=interval or settings.interval,
        records=records or settings.records,
        accept_loss=accept_loss,
    )
    prove(options, supervised=supervised)
    return Status.OK


@checkpoint.command("keygen")
@click.argument("name")
@click.option("--output", type=FILE, required=True, help="The file for the private key, mode 0600.")
@click.option("--witness", is_flag=True, help="A key that cosigns the logs of others.")
@session_options
def keygen(session: Session, name: str, output: Path, witness: bool) -> None:
    """Make a key for the log NAME (such as example.org/jobs); print its verifier key."""
    from hybridrt.proof import keys, note

    key = keys.make(output, name, note.COSIGNATURE if witness else note.ED25519)
    session.show({"vkey": str(key), "file": str(output)}, str(key))


@checkpoint.command("key")
@click.argument("file", type=FILE)
@session_options
def show_key(session: Session, file: Path) -> None:
    """Print the verifier keys of a file of private keys."""
    from hybridrt.proof import note

    lines = read_exactly(file).splitlines()
    found = [str(note.Signer.parse(line).verifier) for line in lines if line]
    session.show({"vkeys": found}, "\n".join(found))


@checkpoint.command("rotate")
@click.argument("file", type=FILE)
@click.option("--finish", is_flag=True, help="The old key signs no more.")
@session_options
def rotate(session: Session, file: Path, finish: bool) -> None:
    """Add a new key: old and new sign until --finish drops the old. Prints the new verifier key."""
    from hybridrt.proof import keys

    key = keys.finish_rotation(file) if finish else keys.begin_rotation(file)
    session.show({"vkey": str(key), "file": str(file)}, str(key))


@checkpoint.command("verify")
@click.argument("place")
@keys_option
@click.option("--log", type=FOLDER, help="Compare the records of this log, at rest, as well.")
@session_options
def verify(session: Session, place: str, keys: tuple[str, ...], log: Path | None) -> int:
    """Check the whole proof at PLACE, a directory or an http address: signature, tree, entries."""
    from hybridrt.proof.audit import audit
    from hybridrt.proof.tiles import open_source

    found = audit(open_source(place), verifiers(keys), log)
    body = {
        "ok": True,
        "origin": found.head.origin,
        "size": found.head.size,
        "root": found.head.root.hex(),
        "signed_by": [str(key) for key in found.signers],
        "records": found.records,
        "lost": found.lost,
        "gone": found.gone,
    }
    names = ("origin", "size", "root", "signed_by", *(("records", "gone") if log else ()), "lost")
    session.show(body, fields([(name.replace("_", " "), body[name]) for name in names]))
    return Status.OK
