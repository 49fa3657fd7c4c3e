"""Verifiers in three languages agree on every proof, as it is and with any byte changed.

SEED repeats a run, TAMPERS makes it larger.
"""

import json
import os
import random
import secrets
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from hybridrt.proof.audit import audit
from hybridrt.proof.tiles import Folder
from tests.proof import proven_log
from tests.proof.proven_log import Proven
from tests.proof.tampering import (
    Cases,
    drop_segments,
    tamper_files,
    tamper_receipts,
    tamper_records,
)
from tests.proof.verifiers import VERIFIERS, verdicts

TAMPERS = int(os.environ.get("TAMPERS", "1200"))
SEED = os.environ.get("SEED", secrets.token_hex(4))


@pytest.fixture(scope="module")
def proven(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proven]:
    with tempfile.TemporaryDirectory(prefix="hrt-") as runtime:
        yield proven_log.make(tmp_path_factory.mktemp("proven"), Path(runtime) / "run")


@pytest.fixture(scope="module")
def cases(proven: Proven, tmp_path_factory: pytest.TempPathFactory) -> Cases:
    print(f"seed {SEED}")
    made = Cases(tmp_path_factory.mktemp("cases"), random.Random(SEED))
    whole = {"keys": [proven.vkey], "directory": str(proven.directory), "log": str(proven.log)}
    made.add("whole", accepted=True, **whole)
    tamper_records(made, proven, TAMPERS // 3)
    tamper_files(made, proven, TAMPERS // 3)
    tamper_receipts(made, proven, every=max(1, 16 * 1200 // TAMPERS))
    drop_segments(made, proven)
    made.add("whole", accepted=True, **whole)
    made.write()
    return made


@pytest.mark.timeout(600)
@pytest.mark.parametrize("language", VERIFIERS)
def test_every_changed_byte_is_rejected_and_nothing_else(language: str, cases: Cases) -> None:
    found = verdicts(VERIFIERS[language], cases)
    wrong = [
        (cases.lines[number], found.get(number))
        for number, accepted in cases.expected.items()
        if found.get(number, (None, ""))[0] is not accepted
    ]
    assert wrong == []
    tampered = Counter(cases.kinds[n] for n, accepted in cases.expected.items() if not accepted)
    assert tampered.total() >= min(TAMPERS, 1000)
    assert set(tampered) == {"record", "checkpoint", "0", "1", "entries", "receipt", "segment"}


@pytest.mark.parametrize("language", ["go", "rust"])
def test_the_command_says_what_holds_by_its_status(
    language: str, proven: Proven, cases: Cases
) -> None:
    def run(*words: object) -> "subprocess.CompletedProcess[str]":
        command = [VERIFIERS[language][0], *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    key = ["--key", proven.vkey]
    whole = run(*key, "--log", proven.log, proven.directory)
    assert whole.returncode == 0, whole.stderr
    assert whole.stdout.startswith(f"ok: {proven.vkey.partition('+')[0]}, ")
    receipt, record = cases.home / "enqueue-1.tlog-proof", cases.home / "enqueue-1.record"
    assert run(*key, "--record", record, receipt).stdout == whole.stdout
    assert run(*key, receipt).returncode == 0
    other = run(*key, "--record", cases.home / "settle-1.record", receipt)
    assert (other.returncode, other.stdout) == (1, "")
    assert f"{receipt}: record " in other.stderr
    assert "is not the one that was signed" in other.stderr
    both = cases.home / "enqueue-2.tlog-proof"  # a witness signed it too
    assert run(*key, both).returncode == 0
    assert run(*key, "--key", proven.witness().verifier, receipt).returncode == 1
    assert run(*key, "--log", proven.log, receipt).returncode == 1
    assert run(receipt).returncode == run(*key).returncode == run("--key").returncode == 2


@pytest.mark.parametrize("language", ["go", "rust"])
def test_records_that_the_log_has_no_more_are_counted(
    language: str, proven: Proven, cases: Cases
) -> None:
    """As in Python, which is asked too: a log uses its segments again."""
    oldest = next(
        json.loads(line)["log"]
        for line in cases.lines
        if cases.kinds[json.loads(line)["id"]] == "segment"
    )
    checked = audit(Folder(proven.directory), [proven.verifier], Path(oldest))
    assert checked.gone > 0
    words = ["--key", proven.vkey, "--log", oldest, str(proven.directory)]
    run = subprocess.run(
        [VERIFIERS[language][0], *words], capture_output=True, text=True, check=False, timeout=60
    )
    assert f"records, {checked.gone} of them no longer in the log, root" in run.stdout, run.stderr


def test_rejections_are_for_the_right_reason(cases: Cases) -> None:
    """A changed record is named by its sequence; a missing file would be rejected for nothing."""
    found = verdicts(VERIFIERS["python"], cases)
    records = [found[n][1] for n, kind in cases.kinds.items() if kind == "record"]
    assert all("record" in reason for reason in records)
    assert not any(str(cases.home) in reason for _, reason in found.values())
