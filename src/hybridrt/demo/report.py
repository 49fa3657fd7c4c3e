"""What the demonstration found, for people, for programs and for a browser."""

from __future__ import annotations

import html
import json
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from hybridrt.units import format_duration, format_size

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from hybridrt.demo.findings import Findings
    from hybridrt.demo.follow import Follower
    from hybridrt.demo.plain import Comparison

GROUPS_SHOWN = 20
PATHS_SHOWN = 5
FOLDERS_SHOWN = 15
FOLDER_BYTES_LEAST = 64 * 1024  # smaller ones say nothing about compression
LINES_SHOWN = 8  # of each list, in the text


@dataclass(slots=True)
class Recovery:
    """A worker that was killed, and how its jobs got on."""

    language: str
    pid: int
    started: int  # jobs it was in the middle of
    held: int
    killed_at: float = 0.0  # monotonic seconds
    noticed_ms: float | None = None  # until the supervisor's Python knew
    recovery_ms: float | None = None  # from the death until its jobs were ready again
    returned: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """Everything, as plain objects."""

    body: dict[str, Any]

    @property
    def matches(self) -> bool:
        """Say whether the plain pass found the same."""
        return bool(self.body["check"]["matches"])

    def json(self) -> str:
        """Return the report as JSON."""
        return json.dumps(self.body, indent=2, ensure_ascii=False) + "\n"

    def text(self) -> str:
        """Return the report for a terminal."""
        return "\n".join(_text_lines(self.body))

    def html(self) -> str:
        """Return the report as one page without scripts."""
        return _page(self.body)


def build(
    *,
    root: Path,
    durability: str,
    follower: Follower,
    kills: list[Recovery],
    figures: dict[str, Any],
    comparison: Comparison,
) -> Report:
    """Put everything together."""
    findings = follower.findings
    types, sizes = _types(findings)
    groups, duplicates, wasted = _duplicates(findings)
    return Report(
        {
            "root": str(root),
            "durability": durability,
            "seconds": figures["seconds"],
            "found": {**follower.state(), "bytes": sum(sizes.values()), "errors": follower.errors},
            "types": [
                {"type": kind, "files": count, "bytes": sizes[kind]}
                for kind, count in types.most_common()
            ],
            "duplicates": {"files": duplicates, "wasted_bytes": wasted, "groups": groups},
            "compressible": _compressible(findings),
            "recoveries": [asdict(kill) for kill in kills],
            "languages": figures["kinds"],
            "runtime": {**figures["runtime"], "sync": figures["sync"]},
            "peak_rss_bytes": figures["peak_rss_bytes"],
            "check": _check(follower, comparison),
        }
    )


def _check(follower: Follower, comparison: Comparison) -> dict[str, Any]:
    problems = list(comparison.examples)
    if follower.repeated:
        problems.append(f"{follower.repeated} files were digested and settled more than once")
    return {
        "matches": comparison.differences == 0 and follower.repeated == 0,
        "differences": comparison.differences + follower.repeated,
        "examples": problems,
        "folders": comparison.folders,
        "files": comparison.files,
        "bytes": comparison.bytes,
        "digests": comparison.digests,
        "unreadable": comparison.unreadable,
        "duplicates": comparison.duplicates,
        "changed_meanwhile": comparison.changed,
        "zstd_sizes": {
            "compared": comparison.zstd_comparable,
            "equal": comparison.zstd_equal,
            "different": comparison.zstd_different,
        },
    }


def _types(findings: Findings) -> tuple[Counter[str], Counter[str]]:
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for digest in findings.values():
        counts[digest.kind] += 1
        sizes[digest.kind] += digest.size
    return counts, sizes


