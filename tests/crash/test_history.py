"""The judge of the campaign finds what it is there to find: each broken rule, in a log of its own.

The logs are made here, record by record, because the library writes none of these.
"""

from collections.abc import Iterable
from pathlib import Path

import pytest

from hybridrt import records
from hybridrt.names import Outcome
from hybridrt.records import ControlVerb, RecordType
from tests.crash.history import History
from tests.crash.ledger import Ledger, read_ledger
from tests.crash.mix import Batch
from tests.crash.verdict import judge

KEY = 77
ECHO, FOLLOW, APPEND = 0, 1, 2
KINDS = ["conf.echo", "conf.follow", "conf.append"]
QUEUES = ["block", "skip"]
BLOCK, SKIP = 0, 1


class Story:
    """A log told record by record; each record is a group unless it says otherwise."""

    def __init__(self) -> None:
        self.history = History()
        self._sequence = 0
        for number, name in enumerate(KINDS):
            self._control(ControlVerb.KIND, number, name.encode())
        for number, name in enumerate(QUEUES):
            self._control(ControlVerb.QUEUE, number, name.encode().ljust(64, b"\0"))

    def _add(self, record_type: RecordType, body: bytes, **fields: int) -> int:
        self._sequence += 1 + fields.pop("gap", 0)
        values = dict.fromkeys(records.HEADER_NAMES, 0)
        values |= {"flags": 1, "type": record_type, "sequence": self._sequence, **fields}
        header = records.HEADER.pack(*(values[name] for name in records.HEADER_NAMES))
        self.history._take(memoryview(header + body))
        return self._sequence

    def _control(self, verb: ControlVerb, number: int, data: bytes) -> None:
        self._add(RecordType.CONTROL, records.CONTROL.pack(verb, number, len(data)) + data)

    def enqueue(self, kind: int = ECHO, queue: int = BLOCK, key: int = 0, **fields: int) -> int:
        parent = fields.pop("parent", 0)
        payload = b'{"text": "p1-0"}'
        body = records.ENQUEUE.pack(0, 0, parent, 0, 0, len(payload), 0, 1, 0, 0, 0) + payload
        return self._add(RecordType.ENQUEUE, body, kind=kind, queue=queue, key_hash=key, **fields)

    def lease(self, *jobs: int) -> int:
        body = records.LEASE.pack(1) + b"".join(job.to_bytes(8, "little") for job in jobs)
        return self._add(RecordType.LEASE, body, count=len(jobs))

    def settle(self, job: int, token: int, outcome: Outcome = Outcome.OK, **fields: int) -> int:
        body = records.SETTLE.pack(job, token, 0, 0, outcome, 0)
        return self._add(RecordType.SETTLE, body, count=1, **fields)

    def run(self, job: int, outcome: Outcome = Outcome.OK, **fields: int) -> None:
        self.settle(job, self.lease(job), outcome, **fields)


def faults(story: Story) -> str:
    return "\n".join(story.history.faults)


def test_a_log_that_keeps_the_rules_has_no_fault() -> None:
    story = Story()
    first, second = story.enqueue(key=KEY), story.enqueue(key=KEY)
    story.run(first, Outcome.RETRY)
    story.run(first)
    story.run(second)
    assert faults(story) == ""


def test_a_second_settle_is_found() -> None:
    story = Story()
    job = story.enqueue()
    token = story.lease(job)
    story.settle(job, token)
    story.settle(job, token)
    assert "it was settled as OK" in faults(story)


def test_a_settle_without_its_lease_is_found() -> None:
    story = Story()
    job = story.enqueue()
    token = story.lease(job)
    story.settle(job, token - 1)
    assert f"the lease out is {token}" in faults(story)


def test_a_lease_of_a_job_that_runs_is_found() -> None:
    story = Story()
    job = story.enqueue()
    story.lease(job)
    second = story.lease(job)
    assert f"lease {second} of job {job}" in faults(story)


