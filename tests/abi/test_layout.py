"""tests/abi/layout.txt, which all four languages compare themselves with, is true and versioned."""

import hashlib
import re
from pathlib import Path

import pytest

from hybridrt._native import ffi, lib

HERE = Path(__file__).parent
LAYOUT = (HERE / "layout.txt").read_text()
STRUCT = re.compile(r"struct (\w+) size=(\d+) align=(\d+)")
FIELD = re.compile(r"  (\w+) offset=(\d+) size=(\d+)")
VALUE = re.compile(r"enum (\w+) (\w+)=(-?\d+)")


def structs() -> dict[str, list[str]]:
    """Return the lines of the file by the struct that they belong to."""
    found: dict[str, list[str]] = {}
    for line in LAYOUT.splitlines():
        if match := STRUCT.fullmatch(line):
            found[match[1]] = [line]
        elif FIELD.fullmatch(line):
            found[list(found)[-1]].append(line)
    return found


def field_size(field: object) -> int:
    """Return the bytes of one field; cffi gives arrays a type of their own."""
    return ffi.sizeof(field.type)


@pytest.mark.parametrize("name", structs())
def test_struct_lies_as_the_file_says(name: str) -> None:
    """Size, alignment, and offset and size of each field in the compiled module equal the file."""
    ctype = ffi.typeof(f"struct {name}")
    seen = [f"struct {name} size={ffi.sizeof(ctype)} align={ffi.alignof(ctype)}"]
    seen += [
        f"  {field_name} offset={field.offset} size={field_size(field)}"
        for field_name, field in ctype.fields
    ]
    assert seen == structs()[name]


def test_enum_values_are_as_the_file_says() -> None:
    """Every named value of the compiled module equals the file."""
    values = VALUE.findall(LAYOUT)
    assert len(values) > 100
    wrong = {
        f"{enum} {name}": getattr(lib, name)
        for enum, name, value in values
        if getattr(lib, name) != int(value)
    }
    assert wrong == {}


def test_every_line_is_understood() -> None:
    """No line of the file escapes the checks above."""
    patterns = (STRUCT, FIELD, VALUE)
    strange = [
        line
        for line in LAYOUT.splitlines()
        if not any(pattern.fullmatch(line) for pattern in patterns)
    ]
    assert strange == []


def test_a_changed_layout_has_a_new_version() -> None:
    """The newest line of versions.txt names this layout's versions and hash, each pair once."""
    lines = (HERE / "versions.txt").read_text().splitlines()
    pairs = [line.split(" layout ")[0] for line in lines]
    assert len(set(pairs)) == len(pairs)
    digest = hashlib.sha256(LAYOUT.encode()).hexdigest()
    expected = f"abi {lib.HRT_ABI_VERSION} format {lib.HRT_FORMAT_VERSION} layout {digest}"
    assert lines[-1] == expected, (
        "the layout changed: raise HRT_ABI_VERSION or HRT_FORMAT_VERSION and run make layout"
    )
