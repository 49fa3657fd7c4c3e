"""A supervisor whose log proves itself: while jobs run, through rotation, restart and recycling."""

import base64
import fcntl
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from hybridrt.errors import HybridrtError, LogFullError, ProofError
from hybridrt.exits import Status
from hybridrt.logreader import Scan
from hybridrt.proof import keys, note
from hybridrt.proof.audit import audit, extends, read_checkpoint
from hybridrt.proof.checkpoint import Head
from hybridrt.proof.note import Verifier
from hybridrt.proof.tiles import Folder, Tiles
from hybridrt.records import read_header

ORIGIN = "example.org/jobs"
RECEIPT_BYTES_MAX = 2048
NOBODY = 65534
DEADLINE_S = 30
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")


class Proof:
    """The proof of an instance."""

    def __init__(self, instance: Any) -> None:
        """Make the key."""
        self.instance = instance
        self.key_path = instance.log_directory.parent / "key"
        self.directory = instance.log_directory.parent / "proof"
        self.verifier = keys.make(self.key_path, ORIGIN)

    def tables(self, **tables: Any) -> dict[str, Any]:
        """Return a configuration with the proof in it."""
        table = {"directory": str(self.directory), "key": str(self.key_path), "interval": "50ms"}
        return {"proof": table, "pool": [self.instance.python_pool()], **tables}

    def head(self, key: Verifier | None = None) -> Head:
        """Return the head that is shown now; an empty one when there is none yet."""
        try:
            text = read_checkpoint(Folder(self.directory))
        except ProofError:
            return Head(ORIGIN, 0, bytes(32))
        return note.signed_head(text, [key or self.verifier])[0]

    def sequence(self) -> int:
        """Return the sequence of the last record that is proven."""
        return int(self.instance.call("status")["proof"]["sequence"])

    def command(self, *words: str) -> dict[str, Any]:
        """Run a command and return what it printed."""
        program = [sys.executable, "-m", "hybridrt.cli", *words, "--json"]
        run = subprocess.run(program, check=False, capture_output=True, text=True, timeout=60)
        assert run.returncode == 0, run.stdout + run.stderr
        found: dict[str, Any] = json.loads(run.stdout)
        return found


def enqueue(instance: Any, count: int, payload: bytes = b"{}") -> list[int]:
    text = base64.b64encode(payload).decode()
    return [int(instance.call("enqueue", kind="echo", payload=text)["id"]) for _ in range(count)]


@pytest.fixture
def proof(instance: Any) -> Proof:
    return Proof(instance)


def test_a_job_is_proven_to_somebody_who_was_not_there(
    instance: Any, proof: Proof, await_condition: Callable[..., Any], tmp_path: Path
) -> None:
    """Two receipts of at most 2 KB, and the records: what was asked for, and how it ended."""
    instance.run(**proof.tables())
    job = enqueue(instance, 20)[7]
    places = ["--log", str(instance.log_directory), "--directory", str(proof.directory)]
    output = tmp_path / "receipts"

    def issued() -> list[str]:
        try:
            found = proof.command("receipt", str(job), *places, "--output", str(output))["files"]
        except AssertionError:
            return []
        return found if len(found) == 4 else []

    files = await_condition(issued, "the job is settled and proven")
    assert all(Path(name).stat().st_size <= RECEIPT_BYTES_MAX for name in files[::2])
    trust = ["--key", str(proof.verifier)]
    for role in ("enqueue", "settle"):
        record = str(output / f"{job}-{role}.record")
        receipt = str(output / f"{job}-{role}.tlog-proof")
        said = proof.command("receipt", "verify", receipt, *trust, "--record", record)
        assert said["origin"] == ORIGIN
        assert said["type"] == role
    entries = {entry["job"]: entry["outcome"] for entry in said["settled"]}
    assert entries[job] == "ok"


def test_every_head_goes_on_from_the_one_before_also_over_a_restart(
    instance: Any, proof: Proof, await_condition: Callable[..., Any]
) -> None:
    heads: list[Head] = []
    for _ in range(2):
        supervisor = instance.run(**proof.tables())
        for _ in range(3):
            enqueue(instance, 10)
            before = heads[-1].size if heads else 0
            heads.append(await_condition(lambda b=before: _beyond(proof, b), "a new head"))
        supervisor.terminate()
        assert supervisor.wait(30) == 0
    checked = audit(Folder(proof.directory), [proof.verifier], instance.log_directory)
    assert checked.records == checked.head.size
    heads.append(checked.head)
    tiles = Tiles(Folder(proof.directory), checked.head.size)
    for head in heads:
        extends(tiles, head, checked.head)


