"""The control protocol: frames in, structs out, and back."""

import pytest

from hybridrt import messages, verbs
from hybridrt.errors import (
    ControlError,
    ControlVersionError,
    QueueFullError,
    UnknownVerbError,
)


def test_a_request_survives_the_wire() -> None:
    frames = messages.encode_request(b"7", "job.ls", {"queue": "a", "kind": None, "limit": 5})
    request = messages.decode_request(frames)
    assert (request.id, request.verb) == (b"7", "job.ls")
    assert request.arguments == messages.JobFilter(queue="a", limit=5)


def test_another_version_is_refused_by_both_names() -> None:
    with pytest.raises(ControlVersionError, match=r"'hrt1'.*'hrt9'"):
        messages.decode_request([b"hrt9", b"1", b"ping", b"{}"])


@pytest.mark.parametrize("frames", [[], [b"garbage"], [b"hrt1", b"1", b"ping"]])
def test_malformed_frames_are_refused(frames: list[bytes]) -> None:
    with pytest.raises(ControlError):
        messages.decode_request(frames)


def test_an_unknown_verb_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownVerbError) as caught:
        messages.decode_request([b"hrt1", b"1", b"make.coffee", b"{}"])
    assert "queue.pause" in caught.value.hint


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("queue.pause", b"{}"),
        ("queue.pause", b'{"queue": 3}'),
        ("queue.pause", b'{"queue": "a", "more": 1}'),
        ("job.ls", b'{"limit": 0}'),
        ("job.show", b'{"id": -1}'),
        ("ping", b"[]"),
        ("ping", b"{"),
    ],
)
def test_bad_arguments_are_refused_and_name_the_verb(verb: str, body: bytes) -> None:
    with pytest.raises(ControlError, match=verb):
        messages.decode_request([b"hrt1", b"1", verb.encode(), body])


def test_an_error_is_raised_again_at_the_other_side() -> None:
    frames = messages.encode_error(b"7", QueueFullError("the queue is full", "wait"))
    with pytest.raises(QueueFullError, match="the queue is full") as caught:
        messages.decode_reply(frames)
    assert caught.value.hint == "wait"


def test_a_good_reply_is_its_body() -> None:
    assert messages.decode_reply(messages.encode_reply(b"7", {"a": [1]})) == {"a": [1]}


def test_an_event_survives_the_wire() -> None:
    frames = messages.encode_event("job", {"event": "dead"})
    assert messages.decode_event(frames) == ("job", {"event": "dead"})


def test_every_verb_is_both_described_and_done() -> None:
    assert list(messages.VERBS) == list(verbs._VERBS)
