"""System calls that fail: EIO at each sync, ENOSPC at each allocation, a disk that is really full.

native/tests/fault_run makes one call of a program fail, by seccomp; native/tests/fault_life is the
program: a runtime with a producer and a worker that writes down what was acknowledged.
"""

import contextlib
import itertools
import os
import signal
import struct
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path

import hybridrt
from hybridrt.config import Config
from hybridrt.errors import HybridrtError
from tests.attacks import devices
from tests.attacks.programs import finish, program, start
from tests.attacks.report import Counts, Report, ViolationError, percentiles

LEDGER_BYTES = 16384
LEDGER_HEAD, LEDGER_JOB = struct.Struct("<QQ"), struct.Struct("<QQQQ")
EXITS = {3: "HRT_EIO", 4: "HRT_ENOSPC", 5: "another status"}  # of fault_life
ALLOCATIONS = ("pwrite", "pwritev2", "fallocate", "ftruncate", "mkdir", "create")
FLAKY_DISKS, FLAKY_DISKS_LONG = 12, 200
FLAKY_RATE = "3%"
DISK_SIZE = 16 << 20
FULL_SIZE, BALLOON_SIZE = 2 << 20, 1 << 20
RESUME_MS_MAX = 1000.0
GONE_MS_MAX = 20_000.0  # a guard only: how fast it is stands in the report
SUPERVISOR_JOBS, SUPERVISOR_ROUNDS_LONG = 20, 10
DEADLINE_S = 30.0


class Case:
    """A directory with a log and a ledger, for one failure."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = directory / "log"
        self.ledger = directory / "ledger"
        directory.mkdir()
        self.ledger.write_bytes(bytes(LEDGER_BYTES))

    def jobs(self) -> list[tuple[int, int, int, int]]:
        """Return id, asked, answered, settled of each acknowledged job; times in ns."""
        content = self.ledger.read_bytes()
        count, _ = LEDGER_HEAD.unpack_from(content)
        places = range(
            LEDGER_HEAD.size, LEDGER_HEAD.size + count * LEDGER_JOB.size, LEDGER_JOB.size
        )
        return [LEDGER_JOB.unpack_from(content, place) for place in places]

    def write_jobs(self, jobs: list[tuple[int, int, int, int]]) -> None:
        """Write the ledger of a life that was not fault_life's."""
        packed = LEDGER_HEAD.pack(len(jobs), 0) + b"".join(LEDGER_JOB.pack(*job) for job in jobs)
        self.ledger.write_bytes(packed.ljust(LEDGER_BYTES, b"\0"))

    def live(self, calls: str, error: str, number: str) -> Counts:
        """Let the log live while a call fails."""
        life = [program("fault_life"), "live", self.log, self.ledger]
        return finish(start("fault_run", calls, error, number, *life))

    def check(self, verb: str = "check") -> Counts:
        """Open the log again: what was acknowledged is there, and more is taken."""
        return finish(start("fault_life", verb, self.log, self.ledger))


def judge_sync_error(case: Case, found: Counts, exits: set[int]) -> int:
    """Return how many jobs were acknowledged.

    After a failed sync the process is gone, and has acknowledged only what earlier ones covered.
    """
    where = f"{case.directory}: {found}"
    if found["signal"] != 0 or found["exit"] not in exits:
        raise ViolationError(f"did not end in good order: {where}")
    if found["gone_ms"] > GONE_MS_MAX:
        raise ViolationError(f"lived on after a failed sync: {where}")
    late = [job for job in case.jobs() if job[1] > found["last_good_ns"]]
    if late:
        raise ViolationError(f"acknowledged without a sync: {late}, {where}")
    return int(case.check()["acknowledged"])


def fail_each_sync(directory: Path, _long: bool) -> Report:
    """Let each sync of a life fail, once those of data alone, once those of files and names too."""
    times: list[float] = []
    acknowledged = 0
    for calls in ("fdatasync", "fdatasync,fsync,pwritev2"):
        total = Case(directory / f"{calls}-0").live(calls, "EIO", "0")["calls"]
        for number in range(1, total + 1):
            case = Case(directory / f"{calls}-{number}")
            found = case.live(calls, "EIO", str(number))
            if found["failures"] == 0:
                continue  # this life had fewer: how syncs join is a matter of time
            # 0: the last one, of a log that closes.
            acknowledged += judge_sync_error(case, found, {0, 3})
            times.append(found["gone_ms"])
    return Report(
        "EIO at each sync of a runtime",
        {"failed syncs": len(times)},
        {"acknowledged jobs found again": acknowledged},
        {"failed sync, process gone": percentiles(times)},
    )


