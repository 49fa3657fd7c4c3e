"""The C state against the reference model: same records, same jobs, same hash."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridrt._native import ffi, lib

from .model import Model
from .writer import Step, Writer, write

STEP = st.tuples(st.integers(0, 8), st.integers(0, 1000), st.integers(0, 1000))
STEPS = st.lists(STEP, max_size=80)
LONG_LOG = 400  # steps


@contextmanager
def replay() -> Iterator[object]:
    """Open a state that is fed by records."""
    handle = ffi.new("hrt_replay **")
    assert lib.hrt_replay_new(handle) == lib.HRT_OK
    try:
        yield handle[0]
    finally:
        lib.hrt_replay_free(handle[0])


def feed(state: object, records: list[bytes]) -> None:
    """Apply records."""
    for record in records:
        assert lib.hrt_replay_apply(state, record, len(record)) == lib.HRT_OK


def check_same(state: object, model: Model) -> None:
    """Compare every job, then the hash."""
    assert lib.hrt_replay_jobs(state) == len(model.jobs)
    info = ffi.new("hrt_job_info *")
    for job in model.jobs.values():
        assert lib.hrt_replay_job(state, job.id, info) == lib.HRT_OK
        expected = model.describe(job)
        assert {name: getattr(info, name) for name in expected} == expected
    assert lib.hrt_replay_hash(state) == model.hash()


def check_after_each_step(steps: list[Step]) -> None:
    """Write a log and feed it to a state step by step."""
    with replay() as state:
        seen = 0
        for writer in write(steps):
            feed(state, writer.records[seen:])
            seen = len(writer.records)
            check_same(state, writer.state)


@given(STEPS)
@settings(deadline=None, max_examples=200)
def test_every_record_does_the_same_to_the_state_and_the_model(steps: list[Step]) -> None:
    """Short logs that shrink well."""
    check_after_each_step(steps)


@pytest.mark.parametrize("seed", range(8))
def test_long_logs_do_the_same_to_the_state_and_the_model(seed: int) -> None:
    """Logs long enough that slots, keys and map entries are used again and again."""
    chance = random.Random(seed)
    rolls = [[chance.randint(0, 1000) for _ in range(3)] for _ in range(LONG_LOG)]
    check_after_each_step(
        [(what % 8 if which % 2 else what % 3, which, how) for what, which, how in rolls]
    )


@given(STEPS, st.integers(0, 80), STEPS)
@settings(deadline=None, max_examples=100)
def test_a_log_that_lost_its_beginning_ends_in_the_same_state(
    before: list[Step], kept_after: int, after: list[Step]
) -> None:
    """Drop a prefix of a log after its living jobs were copied forward."""
    writer = Writer(retain_max=10_000)  # a drop beyond the limit is not in the log
    writer.declare()
    for step in before:
        writer.step(step)
    cut = len(writer.records)
    writer.declare()
    old = sorted(writer.state.jobs)
    for number, step in enumerate(after):
        if number == kept_after:
            keep_what_lives(writer, old)
        writer.step(step)
    keep_what_lives(writer, old)
    with replay() as state:
        feed(state, writer.records[cut:])
        check_same(state, writer.state)


def keep_what_lives(writer: Writer, jobs: list[int]) -> None:
    """Append KEEP records for those of the jobs that still live."""
    for job in jobs:
        if job in writer.state.jobs:
            writer.keep(writer.state.jobs[job])


def test_a_record_that_does_not_fit_is_refused() -> None:
    """Unknown queues and truncated bodies are errors, not crashes."""
    writer = Writer()
    writer.declare()
    writer.enqueue(0, 0)
    job = writer.records[-1]
    with replay() as state:
        assert lib.hrt_replay_apply(state, job, len(job)) == lib.HRT_ECORRUPT
        assert lib.hrt_replay_apply(state, job, len(job) - 1) == lib.HRT_EINVAL
        assert lib.hrt_replay_apply(state, job, 10) == lib.HRT_EINVAL
        feed(state, writer.records)
        assert lib.hrt_replay_apply(state, job, len(job)) == lib.HRT_ECORRUPT
