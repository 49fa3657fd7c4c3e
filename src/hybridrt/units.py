"""Durations and sizes as people write them: ``"30s"``, ``"1h30m"``, ``"64MiB"``.

Inside the program a duration is seconds (float) and a size is bytes (int); the types below mark
configuration fields so that both the text and the plain number are accepted.
"""

import re
from datetime import timedelta

NANOSECONDS = 1_000_000_000
MILLISECONDS_MAX = 0xFFFFFFFE  # of a time that the log keeps in 32 bits; one more means none
MILLISECONDS = 1_000

_DURATION_SECONDS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86400.0,
}
_SIZE_BYTES = {
    "B": 1,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h|d)")
_SIZE = re.compile(rf"(\d+(?:\.\d+)?)\s*({'|'.join(_SIZE_BYTES)})")


class Duration(float):
    """Seconds; configuration files may write ``"30s"``, ``"1h30m"`` or a plain number."""

    __slots__ = ()


class Size(int):
    """Bytes; configuration files may write ``"64MiB"`` or a plain number."""

    __slots__ = ()


def parse_duration(value: object) -> Duration:
    """Turn ``"1h30m"``, a number of seconds or a timedelta into seconds; raise ValueError."""
    if isinstance(value, timedelta):
        return _not_negative(value.total_seconds())
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _not_negative(float(value))
    text = value.replace(" ", "") if isinstance(value, str) else ""
    parts = _DURATION_PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f'expected a duration such as "30s" or "1h30m", got {value!r}')
    return _not_negative(sum(float(number) * _DURATION_SECONDS[unit] for number, unit in parts))


def _not_negative(seconds: float) -> Duration:
    """Return the seconds, or refuse a negative, infinite or undefined one."""
    if not 0 <= seconds < float("inf"):
        raise ValueError(f"expected a duration of 0 s or more, got {seconds!r}")
    return Duration(seconds)


def parse_size(value: object) -> Size:
    """Turn ``"64MiB"`` or a number of bytes into bytes; raise ValueError."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return Size(value)
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f'expected a size such as "64MiB", got {value!r}')
    number, unit = match.groups()
    return Size(round(float(number) * _SIZE_BYTES[unit]))


def to_nanoseconds(seconds: float) -> int:
    """Convert seconds to whole nanoseconds."""
    return round(seconds * NANOSECONDS)


def to_milliseconds(seconds: float) -> int:
    """Convert seconds to whole milliseconds, and never a positive time to zero."""
    milliseconds = round(seconds * MILLISECONDS)
    return 1 if milliseconds == 0 and seconds > 0 else milliseconds


def format_duration(seconds: float) -> str:
    """Write a duration the way people read it: ``1.5ms``, ``30s``, ``2h5m``."""
    for unit in ("d", "h", "m"):
        size = _DURATION_SECONDS[unit]
        if seconds >= size:
            below = {"d": "h", "h": "m", "m": "s"}[unit]
            whole = int(seconds // size)
            rest = int((seconds - whole * size) // _DURATION_SECONDS[below])
            return f"{whole}{unit}{rest}{below}" if rest else f"{whole}{unit}"
    for unit in ("s", "ms", "us"):
        if seconds >= _DURATION_SECONDS[unit]:
            return f"{seconds / _DURATION_SECONDS[unit]:.3g}{unit}"
    return f"{seconds * NANOSECONDS:.0f}ns" if seconds else "0s"


def format_size(count: int) -> str:
    """Write a number of bytes the way people read it: ``1.5 MiB``."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if count >= _SIZE_BYTES[unit]:
            return f"{count / _SIZE_BYTES[unit]:.4g} {unit}"
    return f"{count} B"
