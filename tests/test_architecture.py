"""Who may know whom, in all four languages. CONTRIBUTING.md says the same in words."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "hybridrt"
C_SOURCES = sorted((ROOT / "native" / "src").glob("*.[ch]"))

# ---- C: which files make up a module, and which modules it may use ----

C_MODULES = {
    "base": "abi atomic check clock error failpoint grow histogram pages sha256",
    "record": "record crc32c",
    "ring": "ring",
    "park": "park",
    "timer": "timer",
    "map": "map",
    "lane": "lane liveness",
    "client": "client enqueue fetch handle heartbeat hello inbox names notices outcome promises"
    " register renew replies segments submit",
    "log": "catalog flusher leaves log log_state orphans recover run scan segment",
    "state": "apply core digest dump holders jobs keep keys life list ready replay residents settle"
    " state",
    "scheduler": "agenda judge pick plan scheduler",
    "hindsight": "hindsight",
    "dispatch": "adopt attempts audience checkpoint copier counters dispatch effects events group"
    " handover keeper lanes offshoot operator progress resume retire room runtime sentinel snapshot"
    " standby stops submissions",
}
C_MAY_USE = {
    "base": set(),
    "record": {"base"},
    "ring": {"base"},
    "park": {"base"},
    "timer": {"base"},
    "map": {"base"},
    "lane": {"base", "ring", "park"},
    "client": {"base", "ring", "park", "map", "lane", "record"},
    "log": {"base", "record"},
    "state": {"base", "record", "timer", "map"},
    "scheduler": {"base", "state", "timer", "map"},
    "hindsight": {"base", "record", "state", "scheduler"},
    "dispatch": set(C_MODULES) - {"dispatch"},
}

# ---- Python ----

PYTHON_MODULES = {
    "words": "config configfile errors exits messages names options units",
    "tools": "chore files logs memo notify pidfds place programs tasks",
    "native": "native logreader stats",
    "log": "archive backup damage diskspace fillers history holds records repair restore scrub"
    " segments store verify versions",
    "client": "client jobs mailbox outcomes producer worker",
    "supervisor": "attach control dispatching notary output pools processes restarts rundir service"
    " supervisor upkeep verbs",
    "succession": "estate handover heir offspring standby succession upgrade",
    "proof": "proof",
    "demo": "demo",
    "cli": "cli __main__",
}
PYTHON_MAY_USE = {
    "words": set(),
    "tools": {"words"},
    "native": {"words"},
    "log": {"words", "tools", "native"},
    "client": {"words", "native"},
    "supervisor": {"words", "tools", "native", "log", "client", "succession"},
    "succession": {"words", "tools", "native", "supervisor"},
    "proof": {"words", "tools", "native", "log"},
    "demo": {"words", "tools", "native", "log", "supervisor"},
    "cli": set(PYTHON_MODULES) - {"cli"},
}

PURE = {"config", "errors", "exits", "messages", "names", "options", "units"}
# config.Config.load is the one door from a pure module to the file system.
PURE_EXCEPTIONS = {("config", "configfile")}
IO_LIBRARIES = {
    "asyncio",
    "os",
    "psutil",
    "select",
    "signal",
    "socket",
    "subprocess",
    "threading",
    "time",
    "uvloop",
    "zmq",
}


def module_of(stem: str) -> str:
    for module, stems in C_MODULES.items():
        if stem in stems.split():
            return module
    pytest.fail(f"native/src/{stem}.[ch] belongs to no module: name it in C_MODULES")


def c_includes(path: Path) -> list[str]:
    return re.findall(r'^#include "([a-z0-9_]+)\.h"', path.read_text(), re.MULTILINE)


@pytest.mark.parametrize("path", C_SOURCES, ids=lambda path: path.name)
def test_c_modules_include_only_what_lies_below(path: Path) -> None:
    module = module_of(path.stem)
    used = {module_of(stem) for stem in c_includes(path)} - {module}
    assert used <= C_MAY_USE[module]


def test_c_never_includes_python() -> None:
    assert [path.name for path in C_SOURCES if "Python.h" in path.read_text()] == []


def test_memory_orders_are_named_in_one_file() -> None:
    # Only atomic.h names orders; what it offers is enough for everybody.
    naming = [path.name for path in C_SOURCES if "__ATOMIC_" in path.read_text()]
    assert naming == ["atomic.h"]


def imports(path: Path) -> set[str]:
    """Return the dotted names that a file imports, at its top or inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def own_modules(path: Path) -> set[str]:
    """Return the modules of the package that a file imports, without the package's name."""
    names = {name.split(".")[1] for name in imports(path) if name.startswith("hybridrt.")}
    return {
        name for name in names if (PACKAGE / f"{name}.py").exists() or (PACKAGE / name).is_dir()
    }


