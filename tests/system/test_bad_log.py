"""What a damaged log, a full disk and a failing disk get: a clear error, and nothing is lost."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import hybridrt
from hybridrt import errors
from hybridrt.exits import Status
from hybridrt.logreader import Scan
from hybridrt.native import Runtime, RuntimeOptions
from hybridrt.records import read_header, type_name
from hybridrt.segments import MARK, MARK_OFFSET
from tests.producers import LANGUAGES, Tool

DEADLINE_S = 30
SEGMENT_BYTES = 65_536
SEGMENT_NUMBER = slice(16, 24)  # of hrt_segment
RECORD_SEQUENCE = 8  # offset in hrt_record
RECORD_BYTES = 64  # of hrt_record, before the body
ENQUEUE_PAYLOAD = 200  # an offset well inside the payload of the jobs of these tests
SMALL = {"segment_size": "64KiB", "max_size": "2MiB"}


def cli(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run the command to its end."""
    command = [sys.executable, "-m", "hybridrt.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)


# ---- damage -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Record:
    """Where one record lies."""

    type: str
    sequence: int
    path: Path
    offset: int


def records(directory: Path) -> list[Record]:
    """List the records of a log with their places."""
    files = {}
    for path in directory.glob("*.seg"):
        with path.open("rb") as file:
            files[int.from_bytes(file.read(64)[SEGMENT_NUMBER], "little")] = path
    found = []
    with Scan(str(directory)) as scan:
        for raw in scan:
            header = read_header(raw)
            number, offset = divmod(header["position"], SEGMENT_BYTES)
            name = type_name(header["type"])
            found.append(Record(name, header["sequence"], files[number], offset))
    return found


def flip(path: Path, offset: int) -> None:
    """Turn one bit."""
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0x10]))