# ---- the supervisor ------------------------------------------------------------------------------


def supervisor_config(case: Case) -> Path:
    """Write the configuration of a supervisor without workers; its sockets lie beside its log."""
    path = case.directory / "hybridrt.toml"
    path.write_text(
        f'[log]\ndirectory = "{case.log}"\nsegment_size = "64KiB"\nmax_size = "2MiB"\n'
        f'[runtime]\ndirectory = "{case.directory / "run"}"\n[[kind]]\nname = "echo"\n'
    )
    (case.directory / "run").mkdir(mode=0o700)
    Config.load(path)
    return path


def enqueue_until_it_fails(case: Case, process: "subprocess.Popen[str]") -> bool:
    """Enqueue one job after another; say whether the supervisor ended before the last one."""
    jobs: list[tuple[int, int, int, int]] = []
    end = time.monotonic() + DEADLINE_S
    try:
        while process.poll() is None and time.monotonic() < end:
            with contextlib.suppress(HybridrtError), hybridrt.connect(case.directory / "run") as rt:
                while len(jobs) < SUPERVISOR_JOBS:
                    asked = time.monotonic_ns()
                    job = rt.enqueue("echo", bytes(3000))
                    jobs.append((job.id, asked, time.monotonic_ns(), 0))
                return False
            time.sleep(0.01)
    finally:
        case.write_jobs(jobs)
    return True


def fail_sync_of_supervisor(directory: Path, turn: int, number: int) -> tuple[bool, float] | None:
    """Let one fdatasync of a supervisor fail; say whether it was at work, and how it lived on."""
    case = Case(directory / f"{turn}-{number}")
    code = "import sys; from hybridrt.service import run; sys.exit(run(sys.argv[1]))"
    command = [sys.executable, "-c", code, supervisor_config(case)]
    words = ["fdatasync", "EIO", number, *command]
    process = start("fault_run", *words, errors=case.directory / "output")
    if not enqueue_until_it_fails(case, process):
        process.send_signal(signal.SIGKILL)  # what it traces dies with it
        process.communicate()
        return None
    found = finish(process)
    acknowledged = judge_sync_error(case, found, set(range(1, 128)))
    return acknowledged > 0, float(found["gone_ms"])


def fail_each_sync_of_supervisor(directory: Path, long: bool) -> Report:
    """Let each fdatasync of `hybridrt run` fail, until it has so few that none is hit."""
    # One at a time: a second one that starts would be part of what is measured.
    rounds = range(SUPERVISOR_ROUNDS_LONG if long else 1)
    cases = itertools.product(rounds, range(1, SUPERVISOR_JOBS + 1))
    found = [fail_sync_of_supervisor(directory, *case) for case in cases]
    lives = [one for one in found if one is not None]
    times = {
        "failed sync, supervisor gone": [ms for working, ms in lives if working],
        "failed sync of one that starts, gone": [ms for working, ms in lives if not working],
    }
    return Report(
        "EIO at each fdatasync of hybridrt run",
        {"failed syncs": len(lives)},
        times_ms={name: percentiles(of) for name, of in times.items() if of},
    )


# ---- disks ---------------------------------------------------------------------------------------


def live_on_flaky_disk(directory: Path) -> Counts:
    """Let a log live on a disk whose writes fail now and then; then see what is really on it."""
    case = Case(directory)
    image, trigger = directory / "image", directory / "trigger"
    devices.make_image(image, "ext4", DISK_SIZE)
    errors = ["error-pwrite=EIO", f"error-pwrite-rate={FLAKY_RATE}", f"error-file={trigger}"]
    with (
        devices.served(directory, "--filter=error", "file", str(image), *errors) as disk,
        devices.mounted(disk, directory / "mount", "ext4", "errors=continue") as mount,
    ):
        case.log = mount / "log"
        trigger.touch()
        found = case.live("fdatasync", "EIO", "0")
        trigger.unlink()
    if found["signal"] != 0 or found["exit"] not in {0, *EXITS}:
        raise ViolationError(f"did not end in good order: {found}")
    with contextlib.ExitStack() as stack:
        try:
            mount = stack.enter_context(devices.mounted(image, directory / "mount", "ext4"))
        except ViolationError:  # the file system lost more than the log did
            return {"exit": found["exit"], "mounted": 0, "acknowledged": 0}
        case.log = mount / "log"
        return {"exit": found["exit"], "mounted": 1, **case.check("reboot")}