def python_module_of(name: str) -> str:
    for module, names in PYTHON_MODULES.items():
        if name in names.split():
            return module
    pytest.fail(f"src/hybridrt/{name} belongs to no module: name it in PYTHON_MODULES")


PYTHON_SOURCES = sorted(set(PACKAGE.rglob("*.py")) - {PACKAGE / "__init__.py"})


@pytest.mark.parametrize("path", PYTHON_SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_python_modules_import_only_what_lies_below(path: Path) -> None:
    module = python_module_of(path.relative_to(PACKAGE).with_suffix("").parts[0])
    used = {python_module_of(name) for name in own_modules(path)} - {module}
    assert used <= PYTHON_MAY_USE[module]


@pytest.mark.parametrize("name", sorted(PURE))
def test_pure_modules_do_no_io(name: str) -> None:
    path = PACKAGE / f"{name}.py"
    assert {library.split(".")[0] for library in imports(path)} & IO_LIBRARIES == set()
    strangers = own_modules(path) - PURE
    assert {(name, stranger) for stranger in strangers} <= PURE_EXCEPTIONS


def test_only_native_imports_the_cffi_module() -> None:
    importers = [
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if any(library.startswith("hybridrt._native") for library in imports(path))
    ]
    assert importers == ["native/library.py"]


def test_nobody_imports_the_command_line() -> None:
    importers = [
        path.name
        for path in PACKAGE.rglob("*.py")
        if "cli" not in path.relative_to(PACKAGE).parts and "cli" in own_modules(path)
    ]
    assert importers == ["__main__.py"]


def test_nothing_imports_tests_or_benchmarks() -> None:
    strangers = {
        (path.name, library)
        for path in PACKAGE.rglob("*.py")
        for library in imports(path)
        if library.split(".")[0] in {"tests", "bench", "pytest", "hypothesis"}
    }
    assert strangers == set()


def with_line(pattern: str, paths: list[Path]) -> set[str]:
    """Return the names of the files that have a line of this form."""
    line = re.compile(pattern, re.MULTILINE)
    return {path.name for path in paths if line.search(path.read_text())}


def test_go_meets_c_in_one_file() -> None:
    folders = ("ffi", "examples", "tests", "bench")
    go_files = [path for folder in folders for path in (ROOT / folder).rglob("*.go")]
    assert len(go_files) > 10
    assert with_line(r'^import "C"', go_files) == {"cabi.go"}
    assert with_line(r'^\s*"unsafe"$', go_files) == {"cabi.go"}


def test_rust_is_unsafe_only_at_the_border() -> None:
    """The raw bindings aside, and the runtime that the library's own tests host."""
    folders = ("ffi/rust/hybridrt", "examples", "tests", "bench")
    rust_files = [path for folder in folders for path in (ROOT / folder).rglob("*.rs")]
    assert len(rust_files) > 10
    assert with_line(r"^[^/\n]*\bunsafe\s*(\{|fn|impl)", rust_files) <= {"ffi.rs", "host.rs"}