def hashes(directory: Path) -> dict[str, str]:
    """Hash all files of a log."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in directory.iterdir()
    }


@pytest.fixture(name="sound_log", scope="module")
def _sound_log(shared_instance: Any) -> Path:
    """Give a log of several segments that was closed in good order."""
    process = shared_instance.run(log=SMALL, kind=[{"name": "echo"}])
    with hybridrt.connect(shared_instance.directory) as client:
        for number in range(60):
            client.enqueue("echo", bytes([number]) * 4000)
    process.send_signal(signal.SIGTERM)
    assert process.wait(DEADLINE_S) == Status.OK
    log: Path = shared_instance.log_directory
    return log


@pytest.fixture(name="log")
def _log(sound_log: Path, instance: Any) -> Path:
    """Give a copy of the log, to be damaged and run."""
    directory: Path = instance.log_directory
    shutil.copytree(sound_log, directory)
    return directory


def middle(log: Path) -> Record:
    """Return an ENQUEUE in the middle of the log."""
    enqueues = [record for record in records(log) if record.type == "enqueue"]
    return enqueues[len(enqueues) // 2]


def flip_segment_header(log: Path) -> None:
    flip(middle(log).path, 20)


def flip_record_header(log: Path) -> None:
    flip(middle(log).path, middle(log).offset + RECORD_SEQUENCE)


def flip_payload(log: Path) -> None:
    flip(middle(log).path, middle(log).offset + ENQUEUE_PAYLOAD)


def flip_the_last_job(log: Path) -> None:
    last = [record for record in records(log) if record.type == "enqueue"][-1]
    flip(last.path, last.offset + ENQUEUE_PAYLOAD)


def truncate(log: Path) -> None:
    os.truncate(middle(log).path, SEGMENT_BYTES // 2)


def remove_middle(log: Path) -> None:
    middle(log).path.unlink()


def remove_oldest(log: Path) -> None:
    records(log)[0].path.unlink()


def add_a_foreign_file(log: Path) -> None:
    """Make another log, and take a file of it."""
    other = log.parent / "other"
    options = RuntimeOptions(
        directory=str(other),
        segment_bytes=SEGMENT_BYTES,
        segments_max=32,
        async_ns=0,
        lease_ns=0,
        cancel_grace_ns=0,
    )
    Runtime.open(options).close()
    shutil.copy(other / "00000000.seg", log / "00000030.seg")


@pytest.mark.parametrize(
    ("damage", "verdict", "says"),
    [
        (flip_segment_header, "header", "its header is damaged"),
        (flip_record_header, "committed", "committed data is damaged"),
        (flip_payload, "committed", "fails its checksum although later records are valid"),
        (flip_the_last_job, "committed", "committed data is damaged"),
        (truncate, "committed", "is 32768 bytes long, the log's segments are 65536"),
        (remove_middle, "missing", "is missing"),
        (remove_oldest, "missing", "is missing"),
        (add_a_foreign_file, "foreign", "segment 00000030.seg belongs to another log"),
    ],
)
def test_damage_is_named_nothing_is_changed_and_nothing_is_run(
    instance: Any, log: Path, damage: Callable[[Path], None], verdict: str, says: str
) -> None:
    damage(log)
    before = hashes(log)
    done = cli("run", "--log-format", "human", "--config", instance.write(log=SMALL))
    assert done.returncode == Status.BAD_DATA
    assert says in done.stderr
    assert "nothing was changed" in done.stderr
    verified = cli("log", "verify", "--json", log)
    assert verified.returncode == Status.FAILED
    body = json.loads(verified.stdout)
    assert (body["verdict"], body["ok"]) == (verdict, False)
    assert says in body["damage"]["text"]
    assert "segment" in body["damage"]["text"]
    assert hashes(log) == before


@pytest.mark.parametrize(
    "make",
    [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/null")],
    ids=["directory", "pipe", "link"],
)
def test_what_is_named_like_a_segment_and_is_no_file_is_named(
    instance: Any, log: Path, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    """And is not read: a pipe would be awaited for ever."""
    make(log / "00000099.seg")
    run = ("run", "--log-format", "human", "--config", instance.write(log=SMALL))
    for words in (run, ("log", "verify", log), ("log", "repair", log)):
        done = cli(*words)
        assert done.returncode == Status.BAD_DATA
        assert "00000099.seg in the log directory is no regular file" in done.stderr
    done = cli("log", "backup", log, tmp_path / "copy")
    assert done.returncode == Status.BAD_DATA
    assert "00000099.seg is no regular file" in done.stderr


def test_a_damaged_record_is_named_by_segment_and_position(log: Path) -> None:
    bad = middle(log)
    flip_payload(log)
    report = json.loads(cli("log", "verify", "--json", log).stdout)["damage"]
    assert report["position"] % SEGMENT_BYTES == bad.offset
    assert report["sequence"] == bad.sequence - 1
    assert f"segment {bad.path.name}: record at position {report['position']}" in report["text"]


def test_a_torn_tail_is_reported_and_all_jobs_before_it_are_there(instance: Any, log: Path) -> None:
    """After a kill nothing tells rot in the last record, a checkpoint, from a torn write."""
    tail = records(log)[-1]
    assert tail.type == "checkpoint"
    flip(tail.path, tail.offset + RECORD_BYTES)
    with tail.path.open("r+b") as file:
        file.seek(MARK_OFFSET)
        file.write(bytes(MARK.size))
    verified = cli("log", "verify", "--json", log)
    assert verified.returncode == Status.OK
    assert json.loads(verified.stdout)["verdict"] == "torn"
    instance.run(log=SMALL, kind=[{"name": "echo"}])
    assert instance.call("status")["jobs"] == 60
    assert '"tail_bytes": ' in instance.output()


def test_a_log_directory_that_is_moved_or_removed_is_told(
    instance: Any, log: Path, await_condition: Callable[..., Any]
) -> None:
    process = instance.run(log=SMALL, kind=[{"name": "echo"}], runtime={"sample_interval": "50ms"})
    elsewhere = log.with_name("elsewhere")
    log.rename(elsewhere)
    await_condition(lambda: "moved or removed" in instance.output(), "it is logged")
    (trouble,) = instance.call("status")["troubles"]
    assert trouble in instance.output()
    elsewhere.rename(log)
    assert instance.call("status")["troubles"] == []
    shutil.rmtree(log)
    with hybridrt.connect(instance.directory) as client, pytest.raises(errors.HybridrtError):
        await_condition(lambda: not client.enqueue("echo", bytes(4000)), "it needs another file")
    assert process.wait(DEADLINE_S) == Status.IO
    assert "moved or removed" in instance.output().splitlines()[-1]  # why the log failed


# ---- a full disk --------------------------------------------------------------------------------

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can mount a small disk")


class SmallDisk:
    """A tmpfs of 24 MiB that only the processes of its own mount namespace see."""

    def __init__(self, directory: Path) -> None:
        """Mount it, and keep it as long as a process of ours lives."""
        self.directory = directory
        script = f"mount -t tmpfs -o size=24m hybridrt {directory} && echo mounted && exec cat"
        self._keeper = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._keeper.stdout is not None
        if self._keeper.stdout.readline() != "mounted\n":
            self.close()
            pytest.skip("a private tmpfs cannot be mounted here")

    def inside(self, *command: str) -> list[str]:
        """Return the command that runs `command` where the disk is seen."""
        return ["nsenter", f"--target={self._keeper.pid}", "--mount", "--", *command]

    def call(self, *command: str) -> str:
        """Run a command there."""
        return subprocess.run(
            self.inside(*command), capture_output=True, text=True, check=True, timeout=DEADLINE_S
        ).stdout

    def close(self) -> None:
        """Let it go."""
        self._keeper.kill()
        self._keeper.communicate()


@pytest.fixture(name="disk")
def _disk() -> Iterator[SmallDisk]:
    """Give a small disk."""
    with tempfile.TemporaryDirectory(prefix="hrt-disk-") as directory:
        disk = SmallDisk(Path(directory))
        yield disk
        disk.close()


def run_inside(instance: Any, disk: SmallDisk, await_condition: Any) -> "subprocess.Popen[bytes]":
    """Start the supervisor on the small disk and wait until it is ready."""
    config = instance.write(
        log={"directory": str(disk.directory / "log")},
        pool=[instance.python_pool()],
        queue=[{"name": "default", "result_ttl": 0}, {"name": "kept"}],
    )
    command = (sys.executable, "-m", "hybridrt.cli", "run", "--config", str(config))
    process: subprocess.Popen[bytes] = instance.spawn(*disk.inside(*command))
    await_condition(lambda: instance.is_ready(process), "the supervisor is ready")
    return process


def takes_a_job(client: hybridrt.Client, size: int = 3000) -> bool:
    """Say whether a job is acknowledged."""
    try:
        return client.enqueue("echo", bytes(size)).id > 0
    except errors.DiskFullError:
        return False


def fill(client: hybridrt.Client) -> int:
    """Enqueue until the disk is full, then small jobs; return how many were acknowledged."""
    acknowledged = 0
    for size in (60_000, 3000):
        while takes_a_job(client, size):
            acknowledged += 1
    return acknowledged


def refusals(address: Path) -> dict[str, dict[str, Any]]:
    """Return what a producer of each language hears when it sends a job."""
    heard = {}
    for language in LANGUAGES:
        tool = Tool(language, address)
        try:
            heard[language] = tool.send("echo", size=3000)
        finally:
            tool.close()
    return heard


def counters(instance: Any, name: str) -> dict[str, Any]:
    """Return what `queue.ls` says of a queue."""
    queues = instance.call("queue.ls")["queues"]
    found: dict[str, Any] = next(queue for queue in queues if queue["name"] == name)["counters"]
    return found


@needs_root
def test_a_full_disk_refuses_new_jobs_and_loses_none(
    instance: Any, disk: SmallDisk, await_condition: Any, tmp_path: Path
) -> None:
    disk.call("sh", "-c", f"head -c 8000000 /dev/zero > {disk.directory}/ballast")
    process = run_inside(instance, disk, await_condition)
    instance.call("queue.pause", queue="default")
    with hybridrt.connect(instance.directory) as client:
        running = client.enqueue("slow", str(tmp_path / "started"), queue="kept", result_ttl="1h")
        await_condition((tmp_path / "started").exists, "the handler began")
        acknowledged = fill(client)
        heard = refusals(instance.directory / "attach.sock")
        assert {answer["code"] for answer in heard.values()} == {"HRT_ENOSPC"}, heard
        assert all(
            "no space is left on the device" in answer["message"] for answer in heard.values()
        )
        done = cli("enqueue", "echo", "x" * 4000, "--runtime-dir", instance.directory)
        assert done.returncode == Status.TRY_AGAIN
        assert "the disk is full: the log has" in done.stderr
        (trouble,) = instance.call("status")["troubles"]
        assert trouble in done.stderr
        assert "the disk is full: the log has" in instance.output()
        (tmp_path / "started.go").touch()
        assert running.result(DEADLINE_S) == b"done"  # what runs can still commit
        disk.call("rm", str(disk.directory / "ballast"))
        await_condition(lambda: takes_a_job(client), "the log grows where space came back")
        assert instance.call("status")["troubles"] == []
        acknowledged += 1 + fill(client)
    process.kill()
    process.wait()
    process = run_inside(instance, disk, await_condition)
    assert counters(instance, "default")["ready"] == acknowledged
    instance.call("queue.resume", queue="default")
    await_condition(lambda: counters(instance, "default")["ready"] == 0, "the jobs are consumed")
    await_condition(lambda: counters(instance, "default")["running"] == 0, "the jobs are settled")
    print(acknowledged, counters(instance, "default"), instance.output()[-1500:])
    assert counters(instance, "default")["completed"] == acknowledged
    with hybridrt.connect(instance.directory) as client:
        await_condition(lambda: takes_a_job(client), "the service goes on")
    process.send_signal(signal.SIGTERM)
    assert process.wait(DEADLINE_S) == Status.OK
    verify = (sys.executable, "-m", "hybridrt.cli", "log", "verify", "--json")
    assert json.loads(disk.call(*verify, str(disk.directory / "log")))["verdict"] == "clean"


# ---- a failing disk -----------------------------------------------------------------------------

FAILING_SYNC = r"""
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int fdatasync(int fd)
{
    const char *flag = getenv("HYBRIDRT_TEST_EIO");
    if (flag != NULL && access(flag, F_OK) == 0) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}