def _beyond(proof: Proof, size: int) -> Head | None:
    head = proof.head()
    return head if head.size > size else None


def test_a_rotation_under_load_has_no_gap(
    instance: Any, proof: Proof, await_condition: Callable[..., Any]
) -> None:
    """Whoever knows only the old key, or only the new one, can follow without a break."""
    instance.run(**proof.tables())
    old = proof.verifier

    def signers() -> list[Verifier]:
        text = read_checkpoint(Folder(proof.directory))
        return note.verified(text, [old, new])[1]

    enqueue(instance, 5)
    await_condition(lambda: proof.head(old).size > 0, "a head by the old key")
    new = Verifier.parse(proof.command("checkpoint", "rotate", str(proof.key_path))["vkey"])
    enqueue(instance, 5)
    await_condition(lambda: signers() == [old, new], "a head by both keys")
    finished = proof.command("checkpoint", "rotate", str(proof.key_path), "--finish")
    assert finished["vkey"] == str(new)
    enqueue(instance, 5)
    await_condition(lambda: signers() == [new], "a head by the new key")


def run_command(*words: str, files: str = "unlimited") -> "subprocess.CompletedProcess[str]":
    """Run a command that may write files of so many blocks."""
    limited = ["sh", "-c", f'ulimit -f {files}; exec "$@"', "sh"]
    program = [*limited, sys.executable, "-m", "hybridrt.cli", *words]
    return subprocess.run(program, check=False, capture_output=True, text=True, timeout=60)


@needs_root
def test_a_rotation_leaves_the_key_file_to_its_owner(proof: Proof) -> None:
    """The administrator rotates, the service has to read it."""
    link = proof.key_path.with_name("link")
    link.symlink_to(proof.key_path)
    os.chown(proof.key_path, NOBODY, NOBODY)
    proof.key_path.chmod(0o400)
    for words in ((), ("--finish",)):
        proof.command("checkpoint", "rotate", str(link), *words)
        status = proof.key_path.stat()
        assert (status.st_uid, status.st_gid) == (NOBODY, NOBODY)
        assert stat.S_IMODE(status.st_mode) == 0o400
    assert link.is_symlink()


def test_a_key_that_cannot_be_written_leaves_nothing_behind(proof: Proof, tmp_path: Path) -> None:
    fresh, before = tmp_path / "new.key", proof.key_path.read_bytes()
    made = run_command("checkpoint", "keygen", ORIGIN, "--output", str(fresh), files="0")
    rotated = run_command("checkpoint", "rotate", str(proof.key_path), files="0")
    for done, path in ((made, fresh), (rotated, proof.key_path)):
        assert done.returncode == Status.IO, done.stderr
        assert f"hybridrt: {path}: File too large" in done.stderr
    assert proof.key_path.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} <= {"key", "log"}


