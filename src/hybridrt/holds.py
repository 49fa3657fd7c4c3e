"""Who still needs which segments of the log: the lowest of them all is what the runtime holds."""

import threading
from collections.abc import Callable

NOTHING = 2**64 - 1  # hrt_runtime_hold: every segment may be used again


class Holds:
    """The holders by name; `hold` is told the lowest segment that any of them needs."""

    def __init__(self, hold: Callable[[int], None]) -> None:
        """Begin with no holder."""
        self._hold = hold
        self._segments: dict[str, int] = {}
        self._lock = threading.Lock()

    def set(self, holder: str, segment: int) -> None:
        """Hold `segment` and all later ones for this holder, in place of what it held before."""
        with self._lock:
            self._segments[holder] = segment
            self.tell()

    def clear(self, holder: str) -> None:
        """Hold nothing for this holder any more."""
        with self._lock:
            self._segments.pop(holder, None)
            self.tell()

    def lowest(self) -> int | None:
        """Return the lowest segment that somebody needs; None: nobody needs any."""
        return min(self._segments.values(), default=None)

    def tell(self) -> None:
        """Tell the runtime the lowest segment."""
        self._hold(min(self._segments.values(), default=NOTHING))
