"""Power cuts under a real file system: a log lives on a disk that records, and that disk is cut.

nbdkit serves the disk and writes down each write and flush. Afterwards native/tests/power_states
builds what may be on it after a cut, mounts it, and recovers the log.
"""

import os
import random
from pathlib import Path

from tests.attacks import devices
from tests.attacks.programs import finish, finish_all, start
from tests.attacks.report import Counts, Report, add_up

SIZE = 32 << 20
ROUNDS = 30
STATES, STATES_LONG = 5000, 100_000
PHASE_LIFE, PHASE_OVER = 1, 2
WORKERS_PER_CORE = 2  # mounting waits more than it works


def set_phase(marks: Path, phase: int) -> None:
    """Tell the recorder where the test is; what the log has promised by then stands before it."""
    with marks.open("r+b") as file:
        file.seek(8)
        file.write(phase.to_bytes(8, "little"))


def record(directory: Path, filesystem: str) -> Counts:
    """Let a log live on a recorded disk: leaves base, trace and history."""
    image, base, marks = directory / "image", directory / "base", directory / "marks"
    devices.make_image(image, filesystem, SIZE)
    base.write_bytes(image.read_bytes())
    marks.write_bytes(bytes(4096))
    settings = [f"{name}={directory / name}" for name in ("image", "trace", "marks")]
    plugin = ["python", devices.plugin_path("recorder_plugin.py"), *settings]
    with (
        devices.served(directory, *plugin) as disk,
        devices.mounted(disk, directory / "mount", filesystem) as mount,
    ):
        set_phase(marks, PHASE_LIFE)
        words = [mount / "log", directory / "history", marks, ROUNDS]
        counts = finish(start("power_live", *words))
        set_phase(marks, PHASE_OVER)
    return counts


def cut_power(filesystem: str, directory: Path, long: bool) -> Report:
    """Record a life, and look at each disk that a power cut may leave of it."""
    devices.need_devices(filesystem)
    seed = int(os.environ.get("SEED", random.randrange(1 << 32)))
    counts = record(directory, filesystem)
    workers = WORKERS_PER_CORE * (os.cpu_count() or 1)
    files = [directory / name for name in ("base", "trace", "history")]
    processes = []
    for worker in range(workers):
        point = directory / f"mount{worker}"
        point.mkdir()
        states = STATES_LONG if long else STATES
        words = [filesystem, *files, states, seed, worker, workers, point]
        processes.append(start("power_states", *words))
    found = add_up(finish_all(processes))
    faults = {"power cuts": found["states"]}
    return Report(f"power cuts of a disk under {filesystem}", faults, counts | found, seed=seed)
