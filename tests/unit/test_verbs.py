"""What verbs of the control protocol do with a runtime that goes on meanwhile."""

import asyncio
from types import SimpleNamespace
from typing import Any

from hybridrt import messages
from hybridrt.errors import JobNotFoundError
from hybridrt.verbs import answer


def test_a_job_that_ends_while_it_is_listed_is_left_out() -> None:
    def describe(info: dict[str, Any]) -> dict[str, Any]:
        if info["id"] == 2:
            raise JobNotFoundError("there is no job 2")
        return info

    page = SimpleNamespace(queues=list, kinds=list)
    runtime = SimpleNamespace(page=page, jobs=lambda *_: ([{"id": n} for n in (1, 2, 3)], 0))
    supervisor: Any = SimpleNamespace(runtime=runtime, job_info=describe)
    reply = asyncio.run(answer(supervisor, "job.ls", messages.JobFilter()))
    assert [job["id"] for job in reply["jobs"]] == [1, 3]
