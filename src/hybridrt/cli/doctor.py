"""`hybridrt doctor`: can this machine run hybridrt, and what to do if not."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hybridrt.cli.printing import Status, wants_colour
from hybridrt.cli.session import Session, session_options

if TYPE_CHECKING:
    from hybridrt.cli.probes import Finding

COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command()
@click.option(
    "--log-dir",
    type=click.Path(file_okay=False, readable=False, path_type=Path),
    help="Where the log lies or will lie; else the configuration says it.",
)
@session_options
def doctor(session: Session, log_dir: Path | None) -> int:
    """Check kernel, limits, disk and toolchains, and say what to do.

    Exits 1 when something is missing without which hybridrt cannot run.
    """
    from hybridrt.cli.probes import examine

    findings = examine(log_dir or _configured_log_directory(session))
    healthy = all(finding.verdict != "fail" for finding in findings)
    body = {"ok": healthy, "findings": [dataclasses.asdict(finding) for finding in findings]}
    session.show(body, "\n".join(_lines(findings)))
    return Status.OK if healthy else Status.FAILED


def _configured_log_directory(session: Session) -> Path:
    from hybridrt import configfile

    place = configfile.find(session.config_path)
    return configfile.log_directory(configfile.load(place)) if place else Path.cwd()


def _lines(findings: list[Finding]) -> list[str]:
    width = max(len(finding.name) for finding in findings)
    lines = []
    for finding in findings:
        word = finding.verdict.ljust(4)
        shown = click.style(word, fg=COLOURS[finding.verdict]) if wants_colour() else word
        lines.append(f"{shown}  {finding.name.ljust(width)}  {finding.value}")
        if finding.advice:
            lines.append(f"      {' ' * width}  -> {finding.advice}")
    return lines
