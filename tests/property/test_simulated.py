"""Logs of the simulator against the reference model: crashes, power cuts and takeovers included."""

import os
import struct
import subprocess
from pathlib import Path

import pytest

from .model import Model

ROOT = Path(__file__).parents[2]
BUILD = Path(os.environ.get("HYBRIDRT_NATIVE_BUILD", ROOT / "build" / "native"))
SIMULATOR = BUILD / "native" / "sim" / "hrt-sim"
SEEDS = range(6)
LENGTH = struct.Struct("<I")
HASH = struct.Struct("<Q")
PAD = 7
TYPE_AT = 44  # of the header


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


@pytest.mark.parametrize("seed", SEEDS)
def test_model_agrees_with_the_simulated_runtime(seed: int, tmp_path: Path) -> None:
    """The model reads all that a simulated runtime wrote, and comes to the state it had."""
    if not SIMULATOR.exists():
        pytest.skip("the simulator is not built: make build")
    dump = tmp_path / "records"
    subprocess.run(
        [SIMULATOR, "--seed", str(seed), "--dump", dump], check=True, stdout=subprocess.DEVNULL
    )
    digest, records = read_dump(dump)
    model = Model()
    for record in records:
        if record[TYPE_AT] != PAD:
            model.apply(record)
    assert len(records) > 1
    assert model.hash() == digest
