"""SIGKILL at each instruction of what the log does: native/tests/step_kills does it."""

import os
import platform
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.attacks.programs import finish, start
from tests.attacks.report import MissingError, Report, add_up

SCENES = {
    "append": ["append"],
    "rotate": ["rotate-new", "rotate-used"],
    "recover": ["create", "recover", "recover-torn", "recover-unsynced"],
}


TWINS_EVERY, TWINS_EVERY_LONG = 16, 1  # instructions of a take-over


def need_x86_64() -> None:
    """Skip elsewhere: the stepper knows the registers of one architecture."""
    if platform.machine() != "x86_64":
        raise MissingError("steps x86-64 processes only")


def kill_at_each_instruction(operation: str, _directory: Path, _long: bool) -> Report:
    """Kill at each instruction of an operation, in each of its scenes."""
    need_x86_64()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = add_up(
            list(pool.map(lambda scene: finish(start("step_kills", scene)), SCENES[operation]))
        )
    faults = {"SIGKILLs": found.pop("kills")}
    return Report(f"SIGKILL at each instruction of {operation}", faults, found)


def kill_in_takeover(_directory: Path, long: bool) -> Report:
    """Step through a take-over; kill, and let another one take over from what there is."""
    need_x86_64()
    found = finish(start("step_takeover", TWINS_EVERY_LONG if long else TWINS_EVERY))
    faults = {"SIGKILLs": found.pop("kills")}
    return Report("SIGKILL at each instruction of a take-over", faults, found)
