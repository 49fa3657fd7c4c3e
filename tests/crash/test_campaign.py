"""Random kills of every kind of process: no acknowledged job is lost and none settles twice.

More than a thousand kills in all; LONG=1 makes it ten times as many.
"""

import os
import secrets
import shutil

import pytest

from tests.crash.campaign import Plan, make_directory, run_campaign

LONG = bool(os.environ.get("LONG"))
KILLS = int(os.environ.get("KILLS", "5000" if LONG else "500"))
SEED = os.environ.get("SEED", secrets.token_hex(4))
ENOUGH = 100  # kills, for some of the restarts to begin from a snapshot
PLANS = [
    Plan(KILLS, SEED),
    Plan(KILLS // 4, SEED, durability="memory"),
    Plan(KILLS // 2, SEED, recycle=True),
    Plan(KILLS // 2, SEED, standby=True),
]


@pytest.mark.slow
@pytest.mark.timeout(7200 if LONG else 900)
@pytest.mark.parametrize("plan", PLANS, ids=["sync", "memory", "recycle", "standby"])
def test_killed_processes_lose_no_job_and_settle_none_twice(plan: Plan) -> None:
    print(f"seed {plan.seed}")
    directory = make_directory(plan.durability)
    try:
        outcome = run_campaign(plan, directory)
    finally:
        shutil.rmtree(directory)
    print(outcome.text())
    assert outcome.history.faults == []
    assert outcome.kills.total() >= plan.kills
    assert outcome.acknowledged > plan.kills
    assert outcome.resumed > 0 or not plan.standby or plan.kills < ENOUGH
