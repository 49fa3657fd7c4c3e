"""Random kills of every kind of process: no acknowledged job is lost and none settles twice.

LONG=1 makes it a thousand kills.
"""

import os
import secrets
import shutil

import pytest

from tests.crash.campaign import make_directory, run_campaign

LONG = bool(os.environ.get("LONG"))
KILLS = int(os.environ.get("KILLS", "1000" if LONG else "200"))
MEMORY_SHARE = 5  # one kill in memory for so many on disk


@pytest.mark.slow
@pytest.mark.timeout(3600 if LONG else 600)
@pytest.mark.parametrize(
    ("durability", "kills"), [("sync", KILLS), ("memory", KILLS // MEMORY_SHARE)]
)
def test_killed_processes_lose_no_job_and_settle_none_twice(durability: str, kills: int) -> None:
    seed = os.environ.get("SEED", secrets.token_hex(4))
    print(f"seed {seed}")
    directory = make_directory(durability)
    try:
        outcome = run_campaign(kills, seed, durability, directory)
    finally:
        shutil.rmtree(directory)
    print(outcome.text())
    assert outcome.history.faults == []
    assert outcome.kills.total() >= kills
    assert outcome.acknowledged > kills