"""


def test_a_failing_sync_ends_the_supervisor_and_the_next_one_goes_on(
    instance: Any, tmp_path: Path, await_condition: Any
) -> None:
    library, flag = tmp_path / "failing.so", tmp_path / "the-disk-is-gone"
    compiler = ["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", str(library)]
    subprocess.run(compiler, input=FAILING_SYNC, text=True, check=True)
    config = instance.write(kind=[{"name": "echo"}])
    command = (sys.executable, "-m", "hybridrt.cli", "run", "--config", str(config))
    environment = {"LD_PRELOAD": str(library), "HYBRIDRT_TEST_EIO": str(flag)}
    process = instance.spawn(*command, **environment)
    await_condition(lambda: instance.is_ready(process), "the supervisor is ready")
    with hybridrt.connect(instance.directory) as client:
        kept = [client.enqueue("echo", str(number)).id for number in range(10)]
        flag.touch()
        for _ in range(2):
            with pytest.raises((errors.ClosedError, errors.StorageError)):
                client.enqueue("echo", "never acknowledged")
    assert process.wait(DEADLINE_S) == Status.IO
    assert "the log failed, nothing more is acknowledged" in instance.output()
    assert "fdatasync" in instance.output()
    flag.unlink()
    instance.run(kind=[{"name": "echo"}])
    jobs = {job["id"] for job in instance.call("job.ls")["jobs"]}
    assert set(kept) <= jobs
