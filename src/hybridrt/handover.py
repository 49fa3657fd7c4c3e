"""What a supervisor tells its standby: messages with descriptors over one AF_UNIX socket.

Everything that a supervisor holds and the log does not: lanes, worker processes, sockets, settings.
Each message is one JSON object with a type; descriptors travel beside it. docs/control.md has the
order of the messages.
"""

import array
import os
import socket
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from hybridrt.errors import HybridrtError, ProtocolError, VersionError

PROTOCOL = 1  # what this side speaks
PROTOCOL_MIN = 1  # the oldest that it still reads
# What this side understands, and what it needs the other side to understand: the meaning of the
# messages depends on these, so a side that does not know one of them must not go on.
FEATURES = frozenset({"lanes", "page"})
MUST = ("lanes", "page")
MESSAGE_BYTES_MAX = 1024 * 1024
FDS_MAX = 8  # of one message
SOCKET_NAME = "standby.sock"
PEER = -1  # in place of a worker's number: it attached by itself
LANE_FDS = 2  # in front of those of the streams


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag=str.lower):
    """Base of all messages. A field that the reader does not know is passed over."""


class Hello(Message, frozen=True, kw_only=True):
    """A standby introduces itself."""

    software: str
    abi: int
    protocol: int = PROTOCOL
    protocol_min: int = PROTOCOL_MIN
    must: tuple[str, ...] = ()
    upgrade: bool = False  # started to be handed over to


class Settings(Message, frozen=True, kw_only=True):
    """The configuration in use, in the shape of the file, and that file."""

    tables: dict[str, Any]
    origin: str
    words: dict[str, str] = {}  # of [runtime], said on the command line; they win over the file


class Welcome(Message, frozen=True, kw_only=True):
    """It may follow. With its process, its page, the directory's lock and the attach socket."""

    software: str
    abi: int
    protocol: int
    must: tuple[str, ...]
    settings: Settings
    directory: str  # that relative paths of the configuration start at


class Refused(Message, frozen=True, kw_only=True):
    """It may not, or does not want to."""

    reason: str


class Lane(Message, frozen=True, kw_only=True):
    """A lane. With its memory, its eventfd, and the ends of its worker's output in `streams`.

    Sent before the lane's client can have a job.
    """

    incarnation: int
    number: int
    submit_capacity: int
    pid: int
    pool: str
    name: str
    worker: int = PEER  # its number in the pool
    streams: tuple[str, ...] = ()


class Process(Message, frozen=True, kw_only=True):
    """The process behind a lane. With its pidfd."""

    incarnation: int
    pid: int
    started: float  # CLOCK_MONOTONIC


class Ended(Message, frozen=True, kw_only=True):
    """A lane's process is gone."""

    incarnation: int


class Complete(Message, frozen=True, kw_only=True):
    """All lanes that there are were sent; from here on, changes follow."""


class Ready(Message, frozen=True, kw_only=True):
    """The standby has caught up with the log and could go on at once."""


class Ping(Message, frozen=True, kw_only=True):
    """The standby asks for a sign of life, and says how far it is."""

    number: int
    sequence: int
    behind: int


class Pong(Message, frozen=True, kw_only=True):
    """The dispatch lock was taken and given back since that ping."""

    number: int


class Bye(Message, frozen=True, kw_only=True):
    """The supervisor ends on purpose, or wants no standby: leave."""

    reason: str
    again: tuple[str, ...] = ()  # the command that follows the next supervisor; empty: none is due


class Release(Message, frozen=True, kw_only=True):
    """The supervisor lets go of the log now: go on with it."""


class Candidate(Message, frozen=True, kw_only=True):
    """An upgrade began: who goes on in its place ends this process first. With its pidfd."""

    pid: int


class Taken(Message, frozen=True, kw_only=True):
    """The standby went on and is the supervisor from here."""

    epoch: int


AnyMessage = (
    Hello
    | Welcome
    | Refused
    | Settings
    | Lane
    | Process
    | Ended
    | Complete
    | Ready
    | Ping
    | Pong
    | Bye
    | Release
    | Candidate
    | Taken
)
_decoder = msgspec.json.Decoder(AnyMessage)
_TYPES = frozenset(cls.__struct_config__.tag for cls in AnyMessage.__args__)


