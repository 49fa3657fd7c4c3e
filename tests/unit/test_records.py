"""The layouts in hybridrt.records are those of the C headers."""

import re
from pathlib import Path
from struct import Struct

import pytest

from hybridrt import records
from hybridrt.names import JobState, Outcome

LAYOUT = (Path(__file__).parent.parent / "abi" / "layout.txt").read_text()
STRUCTS = {
    "hrt_record": records.HEADER,
    "hrt_enqueue_body": records.ENQUEUE,
    "hrt_lease_body": records.LEASE,
    "hrt_settle_entry": records.SETTLE,
    "hrt_control_body": records.CONTROL,
    "hrt_checkpoint_body": records.CHECKPOINT,
    "hrt_epoch_body": records.EPOCH,
    "hrt_saved_body": records.SAVED,
    "hrt_lanes_entry": records.LANES,
}
KEEP_OFFSET = records.ENQUEUE.size


def fields(name: str) -> list[tuple[str, int, int]]:
    """Return (field, offset, size) of a struct, without its padding."""
    block = re.search(rf"^struct {name} size=\d+.*\n((?:  .*\n)*)", LAYOUT, re.MULTILINE)
    assert block, name
    lines = [line.split() for line in block[1].splitlines()]
    parsed = [(n, int(o.split("=")[1]), int(s.split("=")[1])) for n, o, s in lines]
    return [field for field in parsed if not field[0].startswith(("reserved", "pad"))]


def numbered(struct: Struct, offset: int, size: int) -> tuple[object, ...]:
    """Unpack bytes that are 1 at the given place and 0 elsewhere."""
    data = bytearray(struct.size)
    data[offset : offset + size] = b"\x01" * size
    return struct.unpack(data)


@pytest.mark.parametrize(("name", "struct"), STRUCTS.items())
def test_each_field_is_where_the_header_has_it(name: str, struct: Struct) -> None:
    for index, (_, offset, size) in enumerate(fields(name)):
        values = numbered(struct, offset, size)
        assert [i for i, value in enumerate(values) if value not in (0, bytes(16))] == [index]


def test_the_fields_of_a_kept_job_are_where_the_header_has_them() -> None:
    for index, (_, offset, size) in enumerate(fields("hrt_keep_body")[1:]):
        values = numbered(records.KEEP, offset - KEEP_OFFSET, size)
        assert [i for i, value in enumerate(values) if value] == [index]


def test_the_type_is_read_alone_as_with_the_whole_header() -> None:
    plain = record(records.RecordType.LEASE, bytes(8))
    assert records.record_type(plain) == records.read_header(plain)["type"] == 2


def test_record_types_are_those_of_the_header() -> None:
    found = dict(re.findall(r"^enum hrt_record_type HRT_RECORD_(\w+)=(\d+)$", LAYOUT, re.MULTILINE))
    assert {kind.name: str(kind.value) for kind in records.RecordType} == found


def test_control_verbs_are_those_of_the_header() -> None:
    found = dict(
        re.findall(r"^enum hrt_control_verb HRT_CONTROL_(\w+)=(\d+)$", LAYOUT, re.MULTILINE)
    )
    assert {verb.name: str(verb.value) for verb in records.ControlVerb} == found


def record(kind: int, body: bytes, *, sequence: int = 7, count: int = 0) -> memoryview:
    length = records.HEADER.size + len(body)
    values = (length, 0, sequence, 64, 0, 5, 1, kind, 1, 0, 0, count, 0)
    return memoryview(records.HEADER.pack(*values) + body)


def test_settlements_are_told_apart_by_their_padded_data() -> None:
    entries = [(1, b"three"), (2, b""), (3, b"eight888")]
    body = b"".join(
        records.SETTLE.pack(job, 9, 0, len(data), Outcome.OK, 0)
        + data
        + bytes(-len(data) % records.ENTRY_ALIGN)
        for job, data in entries
    )
    settled = records.settlements(record(records.RecordType.SETTLE, body, count=3), 3)
    assert [(entry.job, entry.data) for entry in settled] == entries


@pytest.mark.parametrize(
    ("data", "said"),
    [(b"gr\xc3\xbcn", {"data": "grün"}), (b"\xff\x00", {"data_base64": "/wA="}), (b"", {})],
)
def test_no_byte_of_a_result_is_lost_in_its_description(data: bytes, said: dict[str, str]) -> None:
    body = records.SETTLE.pack(1, 9, 0, len(data), Outcome.OK, 0) + data + bytes(-len(data) % 8)
    described = records.Describer().describe(record(records.RecordType.SETTLE, body, count=1))
    assert described["settled"] == [{"job": 1, "outcome": "ok", "token": 9, **said}]


def test_an_enqueue_is_described_with_names_once_they_were_declared() -> None:
    describer = records.Describer()
    name = b"file.digest"
    kind = records.CONTROL.pack(records.ControlVerb.KIND, 0, len(name)) + name
    describer.describe(record(records.RecordType.CONTROL, kind))
    body = records.ENQUEUE.pack(0, 0, 3, 0, 0, 2, 0, 1, 3, 0, 0) + b"key{}"
    described = describer.describe(record(records.RecordType.ENQUEUE, body))
    assert described["kind"] == "file.digest"
    assert described["key"] == "key"
    assert described["parent"] == 3
    assert described["job"] == 7


@pytest.mark.parametrize(
    ("payload", "said"),
    [(b"{}", {"payload": "{}"}), (b"", {"payload": ""}), (b"\xff", {"payload_base64": "/w=="})],
)
def test_what_a_job_was_asked_is_described_if_wanted(payload: bytes, said: dict[str, str]) -> None:
    enqueue = records.ENQUEUE.pack(0, 0, 0, 0, 0, len(payload), 4, 1, 3, 0, records.TRACE_FLAG)
    trace = bytes(records.TRACE_SIZE)
    keep = records.KEEP.pack(7, 6, 0, 0, 0, 1, 0, 0, 1, 0, JobState.RUNNING, 0, 0, 0, 0)
    for kind, before in ((records.RecordType.ENQUEUE, b""), (records.RecordType.KEEP, keep)):
        raw = record(kind, enqueue + before + trace + b"key" + b"meta" + payload)
        described = records.Describer(payloads=True).describe(raw)
        assert {"key": "key", "meta": "meta", **said}.items() <= described.items()
        assert not {"meta", *said} & records.Describer().describe(raw).keys()


def test_what_a_job_saved_is_described_by_its_length() -> None:
    describer = records.Describer()
    body = records.SAVED.pack(5, 6, 4) + b"page"
    described = describer.describe(record(records.RecordType.SAVED, body))
    assert [described[name] for name in ("job", "token", "length")] == [5, 6, 4]
    job = records.ENQUEUE.pack(0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0)
    for saved in (b"", b"page"):
        keep = records.KEEP.pack(
            5, 6, 0, 0, 0, 1, 0, 0, 1, 0, JobState.RUNNING, 0, 0, 2, len(saved)
        )
        described = describer.describe(record(records.RecordType.KEEP, job + keep + saved))
        assert described["job"] == 5
        assert described.get("saved_length", 0) == len(saved)


def test_an_unknown_type_is_described_by_its_number() -> None:
    assert records.Describer().describe(record(99, b""))["type"] == "99"
