"""Logs of the simulator against the reference model: with crashes, power cuts and takeovers.

LONG=1 reads 2,000 runs instead of 60.
"""

import os
import struct
import subprocess
from pathlib import Path

import pytest

from .model import Model

ROOT = Path(__file__).parents[2]
BUILD = Path(os.environ.get("HYBRIDRT_NATIVE_BUILD", ROOT / "build" / "native"))
SIMULATOR = BUILD / "native" / "sim" / "hrt-sim"
SEEDS = range(2000 if os.environ.get("LONG") == "1" else 60)
LENGTH = struct.Struct("<I")
HASH = struct.Struct("<Q")
CHECKPOINT, PAD = 5, 7
TYPE_AT = 44  # of the header
BODY_AT = 64


def read_dump(path: Path) -> tuple[int, list[bytes]]:
    """Give the hash of the live state at the end, and the records that led to it."""
    data = path.read_bytes()
    (digest,) = HASH.unpack_from(data)
    at = HASH.size
    records = []
    while at < len(data):
        (length,) = LENGTH.unpack_from(data, at)
        at += LENGTH.size
        records.append(data[at : at + length])
        at += length
    return digest, records


def replay(records: list[bytes]) -> tuple[Model, int]:
    """Give the model after all records, and how many checkpoints named the state that it had."""
    model = Model()
    compared = 0
    for record in records:
        if record[TYPE_AT] == CHECKPOINT:
            (named,) = HASH.unpack_from(record, BODY_AT)
            if named != 0:
                assert model.hash() == named
                compared += 1
        if record[TYPE_AT] != PAD:
            model.apply(record)
    return model, compared


@pytest.mark.parametrize("seed", SEEDS)
def test_model_agrees_with_the_simulated_runtime(seed: int, tmp_path: Path) -> None:
    """The model reads all that a simulated runtime wrote: its state is the same at each mark."""
    if not SIMULATOR.exists():
        pytest.skip("the simulator is not built: make native")
    dump = tmp_path / "records"
    subprocess.run(
        [SIMULATOR, "--seed", str(seed), "--dump", dump], check=True, stdout=subprocess.DEVNULL
    )
    if not dump.exists():
        pytest.skip("the run ended where nothing proves that the disk lied")
    digest, records = read_dump(dump)
    model, compared = replay(records)
    assert compared > 0
    assert model.hash() == digest


@pytest.mark.parametrize("words", [("--seed", "abc"), ("--seed", ""), ("--seed", "-1"), ("more",)])
def test_a_seed_that_is_no_number_is_refused(words: tuple[str, ...]) -> None:
    """Without this, another seed would be run, and called sound."""
    if not SIMULATOR.exists():
        pytest.skip("the simulator is not built: make native")
    done = subprocess.run([SIMULATOR, *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: hrt-sim" in done.stderr
