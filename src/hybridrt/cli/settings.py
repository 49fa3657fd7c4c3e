"""`hybridrt config` and `hybridrt version`: what is installed and how it is set."""

from __future__ import annotations

from pathlib import Path

import click

from hybridrt.cli.printing import Status
from hybridrt.cli.render import sections
from hybridrt.cli.session import Session, session_options


@click.command()
@session_options
def version(session: Session) -> None:
    """Print the version."""
    from hybridrt import __version__

    session.show({"version": __version__}, __version__)


@click.group()
def config() -> None:
    """Check a configuration, show the one in use, and say where the C library lies."""


@config.command("check")
@click.argument(
    "file", required=False, type=click.Path(dir_okay=False, readable=False, path_type=Path)
)
@session_options
def check_config(session: Session, file: Path | None) -> int:
    """Check a configuration file whole; every fault is named with its place."""
    from hybridrt.config import Config

    checked = Config.load(file or session.config_path)
    body = {
        "ok": True,
        "file": checked.origin,
        "queues": [queue.name for queue in checked.queues],
        "pools": [pool.name for pool in checked.pools],
        "kinds": checked.kind_names(),
    }
    session.show(body, f"{checked.origin}: ok")
    return Status.OK


@config.command("show")
@session_options
def show_config(session: Session) -> None:
    """Show the configuration that the running supervisor uses, defaults filled in."""
    reply = session.ask("config.show")
    session.show(reply, sections(reply))


def _package_directory() -> Path:
    return Path(__file__).resolve().parent.parent


def _show_place(session: Session, name: str, place: Path) -> None:
    session.show({name: str(place)}, str(place))


@config.command("pkgconfigdir")
@session_options
def pkgconfigdir(session: Session) -> None:
    """Print the directory of hybridrt.pc, for PKG_CONFIG_PATH."""
    _show_place(session, "pkgconfigdir", _package_directory() / "lib" / "pkgconfig")


@config.command("includedir")
@session_options
def includedir(session: Session) -> None:
    """Print the directory of the C headers."""
    _show_place(session, "includedir", _package_directory() / "include")


@config.command("libdir")
@session_options
def libdir(session: Session) -> None:
    """Print the directory of libhybridrt.a."""
    _show_place(session, "libdir", _package_directory() / "lib")


@config.command("sdkdir")
@click.argument("language", type=click.Choice(["go", "rust"]))
@session_options
def sdkdir(session: Session, language: str) -> None:
    """Print the directory of the Go or Rust package that goes with this installation."""
    _show_place(session, "sdkdir", _package_directory() / "sdk" / language)
