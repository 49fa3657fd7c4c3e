"""`hybridrt demo`: the command around hybridrt.demo."""

from __future__ import annotations

from pathlib import Path

import click

from hybridrt.cli.choices import DURABILITIES
from hybridrt.cli.printing import Status, emit


@click.command()
@click.argument("directory", required=False,
                type=click.Path(exists=True, file_okay=False, path_type=Path))  # fmt: skip
@click.option("--no-kill", is_flag=True, help="Let all workers live.")
@click.option("--durability", type=click.Choice(DURABILITIES), default="sync", show_default=True)
@click.option("--workers", type=click.IntRange(1, 32), default=2, show_default=True,
              help="Processes of each language.")  # fmt: skip
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path),
              help="Write the report as JSON to this file.")  # fmt: skip
@click.option("--html", "html_file", type=click.Path(dir_okay=False, path_type=Path),
              help="Write the report as a page to this file.")  # fmt: skip
def demo(
    *,
    directory: Path | None,
    durability: str,
    workers: int,
    json_file: Path | None,
    html_file: Path | None,
    no_kill: bool,
) -> int:
    """Find duplicate and compressible files in DIRECTORY with Go and Rust workers.

    The default is the standard library of this Python. A Go and a Rust worker are killed half-way,
    and every digest and count is checked against a plain Python pass. Exits 1 if anything differs.
    """
    import sysconfig

    from hybridrt.demo.run import Wishes, perform

    root = directory or Path(sysconfig.get_path("stdlib"))
    wishes = Wishes(root=root.resolve(), durability=durability, workers=workers, kill=not no_kill)
    report = perform(wishes)
    for file, content in ((json_file, report.json()), (html_file, report.html())):
        if file is not None:
            file.write_text(content, encoding="utf-8")
    emit({}, report.text(), as_json=False)
    return Status.OK if report.matches else Status.FAILED
