"""What may be said about a job, in the units of the lane."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hybridrt import outcomes
from hybridrt.errors import InvalidArgumentError
from hybridrt.options import DEFAULT_OPTIONS, NONE_MS, encode_payload, make_options


def test_nothing_said_is_the_default() -> None:
    assert make_options() == DEFAULT_OPTIONS


def test_options_are_converted() -> None:
    options = make_options(
        queue="images",
        key="k",
        meta={"a": 1},
        delay="1.5s",
        max_attempts=3,
        timeout=timedelta(seconds=2),
        result_ttl=0,
        expires=60,
    )
    assert options.key == b"k"
    assert options.meta == b'{"a":1}'
    assert options.delay_ns == 1_500_000_000
    assert (options.timeout_ms, options.result_ttl_ms, options.expires_ms) == (2000, NONE_MS, 60000)


def test_a_time_is_wall_clock_nanoseconds() -> None:
    at = datetime(2030, 1, 1, tzinfo=UTC)
    assert make_options(at=at).due_ns == int(at.timestamp()) * 1_000_000_000


@pytest.mark.parametrize(
    "options",
    [
        {"delay": 1, "at": 2.0},
        {"at": datetime(2030, 1, 1)},  # noqa: DTZ001 - the missing zone is the point
        {"at": -5},
        {"at": float("nan")},
        {"at": 1e300},
        {"delay": "999999d"},
        {"key": ""},
        {"key": "x" * 256},
        {"meta": b"x" * 4097},
        {"max_attempts": 0},
        {"max_attempts": 70000},
        {"timeout": "soon"},
        {"expires": 2**32},
    ],
)
def test_a_bad_option_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError):
        make_options(**options)


@pytest.mark.parametrize(
    ("payload", "data"),
    [(b"\x00", b"\x00"), ("ü", "ü".encode()), ({"a": [1]}, b'{"a":[1]}'), (None, b"null")],
)
def test_payloads_are_encoded(payload: Any, data: bytes) -> None:
    assert encode_payload(payload) == data


def test_a_payload_without_json_form_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="no JSON form"):
        encode_payload(object())  # type: ignore[arg-type]


def test_a_long_reason_is_cut_between_characters() -> None:
    data = outcomes.Dead("ü" * 5000).data
    assert len(data) <= outcomes.TEXT_BYTES_MAX
    assert set(data.decode()) == {"ü"}