def _duplicates(findings: Findings) -> tuple[list[dict[str, Any]], int, int]:
    """Return the groups that waste most, the number of surplus files, and the bytes they take."""
    counts = Counter(digest.sha256 for digest in findings.values() if digest.size)
    several = {sha256 for sha256, count in counts.items() if count > 1}
    paths: dict[bytes, list[str]] = defaultdict(list)
    sizes: dict[bytes, int] = {}
    for path, digest in findings.items():
        if digest.sha256 in several:
            paths[digest.sha256].append(path)
            sizes[digest.sha256] = digest.size
    wasted = {sha256: sizes[sha256] * (len(group) - 1) for sha256, group in paths.items()}
    worst = sorted(wasted, key=lambda sha256: -wasted[sha256])[:GROUPS_SHOWN]
    groups = [
        {
            "sha256": sha256.hex(),
            "size": sizes[sha256],
            "files": len(paths[sha256]),
            "wasted_bytes": wasted[sha256],
            "paths": sorted(paths[sha256])[:PATHS_SHOWN],
        }
        for sha256 in worst
    ]
    surplus = sum(len(group) - 1 for group in paths.values())
    return groups, surplus, sum(wasted.values())


def _compressible(findings: Findings) -> list[dict[str, Any]]:
    before: Counter[str] = Counter()
    after: Counter[str] = Counter()
    for path, digest in findings.items():
        folder = path.rpartition("/")[0] or "."
        before[folder] += digest.size
        after[folder] += digest.zstd
    large = [folder for folder, size in before.items() if size >= FOLDER_BYTES_LEAST]
    best = sorted(large, key=lambda folder: after[folder] / before[folder])[:FOLDERS_SHOWN]
    return [
        {
            "folder": folder,
            "bytes": before[folder],
            "zstd_bytes": after[folder],
            "ratio": before[folder] / max(1, after[folder]),
        }
        for folder in best
    ]


# ---- text and page: the same sections ----


LANGUAGE_COLUMNS = ("kind", "language", "jobs", "jobs/s", "wait p50 / p99", "run p50 / p99")
KILL_COLUMNS = ("language", "pid", "had begun", "handed back", "ready again")


