"""The campaign that measures takeovers runs as its page says; LONG=1 makes it the whole one."""

import os
from pathlib import Path

import pytest

from tests.crash.takeover import campaign

LONG = bool(os.environ.get("LONG"))
TRIALS = 100 if LONG else 3
JOBS = 1_000_000 if LONG else 20_000


@pytest.mark.slow
@pytest.mark.timeout(3600 if LONG else 300)
@pytest.mark.parametrize("kind", ["kill", "upgrade"])
def test_each_takeover_is_followed_by_a_lease_and_a_start(tmp_path: Path, kind: str) -> None:
    outcome = campaign(tmp_path, TRIALS, JOBS, upgrade=kind == "upgrade")
    print(outcome)
    assert outcome["jobs"] > JOBS // 2
    assert outcome["rescues"] == 0
    assert outcome["begun_ms"]["max"] >= outcome["leased_ms"]["p50"] > 0
