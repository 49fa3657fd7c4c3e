"""The messages of a handover: their bytes, their descriptors, and which versions agree."""

import os
import socket
from pathlib import Path

import pytest

from hybridrt import handover
from hybridrt.errors import ProtocolError, VersionError
from hybridrt.handover import Speaker, agree

OURS = Speaker("1.0", abi=3, protocol=2, protocol_min=1, must=())


def speaker(**fields: object) -> Speaker:
    known = {"software": "1.1", "abi": 3, "protocol": 2, "protocol_min": 1, "must": ()}
    return Speaker(**{**known, **fields})  # type: ignore[arg-type]


def test_a_message_travels_with_its_descriptors() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs, Path(os.devnull).open() as null:
        sent = handover.Process(incarnation=7, pid=42, started=1.5)
        handover.send(ours, handover.encode(sent), [null.fileno()])
        data, fds = handover.receive(theirs)
        assert handover.decode(data) == sent
        assert os.path.samestat(os.fstat(fds[0]), os.fstat(null.fileno()))
        os.close(fds[0])
        ours.close()
        assert handover.receive(theirs) == (b"", [])


def test_what_a_peer_said_before_it_died_is_heard() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with theirs, Path(os.devnull).open() as file:
            handover.send(theirs, b"first", [file.fileno()])
            handover.send(theirs, b"second")
            handover.send(ours, b"unread")
        data, fds = handover.receive(ours)
        assert (data, len(fds)) == (b"first", 1)
        os.close(fds[0])
        assert handover.receive(ours) == (b"second", [])
        assert handover.receive(ours) == (b"", [])


def test_a_message_of_a_later_kind_is_passed_over() -> None:
    assert handover.decode(b'{"type":"weather","sunny":true}') is None


def test_a_field_of_a_later_version_is_passed_over() -> None:
    assert handover.decode(b'{"type":"ended","incarnation":3,"why":"x"}') == handover.Ended(
        incarnation=3
    )


def test_what_an_older_version_leaves_out_has_a_default() -> None:
    hello = handover.decode(b'{"type":"hello","software":"0.1","abi":3}')
    assert hello == handover.Hello(software="0.1", abi=3)


@pytest.mark.parametrize("data", [b"{}", b"[1]", b"nonsense", b'{"type":"ended"}'])
def test_a_broken_message_is_named(data: bytes) -> None:
    with pytest.raises(ProtocolError, match="cannot be read"):
        handover.decode(data)


@pytest.mark.parametrize(
    ("theirs", "protocol"),
    [
        (speaker(), 2),
        (speaker(protocol=1, protocol_min=1), 1),
        (speaker(protocol=5, protocol_min=2), 2),
        (speaker(must=("lanes", "page")), 2),
    ],
    ids=["same", "older", "newer", "features"],
)
def test_versions_that_agree(theirs: Speaker, protocol: int) -> None:
    assert agree(OURS, theirs) == protocol


@pytest.mark.parametrize(
    ("theirs", "reason"),
    [
        (speaker(abi=4), "different layouts"),
        (speaker(protocol=9, protocol_min=3), "from 3 and 1 on"),
        (speaker(protocol=0, protocol_min=0), "from 0 and 1 on"),
        (speaker(must=("lanes", "teleport")), "teleport must be understood"),
    ],
    ids=["layout", "too new", "too old", "must understand"],
)
def test_versions_that_do_not_agree_are_both_named(theirs: Speaker, reason: str) -> None:
    with pytest.raises(VersionError, match=reason) as caught:
        agree(OURS, theirs)
    assert theirs.name() in caught.value.message
    assert OURS.name() in caught.value.message


def test_this_version_understands_what_it_needs() -> None:
    ours = handover.us("1.0", 3)
    assert agree(ours, ours) == handover.PROTOCOL
