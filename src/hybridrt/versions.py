"""Hold another version against this one, over the same history: its state and its scheduler.

The other version runs in a process of its own: another interpreter, or this one with another
package in front. It gets the records, answers with the hash of its state, and says what its
scheduler would have decided where the history has a decision.
"""

import os
import subprocess
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from struct import Struct
from typing import Any, Self

from hybridrt.errors import HybridrtError, InvalidArgumentError, VersionError
from hybridrt.history import History, groups
from hybridrt.logreader import Hindsight, Replay
from hybridrt.records import Describer, decided, read_header

FRAME = Struct("<II")  # bytes of the record that follows, numbers of a decision in it
STATE = 0  # instead of a record's length
LAST = 0xFFFFFFFF
JOBS_A_HASH = 200  # a hash walks over all jobs: with more of them it is asked for less often

# Uses nothing but what every version since the first has; a scheduler is asked if it can be.
OTHER = """
import struct, sys, zlib
try:
    import hybridrt
    from hybridrt import native
    from hybridrt.logreader import Replay
except ImportError as error:
    sys.exit(f"{sys.executable}: {error}")
replay, fault = Replay(), ""
try:
    from hybridrt.logreader import Hindsight
    ask = Hindsight(replay).ask
except ImportError:
    ask = None
answers, last = [], []
stdin, stdout = sys.stdin.buffer, sys.stdout
print(native.version(), hybridrt.__file__, flush=True)
while head := stdin.read(8):
    length, numbers = struct.unpack("<II", head)
    if length == 0xFFFFFFFF:
        print(*last, flush=True)
    elif length:
        record = memoryview(stdin.read(length))
        try:
            if numbers and ask and not fault:
                last = ask(record, numbers)
                answers.append("%08x" % zlib.crc32(repr(last).encode()))
            fault or replay.apply(record)
        except Exception as error:
            fault = " ".join(str(error).split()) or type(error).__name__
    else:
        print(",".join(answers) or "-", fault or "%016x" % replay.state_hash(), flush=True)
        answers = []
"""


class Other:
    """Another version, fed record by record."""

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

    def apply(self, record: memoryview, numbers: int) -> None:
        """Send one record, and how many numbers a decision in it can have."""
        self._send(len(record), numbers)
        assert self._process.stdin is not None
        self._process.stdin.write(record)

    def state(self) -> tuple[list[str], str]:
        """Return a sum of each decision since the last call, and the hash of the state.

        Instead of the hash: what went wrong. No decisions: its scheduler cannot be asked.
        """
        self._send(STATE, 0)
        decisions, _, state = self._flush().partition(" ")
        return [] if decisions == "-" else decisions.split(","), state

    def last(self) -> list[int]:
        """Return what its scheduler decided last."""
        self._send(LAST, 0)
        return [int(number) for number in self._flush().split()]

    def _send(self, length: int, numbers: int) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(FRAME.pack(length, numbers))

    def _flush(self) -> str:
        assert self._process.stdin is not None
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().decode()
        if not line:
            raise VersionError("the other version does not answer", "what it printed stands above")
        return line.strip()


class Own:
    """This version, fed the same records."""

    def __init__(self) -> None:
        self.replay = Replay()
        self._hindsight = Hindsight(self.replay)
        self._fault = ""
        self.decisions: list[tuple[int, str]] = []  # sequence, sum
        self.last: list[int] = []

    def apply(self, record: memoryview, numbers: int) -> None:
        """Apply one record; a fault stays."""
        if self._fault:
            return
        try:
            if numbers:
                self.last = self._hindsight.ask(record, numbers)
                total = f"{zlib.crc32(repr(self.last).encode()):08x}"
                self.decisions.append((read_header(record)["sequence"], total))
            self.replay.apply(record)
        except HybridrtError as error:
            self._fault = error.message

    def state(self) -> str:
        """Return the hash of the state, or what went wrong."""
        return self._fault or f"{self.replay.state_hash():016x}"


@dataclass(frozen=True, slots=True)
class Check:
    """The two states after one group, and what was decided otherwise since the check before."""

    index: int  # of the group
    header: dict[str, int]  # of its last record
    mine: str
    theirs: str
    asked: int  # decisions that both were asked for
    otherwise: list[int] = field(default_factory=list)  # sequences of those that differ


