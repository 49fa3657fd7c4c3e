"""Hold another version's state machine against this one, over the same history.

The other version runs in a process of its own: another interpreter, or this one with another
package in front. It gets the records and answers with the hash of its state.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import Any, Self

from hybridrt.errors import HybridrtError, InvalidArgumentError, VersionError
from hybridrt.history import History, groups
from hybridrt.logreader import Replay
from hybridrt.records import read_header

LENGTH = Struct("<I")
JOBS_A_HASH = 200  # a hash walks over all jobs: with more of them it is asked for less often

# Uses nothing but what every version since the first has.
OTHER = """
import struct, sys
import hybridrt
from hybridrt import native
from hybridrt.logreader import Replay
replay, fault = Replay(), ""
stdin, stdout = sys.stdin.buffer, sys.stdout
print(native.version(), hybridrt.__file__, flush=True)
while head := stdin.read(4):
    (length,) = struct.unpack("<I", head)
    if length:
        record = memoryview(stdin.read(length))
        try:
            fault or replay.apply(record)
        except Exception as error:
            fault = " ".join(str(error).split()) or type(error).__name__
    else:
        print(fault or "%016x" % replay.state_hash(), flush=True)
"""


class Other:
    """The state of another version, fed record by record."""

    def __init__(self, python: str, library: Path | None) -> None:
        """Start it; raise VersionError when it cannot be started."""
        environment = dict(os.environ)
        if library is not None:
            if not (library / "hybridrt" / "__init__.py").exists():
                raise InvalidArgumentError(
                    f"there is no hybridrt in {library}",
                    "name the folder in which the package folder 'hybridrt' lies",
                )
            environment["PYTHONPATH"] = str(library.absolute())
        try:
            self._process = subprocess.Popen(
                [python, "-c", OTHER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment,
            )
        except OSError as error:
            raise VersionError(f"cannot run {python}: {error.strerror}") from error
        self.version, _, place = self._answer().partition(" ")
        self.place = Path(place).parent
        if library is not None and not self.place.samefile(library / "hybridrt"):
            self.__exit__()
            raise VersionError(f"{python} takes hybridrt from {self.place}, not from {library}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def apply(self, record: memoryview) -> None:
        """Send one record."""
        assert self._process.stdin is not None
        self._process.stdin.write(LENGTH.pack(len(record)))
        self._process.stdin.write(record)

    def state(self) -> str:
        """Return the hash of its state, or what went wrong in it."""
        assert self._process.stdin is not None
        self._process.stdin.write(LENGTH.pack(0))
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().decode()
        if not line:
            raise VersionError("the other version does not answer", "see what it printed above")
        return line.strip()


@dataclass(frozen=True, slots=True)
class Check:
    """The two states after one group."""

    index: int  # of the group
    header: dict[str, int]  # of its last record
    mine: str
    theirs: str


def compare(history: History, python: str | None, library: Path | None) -> dict[str, Any]:
    """Run both over the history; name the first group after which they differ."""
    program = python or sys.executable
    good = -1
    with Other(program, library) as other:
        version, place = other.version, str(other.place)
        checks = 0
        for check in _checks(history, other, 0, None):
            checks += 1
            if check.mine != check.theirs:
                break
            good = check.index
        else:
            return {
                "equal": True, "version": version, "place": place, "checks": checks,
                "difference": None,
            }  # fmt: skip
    with Other(program, library) as other:
        for found in _checks(history, other, good + 1, check.index):
            if found.mine != found.theirs:
                return {
                    "equal": False, "version": version, "place": place, "checks": checks,
                    "difference": _describe(history, found),
                }  # fmt: skip
    raise VersionError("the other version answers differently each time")


def _checks(history: History, other: Other, first: int, last: int | None) -> Iterator[Check]:
    """Compare after groups: all of `first` to `last`, or, without a last, as often as is cheap."""
    replay = Replay()
    final: Check | None = None
    fault = ""
    for index, group in enumerate(groups(iter(history))):
        for record in group:
            other.apply(record)
            try:
                if not fault:
                    replay.apply(record)
            except HybridrtError as error:
                fault = error.message
        header = read_header(group[-1])
        every = 1 + replay.jobs() // JOBS_A_HASH if last is None else 1
        final = None
        if index >= first and index % every == 0:
            yield Check(index, header, fault or f"{replay.state_hash():016x}", other.state())
        else:
            final = Check(index, header, "", "")
        if index == last:
            return
    if final is not None:
        mine = fault or f"{replay.state_hash():016x}"
        yield Check(final.index, final.header, mine, other.state())


def _describe(history: History, found: Check) -> dict[str, Any]:
    from hybridrt.records import Describer

    describer = Describer()
    records: list[dict[str, Any]] = []
    for index, group in enumerate(groups(iter(history))):
        records = [describer.describe(record) for record in group]
        if index == found.index:
            break
    return {
        "sequence": found.header["sequence"],
        "mine": found.mine,
        "theirs": found.theirs,
        "records": records,
    }
