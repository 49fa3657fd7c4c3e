"""The campaign that measures takeovers runs as its page says; LONG=1 makes it the whole one."""

import os
from pathlib import Path

import pytest

from tests.crash.takeover import TIMES, campaign

LONG = bool(os.environ.get("LONG"))
TRIALS = 100 if LONG else 3
JOBS = 1_000_000 if LONG else 20_000


@pytest.mark.slow
@pytest.mark.timeout(3600 if LONG else 300)
@pytest.mark.parametrize("kind", ["kill", "upgrade"])
def test_each_takeover_is_followed_by_a_lease_and_a_start(tmp_path: Path, kind: str) -> None:
    outcome = campaign(tmp_path, TRIALS, JOBS, upgrade=kind == "upgrade")
    print(outcome)
    assert outcome["counts"]["rescues"] == 0
    times = outcome["times_ms"]
    assert [time["n"] for time in times.values()] == [TRIALS] * len(TIMES)
    begin = "supervisor killed" if kind == "kill" else "upgrade"
    leased, begun = (times[f"{begin}, {TIMES[name]}"] for name in ("leased_ms", "begun_ms"))
    assert begun["max"] >= leased["p50"] > 0
