"""Know every field and enum value of abi.h by reading the header: nothing is typed again.

Usage: layout.py OUTPUT INCLUDE_DIRECTORY COMPILER...   write the list that tests/layout.c prints
       layout.py --versions LAYOUT VERSIONS             note the layout of a new version
"""

import hashlib
import re
import subprocess
import sys
from pathlib import Path

BLOCK = re.compile(r"\b(struct|enum)\s+(\w+)\s*\{([^}]*)\}")
FIELD = re.compile(r"(\w+)\s*(?:\[[^\]]*\])?\s*$")
VERSION = re.compile(r"^enum hrt_version_number HRT_(ABI|FORMAT)_VERSION=(\d+)$", re.MULTILINE)


def entries(kind: str, name: str, body: str) -> list[str]:
    """Return the macro calls for one struct or enum."""
    if kind == "enum":
        members = [member.split("=")[0].strip() for member in body.split(",")]
        return [f"VALUE({name}, {member})" for member in members if member]
    fields = [FIELD.search(field) for field in body.split(";") if field.strip()]
    return [f"STRUCT({name})"] + [f"FIELD({name}, {match[1]})" for match in fields if match]


def listing(header: str) -> str:
    """Return the macro calls for a preprocessed header."""
    blocks = [entries(*match.groups()) for match in BLOCK.finditer(header)]
    return "\n".join(line for block in blocks for line in block) + "\n"


def write_listing(output: str, include: str, *compiler: str) -> None:
    """Preprocess abi.h, which also unfolds its X-macros, and write its listing."""
    command = [*compiler, "-E", "-P", "-DHRT_CDEF", f"{include}/hybridrt/abi.h"]
    header = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    Path(output).write_text(listing(header))


def version_line(layout: str) -> str:
    """Return the line of versions.txt that fits a layout: its versions and its hash."""
    versions = dict(VERSION.findall(layout))
    digest = hashlib.sha256(layout.encode()).hexdigest()
    return f"abi {versions['ABI']} format {versions['FORMAT']} layout {digest}"


def note_version(layout_path: str, versions_path: str) -> None:
    """Append the line of a new version; a changed layout under an old version is refused."""
    line = version_line(Path(layout_path).read_text())
    versions = Path(versions_path)
    known = versions.read_text().splitlines() if versions.exists() else []
    if line in known:
        return
    if any(old.split(" layout ")[0] == line.split(" layout ")[0] for old in known):
        sys.exit(
            "hybridrt: the layout changed: raise HRT_ABI_VERSION (shared memory) or"
            " HRT_FORMAT_VERSION (bytes on disk) in abi.h, then run make layout again"
        )
    versions.write_text("\n".join([*known, line]) + "\n")


if __name__ == "__main__":
    if sys.argv[1] == "--versions":
        note_version(*sys.argv[2:])
    else:
        write_listing(*sys.argv[1:])
