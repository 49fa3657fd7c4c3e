"""A prover that is killed, or loses what was not synced, never contradicts what it signed.

LONG=1 kills at every single operation on files.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from hybridrt.errors import (
    AlreadyRunningError,
    ForkError,
    ProofError,
    ProofKeyError,
    ProofMissingError,
)
from hybridrt.files import write_durably
from hybridrt.proof import keys, note
from hybridrt.proof.audit import audit
from hybridrt.proof.checkpoint import parse_head
from hybridrt.proof.follower import SEGMENT, SPARE, identify
from hybridrt.proof.leaf import LOST, read_entry
from hybridrt.proof.prover import MEMO, Prover
from hybridrt.proof.tiles import CHECKPOINT, Folder, Tiles
from hybridrt.proof.tree import root_of
from hybridrt.records import TYPE_OFFSET, RecordType
from hybridrt.segments import MARK_OFFSET
from tests.proof import proven_log
from tests.proof.proven_log import EVERYTHING, Proven, prove
from tests.proof.verifiers import VERIFIERS

STEP = "1" if os.environ.get("LONG") else "11"
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proven]:
    with tempfile.TemporaryDirectory(prefix="hrt-") as runtime:
        yield proven_log.make(tmp_path_factory.mktemp("proven"), Path(runtime) / "run", 700)


@pytest.fixture
def proven(original: Proven, tmp_path: Path) -> Proven:
    """Give a copy that a test may change."""
    home = tmp_path / "home"
    shutil.copytree(original.home, home)
    (home / "vkey").write_text(original.vkey)
    return Proven(home, original.vkey, original.jobs)


def _number(path: Path) -> int:
    return int(SEGMENT.unpack_from(path.read_bytes())[5])


def segments(log: Path) -> list[Path]:
    """Return the segment files in the order of the log, spare ones left out."""
    paths = [path for path in log.glob("*.seg") if _number(path) != SPARE]
    return sorted(paths, key=_number)


def checkpoint(proven: Proven) -> str:
    return (proven.directory / CHECKPOINT).read_text()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("power", [[], ["--power-cut"]], ids=["killed", "power cut"])
def test_a_prover_killed_at_any_operation_goes_on(proven: Proven, power: list[str]) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "tests.proof.kill_points", str(proven.home), STEP, *power],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    result = json.loads(run.stdout)
    print(result)
    assert result["faults"] == []
    assert result["tried"] * int(STEP) > 300
    assert len(result["sizes"]) > 5  # kills fell between many checkpoints


def test_the_proof_does_not_depend_on_how_often_it_was_signed(proven: Proven) -> None:
    once = checkpoint(proven)
    proven.forget()
    prove(proven.options(records=37))
    assert checkpoint(proven) == once
    assert audit(Folder(proven.directory), [proven.verifier], proven.log).gone == 0


def test_nothing_is_signed_that_the_disk_may_not_have(proven: Proven) -> None:
    """The last records are durable only once somebody says so: a later record, or a supervisor."""
    whole = audit(Folder(proven.directory), [proven.verifier]).head.size
    proven.forget()
    prover = Prover(proven.options())
    prover.open()
    prover.finish()
    bare = prover.progress()
    assert 0 < bare.size < whole
    prover.told_durable(bare.position + 63)
    prover.finish()
    assert prover.progress() == bare
    prover.told_durable(EVERYTHING)
    prover.finish()
    assert prover.progress().size == whole
    prover.close()


def test_a_log_that_was_rolled_back_is_not_signed(proven: Proven) -> None:
    """Its last records are gone, and the mark of them, as after the restore of an old copy."""
    last = [path for path in segments(proven.log) if any(path.read_bytes()[4096:])][-1]
    data = last.read_bytes()
    last.write_bytes(data[:MARK_OFFSET] + bytes(len(data) - MARK_OFFSET))
    before = checkpoint(proven)
    with pytest.raises(ForkError, match="does not go on"):
        prove(proven.options())
    assert checkpoint(proven) == before


def test_another_log_is_not_signed(proven: Proven, tmp_path: Path) -> None:
    other = tmp_path / "other"
    proven_log.write_log(other, tmp_path / "run", 10)
    with pytest.raises(ForkError, match="another log"):
        prove(proven.options(log=other / "log"))


def test_a_second_tree_is_not_begun_where_the_first_one_was(proven: Proven) -> None:
    """As when its disk is not mounted; nothing is written below its mount point."""
    prove(proven.options())
    before, elsewhere = checkpoint(proven), proven.home / "elsewhere"
    proven.directory.rename(elsewhere)
    with pytest.raises(ProofMissingError, match="is its disk mounted") as error:
        prove(proven.options())
    assert not proven.directory.exists()
    elsewhere.rename(proven.directory)
    prove(proven.options())
    assert checkpoint(proven) == before
    proven.directory.rename(elsewhere)
    assert str(proven.log / MEMO) in error.value.hint
    (proven.log / MEMO).unlink()
    prove(proven.options())  # on purpose
    assert checkpoint(proven) == before  # the log still has its first record


def test_another_name_is_not_signed_with(proven: Proven, tmp_path: Path) -> None:
    keys.make(tmp_path / "stranger", "example.org/other")
    with pytest.raises(ProofError, match="is the proof of"):
        prove(proven.options(key=tmp_path / "stranger"))


def test_a_changed_tile_is_made_again_from_the_log(proven: Proven) -> None:
    """What the anchor does not cover is not believed but compared with the signed root."""
    (proven.directory / "prover" / "anchor").unlink()
    entries = proven.directory / "tile" / "entries" / "000"
    entries.write_bytes(bytes(len(entries.read_bytes())))
    prove(proven.options())
    assert audit(Folder(proven.directory), [proven.verifier], proven.log).gone == 0


def test_records_that_are_gone_become_leaves_that_say_so_when_accepted(proven: Proven) -> None:
    """The two oldest segments were used again before the prover saw them."""
    proven.forget()
    prover = Prover(proven.options(records=100))
    prover.open()
    prover.told_durable(EVERYTHING)
    prover.step()
    prover.anchor()
    prover.close()
    paths = segments(proven.log)
    for path in paths[:2]:
        path.unlink()
    _set_head(paths[2:], _number(paths[2]))
    with pytest.raises(ProofError, match="used again before") as error:
        prove(proven.options())
    assert "--accept-loss" in error.value.hint
    prove(proven.options(accept_loss=True))
    checked = audit(Folder(proven.directory), [proven.verifier], proven.log)
    assert checked.lost > 0
    assert checked.records + checked.lost + checked.gone == checked.head.size
    for language in ("go", "rust"):
        words = ["--key", proven.vkey, "--log", proven.log, proven.directory]
        program = VERIFIERS[language][0]
        said = subprocess.run([program, *words], capture_output=True, text=True, check=False)
        assert f", {checked.lost} lost before they were signed, root" in said.stdout, said.stderr
    found = Tiles(Folder(proven.directory), checked.head.size).entry(100)
    assert found[44] == LOST
    prove(proven.options())  # and it goes on as usual


def test_a_void_in_place_of_the_last_record_has_to_be_accepted(proven: Proven) -> None:
    """A repair put it there; what was signed stays signed, and the audit says that it is gone."""
    head = parse_head(note.split(checkpoint(proven))[0])
    header = read_entry(Tiles(Folder(proven.directory), head.size).entry(head.size - 1))
    _void(proven.log, header["position"], header["length"])
    with pytest.raises(ForkError, match="does not go on"):
        prove(proven.options())
    prove(proven.options(accept_loss=True))
    assert parse_head(note.split(checkpoint(proven))[0]).size >= head.size
    with pytest.raises(ProofError, match="not the one that was signed"):
        audit(Folder(proven.directory), [proven.verifier], proven.log)


def _void(log: Path, position: int, length: int) -> None:
    """Turn one record into a VOID, with a right checksum."""
    from hybridrt.native import ffi, lib

    uuid, size = identify(log)
    [path] = [path for path in segments(log) if _number(path) == position // size]
    data = bytearray(path.read_bytes())
    begin = position % size
    record = data[begin : begin + -(-length // 64) * 64]
    record[TYPE_OFFSET] = RecordType.VOID
    assert lib.hrt_run_seal(uuid, ffi.from_buffer(record), len(record)) == 0
    data[begin : begin + len(record)] = record
    path.write_bytes(data)


def _set_head(paths: list[Path], number: int) -> None:
    """Say in the headers of the segments that the log begins at `number`, as a writer would."""
    from hybridrt.native import ffi, lib

    for path in paths:
        data = bytearray(path.read_bytes())
        data[48:56] = number.to_bytes(8, "little")
        data[4:8] = bytes(4)
        data[4:8] = int(lib.hrt_crc32c(0, ffi.from_buffer(data), 64)).to_bytes(4, "little")
        path.write_bytes(data)


def test_a_key_is_rotated_without_a_gap(proven: Proven) -> None:
    """Old and new sign together in between; whoever trusts either can follow."""
    old = proven.verifier
    new = keys.begin_rotation(proven.key)
    assert new.name == old.name
    _sign_again(proven)
    assert note.verified(checkpoint(proven), [old, new])[1] == [old, new]
    assert (
        audit(Folder(proven.directory), [old]).head == audit(Folder(proven.directory), [new]).head
    )
    with pytest.raises(ProofKeyError, match="under way"):
        keys.begin_rotation(proven.key)
    assert keys.finish_rotation(proven.key) == new
    _sign_again(proven)
    assert note.verified(checkpoint(proven), [new])[1] == [new]
    with pytest.raises(ProofKeyError):
        note.verified(checkpoint(proven), [old])


def test_of_two_rotations_at_once_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without this both printed a new key, and only one of them was in the file."""
    path = tmp_path / "key"
    keys.make(path, "example.org/log")
    begun = path.read_bytes()

    def rotate_too(name: str) -> note.Signer:
        monkeypatch.undo()
        with pytest.raises(AlreadyRunningError, match="somebody else changes"):
            keys.begin_rotation(path)
        return note.Signer.generate(name)

    monkeypatch.setattr(
        keys, "Signer", SimpleNamespace(generate=rotate_too, parse=note.Signer.parse)
    )
    new = keys.begin_rotation(path)
    assert [signer.verifier for signer in keys.load(path)][1:] == [new]

    def replace_first(*_: object) -> None:
        write_durably(path, begun, 0o600)

    monkeypatch.setattr("fcntl.flock", replace_first)
    with pytest.raises(AlreadyRunningError, match="somebody else changes"):
        keys.finish_rotation(path)


