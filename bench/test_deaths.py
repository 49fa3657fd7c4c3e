"""A worker is killed in the middle of a job: how long until the job runs elsewhere?"""

from typing import Any

import pytest

from bench import figures
from bench.deaths import Deaths
from bench.scale import Scale

TIMEOUT_S = 600


@pytest.mark.timeout(TIMEOUT_S)
def test_worker_death(benchmark: Any, note: Any, scale: Scale) -> None:
    """SIGKILL to the start of the job elsewhere, beside the time until the kernel tells the end."""
    with Deaths(scale.resident_bytes) as deaths:
        benchmark.pedantic(deaths.trial, rounds=scale.deaths)
    note(
        "death",
        system="hybridrt",
        resident_bytes=min(deaths.resident),
        command="make bench BENCH='-k worker_death'",
        latency={
            "kill_to_start_elsewhere": figures.exact(deaths.recovered),
            "kill_to_exit_reported": figures.exact(deaths.reaped),
        },
    )
