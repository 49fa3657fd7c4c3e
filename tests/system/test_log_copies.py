"""Archive, backup, restore and scrubbing beneath a running supervisor, with real damage."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import zmq

import hybridrt
from hybridrt import messages
from hybridrt.archive import expired
from hybridrt.config import ArchiveConfig
from hybridrt.errors import DamagedLogError, InvalidArgumentError
from hybridrt.exits import Status
from hybridrt.logreader import Replay, Scan
from hybridrt.segments import Catalog
from hybridrt.store import Archive, LogFiles, is_locked, locked, open_store
from hybridrt.units import Duration, Size

DEADLINE_S = 30
SMALL = {"segment_size": "64KiB", "max_size": "1MiB"}
NO_SCRUB = {"rate": 0}


def cli(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run the command to its end."""
    command = [sys.executable, "-m", "hybridrt.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)


def answer(*arguments: str | Path) -> dict[str, Any]:
    """Run a command that has to succeed, and return its JSON."""
    done = cli(*arguments, "--json")
    assert done.returncode == Status.OK, done.stdout + done.stderr
    body: dict[str, Any] = json.loads(done.stdout)
    return body


def enqueue(instance: Any, count: int, size: int = 3000, **options: Any) -> list[int]:
    """Enqueue jobs that nobody runs."""
    with hybridrt.connect(instance.directory) as client:
        return [client.enqueue("echo", bytes(size), **options).id for _ in range(count)]


def state(directory: Path) -> tuple[int, int]:
    """Return living jobs and hash of what a log comes to."""
    replay = Replay()
    with Scan(str(directory)) as scan:
        for record in scan:
            replay.apply(record)
        assert scan.report()["damage"] == 0, scan.report()
    return replay.jobs(), replay.state_hash()


def stop(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    assert process.wait(DEADLINE_S) == Status.OK


def run(instance: Any, **tables: Any) -> "subprocess.Popen[bytes]":
    tables = {"log": SMALL, "scrub": NO_SCRUB, "kind": [{"name": "echo"}], **tables}
    process: subprocess.Popen[bytes] = instance.run(**tables)
    return process


@pytest.fixture(name="copies", scope="module")
def _copies(shared_instance: Any) -> Path:
    """Give a folder with a log of several segments, its archive, and a backup of it."""
    folder: Path = shared_instance.log_directory.parent
    process = run(shared_instance)
    enqueue(shared_instance, 100)
    stop(process)
    answer("log", "archive", shared_instance.log_directory, folder / "archive")
    answer("log", "backup", shared_instance.log_directory, folder / "backup")
    return folder


# ---- the archive --------------------------------------------------------------------------------


def test_no_segment_is_used_again_before_it_is_archived(
    instance: Any, tmp_path: Path, await_condition: Any
) -> None:
    """Far more is written than the log holds: in the end the archive has all of it."""
    archive = tmp_path / "archive"
    process = run_through(instance, 900, archive, await_condition)
    instance.call("log.sync")
    await_condition(lambda: instance.call("status")["upkeep"]["archive"]["behind"] == 0, "archived")
    upkeep = instance.call("status")["upkeep"]
    stop(process)
    store = open_store(archive)
    numbers = store.numbers()
    assert numbers == list(range(1, upkeep["archive"]["next"]))
    assert len(numbers) > 30  # the log itself holds 16
    assert isinstance(store, Archive)
    check_retention(store)
    assert [store.info(n).first_sequence for n in numbers[1:]] == [
        store.info(n).last_sequence + 1 for n in numbers[:-1]
    ]


def run_through(
    instance: Any, count: int, archive: Path, await_condition: Any
) -> "subprocess.Popen[bytes]":
    """Start a supervisor with an archive, and run so many jobs through its log."""
    process = run(
        instance,
        pool=[instance.python_pool()],
        archive={"directory": str(archive)},
        queue=[{"name": "default", "result_ttl": 0, "durability": "memory"}],
    )
    with hybridrt.connect(instance.directory) as client:
        for _ in range(count):
            await_condition(lambda: put(client), "the log has room")
    await_condition(lambda: instance.call("status")["jobs"] == 0, "the jobs are done")
    return process


def put(client: hybridrt.Client) -> bool:
    try:
        return client.enqueue("echo", bytes(3000)).id > 0
    except hybridrt.errors.LogFullError:
        return False


def test_an_archive_that_cannot_be_written_fills_the_log_and_recovers(
    instance: Any, tmp_path: Path, await_condition: Any
) -> None:
    archive = tmp_path / "archive"
    archive.write_text("a file stands where the directory should be")
    process = run(
        instance,
        archive={"directory": str(archive)},
        pool=[instance.python_pool()],
        queue=[{"name": "default", "result_ttl": 0, "durability": "memory"}],
    )
    with hybridrt.connect(instance.directory) as client:
        while put(client):
            pass
        upkeep = instance.call("status")["upkeep"]
        assert upkeep["held"] == 1
        await_condition(lambda: instance.call("status")["upkeep"]["archive"]["fault"], "it is told")
        job = {"kind": "echo", "payload": "eHh4" * 1000}
        with pytest.raises(hybridrt.errors.LogFullError, match=f"is not archived.*{archive}/.*: N"):
            await_condition(lambda: not instance.call("enqueue", **job), "it is full again")
        archive.unlink()
        await_condition(lambda: put(client), "the log goes on once it is archived")
    assert "cannot be archived" in instance.output()
    stop(process)


def test_an_archive_that_is_gone_is_told_and_gets_no_hole(
    instance: Any, tmp_path: Path, await_condition: Any
) -> None:
    """As when its disk is unmounted: what comes next is not written to where it was mounted."""
    archive, elsewhere = tmp_path / "archive", tmp_path / "elsewhere"
    process = run(
        instance,
        archive={"directory": str(archive)},
        pool=[instance.python_pool()],
        queue=[{"name": "default", "result_ttl": 0, "durability": "memory"}],
    )

    def state() -> Any:
        return instance.call("status")["upkeep"]["archive"]

    with hybridrt.connect(instance.directory) as client:
        await_condition(lambda: put(client) and state()["copied"] > 1, "there is an archive")
        await_condition(lambda: state()["behind"] == 0, "it rests")
        archive.rename(elsewhere)
        await_condition(lambda: put(client) and "has lost" in state()["fault"], "it is told")
        assert not archive.exists()
        elsewhere.rename(archive)
        await_condition(lambda: not state()["fault"] and state()["behind"] == 0, "it goes on")
    numbers = open_store(archive).numbers()
    assert numbers == list(range(1, state()["next"]))
    stop(process)


def test_an_archive_that_is_gone_at_the_start_is_told_and_not_begun_anew(
    instance: Any, tmp_path: Path, await_condition: Any
) -> None:
    """As when its disk is not mounted after a boot: the log is held until it is."""
    archive, elsewhere = tmp_path / "archive", tmp_path / "elsewhere"
    process = run(instance, archive={"directory": str(archive)})

    def state() -> Any:
        return instance.call("status")["upkeep"]["archive"]

    enqueue(instance, 60)
    await_condition(lambda: state()["copied"] > 1 and state()["behind"] == 0, "it is archived")
    kept = open_store(archive).numbers()
    stop(process)
    archive.rename(elsewhere)
    archive.mkdir()
    process = run(instance, archive={"directory": str(archive)})
    fault = await_condition(lambda: state()["fault"], "it is told")
    assert f"has lost segment {kept[-1]}" in fault
    assert str(instance.log_directory / "archived") in fault
    assert instance.call("status")["upkeep"]["held"] == kept[0]
    assert list(archive.iterdir()) == []
    archive.rmdir()
    elsewhere.rename(archive)
    await_condition(lambda: not state()["fault"] and state()["behind"] == 0, "it goes on")
    stop(process)
    archive.rename(elsewhere)
    (instance.log_directory / "archived").unlink()
    process = run(instance, archive={"directory": str(archive)})
    await_condition(lambda: state()["copied"] > 1, "it begins anew when told so")
    stop(process)


def test_a_killed_archiver_goes_on_where_it_was(instance: Any, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    process = run(instance, archive={"directory": str(archive)})
    enqueue(instance, 60)
    process.kill()
    process.wait()
    kept = open_store(archive) if archive.exists() else None
    if kept is not None and (numbers := kept.numbers()):
        kept.path.joinpath(f".{numbers[-1]:016x}.seg.zst.tmp").write_bytes(b"half")
        kept.path.joinpath(f"{99:016x}.json").write_bytes(b"{}")
    process = run(instance, archive={"directory": str(archive)})
    enqueue(instance, 30)
    stop(process)
    done = answer("log", "archive", instance.log_directory, archive)
    store = open_store(archive)
    assert store.numbers() == list(range(1, done["segments"] + 1))
    assert not list(store.path.glob(".*"))
    assert not store.path.joinpath(f"{99:016x}.json").exists()


def check_retention(archive: Archive) -> None:
    numbers = archive.numbers()
    needed = archive.info(numbers[-1]).head
    free = [number for number in numbers if number < needed]
    assert len(free) > 10
    sizes = {number: archive.file(number).stat().st_size for number in numbers}
    last_ns = archive.info(free[4]).last_time_ns

    def gone(now_ns: int = 0, **keep: Any) -> list[int]:
        return expired(archive, ArchiveConfig(**keep), now_ns)

    assert gone() == []
    assert gone(keep_segments=len(numbers) - 3) == free[:3]
    assert gone(keep_segments=1) == free  # what the newest one needs stays
    assert gone(keep_bytes=Size(1)) == free
    assert gone(keep_bytes=Size(sum(sizes.values()) - sizes[free[0]])) == free[:1]
    assert free[:5] == gone(last_ns + 10**9 + 1, keep_age=Duration(1))[:5]
    assert gone(last_ns + 10**9, keep_age=Duration(1))[:5] == free[:4]


def test_the_next_supervisor_goes_on_with_the_archive(
    instance: Any, tmp_path: Path, await_condition: Any
) -> None:
    archive = tmp_path / "archive"
    run(instance, archive={"directory": str(archive)})
    enqueue(instance, 60)
    pid = instance.call("status")["pid"]
    done = cli("upgrade", "--runtime-dir", instance.directory)
    assert done.returncode == Status.OK, done.stderr
    assert instance.call("status")["pid"] != pid
    enqueue(instance, 60)
    instance.call("log.sync")
    await_condition(
        lambda: instance.call("status")["upkeep"]["archive"]["next"] > 6, "the new one archives"
    )
    upkeep = instance.call("status")["upkeep"]
    assert upkeep["held"] == upkeep["archive"]["next"]
    assert open_store(archive).numbers() == list(range(1, upkeep["archive"]["next"]))
    instance.call("shutdown")
    await_condition(lambda: not is_locked(instance.log_directory), "it has ended")


def test_a_backup_into_an_archive_leaves_no_hole(
    instance: Any, tmp_path: Path, await_condition: Any
) -> None:
    """The beginning of a segment that a backup left in the archive is replaced by the whole."""
    archive = tmp_path / "archive"
    process = run(instance, archive={"directory": str(archive)})
    log = instance.log_directory
    for _ in range(3):
        enqueue(instance, 17)
        answer("log", "backup", "--runtime-dir", instance.directory, log, archive)
    last = open_store(archive).numbers()[-1]
    assert not open_store(archive).info(last).full
    enqueue(instance, 50)
    instance.call("log.sync")
    await_condition(
        lambda: instance.call("status")["upkeep"]["archive"]["next"] > last + 1, "it was archived"
    )
    stop(process)
    answer("log", "archive", log, archive)
    store = open_store(archive)
    infos = [store.info(number) for number in store.numbers()]
    assert all(info.full for info in infos)
    assert [info.first_sequence for info in infos[1:]] == [
        info.last_sequence + 1 for info in infos[:-1]
    ]
    assert answer("log", "verify", archive)["ok"]


def test_a_later_backup_is_sound_where_the_log_has_lapped_an_earlier_one(
    instance: Any, tmp_path: Path, await_condition: Any
) -> None:
    """The segment that the first one kept in part is gone from the log by then."""
    archive, backup = tmp_path / "archive", tmp_path / "backup"
    process = run_through(instance, 500, archive, await_condition)
    stop(process)
    made = answer("log", "backup", instance.log_directory, backup)
    older, store = open_store(archive), open_store(backup)
    assert isinstance(store, Archive)
    part = made["first"] - 1
    store.put(older.read(part)[1][:20_000], must_be_full=False)
    assert store.numbers()[0] == part
    assert not store.info(part).full
    verdict = answer("log", "verify", backup)
    assert (verdict["verdict"], verdict["state_hash"]) == ("clean", made["state_hash"])
    restored = answer("log", "restore", backup, tmp_path / "restored")
    assert restored["sequence"] == made["sequence"]


def test_a_copy_is_never_replaced_by_a_lesser_one(copies: Path, tmp_path: Path) -> None:
    shutil.copytree(copies / "archive", tmp_path / "archive")
    store = open_store(tmp_path / "archive")
    assert isinstance(store, Archive)
    whole, (_, data) = store.info(2), store.read(2)
    assert store.put(data[:30_000], must_be_full=False) == whole
    assert (store.info(2), store.read(2)[1]) == (whole, data)
    store.remove(2)
    half = store.put(data[:30_000], must_be_full=False)
    assert not half.full
    assert store.put(data, must_be_full=True, head=2).head == 2  # not what was known before


def test_two_backups_to_one_place_at_once_are_both_made(copies: Path, tmp_path: Path) -> None:
    place = tmp_path / "backup"
    command = [sys.executable, "-m", "hybridrt.cli", "log", "backup", str(copies / "log")]
    both = [
        subprocess.Popen([*command, str(place)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        for _ in range(3)
    ]
    said = [process.communicate(timeout=DEADLINE_S)[1] for process in both]
    assert [process.returncode for process in both] == [Status.OK] * 3, said
    assert answer("log", "verify", place)["ok"]


def test_copies_do_not_lie_in_a_log(copies: Path, tmp_path: Path) -> None:
    log = Path(shutil.copytree(copies / "log", tmp_path / "log"))
    before = sorted(path.name for path in log.iterdir())
    for command in ("archive", "backup"):
        for place, why in ((log, "in the log itself"), (log / "x", "in the log itself")):
            done = cli("log", command, log, place)
            assert (done.returncode, why in done.stderr) == (Status.USAGE, True), done.stderr
        done = cli("log", command, copies / "log", log)
        assert "is the directory of a log" in done.stderr
    assert sorted(path.name for path in log.iterdir()) == before


def test_a_place_that_cannot_be_written_is_named(copies: Path) -> None:
    for command in ("archive", "backup", "restore"):
        source = copies / ("backup" if command == "restore" else "log")
        for place in ("/dev/null", "/proc/here"):
            done = cli("log", command, source, place)
            assert done.returncode in {Status.IO, Status.PERMISSION}, done.stderr
            assert "hybridrt: /" in done.stderr
            assert "Traceback" not in done.stderr


UNPRIVILEGED = """
import os, sys, zstandard
import hybridrt.backup, hybridrt.damage, hybridrt.restore, hybridrt.cli.log_commands
from hybridrt.cli.app import app
if os.geteuid() == 0:
    os.seteuid(65534)
app()
"""


def test_what_may_not_be_read_is_called_so(copies: Path, tmp_path: Path) -> None:
    """Not wrong usage, and not an archive that holds nothing."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        archive = Path(shutil.copytree(copies / "backup", Path(folder) / "archive"))
        log = Path(shutil.copytree(copies / "log", Path(folder) / "log"))
        archive.chmod(0o755)
        closed = open_store(archive).path
        closed.chmod(0)
        log.chmod(0)
        try:
            for words in (
                ("restore", archive, Path(folder) / "new"),
                ("verify", archive),
                ("verify", log),
                ("cat", log),
                ("backup", log, Path(folder) / "copy"),
            ):
                command = [sys.executable, "-c", UNPRIVILEGED, "log", *map(str, words)]
                done = subprocess.run(
                    command, capture_output=True, text=True, timeout=DEADLINE_S, check=False,
                    cwd=tmp_path,
                )  # fmt: skip
                assert done.returncode == Status.PERMISSION, (words, done.stderr)
                assert "Permission denied" in done.stderr
        finally:
            closed.chmod(0o700)
            log.chmod(0o700)


# ---- backup and restore -------------------------------------------------------------------------


def test_a_backup_of_a_running_log_is_whole(
    instance: Any, tmp_path: Path, await_condition: Any
) -> None:
    queues = [{"name": "default", "result_ttl": 0}, {"name": "kept"}]
    process = run(instance, pool=[instance.python_pool()], queue=queues)
    instance.call("queue.pause", queue="kept")
    kept = enqueue(instance, 20, queue="kept")
    writer = subprocess.Popen([sys.executable, "-c", ENDLESS, str(instance.directory)])
    try:
        log, place = instance.log_directory, tmp_path / "backup"
        await_condition(lambda: instance.call("status")["sequence"] > 200, "jobs run")
        first = answer("log", "backup", "--runtime-dir", instance.directory, log, place)
        await_condition(
            lambda: instance.call("status")["sequence"] > first["sequence"] + 500, "more jobs"
        )
        second = answer("log", "backup", "--runtime-dir", instance.directory, log, place)
    finally:
        writer.kill()
        writer.wait()
    stop(process)
    assert second["sequence"] > first["sequence"]
    assert second["copied"] < second["segments"]  # what was there is not copied again
    assert answer("log", "verify", place)["ok"]
    made = answer("log", "restore", place, tmp_path / "again")
    assert made["sequence"] == second["sequence"]
    assert made["state_hash"] == second["state_hash"]
    instance.log_directory = tmp_path / "again"
    run(instance)
    ids = {job["id"] for job in instance.call("job.ls", queue="kept")["jobs"]}
    assert ids == set(kept)


ENDLESS = """
import sys, hybridrt
with hybridrt.connect(sys.argv[1]) as client:
    while True:
        try:
            client.enqueue_many("echo", [bytes(500)] * 20)
        except hybridrt.errors.LogFullError:
            pass
"""


def test_a_log_that_is_held_by_somebody_unknown_is_not_copied(
    instance: Any, tmp_path: Path
) -> None:
    run(instance)
    done = cli("log", "backup", "--runtime-dir", tmp_path, instance.log_directory, tmp_path / "b")
    assert done.returncode == Status.TRY_AGAIN
    assert "is held, and no supervisor answers" in done.stderr


def test_a_past_moment_is_restored_as_a_new_log(instance: Any, copies: Path) -> None:
    log = copies / "log"
    source = LogFiles(log)
    middle = [n for n in source.numbers() if source.info(n).full][2]
    at = source.info(middle).first_sequence + 7
    made = answer("log", "restore", "--at", str(at), copies / "archive", instance.log_directory)
    assert at - 3 <= made["sequence"] <= at  # the last whole group
    expected = Replay()
    with Scan(str(log)) as scan:
        for record in scan:
            if int.from_bytes(record[8:16], "little") <= made["sequence"]:
                expected.apply(record)
    assert (made["jobs"], made["state_hash"]) == (
        expected.jobs(),
        f"{expected.state_hash():016x}",
    )
    assert Catalog.read(instance.log_directory).uuid != source.uuid
    run(instance)
    assert instance.call("status")["jobs"] == expected.jobs()
    (fresh,) = enqueue(instance, 1)
    assert fresh > made["sequence"] + 1  # behind the note that says where the log comes from
    shown = cli("log", "cat", "--json", "--type", "control", instance.log_directory).stdout
    notes = [json.loads(line) for line in shown.splitlines() if '"note"' in line]
    assert json.loads(notes[0]["text"])["from_uuid"] == source.uuid.hex()


def test_a_moment_may_be_a_time(copies: Path, tmp_path: Path) -> None:
    store = open_store(copies / "backup")
    info = store.info(store.numbers()[1])
    by_sequence = answer(
        "log", "restore", "--at", str(info.last_sequence), copies / "backup", tmp_path / "one"
    )
    at = by_sequence["time"]
    by_time = answer("log", "restore", "--at", at, copies / "backup", tmp_path / "two")
    assert by_time["time"] <= at
    assert abs(by_time["sequence"] - info.last_sequence) <= 1
    assert (
        cli("log", "restore", "--at", "soon", copies / "backup", tmp_path / "three").returncode == 2
    )


def test_a_restore_never_writes_over_something(copies: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "precious").write_text("mine")
    done = cli("log", "restore", copies / "backup", target)
    assert done.returncode == Status.NOT_READY
    assert "is not empty; nothing was changed" in done.stderr
    assert [path.name for path in target.iterdir()] == ["precious"]


def test_a_source_with_a_hole_is_refused_by_number(copies: Path, tmp_path: Path) -> None:
    shutil.copytree(copies / "backup", tmp_path / "backup")
    store = open_store(tmp_path / "backup")
    assert isinstance(store, Archive)
    store.remove(store.numbers()[2])
    done = cli("log", "restore", tmp_path / "backup", tmp_path / "log")
    assert done.returncode == Status.BAD_DATA
    assert "lacks segment 3" in done.stderr
    assert not (tmp_path / "log").exists()


@pytest.mark.parametrize("kind", ["log", "copies"])
def test_a_log_is_not_restored_into_another_one(copies: Path, tmp_path: Path, kind: str) -> None:
    """It would go when that one is removed; and a repair of that one would find it there."""
    shutil.copytree(copies / "backup", tmp_path / "backup")
    store = open_store(tmp_path / "backup")
    answer("log", "restore", store.path, tmp_path / "log")
    inside = (tmp_path / "log" if kind == "log" else store.path) / "below"
    before = sorted(path.name for path in inside.parent.iterdir())
    done = cli("log", "restore", store.path, inside / "new")
    assert (done.returncode, "among the segments of a log" in done.stderr) == (Status.USAGE, True)
    assert sorted(path.name for path in inside.parent.iterdir()) == before


def test_a_hole_within_a_source_is_refused_by_sequence(copies: Path, tmp_path: Path) -> None:
    """Also one that the numbers of the segments do not show, and a moment that lies in it."""
    shutil.copytree(copies / "backup", tmp_path / "backup")
    store = open_store(tmp_path / "backup")
    assert isinstance(store, Archive)
    _, data = store.read(3)
    store.remove(3)
    before, after = store.put(data[:30_000], must_be_full=False), store.info(4)
    hole = f"lacks sequences {before.last_sequence + 1} to {after.first_sequence - 1}"
    for at in ((), ("--at", str(before.last_sequence + 1)), ("--at", str(after.last_sequence))):
        done = cli("log", "restore", *at, tmp_path / "backup", tmp_path / "log")
        assert (done.returncode, hole in done.stderr) == (Status.BAD_DATA, True), done.stderr
        assert sorted(path.name for path in tmp_path.iterdir()) == ["backup"]
    made = answer(
        "log", "restore", "--at", str(before.last_sequence), tmp_path / "backup", tmp_path / "log"
    )
    assert made["sequence"] == before.last_sequence


def test_a_moment_behind_the_end_is_refused(copies: Path, tmp_path: Path) -> None:
    end = answer("log", "verify", copies / "backup")["damage"]["sequence"]
    for source in ("backup", "log"):
        done = cli("log", "restore", "--at", str(end + 1), copies / source, tmp_path / "log")
        assert (done.returncode, f"ends with sequence {end}" in done.stderr) == (2, True)
    made = answer("log", "restore", "--at", str(end), copies / "backup", tmp_path / "log")
    assert made["sequence"] == end


def test_two_restores_to_one_place_do_not_mix(copies: Path, tmp_path: Path) -> None:
    making = tmp_path / ".log.restoring"
    making.mkdir()
    with locked(making):
        done = cli("log", "restore", copies / "backup", tmp_path / "log")
    assert done.returncode == Status.TRY_AGAIN
    assert "somebody else restores to" in done.stderr
    (making / "00000000.seg").write_bytes(b"of a restore that was killed")
    command = [sys.executable, "-m", "hybridrt.cli", "log", "restore", str(copies / "backup")]
    several = [
        subprocess.Popen(
            [*command, str(tmp_path / "log")], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        for _ in range(3)
    ]
    said = [process.communicate(timeout=DEADLINE_S)[1] for process in several]
    ends = [process.returncode for process in several]
    assert ends.count(Status.OK) == 1, said
    assert set(ends) <= {Status.OK, Status.TRY_AGAIN, Status.NOT_READY}, said
    assert state(tmp_path / "log") == state(copies / "log")
    assert not making.exists()


def test_a_log_is_as_good_a_source_as_its_backup(
    instance: Any, tmp_path: Path, await_condition: Any
) -> None:
    """Also when segments were retired since its last one was begun."""
    process = run(
        instance,
        pool=[instance.python_pool()],
        queue=[{"name": "default", "result_ttl": 1, "durability": "memory"}],
    )
    log = instance.log_directory

    def has_retired() -> bool:
        client.enqueue("echo", bytes(3000)).result(DEADLINE_S)
        files = LogFiles(log)
        return files.read(files.numbers()[-1])[0].head < files.catalog.head

    with hybridrt.connect(instance.directory) as client:
        await_condition(has_retired, "a segment was retired within another one")
    process.kill()
    process.wait()
    made = answer("log", "restore", log, tmp_path / "again")
    backup = answer("log", "backup", log, tmp_path / "backup")
    assert (made["sequence"], made["state_hash"]) == (backup["sequence"], backup["state_hash"])


def test_a_copy_is_read_and_verified_like_a_log(copies: Path, tmp_path: Path) -> None:
    whole = answer("log", "verify", copies / "log")
    copied = answer("log", "verify", copies / "backup")
    for name in ("records", "jobs", "state_hash", "types"):
        assert copied[name] == whole[name]
    printed = cli("log", "cat", "--json", copies / "backup").stdout
    assert printed == cli("log", "cat", "--json", copies / "log").stdout
    shutil.copytree(copies / "backup", tmp_path / "backup")
    store = open_store(tmp_path / "backup")
    assert isinstance(store, Archive)
    store.file(2).write_bytes(store.file(3).read_bytes())
    done = cli("log", "verify", "--json", tmp_path / "backup")
    assert done.returncode == Status.FAILED
    body = json.loads(done.stdout)
    assert (body["verdict"], body["places"][0]["segment"]) == ("committed", 2)
    assert "does not hold segment 2" in body["places"][0]["text"]
    store.remove(1)
    store.remove(2)
    done = cli("log", "verify", "--json", tmp_path / "backup")
    assert json.loads(done.stdout)["verdict"] == "missing"
    assert done.returncode == Status.FAILED


def test_every_byte_of_a_kept_segment_is_checked(copies: Path, tmp_path: Path) -> None:
    shutil.copytree(copies / "backup", tmp_path / "backup")
    store = open_store(tmp_path / "backup")
    assert isinstance(store, Archive)
    path = store.file(store.numbers()[1])
    whole = path.read_bytes()
    segment = store.read(store.numbers()[1])
    refused = 0
    for offset in range(0, len(whole), 7):
        path.write_bytes(whole[:offset] + bytes([whole[offset] ^ 4]) + whole[offset + 1 :])
        try:
            data = store.read(store.numbers()[1])
        except DamagedLogError:
            refused += 1
        else:
            assert data == segment, offset  # a bit that decompression does not look at
    assert refused > len(whole) / 7 - 5


def test_a_directory_without_segments_is_no_source(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="holds no segments"):
        open_store(tmp_path)


# ---- scrubbing ----------------------------------------------------------------------------------


def listen(instance: Any) -> Any:
    """Subscribe to what the supervisor tells of its log; the first event may be missed."""
    events = zmq.Context.instance().socket(zmq.SUB)
    events.linger = 0
    events.connect(f"ipc://{instance.directory / 'events.sock'}")
    events.subscribe("log")
    instance.call("ping")
    return events


def test_a_flipped_bit_under_a_running_supervisor_is_found(
    instance: Any, await_condition: Any
) -> None:
    run(instance, scrub={"rate": "1GiB", "interval": "50ms"})
    enqueue(instance, 80)

    def scrub() -> dict[str, Any]:
        found: dict[str, Any] = instance.call("status")["upkeep"]["scrub"]
        return found

    cycles = scrub()["cycles"]
    await_condition(lambda: scrub()["cycles"] > cycles + 2, "the log was read")
    assert scrub()["damaged"] == 0
    events = listen(instance)
    bad = Catalog.read(instance.log_directory).numbered[2].path
    with bad.open("r+b") as file:
        file.seek(20_000)
        byte = file.read(1)[0]
        file.seek(20_000)
        file.write(bytes([byte ^ 1]))
        file.flush()
        os.fsync(file.fileno())
    await_condition(lambda: scrub()["damaged"], "the damage is found")
    (finding,) = scrub()["findings"]
    assert finding["segment"] == bad.name
    assert events.poll(DEADLINE_S * 1000)
    topic, told = messages.decode_event(events.recv_multipart())
    events.close()
    assert (topic, told["event"], told["position"]) == ("log", "damaged", finding["position"])
    assert 2 * 65_536 + 16_000 < finding["position"] <= 2 * 65_536 + 20_000
    assert "the log is damaged on the disk" in instance.output()
    shown = cli("status", "--runtime-dir", instance.directory).stdout
    assert f"DAMAGED: {bad.name}" in shown


def test_writing_is_no_damage(instance: Any, await_condition: Any) -> None:
    """The scrubber reads as quickly as it can while files are written and used again."""
    run(
        instance,
        scrub={"rate": "1GiB", "interval": 0},
        pool=[instance.python_pool()],
        queue=[{"name": "default", "result_ttl": 0, "durability": "memory"}],
    )
    with hybridrt.connect(instance.directory) as client:

        def read_often_meanwhile() -> bool:
            for _ in range(100):
                await_condition(lambda: put(client), "the log has room")
            recycled: int = instance.call("stats")["runtime"]["recycled"]
            cycles: int = instance.call("status")["upkeep"]["scrub"]["cycles"]
            return recycled > 10 and cycles > 10

        await_condition(read_often_meanwhile, "the scrubber was often round while files changed")
    assert instance.call("status")["upkeep"]["scrub"]["findings"] == []