def test_two_jobs_of_a_key_out_at_a_time_are_found() -> None:
    story = Story()
    first, second = story.enqueue(queue=SKIP, key=KEY), story.enqueue(queue=SKIP, key=KEY)
    story.lease(first)
    story.lease(second)
    assert f"its key is out with job {first}" in faults(story)


@pytest.mark.parametrize(("queue", "allowed"), [(BLOCK, False), (SKIP, True)])
def test_a_job_that_passes_the_head_of_its_key_is_found(queue: int, allowed: bool) -> None:
    story = Story()
    first, second = story.enqueue(queue=queue, key=KEY), story.enqueue(queue=queue, key=KEY)
    story.run(first, Outcome.RETRY)
    story.run(second)
    assert (f"its key belongs to job {first}" in faults(story)) is not allowed


def test_a_gap_in_the_sequence_is_found() -> None:
    story = Story()
    job = story.enqueue(gap=1)
    assert f"record {job} follows {job - 2}" in faults(story)


def judged(story: Story, directory: Path, lines: Iterable[str] = ()) -> str:
    (directory / "ledger-1").write_text("".join(f"{line}\n" for line in lines))
    judge(story.history, directory, pins=0)
    return faults(story)


def test_an_acknowledged_job_that_is_not_in_the_log_is_found(tmp_path: Path) -> None:
    found = judged(Story(), tmp_path, ["4711 conf.echo block - p1-0"])
    assert "job 4711 was acknowledged and is not in the log" in found


def test_a_job_that_did_not_end_is_found(tmp_path: Path) -> None:
    story = Story()
    job = story.enqueue()
    assert f"job {job} (conf.echo) ended as None" in judged(story, tmp_path)


def test_jobs_in_another_order_than_they_were_enqueued_are_found(tmp_path: Path) -> None:
    story = Story()
    first, second = story.enqueue(), story.enqueue()
    story.run(first)
    story.run(second)
    lines = [f"{job} conf.echo block - p1-{job}" for job in (second, first)]
    assert f"job {first} was enqueued after job {second}" in judged(story, tmp_path, lines)


@pytest.mark.parametrize(("together", "count"), [(True, 2), (False, 3)])
def test_follow_ups_apart_from_their_parent_are_found(
    tmp_path: Path, together: bool, count: int
) -> None:
    story = Story()
    parent = story.enqueue(FOLLOW)
    story.run(parent, flags=int(not together))
    for place in range(count):
        story.enqueue(parent=parent, flags=int(place == count - 1))
    assert f"job {parent} was settled in group" in judged(story, tmp_path)


def test_a_handler_that_left_no_trace_is_found(tmp_path: Path) -> None:
    story = Story()
    job = story.enqueue(APPEND)
    story.run(job)
    assert f"job {job} completed, but its handler wrote no line" in judged(story, tmp_path)


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ("p1-0\n", ""),
        ("p1-0\np1-0\n", "ran 2 times, but was leased 1 times"),
        ("p1-0\np1-1\n", "a handler wrote p1-1, of which the log knows nothing"),
    ],
)
def test_handlers_that_ran_without_a_lease_are_found(
    tmp_path: Path, lines: str, fault: str
) -> None:
    story = Story()
    story.run(story.enqueue(APPEND))
    (tmp_path / "appended").write_text(lines)
    found = judged(story, tmp_path)
    assert fault in found if fault else found == ""


def test_a_ledger_that_was_cut_short_is_read_up_to_its_last_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "ledger-1"
    batch = Batch("conf.echo", "block", "", ["p1-0", "p1-1", "p1-2"], [b""] * 3)
    with Ledger(path) as ledger:
        ledger.add(batch, [7, -5, 9])
    path.write_text(path.read_text() + "12 conf.echo bl")
    assert [entry.job for entry in read_ledger(path)] == [7, 9]