@dataclass(slots=True)
class Held:
    """A lane as a standby keeps it, with the descriptors that the C library does not need."""

    lane: Lane
    streams: dict[str, int]
    memory: tuple[int, int] = (0, 0)  # device and inode of the lane
    pid: int = 0
    pidfd: int = -1  # -1: its process is not known yet
    started: float = 0.0

    def close(self) -> None:
        """Close the descriptors."""
        for fd in (*self.streams.values(), self.pidfd):
            if fd >= 0:
                os.close(fd)


@dataclass(frozen=True, slots=True)
class Speaker:
    """What one side of a handover says of itself."""

    software: str
    abi: int
    protocol: int
    protocol_min: int
    must: Collection[str]

    def name(self) -> str:
        """Return how to call this side in a sentence."""
        return f"hybridrt {self.software} (handover {self.protocol}, abi {self.abi})"


def us(software: str, abi: int) -> Speaker:
    """Return what this side says."""
    return Speaker(software, abi, PROTOCOL, PROTOCOL_MIN, MUST)


def agree(ours: Speaker, theirs: Speaker) -> int:
    """Return the protocol that both sides speak; raise VersionError, which names both."""
    unknown = sorted(set(theirs.must) - FEATURES)
    reason = ""
    if ours.abi != theirs.abi:
        reason = "their lanes have different layouts"
    elif theirs.protocol < ours.protocol_min or ours.protocol < theirs.protocol_min:
        reason = f"they read handovers from {theirs.protocol_min} and {ours.protocol_min} on"
    elif unknown:
        reason = f"{', '.join(unknown)} must be understood and is not known here"
    if reason:
        raise VersionError(
            f"{theirs.name()} and {ours.name()} cannot hand over to each other: {reason}",
            "drain and stop the old supervisor, then start the new one",
        )
    return min(ours.protocol, theirs.protocol)


def encode(message: Message) -> bytes:
    """Return the bytes of a message."""
    return msgspec.json.encode(message)


def decode(data: bytes) -> AnyMessage | None:
    """Understand a message; None when its type is not known; raise ProtocolError."""
    try:
        message: AnyMessage = _decoder.decode(data)
    except msgspec.DecodeError as error:
        if _is_foreign(data):
            return None
        raise ProtocolError(f"a message of the handover cannot be read: {error}") from error
    return message


def _is_foreign(data: bytes) -> bool:
    """Say whether this is a message of a type that came later; what must be known is in `must`."""
    try:
        fields = msgspec.json.decode(data, type=dict[str, Any])
    except msgspec.DecodeError:
        return False
    return isinstance(fields.get("type"), str) and fields["type"] not in _TYPES


def send(connection: socket.socket, data: bytes, fds: Sequence[int] = ()) -> None:
    """Send one message; the descriptors stay the caller's."""
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    connection.sendmsg([data], ancillary, socket.MSG_NOSIGNAL)


def receive(connection: socket.socket) -> tuple[bytes, list[int]]:
    """Take one message; empty at the end. The caller owns the descriptors."""
    try:
        data, ancillary, flags = _receive(connection)
    except ConnectionResetError:
        # Told once, ahead of all that was sent before: the peer died with words of ours unread.
        data, ancillary, flags = _receive(connection)
    fds = array.array("i")
    for level, kind, numbers in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(numbers[: len(numbers) - len(numbers) % fds.itemsize])
    if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
        raise ProtocolError(f"a message of the handover is over {MESSAGE_BYTES_MAX} bytes")
    return data, list(fds)


def _receive(connection: socket.socket) -> tuple[bytes, list[tuple[int, int, bytes]], int]:
    space = socket.CMSG_SPACE(FDS_MAX * array.array("i").itemsize)
    data, ancillary, flags, _ = connection.recvmsg(
        MESSAGE_BYTES_MAX, space, socket.MSG_CMSG_CLOEXEC
    )
    return data, ancillary, flags


def refusal(error: HybridrtError) -> Refused:
    """Return the message that tells why there is no handover."""
    return Refused(reason=error.message)