def fail_writes_of_disk(directory: Path, long: bool) -> Report:
    """Disks whose writes fail: the kernel tells of it at a sync, and forgets it."""
    devices.need_devices("ext4")
    disks = FLAKY_DISKS_LONG if long else FLAKY_DISKS
    found = [live_on_flaky_disk(directory / str(number)) for number in range(disks)]
    hit = sum(one["exit"] != 0 for one in found)
    if hit == 0:
        raise ViolationError("no log met an error of its disk")
    return Report(
        "a disk under ext4 that fails to write",
        {"disks": disks},
        {
            "logs that ended": hit,
            "disks that could be mounted again": sum(one["mounted"] for one in found),
            "acknowledged jobs found again": sum(o["acknowledged"] for o in found),
        },
    )


def fail_each_allocation(directory: Path, _long: bool) -> Report:
    """Let each call that may need space fail with ENOSPC."""
    faults: Counts = {}
    ended = went_on = acknowledged = 0
    for calls in ALLOCATIONS:
        total = Case(directory / f"{calls}-0").live(calls, "ENOSPC", "0")["calls"]
        for number in range(1, total + 1):
            case = Case(directory / f"{calls}-{number}")
            found = case.live(calls, "ENOSPC", str(number))
            if found["failures"] == 0:
                continue
            if found["signal"] != 0 or found["exit"] not in {0, *EXITS}:
                raise ViolationError(f"{calls} number {number} failed: {found}")
            acknowledged += case.check()["acknowledged"]
            faults[f"failed {calls}"] = faults.get(f"failed {calls}", 0) + 1
            ended += found["exit"] != 0
            went_on += found["exit"] == 0
    counts = {
        "lives that went on": went_on,
        "lives that ended with a typed error": ended,
        "acknowledged jobs found again": acknowledged,
    }
    return Report("ENOSPC at each allocation", faults, counts)


def small_disk(directory: Path, system: str) -> AbstractContextManager[Path]:
    """Mount a small file system."""
    point = directory / "mount"
    if system == "tmpfs":
        return devices.memory_disk(point, FULL_SIZE)
    devices.make_image(directory / "image", system, DISK_SIZE)
    return devices.mounted(directory / "image", point, system)


def fill_one_disk(directory: Path, system: str, how: str) -> Counts:
    """Fill a file system but for what a balloon takes, which then goes."""
    directory.mkdir()
    with small_disk(directory, system) as mount:
        space = os.statvfs(mount)
        balloon = space.f_bavail * space.f_frsize - BALLOON_SIZE
        with (mount / "balloon").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, balloon)
        return finish(start("fault_life", how, mount / "log", mount / "balloon"))


def fill_disk(directory: Path, long: bool) -> Report:
    """Fill small file systems: new jobs are refused, running ones commit, space brings it back.

    On half of them jobs are sent all the time, on the others none for the first second of space.
    """
    devices.need_root()
    devices.need("mount", "umount", "mkfs.ext4")
    asked: list[Counts] = []
    idle: list[Counts] = []
    for number in range(10 if long else 2):
        for system in ("tmpfs", "ext4"):
            place = directory / f"{system}{number}"
            asked.append(fill_one_disk(place.with_suffix(".asked"), system, "full"))
            idle.append(fill_one_disk(place.with_suffix(".idle"), system, "idle"))
    times = [float(one["resumed_ms"]) for one in asked]
    if max(times) > RESUME_MS_MAX:
        raise ViolationError(f"took no jobs within a second of space: {times} ms")
    found = [*asked, *idle]
    counts = {key: sum(one[key] for one in found) for key in idle[0] if key != "resumed_ms"}
    counts["disks whose first job came a second after space"] = len(idle)
    return Report(
        "a full file system",
        {"full disks": len(found)},
        counts,
        {"space given back, job taken": percentiles(times)},
    )
