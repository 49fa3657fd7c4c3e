"""Where the commands about proofs find the log, the tiles and the keys."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hybridrt.cli.choices import READABLE_DIRECTORY
from hybridrt.cli.printing import UsageError

if TYPE_CHECKING:
    from hybridrt.cli.session import Session
    from hybridrt.config import Config
    from hybridrt.proof.note import Verifier

# Not "readable" to click, which takes what one may not read for wrong usage.
FOLDER = click.Path(file_okay=False, readable=False, path_type=Path)
FILE = click.Path(dir_okay=False, readable=False, path_type=Path)

log_option = click.option("--log", type=FOLDER, help="The log; else as configured.")
archive_option = click.option(
    "--archive",
    type=READABLE_DIRECTORY,
    help="What the log has no more is there; else as configured.",
)
directory_option = click.option("--directory", type=FOLDER, help="The proof; else as configured.")
keys_option = click.option(
    "--key",
    "keys",
    multiple=True,
    required=True,
    metavar="VKEY",
    help="A verifier key to trust, or a file that holds one; several may be named.",
)


@dataclass(frozen=True, slots=True)
class Places:
    """The directories of one log and its proof."""

    log: Path
    directory: Path
    config: Config
    archive: Path | None = None

    @classmethod
    def published(cls, session: Session, log: Path | None, directory: Path | None) -> Places:
        """Return the same; where nothing is configured, a supervisor that runs says where."""
        from hybridrt import configfile
        from hybridrt.config import Config

        named = log is not None and directory is not None
        if named or configfile.find(session.config_path) is not None:
            return cls.find(session, log, directory)
        reply = session.ask("status")
        place = (reply.get("proof") or {}).get("directory", "")
        if directory is None and not place:
            raise UsageError("the supervisor keeps no proof: name --directory")
        archive = (reply["upkeep"].get("archive") or {}).get("directory")
        return cls(
            log or Path(reply["log_directory"]),
            directory or Path(place),
            Config(),
            Path(archive) if archive and log is None else None,
        )

    @classmethod
    def find(cls, session: Session, log: Path | None, directory: Path | None) -> Places:
        """Return what was named, and the rest as configured."""
        from hybridrt import configfile
        from hybridrt.config import Config

        if log is not None and directory is not None:
            return cls(log, directory, Config())
        config = configfile.load(session.config_path)
        if directory is None and not config.proof.directory:
            raise UsageError("no proof is configured: name --directory, or [proof] directory")
        return cls(
            log or configfile.log_directory(config),
            directory or configfile.proof_directory(config),
            config,
            configfile.archive_directory(config) if config.archive.directory else None,
        )


def read_exactly(path: Path) -> str:
    """Read a text byte by byte: to read all ends of lines as newlines would forgive changes."""
    from hybridrt.errors import ProofError

    try:
        return path.read_bytes().decode()
    except PermissionError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        raise ProofError(f"cannot read {path} as text: {error}") from error


def verifiers(texts: tuple[str, ...]) -> list[Verifier]:
    """Read verifier keys, or the files that hold them."""
    from hybridrt.proof.note import Verifier

    return [Verifier.parse(text if "+" in text else _key_of(Path(text))) for text in texts]


def _key_of(path: Path) -> str:
    """Read the file of a verifier key; what has no plus is no key itself."""
    from hybridrt.errors import ProofKeyError

    try:
        return path.read_text()
    except (FileNotFoundError, IsADirectoryError, UnicodeDecodeError) as error:
        raise ProofKeyError(
            f"{path} is no verifier key, and no file that holds one",
            "a verifier key is NAME+ID+KEY, as 'hybridrt checkpoint key FILE' prints it",
        ) from error
