"""The one importer of the cffi module: statuses become exceptions, structs plain values."""

from typing import Any

from hybridrt import errors
from hybridrt._native import ffi as ffi  # noqa: PLC0414 - this is where everybody has them from
from hybridrt._native import lib as lib  # noqa: PLC0414
from hybridrt.errors import HybridrtError

ABI_VERSION: int = lib.HRT_ABI_VERSION
FOREVER_NS = -1
SENTENCE_BYTES_MAX = 1024  # of an error; a longer one is cut

Status = int
Buffer = bytes | bytearray | memoryview


def last_sentence() -> str:
    """Return what the C library said about the last error of this thread."""
    buffer = ffi.new("char[]", SENTENCE_BYTES_MAX)
    lib.hrt_last_error(buffer, SENTENCE_BYTES_MAX)
    return text_of(buffer)


def status_text(status: Status) -> str:
    """Return the sentence of a status code."""
    return str(ffi.string(lib.hrt_strerror(status)).decode())


def error_of(status: Status, message: str = "") -> HybridrtError:
    """Build the exception that stands for a negative status."""
    code = ffi.string(lib.hrt_status_name(status)).decode()
    return errors.from_code(code, message or status_text(status))


def check(status: Status) -> None:
    """Raise the exception of a negative status, with the C library's own sentence."""
    if status < 0:
        raise error_of(status, last_sentence())


def version() -> str:
    """Return the version of the C library."""
    return str(ffi.string(lib.hrt_version()).decode())


def keep_memory() -> int:
    """Start a process that shares our memory, so that our death frees our files at once."""
    out = ffi.new("int *")
    check(lib.hrt_keep_memory(out))
    return int(out[0])


def text_of(characters: Any) -> str:
    """Return the text of characters that a zero ends."""
    return str(ffi.string(characters).decode("utf-8", "replace"))


def nanoseconds(seconds: float | None) -> int:
    """Return a time to wait as C takes it; None waits for ever."""
    return FOREVER_NS if seconds is None else round(seconds * 1e9)


def layout(name: str) -> list[tuple[str, str, int, int]]:
    """Return (field, C type, offset, bytes) of a struct, as the compiler laid it out."""
    fields = ffi.typeof(name).fields
    return [(key, f.type.cname, f.offset, ffi.sizeof(f.type)) for key, f in fields]


def struct_size(name: str) -> int:
    """Return the size of a C type in bytes."""
    return int(ffi.sizeof(name))


def plain(struct: Any) -> dict[str, Any]:
    """Turn a struct into a dict: text for characters, dicts for histograms, no padding."""
    values: dict[str, Any] = {}
    for name, field in ffi.typeof(struct).fields:
        if name.startswith(("reserved", "pad", "state_hash_unused")):
            continue
        value = getattr(struct, name)
        if field.type.kind == "primitive":
            values[name] = value
        elif field.type.cname.startswith("char["):
            values[name] = text_of(value)
        elif field.type.cname.endswith("hrt_histogram"):
            values[name] = _histogram(value)
    return values


def _histogram(struct: Any) -> dict[str, Any]:
    buckets = ffi.unpack(struct.buckets, lib.HRT_HISTOGRAM_BUCKETS)
    filled = {index: count for index, count in enumerate(buckets) if count}
    return {
        "count": struct.count,
        "sum_ns": struct.sum_ns,
        "max_ns": struct.max_ns,
        "buckets": filled,
    }
