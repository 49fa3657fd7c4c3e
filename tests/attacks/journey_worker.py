"""The Python worker of the journeys: writes down what it begins, and what the log has committed.

The mark of a step is its follow-up job. It commits with the step's end, so one that runs says that
the end is in the log; and a step that were committed twice would have two of them.
"""

import os
from pathlib import Path

import hybridrt
from tests.attacks.journey_notes import BEGUN, DONE, Note

ERA = int(os.environ["JOURNEY_ERA"])
NOTES = Path(os.environ["JOURNEY_NOTES"])

worker = hybridrt.Worker(concurrency=3)


def note(what: str, job: hybridrt.Job, tag: str, key: str = "") -> None:
    Note(ERA, what, job.id, job.token, job.queue, key, tag).append(NOTES)


@worker.handle("journey.step")
def step(job: hybridrt.Job) -> None:
    """Fail as often as the payload says, then end with a mark."""
    order = job.json()
    note(BEGUN, job, order["tag"], order["key"])
    job.wait(order["ms"] / 1000)
    if job.attempt <= order["failures"]:
        raise RuntimeError(f"attempt {job.attempt} fails")
    job.enqueue("journey.mark", order["tag"])


@worker.handle("journey.mark")
def mark(job: hybridrt.Job) -> None:
    note(DONE, job, job.text())


worker.run()
