"""`hybridrt run`: the supervisor in the foreground."""

from __future__ import annotations

from pathlib import Path

import click

from hybridrt.cli.session import config_option


@click.command()
@config_option("The configuration file; else the first of the search order.")
@click.option("--log-format", type=click.Choice(["auto", "human", "json"]), help="Of its own log.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]))
def run(config_path: Path | None, log_format: str | None, log_level: str | None) -> int:
    """Run a supervisor until SIGTERM or SIGINT.

    SIGTERM drains: workers finish within drain_timeout, the rest is handed back uncounted. SIGHUP
    reads the configuration again.
    """
    from hybridrt.service import run as serve

    return serve(config_path, log_format=log_format, log_level=log_level)