@dataclass(frozen=True, slots=True)
class Section:
    """A title, column names, and rows of text."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]


def _sections(body: dict[str, Any]) -> list[Section]:
    return [
        Section("Languages", LANGUAGE_COLUMNS, [_language_row(kind) for kind in body["languages"]]),
        Section("Workers killed", KILL_COLUMNS, [_kill_row(kill) for kill in body["recoveries"]]),
        Section("Files by type", ("type", "files", "bytes"),
                [(row["type"], f"{row['files']:,}", format_size(row["bytes"]))
                 for row in body["types"]]),
        Section("Duplicates", ("wasted", "files", "size", "among them"),
                [(format_size(group["wasted_bytes"]), f"{group['files']:,}",
                  format_size(group["size"]), group["paths"][0])
                 for group in body["duplicates"]["groups"]]),
        Section("Most compressible folders", ("ratio", "bytes", "compressed", "folder"),
                [(f"{row['ratio']:.1f}", format_size(row["bytes"]), format_size(row["zstd_bytes"]),
                  row["folder"]) for row in body["compressible"]]),
    ]  # fmt: skip


def _language_row(kind: dict[str, Any]) -> tuple[str, ...]:
    latencies = (
        " / ".join(format_duration(kind[name].get(mark, 0) / 1e9) for mark in ("p50_ns", "p99_ns"))
        for name in ("wait", "run")
    )
    rate = f"{kind['per_second']:,.0f}"
    return (kind["kind"], kind["language"], f"{kind['completed']:,}", rate, *latencies)


def _kill_row(kill: dict[str, Any]) -> tuple[str, ...]:
    known = kill["recovery_ms"] is not None
    ready = f"after {format_duration(kill['recovery_ms'] / 1e3)}" if known else "not noticed"
    jobs = f"{kill['started']} jobs"
    return (kill["language"], str(kill["pid"]), jobs, f"{kill['returned']} jobs", ready)


def _summary(body: dict[str, Any]) -> list[str]:
    found, duplicates, runtime = body["found"], body["duplicates"], body["runtime"]
    files = f"{found['digests']:,} files ({format_size(found['bytes'])})"
    rate = f"{found['digests'] / body['seconds']:,.0f} files/s"
    log = f"{runtime['records']:,} records, {format_size(runtime['bytes'])}"
    memory = f"supervisor at most {format_size(body['peak_rss_bytes'])}"
    return [
        f"{files} in {found['folders']:,} folders, {body['seconds']:.1f} s, {rate}",
        f"{duplicates['files']:,} duplicates take {format_size(duplicates['wasted_bytes'])}",
        f"log ({body['durability']}): {log}, {runtime['syncs']:,} syncs",
        f"lost wake-ups {runtime['rescues']}, {memory}",
    ]


def _check_lines(body: dict[str, Any]) -> list[str]:
    check, zstd = body["check"], body["check"]["zstd_sizes"]
    verdict = "matches" if check["matches"] else f"DIFFERS in {check['differences']} places"
    lines = [
        f"The plain pass {verdict}: {check['digests']:,} SHA-256 digests, sizes and types",
        f"{check['folders']:,} folders, {check['files']:,} files",
        f"{check['unreadable']:,} unreadable files",
        f"{check['duplicates']:,} files with a content seen before",
    ]
    if zstd["compared"]:
        lines.append(f"zstd sizes agree for {zstd['equal']:,} files")
    else:
        lines.append(
            f"zstd sizes are not part of the check: this Python's zstd is another version "
            f"({zstd['equal']:,} agree, {zstd['different']:,} do not)"
        )
    if check["changed_meanwhile"]:
        lines.append(f"{check['changed_meanwhile']:,} files or folders changed meanwhile")
    return lines + [f"  {example}" for example in check["examples"]]


def _text_lines(body: dict[str, Any]) -> Iterable[str]:
    yield body["root"]
    yield from _summary(body)
    for section in _sections(body):
        if section.rows:
            yield ""
            yield from _text_table(section)
    yield ""
    yield from _check_lines(body)


def _text_table(section: Section) -> Iterable[str]:
    rows = section.rows[:LINES_SHOWN]
    widths = [max(map(len, column)) for column in zip(section.columns, *rows, strict=True)]
    yield section.title
    for row in (section.columns, *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield f"  {'  '.join(cells)}".rstrip()
    if len(section.rows) > len(rows):
        yield f"  ... and {len(section.rows) - len(rows)} more"


STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem;
       color: #222; background: #fff; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid #ddd;
         overflow-wrap: anywhere; }
th { font-weight: 600; color: #555; }
.ok { color: #176b2c; } .bad { color: #a11; }
@media (prefers-color-scheme: dark) {
  body { color: #ddd; background: #181818; } th { color: #aaa; } th, td { border-color: #444; }
  .ok { color: #7c7; } .bad { color: #f88; } }
"""


def _page(body: dict[str, Any]) -> str:
    verdict = "ok" if body["check"]["matches"] else "bad"
    parts = [
        "<!doctype html>",
        '<html lang="en"><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>hybridrt demo: {html.escape(body['root'])}</title><style>{STYLE}</style>",
        f"<h1>{html.escape(body['root'])}</h1>",
        *(f"<p>{html.escape(line)}</p>" for line in _summary(body)),
        *(f'<p class="{verdict}">{html.escape(line)}</p>' for line in _check_lines(body)),
        *(_html_table(section) for section in _sections(body) if section.rows),
        "</html>",
    ]
    return "\n".join(parts) + "\n"


def _html_table(section: Section) -> str:
    head = "".join(f"<th>{html.escape(column)}</th>" for column in section.columns)
    rows = "\n".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
        for row in section.rows
    )
    return f"<h2>{html.escape(section.title)}</h2>\n<table><tr>{head}</tr>\n{rows}\n</table>"
