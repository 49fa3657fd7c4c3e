"""The enums of names.py are those of the C header, and names are checked the same way."""

from enum import IntEnum

import pytest

from hybridrt import names
from hybridrt.errors import InvalidNameError
from hybridrt.native import lib

PREFIXES = {
    names.Durability: "HRT_DURABILITY_",
    names.Order: "HRT_ORDER_",
    names.JobState: "HRT_JOB_",
    names.Outcome: "HRT_OUTCOME_",
    names.EventType: "HRT_EVENT_",
    names.Delivery: "HRT_DELIVERY_",
}


@pytest.mark.parametrize(("enum", "prefix"), PREFIXES.items(), ids=str)
def test_an_enum_equals_the_header(enum: type[IntEnum], prefix: str) -> None:
    found = {
        name.removeprefix(prefix): getattr(lib, name)
        for name in dir(lib)
        if name.startswith(prefix) and isinstance(getattr(lib, name), int)
    }
    assert found == {member.name: member.value for member in enum}


def test_limits_equal_the_header() -> None:
    assert names.NAME_BYTES_MAX == lib.HRT_KIND_NAME_MAX == lib.HRT_QUEUE_NAME_MAX
    assert names.KEY_BYTES_MAX == lib.HRT_KEY_MAX
    assert names.META_BYTES_MAX == lib.HRT_META_MAX
    assert names.PAYLOAD_BYTES_MAX == lib.HRT_PAYLOAD_MAX
    assert names.RESULT_BYTES_MAX == lib.HRT_RESULT_MAX


@pytest.mark.parametrize("name", ["", "x" * 64, "a\nb", "a\x7f", "ü" * 32])
def test_a_bad_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidNameError):
        names.check_name(name, "kind")


@pytest.mark.parametrize("name", ["a", "x" * 63, "image.resize", "ü" * 31])
def test_a_good_name_is_taken(name: str) -> None:
    names.check_name(name, "kind")


def test_terminal_states_are_the_last_five() -> None:
    assert [state.name for state in names.JobState if state.terminal] == [
        "COMPLETED",
        "DEAD",
        "CANCELLED",
        "EXPIRED",
        "DISCARDED",
    ]
