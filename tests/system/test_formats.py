"""Logs of other versions: the previous format is read, a newer one is refused and left alone.

tests/vectors/format-1.tar.xz was written by the last version of format 1, whose supervisor was
killed; format-1.json is what that one said about its jobs.
"""

import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from hybridrt import Supervisor
from hybridrt._native import ffi, lib
from hybridrt.errors import VersionError
from hybridrt.exits import Status
from hybridrt.logreader import Scan
from hybridrt.names import JobState
from hybridrt.records import RecordType, record_type

VECTORS = Path(__file__).parent.parent / "vectors"
CRC_OFFSET, VERSION_OFFSET, MUST_UNDERSTAND_OFFSET = 4, 8, 10
SEGMENT_BYTES = 64


@pytest.fixture(name="old_log")
def _old_log(tmp_path: Path) -> Path:
    with tarfile.open(VECTORS / "format-1.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    return (tmp_path / "format-1").rename(tmp_path / "log")


@pytest.fixture(name="old_jobs")
def _old_jobs() -> list[dict[str, Any]]:
    return list(json.loads((VECTORS / "format-1.json").read_text()))


def change_header(directory: Path, offset: int, value: int) -> None:
    """Write a field of 16 bits into the header of the first segment, checksum and all."""
    path = directory / "00000000.seg"
    data = bytearray(path.read_bytes())
    data[offset : offset + 2] = value.to_bytes(2, "little")
    data[CRC_OFFSET : CRC_OFFSET + 4] = bytes(4)
    crc = lib.hrt_crc32c(0, bytes(data[:SEGMENT_BYTES]), SEGMENT_BYTES)
    data[CRC_OFFSET : CRC_OFFSET + 4] = crc.to_bytes(4, "little")
    path.write_bytes(data)


class Replayed:
    """The state that a log comes to, and the types of its records."""

    def __init__(self, directory: Path) -> None:
        """Read the log to its end."""
        out = ffi.new("hrt_replay **")
        assert lib.hrt_replay_new(out) == lib.HRT_OK
        self._handle = ffi.gc(out[0], lib.hrt_replay_free)
        self.types: set[int] = set()
        with Scan(str(directory)) as reader:
            for record in reader:
                self.types.add(record_type(record))
                data = ffi.from_buffer(record)
                assert lib.hrt_replay_apply(self._handle, data, len(data)) == lib.HRT_OK
            self.damage = reader.report()["damage"]
        self.jobs = lib.hrt_replay_jobs(self._handle)
        self.state_hash = lib.hrt_replay_hash(self._handle)

    def job(self, number: int) -> Any:
        """Return what the state knows of a job."""
        info = ffi.new("hrt_job_info *")
        assert lib.hrt_replay_job(self._handle, number, info) == lib.HRT_OK
        return info


def test_the_previous_format_is_read(old_log: Path, old_jobs: list[dict[str, Any]]) -> None:
    replayed = Replayed(old_log)
    assert replayed.damage == 0
    assert {RecordType.KEEP, RecordType.LEASE, RecordType.SETTLE} <= replayed.types
    assert replayed.jobs == len(old_jobs)
    for job in old_jobs:
        info = replayed.job(job["id"])
        assert JobState(info.state).name.lower() == job["state"]
        for field in ("attempt", "due_ns", "settled_ns", "token", "payload_length", "crashes"):
            assert getattr(info, field) == job[field], (job, field)
        assert info.error_length == len(job["error"])
        assert info.saved_length == 0


@pytest.mark.parametrize(
    ("command", "rest"),
    [("cat", ()), ("why", ("1179",)), ("replay", ("--jobs",)), ("verify", ())],
    ids=["cat", "why", "replay", "verify"],
)
def test_every_command_reads_the_previous_format(
    old_log: Path, command: str, rest: tuple[str, ...]
) -> None:
    """Its leases do not say at which place of its client a job was."""
    words = [sys.executable, "-m", "hybridrt.cli", "log", command, str(old_log), *rest, "--json"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (Status.OK, "")
    said = [json.loads(line) for line in done.stdout.splitlines()]
    if command == "cat":
        leases = [record for record in said if record["type"] == "lease"]
        assert leases
        assert all(lease["jobs"] and "places" not in lease for lease in leases)


async def test_a_supervisor_goes_on_with_the_previous_format(
    instance: Any, old_log: Path, old_jobs: list[dict[str, Any]]
) -> None:
    assert old_log == instance.log_directory
    queues = [{"name": "default", "result_ttl": "40d"}, {"name": "later"}, {"name": "skip"}]
    async with Supervisor(instance.config(queue=queues)) as rt:
        for job in old_jobs:
            if job["queue"] == "later" or job["state"] in {"dead", "ready", "running"}:
                found = await rt.info(job["id"])
                expected = {"running": "ready"}.get(job["state"], job["state"])
                assert (found.state, found.key) == (expected, job["key"])
        new = await rt.enqueue("conf.echo", {"new": True})
        live_hash = rt.runtime.state_hash()
    replayed = Replayed(old_log)
    assert replayed.state_hash == live_hash
    assert replayed.job(new.id).state == JobState.READY


@pytest.mark.parametrize(
    ("offset", "value", "named"),
    [
        (VERSION_OFFSET, lib.HRT_FORMAT_VERSION + 1, str(lib.HRT_FORMAT_VERSION + 1)),
        (MUST_UNDERSTAND_OFFSET, 1, "feature"),
    ],
    ids=["a newer version", "a feature that must be understood"],
)
async def test_what_is_not_understood_is_refused_and_left_alone(
    instance: Any, old_log: Path, offset: int, value: int, named: str
) -> None:
    change_header(old_log, offset, value)
    before = {path: path.read_bytes() for path in old_log.glob("*.seg")}
    with pytest.raises(VersionError, match=named):
        async with Supervisor(instance.config()):
            pass
    assert {path: path.read_bytes() for path in old_log.glob("*.seg")} == before
