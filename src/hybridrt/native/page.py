"""The shared page: the names, settings and counters of a runtime, in memory that all map."""

from typing import Any

from hybridrt.native.library import ffi, lib, plain, text_of


class Page:
    """Counters and names in shared memory, read-only. Valid as long as its owner is open."""

    def __init__(self, pointer: Any, owner: object) -> None:
        """Read the hrt_page at `pointer`, which `owner` keeps mapped."""
        self._page = pointer
        self._owner = owner

    def buffer(self) -> memoryview:
        """Return the whole page as a read-only view."""
        return memoryview(ffi.buffer(self._page)).toreadonly()

    @property
    def segment_bytes(self) -> int:
        """Return the size of a segment of the log."""
        return int(self._page.segment_size)

    def kinds(self) -> list[str]:
        """Return the names of all kinds, in the order of their numbers."""
        return [text_of(self._page.kinds[number].text) for number in range(self._page.kind_count)]

    def queues(self) -> list[dict[str, Any]]:
        """Return the settings of all queues, in the order of their numbers."""
        return [plain(self._page.queues[number]) for number in range(self._page.queue_count)]

    def runtime_counters(self) -> dict[str, Any]:
        """Return the runtime's counters; histograms as dicts."""
        return plain(self._page.runtime)

    def queue_counters(self, number: int) -> dict[str, Any]:
        """Return the counters of one queue."""
        return plain(self._page.queue_counters[number])

    def kind_counters(self, number: int) -> dict[str, Any]:
        """Return the counters of one kind; histograms as dicts."""
        return plain(self._page.kind_counters[number])


def histogram_value_ns(bucket: int) -> int:
    """Return the lowest value that falls into a bucket of a histogram."""
    return int(lib.hrt_histogram_value(bucket))


def histogram_bucket(value_ns: int) -> int:
    """Return the bucket of a histogram that a value falls into."""
    return int(lib.hrt_histogram_bucket(value_ns))
