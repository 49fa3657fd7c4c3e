"""Records that fill a gap: as many as were lost, in exactly the bytes that were there."""

import itertools

import pytest

from hybridrt.fillers import ALIGN, Place, fill, note, note_bytes
from hybridrt.records import RecordType, read_header
from hybridrt.segments import Run, seal

UUID = bytes(range(16))
FIRST = Place(sequence=41, position=7 * 65_536 + 8192, durable=9, time_ns=5, epoch=3)


@pytest.mark.parametrize(("count", "size"), [(1, 64), (1, 4096), (3, 192), (5, 6400), (40, 65_536)])
@pytest.mark.parametrize("to_end", [False, True])
def test_a_gap_is_filled_exactly(count: int, size: int, *, to_end: bool) -> None:
    made = bytearray(fill(FIRST, count, size, to_end=to_end))
    assert len(made) == size
    seal(UUID, memoryview(made))
    run = Run(UUID, FIRST.position, FIRST.sequence - 1, FIRST.epoch)
    run.check(made)
    assert (run.records, run.sequence) == (count, FIRST.sequence + count - 1)
    assert run.position == FIRST.position + size
    assert run.full == to_end
    assert run.group_position == run.position


@pytest.mark.parametrize("to_end", [False, True])
def test_more_records_than_bytes_are_refused(*, to_end: bool) -> None:
    for count, size in itertools.product((3, 9), (64, 128)):
        with pytest.raises(ValueError, match="records do not fi"):
            fill(FIRST, count, size, to_end=to_end)


def test_a_note_is_a_group_of_its_own() -> None:
    made = bytearray(note(FIRST, b'{"event":"test"}'))
    assert len(made) == note_bytes(b'{"event":"test"}')
    assert len(made) % ALIGN == 0
    seal(UUID, memoryview(made))
    header = read_header(memoryview(made))
    assert (header["type"], header["flags"]) == (RecordType.CONTROL, 1)
    run = Run(UUID, FIRST.position)
    run.check(made)
    assert run.group_sequence == FIRST.sequence