def test_a_witness_that_cannot_remember_cosigns_nothing(
    instance: Any, proof: Proof, await_condition: Callable[..., Any], tmp_path: Path
) -> None:
    instance.run(**proof.tables())
    enqueue(instance, 1)
    await_condition(lambda: proof.head().size > 0, "a head")
    signer, state = tmp_path / "w.key", tmp_path / "w"
    keys.make(signer, "example.org/witness", note.COSIGNATURE)
    words = ["--key", str(proof.verifier), "--signer", str(signer), "--state", str(state)]
    done = run_command("witness", str(proof.directory), *words, files="0")
    assert done.returncode == Status.IO, done.stderr
    assert "checkpoint: File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert [path.name for path in state.glob("*/*")] == ["lock"]


def test_a_proof_that_fails_is_seen_in_the_status(
    instance: Any, proof: Proof, await_condition: Callable[..., Any]
) -> None:
    proof.key_path.chmod(0o644)
    instance.run(**proof.tables())
    (trouble,) = await_condition(lambda: instance.call("status")["troubles"], "it is told")
    assert trouble.endswith(f"held until it is: {proof.key_path} is open to other users")
    shown = run_command("status", "--runtime-dir", str(instance.directory))
    assert shown.returncode == Status.OK
    assert "running, ready, but in trouble" in shown.stdout
    assert trouble in shown.stdout
    proof.key_path.chmod(0o600)
    await_condition(lambda: not instance.call("status")["troubles"], "it goes on")


def test_a_receipt_needs_no_configuration_beside_a_supervisor(
    instance: Any, proof: Proof, await_condition: Callable[..., Any], tmp_path: Path
) -> None:
    instance.run(**proof.tables())
    (job,) = enqueue(instance, 1)
    words = ["receipt", str(job), "--runtime-dir", str(instance.directory)]
    output = tmp_path / "receipts"
    await_condition(
        lambda: run_command(*words, "--output", str(output)).returncode == 0, "it is proven"
    )
    assert (output / f"{job}-enqueue.tlog-proof").exists()


def test_a_receipt_takes_from_the_archive_what_the_log_has_no_more(
    instance: Any, proof: Proof, await_condition: Callable[..., Any], tmp_path: Path
) -> None:
    """Without this, a job whose segment was used again had no proof of its end, and no record."""
    sizes = {"segment_size": "64KiB", "max_size": "512KiB"}
    archive = tmp_path / "archive"
    instance.run(**proof.tables(log=sizes, archive={"directory": str(archive)}))
    (job,) = enqueue(instance, 1)

    def is_gone() -> bool:
        with suppress(LogFullError):  # until segments are proven and archived
            enqueue(instance, 8, b'"' + b"x" * 8000 + b'"')
        with Scan(str(instance.log_directory)) as scan:
            return read_header(next(iter(scan)))["sequence"] > job and proof.sequence() > job

    await_condition(is_gone, "its segment is used again")
    beside = ("receipt", str(job), "--runtime-dir", str(instance.directory), "--output")
    whole = proof.command(*beside, str(tmp_path / "whole"))
    assert (len(whole["files"]), whole["lacking"]) == (4, [])
    for role in ("enqueue", "settle"):
        path = tmp_path / "whole" / f"{job}-{role}"
        said = proof.command(
            "receipt", "verify", f"{path}.tlog-proof", "--key", str(proof.verifier),
            "--record", f"{path}.record",
        )  # fmt: skip
        assert said["type"] == role
    places = ["--log", str(instance.log_directory), "--directory", str(proof.directory)]
    words = ["receipt", str(job), *places, "--output", str(tmp_path / "poor")]
    poor = proof.command(*words)
    assert (len(poor["files"]), poor["lacking"]) == (1, ["enqueue"])
    assert "name the archive" in run_command(*words).stderr
    assert len(proof.command(*words, "--archive", str(archive))["files"]) == 4


def test_segments_are_held_until_they_are_proven(
    instance: Any, proof: Proof, await_condition: Callable[..., Any]
) -> None:
    """With a key that cannot be read nothing is proven, and nothing is used again either."""
    proof.key_path.chmod(0o644)
    sizes = {"segment_size": "64KiB", "max_size": "512KiB"}
    instance.run(**proof.tables(log=sizes))
    payload = b'"' + b"x" * 8000 + b'"'
    refused = ""
    for _ in range(200):
        try:
            enqueue(instance, 1, payload)
        except HybridrtError as error:
            refused = error.code
            break
    assert refused == "HRT_ELOGFULL"
    await_condition(
        lambda: "open to other users" in instance.call("status")["proof"]["failure"], "it is told"
    )
    proof.key_path.chmod(0o600)
    await_condition(lambda: proof.head().size > 0, "the prover goes on by itself")

    def taken() -> bool:
        try:
            enqueue(instance, 1, payload)
        except HybridrtError:
            return False
        return True

    await_condition(taken, "new work is taken again")
    first = Tiles(Folder(proof.directory), proof.head().size).entry(0)
    assert int.from_bytes(first[8:16], "little") == 1


def test_a_proof_that_is_moved_away_is_told_and_goes_on_when_it_is_back(
    instance: Any, proof: Proof, await_condition: Callable[..., Any]
) -> None:
    """As when its disk is unmounted: else tiles would be missing, and all be said to be well."""
    process = instance.run(**proof.tables(log={"checkpoint_interval": "1h"}))

    def rests() -> bool:
        status, anchor = instance.call("status"), proof.directory / "prover" / "anchor"
        settled = bool(status["queues"][0]["counters"]["completed"] == 5)
        return settled and status["sequence"] == proof.head().size and anchor.exists()

    enqueue(instance, 5)
    await_condition(rests, "all is proven")
    before, elsewhere = proof.head(), proof.directory.with_name("elsewhere")
    proof.directory.rename(elsewhere)
    (trouble,) = await_condition(lambda: instance.call("status")["troubles"], "it is told")
    assert trouble.endswith("was moved or removed; nothing is signed until it is back")
    enqueue(instance, 5)
    await_condition(lambda: instance.call("status")["proof"]["behind_bytes"] > 0, "it lags")
    assert not proof.directory.exists()
    elsewhere.rename(proof.directory)
    await_condition(lambda: proof.head().size > before.size, "it goes on")
    await_condition(lambda: not instance.call("status")["troubles"], "all is well")
    process.send_signal(signal.SIGTERM)
    assert process.wait(DEADLINE_S) == Status.OK
    proof.command("checkpoint", "verify", str(proof.directory), "--key", str(proof.verifier))


def test_a_proof_that_is_away_at_the_start_is_told_and_not_begun_anew(
    instance: Any, proof: Proof, await_condition: Callable[..., Any]
) -> None:
    """As when its disk is not mounted after a boot: two trees of one log would contradict."""
    process = instance.run(**proof.tables())
    enqueue(instance, 5)
    await_condition(lambda: proof.head().size > 5, "there is a proof")
    process.send_signal(signal.SIGTERM)
    assert process.wait(DEADLINE_S) == Status.OK
    before, elsewhere = proof.head(), proof.directory.with_name("elsewhere")
    proof.directory.rename(elsewhere)
    proof.directory.mkdir()
    instance.run(**proof.tables())
    (trouble,) = await_condition(lambda: instance.call("status")["troubles"], "it is told")
    assert trouble.endswith("is its disk mounted?")
    assert str(instance.log_directory / "proven") in instance.output()
    assert list(proof.directory.iterdir()) == []
    proof.directory.rmdir()
    elsewhere.rename(proof.directory)
    await_condition(lambda: proof.head().size > before.size, "it goes on")
    await_condition(lambda: not instance.call("status")["troubles"], "all is well")


def test_a_killed_prover_is_started_again(
    instance: Any, proof: Proof, await_condition: Callable[..., Any]
) -> None:
    import psutil

    supervisor = instance.run(**proof.tables())
    enqueue(instance, 5)
    await_condition(lambda: proof.head().size > 0, "the first head")
    children = psutil.Process(supervisor.pid).children()
    [prover] = [child for child in children if "checkpoint" in child.cmdline()]
    assert prover.nice() == 19
    size = proof.head().size
    prover.kill()
    enqueue(instance, 5)
    await_condition(lambda: proof.head().size > size, "a head after the kill")


def test_the_prover_ends_with_its_supervisor(
    instance: Any, proof: Proof, await_condition: Callable[..., Any]
) -> None:
    import psutil

    supervisor = instance.run(**proof.tables())
    await_condition(lambda: proof.head().size > 0, "the first head")
    children = psutil.Process(supervisor.pid).children()
    [prover] = [child for child in children if "checkpoint" in child.cmdline()]
    supervisor.kill()
    prover.wait(30)


def test_the_proof_goes_on_over_an_upgrade(
    instance: Any, proof: Proof, await_condition: Callable[..., Any]
) -> None:
    """The next supervisor's prover waits for the old one, and signs what goes on from its head."""
    instance.run(**proof.tables())
    enqueue(instance, 10)
    before = await_condition(lambda: _beyond(proof, 0), "the first head")
    proof.command("upgrade", "--runtime-dir", str(instance.directory))
    try:
        enqueue(instance, 10)
        size = proof.head().size
        await_condition(lambda: _beyond(proof, size), "a head by the next prover")
    finally:
        proof.command("shutdown", "--runtime-dir", str(instance.directory))
        lock = instance.log_directory / "lock"
        await_condition(lambda: _is_free(lock), "the next supervisor has ended")
    checked = audit(Folder(proof.directory), [proof.verifier], instance.log_directory)
    extends(Tiles(Folder(proof.directory), checked.head.size), before, checked.head)


def _is_free(lock: Path) -> bool:
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
