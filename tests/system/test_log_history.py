"""What a log tells afterwards: filters, past states, the story of a job, another version's view."""

import json
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import hybridrt
from hybridrt.exits import Status
from hybridrt.history import History, groups, state_at
from hybridrt.logreader import Hindsight, Replay, Scan
from hybridrt.records import RecordType, decided, read_header, record_type
from hybridrt.restore import Moment
from hybridrt.store import Archive, open_store

DEADLINE_S = 30
SMALL = {"segment_size": "64KiB", "max_size": "2MiB"}


def cli(*arguments: object) -> "subprocess.CompletedProcess[str]":
    """Run the command to its end."""
    command = [sys.executable, "-m", "hybridrt.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)


def lines(*arguments: object) -> list[dict[str, Any]]:
    """Run a command that prints JSON lines."""
    done = cli(*arguments, "--json")
    assert done.returncode == Status.OK, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def is_archived(instance: Any) -> bool:
    """Say whether the archiver has copied all that it has seen to be full."""
    found = instance.call("status")["upkeep"]["archive"]
    return bool(found["copied"] > 0 and found["behind"] == 0)


@pytest.fixture(name="past", scope="module")
def _past(shared_instance: Any, await_condition: Any) -> dict[str, Any]:
    """Give a log in which jobs went through much, the names of some of them, and its archive."""
    archive = shared_instance.log_directory.parent / "archive"
    tables: dict[str, Any] = {
        "log": SMALL,
        "scrub": {"rate": 0},
        "archive": {"directory": str(archive)},
        "pool": [shared_instance.python_pool()],
        "queue": [{"name": "default", "retry_base": "1ms", "retry_cap": "1ms"}, {"name": "held"}],
    }
    process = shared_instance.run(**tables)
    jobs: dict[str, Any] = {"log": shared_instance.log_directory, "archive": archive}
    with hybridrt.connect(shared_instance.directory) as client:
        failing = client.enqueue("fail", "it broke", max_attempts=2, key="one")
        parent = client.enqueue("follow", "child")
        shared_instance.call("queue.pause", queue="held")
        held = client.enqueue("echo", "later", queue="held")
        with pytest.raises(hybridrt.errors.JobError):
            failing.result(DEADLINE_S)
        parent.result(DEADLINE_S)
        jobs |= {"failing": failing.id, "parent": parent.id, "held": held.id}
    process.kill()
    process.wait()
    process = shared_instance.run(**tables)
    with hybridrt.connect(shared_instance.directory) as client:
        for _ in range(150):
            client.enqueue("echo", bytes(3000), result_ttl=1).result(DEADLINE_S)
    await_condition(lambda: is_archived(shared_instance), "the full segments are in the archive")
    process.send_signal(signal.SIGTERM)
    assert process.wait(DEADLINE_S) == Status.OK
    return jobs


def test_records_are_chosen_by_what_they_are_about(past: dict[str, Any]) -> None:
    log, archive = past["log"], past["archive"]
    everything = lines("log", "cat", log, "--archive", archive)
    assert [r["sequence"] for r in everything] == list(range(1, len(everything) + 1))
    of_key = lines("log", "cat", log, "--archive", archive, "--key", "one")
    assert {r["type"] for r in of_key} >= {"enqueue", "lease", "settle"}
    assert of_key[0]["job"] == past["failing"]
    of_queue = lines("log", "cat", log, "--archive", archive, "--queue", "held")
    assert {r["job"] for r in of_queue} == {past["held"]}
    kinds = {r["kind"] for r in lines("log", "cat", log, "--kind", "echo", "--type", "enqueue")}
    assert kinds == {"echo"}
    second = lines("log", "cat", log, "--archive", archive, "--epoch", 2)
    assert {r["epoch"] for r in second} == {2}
    middle = everything[len(everything) // 2]["sequence"]
    part = lines("log", "cat", log, "--archive", archive, "--after", 10, "--until", middle)
    assert [r["sequence"] for r in part] == list(range(11, middle + 1))
    family = lines("log", "cat", log, "--archive", archive, "--job", past["parent"], "--follow-ups")
    child = next(r["job"] for r in family if r.get("parent") == past["parent"])
    assert any(child in r.get("jobs", ()) for r in family if r["type"] == "lease")
    alone = lines("log", "cat", log, "--archive", archive, "--job", past["parent"])
    assert not any(child in r.get("jobs", ()) for r in alone if r["type"] == "lease")


def test_a_time_bounds_the_records(past: dict[str, Any]) -> None:
    everything = lines("log", "cat", past["log"])
    at_ns = everything[len(everything) // 2]["time_ns"] // 1000 * 1000
    text = cli("log", "cat", past["log"], "--type", "enqueue").stdout.splitlines()[0].split()[1]
    assert text.endswith("Z")
    from hybridrt.cli.log_copies import time_text

    late = lines("log", "cat", past["log"], "--since", time_text(at_ns))
    early = lines("log", "cat", past["log"], "--until", time_text(at_ns))
    assert late[0]["time_ns"] >= at_ns >= early[-1]["time_ns"]
    assert len(late) + len(early) == len(everything)


def test_the_story_of_a_failed_job_has_its_attempts_and_causes(past: dict[str, Any]) -> None:
    (story,) = lines("log", "why", past["log"], past["failing"], "--archive", past["archive"])
    texts = [event["text"] for event in story["events"]]
    assert "enqueued into default as fail: key one" in texts[0]
    attempts = [text for text in texts if text.startswith("attempt")]
    assert [text.split(" was")[0] for text in attempts] == ["attempt 1", "attempt 2"]
    assert any("it failed and is to be tried again; reason: " in text for text in texts)
    assert any(text.startswith("it became a dead letter, because of retry") for text in texts)
    assert story["events"][-1]["state"] == "dead"
    assert story["ending"] == "at the end of the log it is dead"
    (same,) = lines(
        "log", "replay", past["log"], "--job", past["failing"], "--archive", past["archive"]
    )
    assert same == story


def test_the_story_says_where_the_names_of_its_clients_stand(
    past: dict[str, Any], shared_instance: Any
) -> None:
    options = (past["log"], past["failing"], "--archive", past["archive"])
    (story,) = lines("log", "why", *options)
    assert len(story["clients"]) == 2  # one for each attempt
    told = cli("log", "why", *options).stdout
    assert told.rstrip().endswith("says the supervisor's own log: incarnation=NUMBER")
    for client in story["clients"]:
        assert f"handed to client {client}" in told
        started = [
            line
            for line in shared_instance.output().splitlines()
            if "worker started" in line and str(client) in line
        ]
        assert len(started) == 1
        assert "python/0" in started[0]
    (waited,) = lines("log", "why", past["log"], past["held"], "--archive", past["archive"])
    assert waited["clients"] == []


def test_the_story_tells_of_follow_ups_pauses_and_supervisors(past: dict[str, Any]) -> None:
    options = (past["log"], "--archive", past["archive"])
    parent = cli("log", "why", *options[:1], past["parent"], *options[1:]).stdout
    assert "its settle brought job" in parent
    assert "it completed" in parent
    held = cli("log", "why", *options[:1], past["held"], *options[1:]).stdout
    assert "began epoch 2" in held
    assert "it is ready" in held
    assert cli("log", "why", past["log"], 10**12).returncode == Status.NOT_FOUND


def test_a_past_state_is_what_the_records_up_to_then_come_to(past: dict[str, Any]) -> None:
    with Scan(str(past["log"])) as scan:
        records = [bytes(record) for record in scan]
    for place in range(40, len(records), len(records) // 4):
        replay = Replay()
        at = read_header(memoryview(records[place]))["sequence"]
        (then,) = lines("log", "replay", past["log"], "--at", at)
        for record in records:
            if read_header(memoryview(record))["sequence"] <= then["sequence"]:
                replay.apply(memoryview(record))
        assert then["state_hash"] == f"{replay.state_hash():016x}"
        assert at - then["sequence"] < 300  # the last whole group
        assert (
            then["jobs"]
            == replay.jobs()
            == sum(count for states in then["queues"].values() for count in states.values())
        )
    (listed,) = lines("log", "replay", past["log"], "--jobs")
    assert past["held"] in {job["id"] for job in listed["list"]}
    assert len(listed["list"]) == listed["jobs"]


def test_the_archive_and_the_log_alone_come_to_the_same_state(past: dict[str, Any]) -> None:
    (alone,) = lines("log", "replay", past["log"])
    (whole,) = lines("log", "replay", past["log"], "--archive", past["archive"])
    assert whole == alone


def held_against(log: Path, library: Path) -> dict[str, Any]:
    """Replay with another version that does not agree; return what is said of it."""
    done = cli("log", "replay", log, "--library", library, "--json")
    assert done.returncode == Status.FAILED, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_another_version_is_held_against_the_history(past: dict[str, Any], tmp_path: Path) -> None:
    (same,) = lines("log", "replay", past["log"], "--python", sys.executable)
    assert same["equal"]
    assert same["checks"] > 50
    other_package(
        tmp_path,
        "data = ffi.from_buffer(record)",
        "data = ffi.from_buffer(record)\n        if record[44] == 3: return []  # forgets settles",
    )
    found = held_against(past["log"], tmp_path)
    assert not found["equal"]
    assert "settle" in {record["type"] for record in found["difference"]["records"]}
    first = next(
        record for record in lines("log", "cat", past["log"]) if record["type"] == "settle"
        and any(entry["outcome"] != "forgotten" for entry in record["settled"])
    )  # fmt: skip
    assert found["difference"]["sequence"] >= first["sequence"]
    assert cli("log", "replay", past["log"], "--python", "/no/such").returncode == Status.BAD_DATA


def test_a_number_that_is_no_job_is_told_from_one_that_is_not_known(past: dict[str, Any]) -> None:
    lease = next(one for one in lines("log", "cat", past["log"]) if one["type"] == "lease")
    done = cli("log", "why", past["log"], lease["sequence"])
    assert done.returncode == Status.NOT_FOUND
    assert f"{lease['sequence']} is no job: that record is a lease" in done.stderr


def other_package(place: Path, old: str, new: str) -> Path:
    """Make a version whose logreader differs in one line; return the folder that it lies in."""
    package = Path(hybridrt.__file__).parent
    other = place / "hybridrt"
    other.mkdir()
    for entry in package.iterdir():
        (other / entry.name).symlink_to(entry)
    text = (package / "logreader.py").read_text()
    assert old in text
    (other / "logreader.py").unlink()
    (other / "logreader.py").write_text(text.replace(old, new))
    return place


def test_the_scheduler_decides_again_as_it_did(past: dict[str, Any]) -> None:
    """One version made this history, so its scheduler has to give the same leases once more."""
    replay = Replay()
    hindsight = Hindsight(replay)
    asked = 0
    for group in groups(iter(History(Path(past["log"])))):
        for record in group:
            had = decided(record)
            if had is not None and record_type(record) != RecordType.SETTLE:
                assert hindsight.ask(record, len(had)) == had
                asked += 1
            replay.apply(record)
    assert asked > 50


def test_the_scheduler_of_another_version_is_held_against_the_history(
    past: dict[str, Any], tmp_path: Path
) -> None:
    (same,) = lines("log", "replay", past["log"], "--python", sys.executable)
    assert same["decisions"] > 50
    assert (same["otherwise"], same["decision"]) == (0, None)
    library = other_package(
        tmp_path,
        "for place in range(count[0])]",
        "for place in range(record[44] == 2, count[0])]  # leaves the first job of a lease out",
    )
    found = held_against(past["log"], library)
    leases = sum(record["type"] == "lease" for record in lines("log", "cat", past["log"]))
    assert (found["difference"], found["otherwise"]) == (None, leases)
    told = found["decision"]
    assert told["mine"] == told["history"]
    assert told["theirs"] == told["mine"][1:]
    assert told["sequence"] in {one["sequence"] for one in told["records"]}
    said = cli("log", "replay", past["log"], "--library", library).stdout
    assert f"{leases} of them otherwise, the first at sequence {told['sequence']}" in said


def test_a_version_whose_scheduler_cannot_be_asked_is_compared_all_the_same(
    past: dict[str, Any], tmp_path: Path
) -> None:
    library = other_package(tmp_path, "class Hindsight:", "class Unknown:")
    (same,) = lines("log", "replay", past["log"], "--library", library)
    assert same["equal"]
    assert (same["decisions"], same["checks"] > 50) == (0, True)
    assert "cannot be asked" in cli("log", "replay", past["log"], "--library", library).stdout


def test_a_version_that_is_not_there_is_not_called_equal(
    past: dict[str, Any], tmp_path: Path
) -> None:
    """Without this, the version that runs the command would be held against itself."""
    for folder in (tmp_path, Path(hybridrt.__file__).parent):
        done = cli("log", "replay", past["log"], "--library", folder)
        assert done.returncode == Status.USAGE
        assert f"there is no hybridrt in {folder}" in done.stderr
    (same,) = lines("log", "replay", past["log"], "--library", Path(hybridrt.__file__).parents[1])
    assert same["place"] == str(Path(hybridrt.__file__).parent)


def test_a_program_without_hybridrt_is_named(past: dict[str, Any], tmp_path: Path) -> None:
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -S -E "$@"\n')
    program.chmod(0o755)
    done = cli("log", "replay", past["log"], "--python", program)
    assert done.returncode == Status.BAD_DATA
    assert "No module named" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_moment_that_is_not_known_is_no_empty_state(past: dict[str, Any], tmp_path: Path) -> None:
    shutil.copytree(past["archive"], tmp_path / "archive")
    store = open_store(tmp_path / "archive")
    assert isinstance(store, Archive)
    store.remove(store.numbers()[0])
    first = store.info(store.numbers()[0]).first_sequence
    for at in ("5", "2001-01-01T00:00:00"):
        done = cli("log", "replay", store.path, "--at", at)
        assert done.returncode == Status.USAGE
        assert f"begins with sequence {first}" in done.stderr
    (end,) = lines("log", "replay", past["log"])
    done = cli("log", "replay", past["log"], "--at", end["sequence"] + 1)
    assert (done.returncode, f"ends with sequence {end['sequence']}" in done.stderr) == (2, True)


def test_a_hole_in_the_archive_hides_only_what_lies_before_it(
    past: dict[str, Any], tmp_path: Path
) -> None:
    shutil.copytree(past["archive"], tmp_path / "archive")
    store = open_store(tmp_path / "archive")
    assert isinstance(store, Archive)
    number = store.numbers()[0]
    _, data = store.read(number)
    store.remove(number)
    store.put(data[: len(data) // 2], must_be_full=False)
    done = cli("log", "cat", store.path, "--json")
    first = json.loads(done.stdout.splitlines()[0])["sequence"]
    assert first == store.info(number + 1).first_sequence
    assert f"segments {number} to {number} are left out" in done.stderr
    assert cli("log", "verify", store.path).returncode == Status.FAILED


def test_words_that_choose_nothing_are_named(past: dict[str, Any]) -> None:
    for option, value in (("--kind", "ehco"), ("--queue", "defualt"), ("--key", "two")):
        done = cli("log", "cat", past["log"], option, value)
        assert done.stdout == ""
        assert f"has the {option[2:]} '{value}'" in done.stderr
    assert cli("log", "cat", past["log"], "--kind", "echo").stderr == ""
    for option, value in (("--since", "yesterday"), ("--until", "soon"), ("--since", "12")):
        done = cli("log", "cat", past["log"], option, value)
        assert (done.returncode, option in done.stderr) == (Status.USAGE, True)
        assert "--at" not in done.stderr


# ---- a log that has lost its beginning ----------------------------------------------------------


def tried(client: hybridrt.Client, payload: bytes | str, **options: Any) -> Any:
    """Enqueue a job; None: the log has no room before the archiver has gone on."""
    try:
        return client.enqueue("echo", payload, **options)
    except hybridrt.errors.LogFullError:
        return None


def recycle(instance: Any, archive: Path, retain: int, await_condition: Any) -> None:
    """Make a log whose files were used again while jobs waited and results were kept."""
    process = instance.run(
        log=SMALL,
        scrub={"rate": 0},
        archive={"directory": str(archive)},
        pool=[instance.python_pool()],
        queue=[{"name": "default", "retain": retain, "result_ttl": "1h"}, {"name": "held"}],
    )
    instance.call("queue.pause", queue="held")
    with hybridrt.connect(instance.directory) as client:
        for turn in range(60):
            jobs: list[tuple[Any, dict[str, Any]]] = [(bytes(3000), {"result_ttl": 0})] * 20
            jobs += [(f"later {turn}", {"queue": "held"}), (f"kept {turn}", {})]
            for payload, options in jobs:
                job = await_condition(partial(tried, client, payload, **options), "there is room")
            job.result(DEADLINE_S)
    process.send_signal(signal.SIGTERM)
    assert process.wait(DEADLINE_S) == Status.OK


def states(log: Path, archive: Path) -> dict[int, str]:
    """Return the hash of the true state after each group, by its last sequence."""
    replay, found = Replay(), {}
    for group in groups(iter(History(log, archive))):
        for record in group:
            replay.apply(record)
        found[read_header(group[-1])["sequence"]] = f"{replay.state_hash():016x}"
    return found


def whole_from(place: Path, true: dict[int, str]) -> int:
    """Check that each moment is answered as it was or refused; return where answers begin."""
    known = [read_header(group[-1])["sequence"] for group in groups(iter(History(place)))]
    named, answered = set(), 0
    for sequence in [*known[:: len(known) // 20], known[-1]]:
        try:
            replay, _ = state_at(History(place), Moment(sequence=sequence))
        except hybridrt.errors.InvalidArgumentError as error:
            named.add(int(error.message.removeprefix("the state before sequence ").split()[0]))
            assert sequence < max(named)
        else:
            assert f"{replay.state_hash():016x}" == true[sequence]
            answered += 1
    assert answered > 0
    assert len(named) <= 1
    return max(named, default=known[0])


@pytest.mark.parametrize("retain", [10_000, 5])
def test_a_past_state_is_whole_or_refused(
    retain: int, instance: Any, tmp_path: Path, await_condition: Any
) -> None:
    log, archive = instance.log_directory, tmp_path / "archive"
    recycle(instance, archive, retain, await_condition)
    true = states(log, archive)
    begin = whole_from(log, true)
    (then,) = lines("log", "replay", log, "--at", begin)
    assert (then["sequence"], then["state_hash"]) == (begin, true[begin])
    before = max(sequence for sequence in true if sequence < begin)
    refused = cli("log", "replay", log, "--at", before)
    assert refused.returncode == Status.USAGE
    assert f"the state before sequence {begin} is not known whole" in refused.stderr
    assert "with --archive" in refused.stderr
    (then,) = lines("log", "replay", log, "--at", before, "--archive", archive)
    assert then["state_hash"] == true[before]
    store = open_store(archive)
    assert isinstance(store, Archive)
    for number in store.numbers()[:2]:
        store.remove(number)
    assert whole_from(archive, true) < begin