@dataclass(slots=True)
class Tally:
    """What the checks come to."""

    checks: int = 0
    asked: int = 0
    otherwise: int = 0
    first: int = 0  # sequence of the first decision that differs; 0: none

    def add(self, check: Check) -> None:
        """Count one check."""
        self.checks += 1
        self.asked += check.asked
        self.otherwise += len(check.otherwise)
        if check.otherwise and not self.first:
            self.first = check.otherwise[0]


def compare(history: History, python: str | None, library: Path | None) -> dict[str, Any]:
    """Run both over the history: name the first group after which their states differ.

    Decisions of the two schedulers are counted, and the first that differs is told. They are asked
    in the state that the history had, so one decision does not lead to the next.
    """
    program = python or sys.executable
    tally, good, apart = Tally(), -1, None
    with Other(program, library) as other:
        version, place = other.version, str(other.place)
        for check in _checks(history, other, 0, None):
            tally.add(check)
            if check.mine != check.theirs:
                apart = check.index
                break
            good = check.index
    return {
        "equal": apart is None and not tally.otherwise,
        "version": version,
        "place": place,
        "checks": tally.checks,
        "decisions": tally.asked,
        "otherwise": tally.otherwise,
        "difference": None if apart is None else _states(history, program, library, good, apart),
        "decision": _decisions(history, program, library, tally.first) if tally.first else None,
    }


def _checks(history: History, other: Other, first: int, last: int | None) -> Iterator[Check]:
    """Compare after groups: all of `first` to `last`, or, without a last, as often as is cheap."""
    own = Own()
    index, header = -1, None
    for index, group in enumerate(groups(iter(history))):
        _feed(group, own, other)
        header = read_header(group[-1])
        every = 1 + own.replay.jobs() // JOBS_A_HASH if last is None else 1
        if index >= first and index % every == 0:
            yield _check(index, header, own, other)
            header = None
        if index == last:
            return
    if header is not None:
        yield _check(index, header, own, other)


def _feed(group: list[memoryview], own: Own, other: Other) -> None:
    for record in group:
        numbers = len(decided(record) or ())
        other.apply(record, numbers)
        own.apply(record, numbers)


def _check(index: int, header: dict[str, int], own: Own, other: Other) -> Check:
    theirs, state = other.state()
    mine, own.decisions = own.decisions, []
    pairs = list(zip(mine, theirs, strict=False))  # one of them may have stopped at a fault
    otherwise = [sequence for (sequence, total), answer in pairs if total != answer]
    return Check(index, header, own.state(), state, len(pairs), otherwise)


def _states(
    history: History, program: str, library: Path | None, good: int, apart: int
) -> dict[str, Any]:
    """Describe the first group behind `good` after which the states differ."""
    with Other(program, library) as other:
        for found in _checks(history, other, good + 1, apart):
            if found.mine != found.theirs:
                return {
                    "sequence": found.header["sequence"],
                    "mine": found.mine,
                    "theirs": found.theirs,
                    "records": _described(history, found.header["sequence"]),
                }
    raise VersionError("the other version answers differently each time")


def _decisions(
    history: History, program: str, library: Path | None, sequence: int
) -> dict[str, Any]:
    """Tell how both decide about one record, and what the history has there."""
    own = Own()
    with Other(program, library) as other:
        for group in groups(iter(history)):
            for record in group:
                _feed([record], own, other)
                if read_header(record)["sequence"] == sequence:
                    return {
                        "sequence": sequence,
                        "mine": own.last,
                        "theirs": other.last(),
                        "history": decided(record),
                        "records": _described(history, read_header(group[-1])["sequence"]),
                    }
    raise VersionError("the history changes while it is read")


def _described(history: History, last: int) -> list[dict[str, Any]]:
    """Describe the records of the group that ends with a sequence."""
    describer = Describer()
    records: list[dict[str, Any]] = []
    for group in groups(iter(history)):
        records = [describer.describe(record) for record in group]
        if records[-1]["sequence"] == last:
            break
    return records
