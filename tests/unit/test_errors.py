"""One tree of exceptions, and one map from statuses to it."""

import pytest

from hybridrt import errors, native
from hybridrt.errors import BY_CODE, HybridrtError
from hybridrt.native import lib

STATUSES = sorted(
    name
    for name in dir(lib)
    if name.startswith("HRT_E")
    and isinstance(getattr(lib, name), int)
    and native.error_of(getattr(lib, name)).message != "unknown status"
    and getattr(lib, name) < 0
)


def test_the_statuses_are_found() -> None:
    assert len(STATUSES) == 29


@pytest.mark.parametrize("name", STATUSES)
def test_every_status_has_a_class_of_its_own(name: str) -> None:
    error = native.error_of(getattr(lib, name))
    assert type(error) is not HybridrtError
    assert error.code == name
    assert error.message == native.status_text(getattr(lib, name))


def test_every_class_has_a_code_of_its_own() -> None:
    assert len(BY_CODE) == len({cls.code for cls in BY_CODE.values()})
    assert all(cls.__doc__ for cls in BY_CODE.values())


def test_an_error_survives_its_code() -> None:
    sent = errors.QueueFullError("the queue is full", "wait")
    back = errors.from_code(sent.code, sent.message, sent.hint)
    assert type(back) is errors.QueueFullError
    assert (back.message, back.hint) == ("the queue is full", "wait")


def test_a_configuration_error_keeps_its_problems() -> None:
    back = errors.from_code("CONFIG", "a:1: one\na:2: two")
    assert isinstance(back, errors.ConfigError)
    assert back.problems == ["a:1: one", "a:2: two"]


def test_an_unknown_code_gives_the_base_class() -> None:
    assert type(errors.from_code("FROM_THE_FUTURE", "x")) is HybridrtError


def test_python_users_can_catch_what_they_know() -> None:
    assert issubclass(errors.TimedOutError, TimeoutError)
    assert issubclass(errors.UnreachableError, ConnectionError)
    assert issubclass(errors.InvalidArgumentError, ValueError)
    assert issubclass(errors.StorageError, OSError)


def test_the_library_sentence_becomes_the_message() -> None:
    out = native.ffi.new("hrt_scan **")
    status = lib.hrt_scan_open(b"/nonexistent/directory", out)
    with pytest.raises(HybridrtError, match="/nonexistent/directory"):
        native.check(status)