def _sign_again(proven: Proven) -> None:
    prover = Prover(proven.options())
    prover.open()
    prover.checkpoint()
    prover.close()


def test_a_key_file_is_private_and_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "key"
    keys.make(path, "example.org/log")
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ProofKeyError, match="exists"):
        keys.make(path, "example.org/log")
    path.chmod(0o640)
    with pytest.raises(PermissionError, match="open to other users"):
        keys.load(path)


def test_tiles_are_as_wide_as_the_specification_says(tmp_path: Path) -> None:
    """A tree of 70,000 leaves: 273 full tiles and one of 112, one full and one of 17, one of 1."""
    from hybridrt.proof.growth import Growth
    from hybridrt.proof.leaf import Leaves, lost_entry
    from hybridrt.proof.tree import leaf_hash

    entries = [lost_entry(number) for number in range(70_000)]
    growth = Growth(tmp_path)
    for begin in range(0, len(entries), 999):
        growth.extend(Leaves.of(entries[begin : begin + 999]))
    growth.write_partials()
    assert (tmp_path / "tile/0/273.p/112").stat().st_size == 112 * 32
    assert (tmp_path / "tile/1/001.p/17").exists()
    assert (tmp_path / "tile/2/000.p/1").exists()
    assert sum(path.is_file() for path in (tmp_path / "tile/0").rglob("*")) == 274
    assert growth.root() == root_of([leaf_hash(entry) for entry in entries])
    assert Tiles(Folder(tmp_path), 70_000).root() == growth.root()
