"""The counters of a runtime as numpy views on shared memory: no copy, no call, always current.

The layout of the views comes from the compiled header. Views are valid until the runtime or client
that they came from is closed; ``.copy()`` what has to live longer.
"""

from functools import cache
from typing import TYPE_CHECKING, Any

from hybridrt.errors import UnknownKindError, UnknownQueueError
from hybridrt.native import Page, histogram_value_ns, layout, struct_size

if TYPE_CHECKING:
    import numpy as np

PERCENTILES = (50.0, 90.0, 99.0, 99.9)
_INTEGERS = {
    "uint64_t": "<u8",
    "uint32_t": "<u4",
    "uint16_t": "<u2",
    "uint8_t": "u1",
    "int32_t": "<i4",
    "int64_t": "<i8",
}


@cache
def dtype(name: str) -> "np.dtype[Any]":
    """Return the numpy type of a C struct, as the compiler laid it out."""
    import numpy as np

    names, formats, offsets = [], [], []
    for field, text, offset, size in layout(name):
        names.append(field)
        formats.append(_format(text, size))
        offsets.append(offset)
    return np.dtype(
        {
            "names": names,
            "formats": formats,
            "offsets": offsets,
            "itemsize": struct_size(name),
        }
    )


def _format(text: str, size: int) -> Any:
    """Return the numpy format of one field: an integer, text, a struct, or an array of them."""
    element, _, count = text.partition("[")
    if element == "char":
        return f"S{size}"
    one = _INTEGERS.get(element) or dtype(element)
    return (one, (int(count.rstrip("]")),)) if count else one


class Stats:
    """Views on the counters: `runtime`, one row a queue in `queues`, one row a kind in `kinds`.

    Example:
        >>> stats = rt.stats()                                        # doctest: +SKIP
        >>> stats.queue("default")["completed"]                       # doctest: +SKIP
        >>> stats.percentiles(stats.kind("image.resize")["run"])      # doctest: +SKIP
    """

    def __init__(self, page: Page) -> None:
        """Look at the page; its owner is kept alive."""
        import numpy as np

        self._page = page
        view = np.frombuffer(page.buffer(), dtype=dtype("hrt_page"), count=1)[0]
        self.page: Any = view

    @property
    def runtime(self) -> Any:
        """Return the counters of the runtime, one record."""
        return self.page["runtime"]

    @property
    def queue_names(self) -> list[str]:
        """Return the names of the queues, in the order of the rows."""
        return [settings["name"] for settings in self._page.queues()]

    @property
    def kind_names(self) -> list[str]:
        """Return the names of the kinds, in the order of the rows."""
        return self._page.kinds()

    @property
    def queues(self) -> Any:
        """Return the counters of all queues, a structured array."""
        return self.page["queue_counters"][: int(self.page["queue_count"])]

    @property
    def kinds(self) -> Any:
        """Return the counters of all kinds, a structured array."""
        return self.page["kind_counters"][: int(self.page["kind_count"])]

    def queue(self, name: str) -> Any:
        """Return the counters of one queue; raise UnknownQueueError."""
        if name not in self.queue_names:
            raise UnknownQueueError(f"no queue named {name!r} is declared")
        return self.queues[self.queue_names.index(name)]

    def kind(self, name: str) -> Any:
        """Return the counters of one kind; raise UnknownKindError."""
        if name not in self.kind_names:
            raise UnknownKindError(f"no kind named {name!r} is known")
        return self.kinds[self.kind_names.index(name)]

    @staticmethod
    def percentiles(histogram: Any, wanted: tuple[float, ...] = PERCENTILES) -> dict[float, float]:
        """Return percentiles of a histogram in seconds; empty when it counted nothing."""
        filled = {place: int(count) for place, count in enumerate(histogram["buckets"]) if count}
        return percentiles(filled, wanted)


def percentiles(
    buckets: dict[int, int], wanted: tuple[float, ...] = PERCENTILES
) -> dict[float, float]:
    """Return percentiles in seconds of counts by bucket, at the middle of the bucket."""
    total = sum(buckets.values())
    found: dict[float, float] = {}
    below = 0
    remaining = sorted(wanted)
    for bucket in sorted(buckets):
        below += buckets[bucket]
        while remaining and below >= total * remaining[0] / 100:
            middle_ns = (histogram_value_ns(bucket) + histogram_value_ns(bucket + 1)) / 2
            found[remaining.pop(0)] = middle_ns / 1e9
    return found


def summary(histogram: dict[str, Any]) -> dict[str, Any]:
    """Describe a plain histogram for people and JSON: count, mean, max and percentiles in ns."""
    count = histogram["count"]
    marks = percentiles(histogram["buckets"])
    return {
        "count": count,
        "mean_ns": histogram["sum_ns"] // count if count else 0,
        "max_ns": histogram["max_ns"],
        **{f"p{mark:g}_ns": round(seconds * 1e9) for mark, seconds in marks.items()},
    }


def snapshot(page: Page) -> dict[str, Any]:
    """Copy all counters into plain dicts, without numpy, for the control plane."""
    queues = [
        {"name": settings["name"], **page.queue_counters(number)}
        for number, settings in enumerate(page.queues())
    ]
    kinds = [
        {"name": name, **_summarised(page.kind_counters(number))}
        for number, name in enumerate(page.kinds())
    ]
    return {"runtime": _summarised(page.runtime_counters()), "queues": queues, "kinds": kinds}


def _summarised(counters: dict[str, Any]) -> dict[str, Any]:
    return {
        name: summary(value) if isinstance(value, dict) else value
        for name, value in counters.items()
    }
