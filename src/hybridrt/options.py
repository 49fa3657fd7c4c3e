"""What may be said about a job when it is enqueued, in the units of the C interface. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

from hybridrt.errors import InvalidArgumentError, InvalidNameError, PayloadTooLargeError
from hybridrt.names import DEFAULT_QUEUE, KEY_BYTES_MAX, META_BYTES_MAX
from hybridrt.units import (
    MILLISECONDS_MAX,
    NANOSECONDS,
    parse_duration,
    to_milliseconds,
    to_nanoseconds,
)

Payload = bytes | bytearray | memoryview | str | int | float | list[Any] | dict[str, Any] | None
Seconds = float | timedelta | str
When = datetime | float

NONE_MS = 0xFFFFFFFF  # HRT_NONE: no limit at all, against 0: the queue's default
ATTEMPTS_MAX = 0xFFFF
TIME_NS_MAX = 2**63 - 1  # 292 years
DELETE = 0x7F  # the one control character above the space


@dataclass(frozen=True, slots=True)
class Options:
    """Options of one job in the units of the lane; zero means the queue's default."""

    queue: str = DEFAULT_QUEUE
    key: bytes = b""
    meta: bytes = b""
    delay_ns: int = 0
    due_ns: int = 0
    timeout_ms: int = 0
    result_ttl_ms: int = 0
    expires_ms: int = 0
    max_attempts: int = 0


DEFAULT_OPTIONS = Options()


def make_options(
    *,
    queue: str = DEFAULT_QUEUE,
    key: str | bytes | None = None,
    meta: bytes | Mapping[str, Any] | None = None,
    delay: Seconds | None = None,
    at: When | None = None,
    max_attempts: int | None = None,
    timeout: Seconds | None = None,
    result_ttl: Seconds | None = None,
    expires: Seconds | None = None,
) -> Options:
    """Check and convert the options of an enqueue.

    Durations are seconds, timedeltas or texts such as ``"30s"``. A `timeout` or `result_ttl` of 0
    means none at all; None means what the queue says.

    Raises:
        InvalidArgumentError: an option is out of its range.
    """
    if delay is not None and at is not None:
        raise InvalidArgumentError("give either delay or at, not both")
    if max_attempts is not None and not 1 <= max_attempts <= ATTEMPTS_MAX:
        raise InvalidArgumentError(f"max_attempts must be 1 to {ATTEMPTS_MAX}")
    return Options(
        queue=queue,
        key=_key(key),
        meta=_meta(meta),
        delay_ns=_nanoseconds("delay", _seconds("delay", delay)) if delay is not None else 0,
        due_ns=_due(at),
        timeout_ms=_limit("timeout", timeout),
        result_ttl_ms=_limit("result_ttl", result_ttl),
        expires_ms=_milliseconds("expires", expires) if expires is not None else 0,
        max_attempts=max_attempts or 0,
    )


def encode_payload(payload: Payload) -> bytes | bytearray | memoryview:
    """Return bytes as they are, text as UTF-8, anything else as JSON.

    Raises:
        InvalidArgumentError: the value has no JSON form.
    """
    if isinstance(payload, bytes | bytearray | memoryview):
        return payload
    if isinstance(payload, str):
        return payload.encode()
    try:
        return msgspec.json.encode(payload)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidArgumentError(f"the payload has no JSON form: {error}") from error


def _key(key: str | bytes | None) -> bytes:
    if key is None:
        return b""
    data = key.encode() if isinstance(key, str) else bytes(key)
    if not 1 <= len(data) <= KEY_BYTES_MAX:
        raise InvalidNameError(f"a key has 1 to {KEY_BYTES_MAX} bytes, this one has {len(data)}")
    if any(byte < ord(" ") or byte == DELETE for byte in data):
        raise InvalidNameError(
            f"key {key!r} holds a control character", "encode binary keys as text, such as hex"
        )
    return data


def _meta(meta: bytes | Mapping[str, Any] | None) -> bytes:
    if meta is None:
        return b""
    data = meta if isinstance(meta, bytes) else bytes(encode_payload(dict(meta)))
    if len(data) > META_BYTES_MAX:
        raise PayloadTooLargeError(f"meta has {len(data)} bytes, the limit is {META_BYTES_MAX}")
    return data


def _seconds(name: str, value: Seconds) -> float:
    try:
        return parse_duration(value)
    except ValueError as error:
        raise InvalidArgumentError(f"{name}: {error}") from error


def _nanoseconds(name: str, seconds: float) -> int:
    if seconds > TIME_NS_MAX // NANOSECONDS:
        raise InvalidArgumentError(f"{name}: at most {TIME_NS_MAX // NANOSECONDS} seconds")
    return to_nanoseconds(seconds)


def _milliseconds(name: str, value: Seconds) -> int:
    milliseconds = to_milliseconds(_seconds(name, value))
    if milliseconds > MILLISECONDS_MAX:
        raise InvalidArgumentError(f"{name}: at most {MILLISECONDS_MAX // 1000} seconds")
    return milliseconds


def _limit(name: str, value: Seconds | None) -> int:
    """Return 0 for the queue's default, NONE_MS for none at all, else milliseconds."""
    if value is None:
        return 0
    return _milliseconds(name, value) or NONE_MS


def _due(at: When | None) -> int:
    if at is None:
        return 0
    if isinstance(at, datetime):
        if at.tzinfo is None:
            raise InvalidArgumentError("at: give a datetime with a time zone")
        at = at.timestamp()
    if not at > 0:
        raise InvalidArgumentError("at: give a point in time after 1970")
    return _nanoseconds("at", at)
