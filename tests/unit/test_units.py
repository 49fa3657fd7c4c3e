"""Durations and sizes as people write them."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridrt.units import (
    format_duration,
    format_size,
    parse_duration,
    parse_size,
    to_milliseconds,
    to_nanoseconds,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("1h30m", 5400), ("250ms", 0.25), ("10us", 1e-5), ("1.5s", 1.5), ("2 d", 172800)],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("value", ["", "s", "30", "3x", "-1s", "1s!", -1, float("inf"), True, None])
def test_a_bad_duration_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="expected a duration"):
        parse_duration(value)


def test_numbers_and_timedeltas_are_durations() -> None:
    assert parse_duration(2) == 2.0
    assert parse_duration(timedelta(minutes=1)) == 60.0


@pytest.mark.parametrize(
    ("text", "count"), [("64MiB", 64 << 20), ("1kB", 1000), ("1KB", 1000), ("10 B", 10), (5, 5)]
)
def test_a_size_is_read(text: object, count: int) -> None:
    assert parse_size(text) == count


@pytest.mark.parametrize("value", ["", "MiB", "1mib", "1.5.2MiB", -1, True, 1.5, None])
def test_a_bad_size_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="expected a size"):
        parse_size(value)


def test_a_positive_time_never_becomes_zero_milliseconds() -> None:
    assert to_milliseconds(0.0001) == 1
    assert to_milliseconds(0) == 0
    assert to_nanoseconds(1e-9) == 1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (5e-9, "5ns"), (0.0015, "1.5ms"), (30, "30s"), (7500, "2h5m"), (90000, "1d1h")],
)
def test_a_duration_is_written_for_people(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_a_size_is_written_for_people() -> None:
    assert [format_size(n) for n in (5, 1536, 3 << 30)] == ["5 B", "1.5 KiB", "3 GiB"]


@given(st.integers(min_value=0, max_value=10**9))
def test_a_whole_number_of_seconds_survives_reading(seconds: int) -> None:
    assert parse_duration(f"{seconds}s") == seconds
