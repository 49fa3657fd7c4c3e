"""The vocabulary of the layouts, as Python enums, and the rules for names.

The values are those of native/include/hybridrt/abi.h; tests/unit/test_names.py compares them.
"""

from enum import IntEnum

from hybridrt.errors import InvalidNameError

NAME_BYTES_MAX = 63  # of a kind, a queue or a pool
KEY_BYTES_MAX = 255
META_BYTES_MAX = 4096
PAYLOAD_BYTES_MAX = 262_144
RESULT_BYTES_MAX = 65_536
DEFAULT_QUEUE = "default"


class Durability(IntEnum):
    """How safe a job is when its enqueue is acknowledged."""

    SYNC = 0
    ASYNC = 1
    MEMORY = 2


class Order(IntEnum):
    """What a failed job does to the jobs with the same key behind it."""

    BLOCK = 0
    SKIP = 1


class JobState(IntEnum):
    """Where a job is in its life; the last five are terminal."""

    SCHEDULED = 1
    READY = 2
    RUNNING = 3
    RETRYING = 4
    COMPLETED = 5
    DEAD = 6
    CANCELLED = 7
    EXPIRED = 8
    DISCARDED = 9

    @property
    def terminal(self) -> bool:
        """Say whether the job has ended."""
        return self >= JobState.COMPLETED


class Outcome(IntEnum):
    """How an attempt, or a job, came to an end."""

    OK = 1
    RETRY = 2
    SNOOZE = 3
    DISCARD = 4
    DEAD = 5
    RETURNED = 6
    CRASHED = 7
    LOST = 8
    TIMEOUT = 9
    CANCELLED = 10
    EXPIRED = 11
    FORGOTTEN = 12
    REVIVED = 13


class EventType(IntEnum):
    """What the runtime tells the supervisor."""

    ATTACHED = 1
    REGISTERED = 2
    DETACHED = 3
    DIED = 4
    FAULT = 5
    HUNG = 6
    KILL = 7
    DEAD = 8
    FAILED = 9
    SNAPSHOT = 10


class Delivery(IntEnum):
    """What the runtime tells a client."""

    LEASE = 1
    CANCEL = 2
    REFUSED = 3
    RESULT = 4
    SPACE = 5
    SAVED = 6
    ADOPTED = 7


def name_fault(name: str) -> str:
    """Say what is wrong with a kind, queue or pool name; empty when it is fine."""
    size = len(name.encode("utf-8", "surrogatepass"))
    if size == 0:
        return "a name must not be empty"
    if size > NAME_BYTES_MAX:
        return f"a name has at most {NAME_BYTES_MAX} bytes, this one has {size}"
    if any(character < " " or character == "\x7f" for character in name):
        return "a name must not hold control characters"
    return ""


def check_name(name: str, what: str) -> None:
    """Raise InvalidNameError unless `name` can name a `what` (kind, queue, pool)."""
    fault = name_fault(name)
    if fault:
        raise InvalidNameError(f"{what} {name!r}: {fault}")
