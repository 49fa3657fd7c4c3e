"""The ways an attempt may end, the same in every language. Return them, or raise them.

A plain return value is Ok(value); an exception is Retry() with the queue's back-off, unless it is
a NonRetryableError, which is Dead. Pure.
"""

from hybridrt.names import Outcome
from hybridrt.options import Payload, Seconds, encode_payload
from hybridrt.units import parse_duration, to_nanoseconds

BACKOFF_NS = 2**64 - 1  # UINT64_MAX: the queue's own back-off
TEXT_BYTES_MAX = 4096  # of a reason or an error


class OutcomeError(Exception):
    """Base of the outcomes, an exception so that a helper deep down may raise one."""

    outcome: Outcome
    data: bytes = b""
    delay_ns: int = 0


class Ok(OutcomeError):  # noqa: N818 - reads as an outcome, not as an error
    """Completed, with an optional result."""

    outcome = Outcome.OK

    def __init__(self, result: Payload = None) -> None:
        """Keep the result; None is no result at all."""
        super().__init__()
        self.data = b"" if result is None else bytes(encode_payload(result))


class Retry(OutcomeError):  # noqa: N818 - reads as an outcome, not as an error
    """Failed; run again `after` a time, or when the queue's back-off says."""

    outcome = Outcome.RETRY

    def __init__(self, reason: str = "", *, after: Seconds | None = None) -> None:
        """Keep reason and delay."""
        super().__init__(reason)
        self.data = cut_text(reason)
        self.delay_ns = BACKOFF_NS if after is None else to_nanoseconds(parse_duration(after))


class Snooze(OutcomeError):  # noqa: N818 - reads as an outcome, not as an error
    """Not a failure; run again `after` a time, with no attempt used."""

    outcome = Outcome.SNOOZE

    def __init__(self, after: Seconds) -> None:
        """Keep the delay."""
        super().__init__()
        self.delay_ns = to_nanoseconds(parse_duration(after))


class HandBack(OutcomeError):  # noqa: N818 - reads as an outcome, not as an error
    """Not a failure; back to its place in the queue for another worker, with no attempt used.

    For handlers that see that their worker drains, after a checkpoint of what they have done.
    """

    outcome = Outcome.RETURNED


class Discard(OutcomeError):  # noqa: N818 - reads as an outcome, not as an error
    """Drop the job, with a reason."""

    outcome = Outcome.DISCARD

    def __init__(self, reason: str = "") -> None:
        """Keep the reason."""
        super().__init__(reason)
        self.data = cut_text(reason)


class Dead(OutcomeError):  # noqa: N818 - reads as an outcome, not as an error
    """Make the job a dead letter, with a reason."""

    outcome = Outcome.DEAD

    def __init__(self, reason: str = "") -> None:
        """Keep the reason."""
        super().__init__(reason)
        self.data = cut_text(reason)


class NonRetryableError(Exception):
    """Raise this, or a subclass, for a failure that another attempt cannot mend."""


def cut_text(text: str) -> bytes:
    """Return UTF-8 within the limit of an error text, cut between characters."""
    data = text.encode("utf-8", "replace")
    if len(data) <= TEXT_BYTES_MAX:
        return data
    return data[:TEXT_BYTES_MAX].decode("utf-8", "ignore").encode()
