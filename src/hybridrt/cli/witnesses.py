"""`hybridrt witness`: watch a log from elsewhere."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hybridrt.cli.choices import duration
from hybridrt.cli.printing import Status, UsageError, note
from hybridrt.cli.proofs import FILE, FOLDER, keys_option, verifiers
from hybridrt.cli.session import Session, session_options

EVERY_MIN_S = 1.0  # a log signs no more often by default, and is not to be asked without a pause

if TYPE_CHECKING:
    from hybridrt.proof.witness import Witnessed


@click.command()
@click.argument("place")
@keys_option
@click.option("--signer", type=FILE, required=True, help="The witness's own private key.")
@click.option("--state", type=FOLDER, required=True, help="Where it remembers what it saw.")
@click.option("--every", type=duration, help="Look again and again, 1s or more apart; else once.")
@session_options
def witness(
    session: Session,
    place: str,
    keys: tuple[str, ...],
    signer: Path,
    state: Path,
    every: float | None,
) -> int:
    """Check that the log at PLACE only ever grew since the last look, and cosign its checkpoint.

    PLACE is the directory of a proof or its http address. A rollback or a fork ends it with status
    1, and the checkpoint that shows it is kept in the state.
    """
    from hybridrt.errors import UnreachableError
    from hybridrt.proof import keys as key_files
    from hybridrt.proof.note import COSIGNATURE
    from hybridrt.proof.tiles import open_source
    from hybridrt.proof.witness import Witness

    if every is not None and every < EVERY_MIN_S:
        raise UsageError(f"--every takes {EVERY_MIN_S:.0f}s or more")
    source, trusted = open_source(place), verifiers(keys)
    watcher = Witness(state, key_files.load(signer, COSIGNATURE)[0])
    while True:
        try:
            _show(session, watcher.look(source, trusted))
        except UnreachableError as error:
            if every is None:
                raise
            note(f"hybridrt: {error.message}")
        if every is None:
            return Status.OK
        time.sleep(every)


def _show(session: Session, seen: Witnessed) -> None:
    head = seen.head
    body = {"origin": head.origin, "before": seen.before, "size": head.size, "note": seen.note}
    grown = f"{head.origin} went from {seen.before} to {head.size} records"
    session.show(body, f"{grown}\n{seen.note}")
