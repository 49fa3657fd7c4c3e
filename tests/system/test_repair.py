"""Every kind of damage, made for real: told apart, mended from a copy or by accepting a loss."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import hybridrt
from hybridrt.exits import Status
from hybridrt.logreader import Replay, Scan
from hybridrt.native import Runtime, RuntimeOptions, lib
from hybridrt.records import read_header, type_name
from hybridrt.repair import look
from hybridrt.segments import (
    HEADER,
    HEADER_BYTES,
    MARK,
    MARK_OFFSET,
    Catalog,
    DurableMark,
    Header,
    seal,
)
from hybridrt.store import Archive, open_store

DEADLINE_S = 30
SEGMENT_BYTES = 65_536
SMALL = {"segment_size": "64KiB", "max_size": "2MiB"}
JOBS = 90
PAYLOAD_BYTES = 3000


def cli(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run the command to its end."""
    command = [sys.executable, "-m", "hybridrt.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)


def asked(*arguments: str | Path, status: int = Status.OK) -> dict[str, Any]:
    """Run a command, check how it ends, and return its JSON."""
    done = cli(*arguments, "--json")
    assert done.returncode == status, done.stdout + done.stderr
    body: dict[str, Any] = json.loads(done.stdout)
    return body


@pytest.fixture(name="sound", scope="module")
def _sound(shared_instance: Any) -> Path:
    """Give a folder with a log that was closed in good order, and a backup of it."""
    folder: Path = shared_instance.log_directory.parent
    process = shared_instance.run(
        log={**SMALL, "history": "1MiB"}, scrub={"rate": 0},
        kind=[{"name": "echo"}, {"name": "other"}],
        pool=[shared_instance.python_pool(kinds=["echo"])],
        queue=[{"name": "default", "result_ttl": 0}, {"name": "kept"}],
    )  # fmt: skip
    with hybridrt.connect(shared_instance.directory) as client:
        for number in range(JOBS):
            kind = "other" if number % 3 else "echo"
            client.enqueue(kind, bytes([number]) * PAYLOAD_BYTES)
    process.send_signal(signal.SIGTERM)
    assert process.wait(DEADLINE_S) == Status.OK
    asked("log", "backup", shared_instance.log_directory, folder / "backup")
    return folder


@pytest.fixture(name="log")
def _log(sound: Path, tmp_path: Path) -> Path:
    """Give a copy of the log, to be damaged."""
    return Path(shutil.copytree(sound / "log", tmp_path / "log"))


def files(log: Path) -> dict[int, Path]:
    """Return the files that hold records, by number."""
    catalog = Catalog.read(log)
    with Scan(str(log)) as scan:
        used = {read_header(record)["position"] // SEGMENT_BYTES for record in scan}
    return {number: file.path for number, file in catalog.numbered.items() if number in used}


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x10
    path.write_bytes(data)


def forget_mark(log: Path) -> None:
    """Leave the log as a killed process does: nothing says how far it had come."""
    for path in log.glob("*.seg"):
        with path.open("r+b") as file:
            file.seek(MARK_OFFSET)
            file.write(bytes(MARK.size))


def contents(log: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in log.glob("*.seg")}


def coming_to(log: Path) -> tuple[int, int, dict[str, Any]]:
    """Return last sequence, state hash and report of a log."""
    replay = Replay()
    sequence = 0
    with Scan(str(log)) as scan:
        for record in scan:
            replay.apply(record)
            sequence = read_header(record)["sequence"]
        return sequence, replay.state_hash(), scan.report()


# ---- the kinds of damage ------------------------------------------------------------------------


def flip_a_payload(log: Path) -> None:
    flip(files(log)[3], 30_000)


def flip_a_header(log: Path) -> None:
    flip(files(log)[3], 20)


def wipe_some(log: Path) -> None:
    """Two gaps; one of them goes over the end of a segment and into the header of the next."""
    places = files(log)
    for number, begin, end in ((2, 20_000, 24_000), (3, 60_000, 65_536), (4, 0, 9_000)):
        data = bytearray(places[number].read_bytes())
        data[begin:end] = os.urandom(end - begin)
        places[number].write_bytes(data)


def cut_short(log: Path) -> None:
    os.truncate(files(log)[3], SEGMENT_BYTES // 2)


def lose_one(log: Path) -> None:
    files(log)[3].unlink()


def lose_the_oldest(log: Path) -> None:
    files(log)[1].unlink()


def lose_the_last(log: Path) -> None:
    """The file that was written last, and those that were ready behind it."""
    used = files(log)
    for number, file in Catalog.read(log).numbered.items():
        if number >= max(used):
            file.path.unlink()


def flip_the_last_record(log: Path) -> None:
    with Scan(str(log)) as scan:
        last = [read_header(record) for record in scan][-1]
    flip(files(log)[last["position"] // SEGMENT_BYTES], last["position"] % SEGMENT_BYTES + 64)


def flip_the_last_record_after_a_kill(log: Path) -> None:
    """What a supervisor that rested for a moment leaves: a mark that says nothing but how far."""
    for path in log.glob("*.seg"):
        data = bytearray(path.read_bytes())
        mark = DurableMark.parse(data[MARK_OFFSET:])
        if mark is not None:
            fields = (mark.uuid, mark.position, 0, 0, 0)
            bare = MARK.pack(lib.HRT_MAGIC_DURABLE, 0, *fields)
            crc = lib.hrt_crc32c(0, bare, len(bare))
            data[MARK_OFFSET : MARK_OFFSET + MARK.size] = MARK.pack(
                lib.HRT_MAGIC_DURABLE, crc, *fields
            )
            path.write_bytes(data)
    flip_the_last_record(log)


def add_a_stranger(log: Path) -> None:
    other = log.parent / "other"
    Runtime.open(RuntimeOptions(directory=str(other), segment_bytes=SEGMENT_BYTES)).close()
    shutil.copy(other / "00000000.seg", log / "00000030.seg")


def add_a_copy(log: Path) -> None:
    shutil.copy(files(log)[2], log / "00000031.seg")


LOSSLESS = [
    (flip_a_header, "header", "rebuild the header of segment 3"),
    (add_a_stranger, "foreign", "set aside; it belongs to another log"),
    (add_a_copy, "header", "set aside; it is a copy"),
]
LOSSY = [
    (flip_a_payload, "committed"),
    (wipe_some, "committed"),
    (cut_short, "committed"),
    (lose_one, "missing"),
    (lose_the_oldest, "missing"),
    (lose_the_last, "missing"),
    (flip_the_last_record, "committed"),
]


@pytest.mark.parametrize(("harm", "verdict", "says"), LOSSLESS)
def test_what_needs_no_copy_is_mended_without_a_loss(
    log: Path, harm: Callable[[Path], None], verdict: str, says: str
) -> None:
    before = coming_to(log)
    harm(log)
    harmed = contents(log)
    checked = asked("log", "verify", log, status=Status.FAILED)
    assert (checked["verdict"], bool(checked["places"])) == (verdict, True)
    planned = asked("log", "repair", log)
    assert says in " ".join(planned["steps"])
    assert contents(log) == harmed  # only said, not done
    done = asked("log", "repair", "--yes", log)
    assert done["done"]
    assert coming_to(log) == before
    kept = {path.name: path.read_bytes() for path in Path(done["copy"]).glob("*.seg")}
    assert kept
    assert kept.items() <= harmed.items()  # what was replaced is still there
    assert asked("log", "repair", log)["steps"] == []


@pytest.mark.parametrize(("harm", "verdict"), LOSSY)
def test_a_copy_brings_back_every_byte(
    sound: Path, log: Path, harm: Callable[[Path], None], verdict: str
) -> None:
    before, whole = coming_to(log), contents(log)
    harm(log)
    checked = asked("log", "verify", log, status=Status.FAILED)
    assert (checked["verdict"], bool(checked["places"])) == (verdict, True)
    assert "log repair" in checked["consequence"]
    planned = asked("log", "repair", log, status=Status.FAILED)
    assert planned["left"]
    done = asked("log", "repair", "--yes", "--from", sound / "backup", log)
    assert done["done"]
    assert done["loss"] is None
    assert coming_to(log) == before
    for path in files(log).values():
        if path.name in whole and Catalog.read(log).numbered:
            mine, theirs = path.read_bytes(), whole[path.name]
            if mine[:64] == theirs[:64]:  # a rebuilt header has the time of its rebuilding
                assert mine == theirs


@pytest.mark.parametrize(
    ("harm", "verdict"), [*LOSSY, (flip_the_last_record_after_a_kill, "committed")]
)
def test_an_accepted_loss_is_named_and_written_down(
    instance: Any, log: Path, harm: Callable[[Path], None], verdict: str
) -> None:
    last, _, _ = coming_to(log)
    jobs = described(log)
    harm(log)
    done = asked("log", "repair", "--yes", "--accept-loss", log)
    loss = done["loss"]
    assert done["done"], verdict
    assert loss["records"] > 0
    report = json.loads((Path(done["copy"]) / "report.json").read_text())
    assert report == loss
    sequence, _, ending = coming_to(log)
    assert ending["damage"] == 0
    assert sequence > last if harm is not lose_the_last else sequence > last - 40
    records = [json.loads(line) for line in cli("log", "cat", "--json", log).stdout.splitlines()]
    void = {record["sequence"] for record in records if record["type"] == "void"}
    gone = unfold(loss["sequences"])
    assert void <= gone
    assert gone - void <= {r["sequence"] for r in records if r["type"] == "pad"}
    noted = json.loads(next(r["text"] for r in records if r.get("verb") == "note"))
    assert noted["event"] == "loss accepted"
    assert noted["sequences"] == loss["sequences"]
    lost_jobs = {job for job in jobs if job in gone}
    assert unfold(loss["lost_jobs"]) <= lost_jobs  # those that later records name
    for job in sorted(lost_jobs & void)[:1]:
        story = asked("log", "why", log, str(job))["events"]
        assert (story[0]["sequence"], "was lost" in story[0]["text"]) == (job, True)
    instance.log_directory = log
    instance.run(log=SMALL, scrub={"rate": 0}, kind=[{"name": "echo"}])
    living = {job["id"] for job in instance.call("job.ls", limit=1000)["jobs"]}
    assert living.isdisjoint(lost_jobs)
    assert unfold(loss["unknown_fate"]) <= living
    with hybridrt.connect(instance.directory) as client:
        assert client.enqueue("echo", b"new").id > max(gone)  # no id is given out again


def described(log: Path) -> set[int]:
    with Scan(str(log)) as scan:
        headers = [read_header(record) for record in scan]
    return {h["sequence"] for h in headers if type_name(h["type"]) == "enqueue"}


def unfold(text: str) -> set[int]:
    numbers: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        numbers |= set(range(int(first), int(last or first) + 1))
    return numbers


def records_of(log: Path) -> dict[int, bytes]:
    """Return all records by sequence; a PAD without what it covers."""
    found = {}
    with Scan(str(log)) as scan:
        for record in scan:
            header = read_header(record)
            end = 64 if type_name(header["type"]) == "pad" else len(record)
            found[header["sequence"]] = bytes(record[:end])
        assert scan.report()["damage"] <= 1, scan.report()
    return found


def harm_at_random(dice: random.Random, log: Path) -> list[tuple[str, int, int]]:
    """Damage some places; return file, begin and end of each."""
    harmed = []
    for _ in range(dice.randint(1, 4)):
        path = dice.choice(sorted(log.glob("*.seg")))
        size = path.stat().st_size
        begin = dice.randrange(max(size, 1))
        what = dice.choice(("flip", "flip", "wipe", "wipe", "zero", "cut", "lose"))
        end = min(size, begin + (1 if what == "flip" else dice.choice((64, 5000, 50_000))))
        data = bytearray(path.read_bytes())
        if what == "lose":
            path.unlink()
            begin, end = 0, SEGMENT_BYTES
        elif what == "cut":
            path.write_bytes(data[:begin])
            end = SEGMENT_BYTES
        else:
            made = bytes(end - begin) if what == "zero" else dice.randbytes(end - begin)
            data[begin:end] = bytes([data[begin] ^ 1]) if what == "flip" and size else made
            path.write_bytes(data)
        harmed.append((path.name, begin, end))
    return harmed


def was_hit(
    header: dict[str, int], length: int, places: dict[int, str], harmed: list[tuple[str, int, int]]
) -> bool:
    number, offset = divmod(header["position"], SEGMENT_BYTES)
    return any(
        name == places[number] and begin < offset + length and offset < end
        for name, begin, end in harmed
    )


def last_group(records: dict[int, bytes], sound: set[int]) -> set[int]:
    """Return what is left of a group at the end of which nothing is left: it is none any more."""
    left = set()
    for sequence in sorted(records, reverse=True):
        ends = read_header(memoryview(records[sequence]))["flags"] & 1
        if sequence in sound and ends:
            break
        left.add(sequence)
    return left


@pytest.mark.parametrize("seed", range(560 if os.environ.get("LONG") else 60))
def test_whatever_is_sound_outlives_an_accepted_loss(log: Path, seed: int) -> None:
    """Random damage: the mended log is whole, dense, and keeps every record that was not hit."""
    before = records_of(log)
    places = {number: path.name for number, path in files(log).items()}
    harmed = harm_at_random(random.Random(seed), log)
    if not list(log.glob("*.seg")):
        return
    found = look(log)
    if found.found.gaps:
        found.accept_loss()
    found.write()
    after = records_of(log)
    assert sorted(after) == list(range(min(after), max(after) + 1)), harmed
    replay = Replay()
    for sequence in sorted(after):
        replay.apply(
            memoryview(after[sequence].ljust(int.from_bytes(after[sequence][:4], "little")))
        )
    unfit = set(found.loss.unfit) if found.loss else set()
    sound = {
        sequence
        for sequence, record in before.items()
        if not was_hit(read_header(memoryview(record)), len(record), places, harmed)
    }
    torn = found.report["position"] if found.report["damage"] == 1 else 2**63
    for sequence in sound - unfit - last_group(before, sound):
        if read_header(memoryview(before[sequence]))["position"] < torn:
            assert after.get(sequence) == before[sequence], (sequence, harmed)
    Runtime.open(RuntimeOptions(directory=str(log))).close()


@pytest.mark.parametrize("seed", range(530 if os.environ.get("LONG") else 30))
def test_a_copy_mends_whatever_was_done(sound: Path, log: Path, seed: int) -> None:
    before = records_of(log)
    harmed = harm_at_random(random.Random(seed), log)
    if not list(log.glob("*.seg")):
        return
    found = look(log)
    found.restore_from(open_store(sound / "backup"))
    assert found.found.gaps == [], harmed
    found.write()
    assert records_of(log) == before, harmed


# ---- what is no damage, and what is no log ------------------------------------------------------


def test_traces_of_a_rotation_cut_short_are_told_and_harmless(instance: Any, log: Path) -> None:
    before = coming_to(log)
    (log / "000000f0.seg").write_bytes(bytes(20_000))  # zeros that did not get to their end
    (log / ".00000002.seg.tmp").write_bytes(b"half")
    checked = asked("log", "verify", log)
    assert checked["verdict"] == "clean"
    assert "000000f0.seg: its making was cut short" in checked["notes"][0]
    assert "a repair was cut short" in checked["notes"][1]
    assert asked("log", "repair", log)["steps"] == []
    assert coming_to(log) == before
    instance.log_directory = log
    instance.run(log=SMALL, scrub={"rate": 0}, kind=[{"name": "echo"}])
    assert instance.call("status")["recovery"]["tail_bytes"] == 0


def test_a_torn_tail_needs_no_repair(log: Path) -> None:
    forget_mark(log)
    flip_the_last_record(log)
    checked = asked("log", "verify", log)
    assert checked["verdict"] == "torn"
    assert "nothing is lost" in checked["consequence"]
    assert asked("log", "repair", log)["steps"] == []


def test_a_log_of_a_newer_version_is_not_mended(log: Path) -> None:
    for path in log.glob("*.seg"):
        data = path.read_bytes()
        if header := Header.parse(data):
            newer = replace(header, format_version=header.format_version + 1)
            path.write_bytes(newer.pack() + data[HEADER.size :])
    before = contents(log)
    assert asked("log", "verify", log, status=Status.FAILED)["verdict"] == "version"
    done = cli("log", "repair", "--yes", log)
    assert done.returncode == Status.BAD_DATA
    assert "nothing was changed" in done.stderr
    assert contents(log) == before


def test_what_damage_hides_is_not_called_unknown(sound: Path, log: Path) -> None:
    """The story of a job in the gap, a copy of the log, and a copy that lacks the gap too."""
    jobs = described(log)
    flip_a_payload(log)
    gone = min(jobs - described(log))
    done = cli("log", "why", log, str(gone))
    assert done.returncode == Status.BAD_DATA
    assert f"what can be read before it tells nothing of job {gone}" in done.stderr
    done = cli("log", "restore", log, log.parent / "new")
    assert done.returncode == Status.BAD_DATA
    assert "log is damaged behind sequence 1" in done.stderr
    copy = Path(shutil.copytree(sound / "backup", log.parent / "copy"))
    store = open_store(copy)
    assert isinstance(store, Archive)
    store.remove(3)
    done = cli("log", "repair", "--from", copy, log)
    assert f"{copy} lacks it: name another copy" in done.stderr
    flip_a_header(log)
    done = cli("log", "restore", log, log.parent / "new")
    assert "has a bad header or size, segment 3 may be in there" in done.stderr


def test_a_directory_that_is_no_log_is_called_so(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a log")
    for command in ("verify", "repair"):
        done = cli("log", command, tmp_path)
        assert done.returncode in {Status.BAD_DATA, Status.USAGE}
        assert "no segment" in done.stderr
    assert asked("log", "verify", tmp_path, status=Status.BAD_DATA)["verdict"] == "wrong"


def test_a_log_in_use_is_not_touched(instance: Any, sound: Path, log: Path) -> None:
    instance.log_directory = log
    instance.run(log=SMALL, scrub={"rate": 0}, kind=[{"name": "echo"}])
    done = cli("log", "repair", "--yes", "--from", sound / "backup", log)
    assert done.returncode == Status.TRY_AGAIN
    assert "somebody holds the log" in done.stderr


def test_a_copy_of_another_log_or_history_is_refused(
    sound: Path, log: Path, tmp_path: Path
) -> None:
    Runtime.open(RuntimeOptions(directory=str(tmp_path / "b"), segment_bytes=SEGMENT_BYTES)).close()
    flip_a_payload(log)
    harmed = contents(log)
    done = cli("log", "repair", "--yes", "--from", tmp_path / "b", log)
    assert "is a copy of another log" in done.stderr
    # The same log, gone another way after the copy was taken.
    other = Path(shutil.copytree(sound / "log", tmp_path / "fork"))
    data = bytearray(files(other)[3].read_bytes())
    data[HEADER_BYTES + 32] ^= 1  # the time of the first record
    seal(Catalog.read(other).uuid, memoryview(data)[HEADER_BYTES:])
    files(other)[3].write_bytes(data)
    done = cli("log", "repair", "--yes", "--from", other, log)
    assert "is of another history" in done.stderr, done
    assert contents(log) == harmed


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_what_the_disk_does_not_give_is_a_gap_and_not_the_end(sound: Path, log: Path) -> None:
    """The third block that is read one by one gives EIO, as does reading the whole file."""
    before, bad = coming_to(log), files(log)[2]
    flip_a_payload(log)
    script = "import sys; from pathlib import Path; from hybridrt.damage import read_what_can_be; "
    script += "Path(sys.argv[2]).write_bytes(read_what_can_be(Path(sys.argv[1])))"
    out = log.parent / "read"
    command = ["strace", "-qq", "-o", "/dev/null", "-P", str(bad)]
    command += ["-e", "inject=read:error=EIO", "-e", "inject=pread64:error=EIO:when=3"]
    command += [sys.executable, "-c", script, str(bad), str(out)]
    subprocess.run(command, check=True, timeout=DEADLINE_S)
    whole, got = bad.read_bytes(), out.read_bytes()
    assert got[:8192] + got[12_288:] == whole[:8192] + whole[12_288:]
    assert got[8192:12_288] == bytes(4096)
    assert asked("log", "repair", "--yes", "--from", sound / "backup", log)["done"]
    assert coming_to(log) == before


# ---- a repair that dies -------------------------------------------------------------------------

CALLS = ("write", "fsync", "rename", "link", "mkdir", "unlink")
REPAIR = """
import sys
from pathlib import Path
from hybridrt.repair import locked, look
from hybridrt.store import open_store
found = look(Path(sys.argv[2]))
with locked(Path(sys.argv[2])):
    found.restore_from(open_store(Path(sys.argv[1])))
    found.write()
"""


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_a_repair_killed_at_any_system_call_can_be_run_again(sound: Path, log: Path) -> None:
    """Killed at its n-th change, for every n: a second repair ends like one never interrupted."""
    before, places = coming_to(log), files(log)
    flip_a_payload(log)
    flip(places[2], 20)
    add_a_stranger(log)
    backup = open_store(sound / "backup")
    killed_by = dict.fromkeys(CALLS, 0)
    for call in CALLS:
        while kill_at(call, killed_by[call] + 1, sound / "backup", log):
            killed_by[call] += 1
            victim = log.parent / "victim"
            found = look(victim)
            found.restore_from(backup)
            found.write()
            assert coming_to(victim) == before
            shutil.rmtree(victim)
    print(killed_by)
    assert all(killed_by[call] for call in CALLS)


def kill_at(call: str, count: int, backup: Path, log: Path) -> bool:
    """Repair a copy of the log; say whether the repair was killed at its call of this number."""
    victim = log.parent / "victim"
    shutil.copytree(log, victim)
    trace = ["-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={count}"]
    command = ["strace", "-qq", "-o", "/dev/null"]
    command += [*trace, sys.executable, "-c", REPAIR, str(backup), str(victim)]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        command, capture_output=True, timeout=DEADLINE_S, check=False, env=environment
    )
    if done.returncode == 0:
        shutil.rmtree(victim)
    return done.returncode != 0
