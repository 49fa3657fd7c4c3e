"""What a reader should not stumble over: length, leftovers, doubled names, versions that differ."""

import ast
import importlib.metadata
import importlib.util
import re
import subprocess
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
COLUMNS_MAX = 100
FUNCTION_LINES_MAX = 70
GENERATED = {"bindings.rs", "runtime.rs", "tables.rs"}  # of hybridrt-sys
TEXT_SUFFIXES = {".c", ".h", ".py", ".pyi", ".go", ".rs", ".md", ".toml", ".build", ".sh", ".json"}
TABS_ALLOWED = {".go", ".mod", ".md"}  # pages quote Go
LEFTOVERS = re.compile(r"\b(FIXME|TODO|XXX)\b")
# The project speaks of itself: not of the desk it was written at.
DESK = re.compile(r"(?i)/tmp/hrt/|/work/|\bissue #?\d|shared/(design|anchors)|helper session")
PRAGMA = re.compile(r"  # (noqa|type: ignore).*")
HERE = Path(__file__).name


def tracked() -> list[Path]:
    """Return the files of the project; in a source tree without git, nothing can be told."""
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    paths = [ROOT / name for name in listing.stdout.split("\0") if name]
    return [path for path in paths if path.exists()]


TRACKED = tracked()
TEXTS = [path for path in TRACKED if path.suffix in TEXT_SUFFIXES or path.name == "Makefile"]
SOURCES = [path for path in TEXTS if path.suffix in {".c", ".h", ".py", ".go", ".rs"}]


def place(path: Path, number: int) -> str:
    return f"{path.relative_to(ROOT)}:{number}"


def lines_that(matter: re.Pattern[str], paths: list[Path]) -> list[str]:
    return [
        place(path, number)
        for path in paths
        if path.name != HERE
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if matter.search(line)
    ]


def test_no_source_line_is_too_long() -> None:
    written = [path for path in SOURCES if path.name not in GENERATED]
    # Tabs count as four columns; what is said to a linter does not count.
    long_lines = [
        place(path, number)
        for path in written
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if len(PRAGMA.sub("", line).expandtabs(4)) > COLUMNS_MAX
    ]
    assert long_lines == []


def test_no_leftovers() -> None:
    assert lines_that(LEFTOVERS, TEXTS) == []


def test_the_project_speaks_of_itself_only() -> None:
    assert lines_that(DESK, TEXTS) == []


def test_tabs_only_where_the_language_wants_them() -> None:
    spaced = [path for path in TEXTS if path.suffix not in TABS_ALLOWED and path.name != "Makefile"]
    assert lines_that(re.compile(r"^ *\t"), spaced) == []


def test_every_text_ends_with_one_newline() -> None:
    endings = {
        path.relative_to(ROOT): path.read_text()[-2:] for path in TEXTS if path.stat().st_size
    }
    assert [str(path) for path, end in endings.items() if end[-1] != "\n" or end == "\n\n"] == []


# ---- functions ----


def python_functions(text: str) -> Iterator[tuple[int, int]]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.lineno, (node.end_lineno or node.lineno) - node.lineno + 1


def braced_functions(text: str, start: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    """Find functions whose closing brace stands under the beginning of their first line."""
    begun: tuple[int, str] | None = None
    for number, line in enumerate(text.splitlines(), 1):
        indent = line[: len(line) - len(line.lstrip())]
        if begun and line.strip() == "}" and indent == begun[1]:
            yield begun[0], number - begun[0] + 1
            begun = None
        elif begun is None and start.match(line) and not line.rstrip().endswith((";", "}")):
            begun = number, indent


STARTS = {
    ".c": re.compile(r"^[a-z][\w \*]*\("),
    ".h": re.compile(r"^static inline [\w \*]*\("),
    ".go": re.compile(r"^func "),
    ".rs": re.compile(r"^\s*(pub(\(\w+\))? )?(const |async |unsafe |extern \"C\" )*fn "),
}


def function_lengths(path: Path) -> Iterator[tuple[int, int]]:
    text = path.read_text()
    if path.suffix == ".py":
        return python_functions(text)
    return braced_functions(text, STARTS[path.suffix])


def test_no_function_is_too_long() -> None:
    seen = 0
    long_functions = []
    for path in SOURCES:
        for number, length in function_lengths(path):
            seen += 1
            if length > FUNCTION_LINES_MAX:
                long_functions.append(f"{place(path, number)} has {length} lines")
    assert long_functions == []
    assert seen > 500  # the rules above still find functions


# ---- names ----


@pytest.mark.parametrize("folder", ["native/src", "native/tests", "src", "ffi/go", "tests"])
def test_file_names_are_unique(folder: str) -> None:
    """A name says which file is meant; packages, entry points and shared fixtures excepted."""
    common = {"__init__.py", "__main__.py", "conftest.py", "meson.build", "main.go", "main.rs"}
    names = Counter(
        path.name
        for path in SOURCES
        if path.is_relative_to(ROOT / folder) and path.name not in common
    )
    assert [name for name, count in names.items() if count > 1] == []


def library() -> Path:
    """Return the static library that the installed package carries."""
    spec = importlib.util.find_spec("hybridrt")
    assert spec
    assert spec.origin
    return Path(spec.origin).parent / "lib" / "libhybridrt.a"


def test_the_library_defines_only_names_of_its_own() -> None:
    listing = subprocess.run(
        ["nm", "--extern-only", "--defined-only", "--format=posix", library()],
        check=True,
        capture_output=True,
        text=True,
    )
    symbols = [line.split()[0] for line in listing.stdout.splitlines() if len(line.split()) > 1]
    assert len(symbols) > 50
    assert [symbol for symbol in symbols if not symbol.startswith("hrt_")] == []


# ---- versions ----


def meson_version() -> str:
    match = re.search(r"version: '([^']+)'", (ROOT / "meson.build").read_text())
    assert match
    return match[1]


def test_there_is_one_version() -> None:
    """meson.build has the version; the package, the C library, Cargo and Go say the same."""
    from hybridrt._native import ffi, lib

    versions = {
        "package": importlib.metadata.version("hybridrt"),
        "library": ffi.string(lib.hrt_version()).decode(),
    }
    for path in (ROOT / "ffi" / "rust").glob("hybridrt*/Cargo.toml"):
        versions[path.parent.name] = tomllib.loads(path.read_text())["package"]["version"]
    go = "".join(path.read_text() for path in (ROOT / "ffi" / "go").glob("*.go"))
    match = re.search(r'^const Version = "([^"]+)"', go, re.MULTILINE)
    versions["go"] = match[1] if match else "none"
    assert set(versions.values()) == {meson_version()}, versions
    assert len(versions) == 6


# ---- examples ----


def code_blocks(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the first line and the text of each block of code in a language with a compiler."""
    for language, code in re.findall(
        r"^```(\w+)\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL
    ):
        if language in {"go", "rust", "python", "c"}:
            yield f"{language}: {code.splitlines()[0]}", code


def test_code_in_the_documentation_is_compiled_somewhere() -> None:
    """Each block of the README and of docs/sdk.md stands, as it is, in a file that is run."""
    examples = [path.read_text() for path in SOURCES if path.is_relative_to(ROOT / "examples")]
    blocks = [*code_blocks(ROOT / "README.md"), *code_blocks(ROOT / "docs" / "sdk.md")]
    assert len(blocks) >= 3
    missing = [title for title, code in blocks if not any(code in text for text in examples)]
    assert missing == []
