"""The options that every command takes, and the link to the supervisor that they lead to."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import click

from hybridrt.cli.choices import duration
from hybridrt.cli.printing import emit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

P = ParamSpec("P")
R = TypeVar("R")

REPLY_TIMEOUT = "10s"


def runtime_directory(named: Path | None, config_path: Path | None) -> Path:
    """Return the directory of the sockets: as named, else as configured, else the user's own."""
    if named is not None:
        return named
    from hybridrt import configfile

    place = configfile.find(config_path)
    return configfile.runtime_directory(configfile.load(place) if place else None)


@dataclass(frozen=True, slots=True)
class Session:
    """How one invocation was called."""

    as_json: bool
    named_runtime_dir: Path | None
    config_path: Path | None
    timeout_s: float

    def runtime_dir(self) -> Path:
        """Return the directory of the sockets."""
        return runtime_directory(self.named_runtime_dir, self.config_path)

    def ask(
        self, verb: str, body: Mapping[str, Any] | None = None, patience_s: float = 0.0
    ) -> dict[str, Any]:
        """Send one request and return its reply; `patience_s` is what the verb itself may take."""
        from hybridrt.cli.link import ask

        return ask(self.runtime_dir(), verb, dict(body or {}), self.timeout_s + patience_s)

    def show(self, body: Mapping[str, Any], text: str) -> None:
        """Print the result of the command."""
        emit(body, text, as_json=self.as_json)


def config_option(text: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return the option --config, explained by `text`."""
    return click.option(
        "--config",
        "config_path",
        envvar="HYBRIDRT_CONFIG",
        type=click.Path(dir_okay=False, readable=False, path_type=Path),
        help=f"{text}  [env: HYBRIDRT_CONFIG]",
    )


runtime_dir_option = click.option(
    "--runtime-dir",
    envvar="HYBRIDRT_RUNTIME_DIR",
    type=click.Path(file_okay=False, readable=False, path_type=Path),
    help="Where the sockets of the supervisor are.  [env: HYBRIDRT_RUNTIME_DIR]",
)


def session_options(
    function: Callable[Concatenate[Session, P], R],
) -> Callable[P, R]:
    """Give a command --json, --runtime-dir, --config and --timeout, folded into its Session."""

    @click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
    @runtime_dir_option
    @config_option("The configuration file.")
    @click.option(
        "--timeout",
        "timeout_s",
        type=duration,
        default=REPLY_TIMEOUT,
        show_default=True,
        help="How long to wait for the supervisor's reply.",
    )
    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        options: dict[str, Any] = dict(kwargs)
        session = Session(
            as_json=options.pop("as_json"),
            config_path=options.pop("config_path"),
            named_runtime_dir=options.pop("runtime_dir"),
            timeout_s=options.pop("timeout_s"),
        )
        return function(session, *args, **options)

    return call
