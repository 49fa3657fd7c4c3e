"""Random kills of every kind of process: no acknowledged job is lost and none settles twice.

LONG=1 makes it a thousand kills.
"""

import os
import secrets
import shutil

import pytest

from tests.crash.campaign import Plan, make_directory, run_campaign

LONG = bool(os.environ.get("LONG"))
KILLS = int(os.environ.get("KILLS", "1000" if LONG else "200"))
SEED = os.environ.get("SEED", secrets.token_hex(4))
PLANS = [
    Plan(KILLS, SEED),
    Plan(KILLS // 5, SEED, durability="memory"),
    Plan(KILLS // 5, SEED, recycle=True),
]


@pytest.mark.slow
@pytest.mark.timeout(3600 if LONG else 600)
@pytest.mark.parametrize("plan", PLANS, ids=["sync", "memory", "recycle"])
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
