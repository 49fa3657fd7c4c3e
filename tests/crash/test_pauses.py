"""The campaigns that measure pauses run as their page says; LONG=1 makes them the whole ones."""

import os
from pathlib import Path

import pytest

from bench.deaths import Deaths, report
from tests.crash import restart
from tests.crash.takeover import TIMES, campaign

LONG = bool(os.environ.get("LONG"))
TRIALS = 100 if LONG else 3
JOBS = 1_000_000 if LONG else 20_000
DEATHS = 200 if LONG else 2
RESIDENT_BYTES = 1 << 30 if LONG else 16 << 20


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


@pytest.mark.slow
@pytest.mark.timeout(3600 if LONG else 300)
def test_each_death_is_followed_by_a_second_attempt_elsewhere() -> None:
    with Deaths(RESIDENT_BYTES) as deaths:
        for _ in range(DEATHS):
            deaths.trial()
    assert min(deaths.resident) >= RESIDENT_BYTES
    assert [times["n"] for times in report(deaths)["times_ms"].values()] == [DEATHS] * 2


def test_each_restart_finds_all_jobs(tmp_path: Path) -> None:
    outcome = restart.campaign(str(tmp_path), JOBS, 64, 1)
    assert outcome["violations"] == 0
    (times,) = outcome["times_ms"].values()
    assert times["n"] == outcome["counts"]["restarts"]
    assert not list(tmp_path.iterdir())
