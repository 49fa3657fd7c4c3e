"""Records that are made outside the runtime: an operator's note, and what fills a gap.

They get their checksums from hybridrt.segments.seal. Pure: numbers in, bytes out.
"""

from dataclasses import dataclass

from hybridrt.records import CONTROL, HEADER, ControlVerb, RecordType

ALIGN = 64
GROUP_BYTES_MAX = 1_048_576
LAST = 1  # enum hrt_record_flag


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record goes, and what its neighbours say."""

    sequence: int
    position: int
    durable: int
    time_ns: int
    epoch: int


def _record(place: Place, kind: int, body: bytes, *, length: int = 0, count: int = 0) -> bytes:
    length = length or HEADER.size + len(body)
    head = HEADER.pack(
        length, 0, place.sequence, place.position, place.durable, place.time_ns, place.epoch,
        kind, LAST, 0, 0, count, length if kind == RecordType.PAD else 0,
    )  # fmt: skip
    made = head + body
    return made + bytes(-len(made) % ALIGN)


def note(place: Place, text: bytes) -> bytes:
    """Make a CONTROL record with an operator's note, a group of its own."""
    return _record(place, RecordType.CONTROL, CONTROL.pack(ControlVerb.NOTE, 0, len(text)) + text)


def note_bytes(text: bytes) -> int:
    """Return how many bytes of the log the note takes."""
    return -(-(HEADER.size + CONTROL.size + len(text)) // ALIGN) * ALIGN


def void(place: Place, size: int) -> bytes:
    """Make a VOID record of `size` bytes."""
    return _record(place, RecordType.VOID, bytes(size - HEADER.size))


def pad(place: Place, size: int) -> bytes:
    """Make the header of a PAD over `size` bytes, up to the end of a segment."""
    return _record(place, RecordType.PAD, b"", length=size, count=1)


def fill(first: Place, count: int, size: int, *, to_end: bool) -> bytes:
    """Fill `size` bytes with `count` records, the last a PAD if they end a segment.

    Raises ValueError when no records could have stood there in such a number.
    """
    if count * ALIGN > size:
        raise ValueError(f"{count} records do not fit into {size} bytes")
    made = bytearray()
    for index in range(count):
        place = Place(
            first.sequence + index, first.position + len(made), first.durable, first.time_ns,
            first.epoch,
        )  # fmt: skip
        left = size - len(made)
        if to_end and index == count - 1:
            made += pad(place, left)
            made += bytes(size - len(made))
        else:
            behind = count - index - 1
            piece = min(GROUP_BYTES_MAX // 2, left - behind * ALIGN)
            if to_end:
                piece = ALIGN
            made += void(place, piece)
    if len(made) != size:
        raise ValueError(f"{count} records do not fill {size} bytes")
    return bytes(made)
