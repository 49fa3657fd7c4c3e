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


def kill_at_each_instruction(operation: str, _directory: Path, _long: bool) -> Report:
    """Kill at each instruction of an operation, in each of its scenes."""
    if platform.machine() != "x86_64":
        raise MissingError("steps x86-64 processes only")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = add_up(
            list(pool.map(lambda scene: finish(start("step_kills", scene)), SCENES[operation]))
        )
    faults = {"SIGKILLs": found.pop("kills")}
    return Report(f"SIGKILL at each instruction of {operation}", faults, found)
