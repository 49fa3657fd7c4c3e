"""Holds a log against what producers were told and what handlers wrote."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from hybridrt.names import Outcome
from tests.crash.history import History, Life
from tests.crash.ledger import Entry, read_ledger
from tests.crash.mix import FOLLOW_COUNT, KINDS, PIN_QUEUE, appended_path, appended_tag


def judge(history: History, work_directory: Path, pins: int) -> int:
    """Add to the history's faults what does not fit; return the number of acknowledged jobs.

    As many `pins` still have to wait for their time.
    """
    paths = sorted(work_directory.glob("ledger-*"))
    ledgers = [list(read_ledger(path)) for path in paths]
    for path, ledger in zip(paths, ledgers, strict=True):
        _judge_order(history, path.name, ledger)
        for entry in ledger:
            _judge_acknowledged(history, entry)
    _judge_endings(history, pins)
    _judge_tags(history, ledgers)
    _judge_follow_ups(history)
    _judge_appended(history, appended_path(work_directory))
    return sum(map(len, ledgers))


def _judge_order(history: History, name: str, ledger: list[Entry]) -> None:
    """A producer's jobs are in the log in the order in which it enqueued them."""
    for before, after in pairwise(ledger):
        if after.job <= before.job:
            history.fault(f"{name}: job {after.job} was enqueued after job {before.job}")


def _judge_acknowledged(history: History, entry: Entry) -> None:
    life = history.lives.get(entry.job)
    if life is None:
        history.fault(f"job {entry.job} was acknowledged and is not in the log: {entry}")
        return
    kind, queue = history.kinds[life.kind], history.queues[life.queue]
    if (kind, queue, bool(life.key)) != (entry.kind, entry.queue, bool(entry.key)):
        history.fault(f"job {entry.job} was acknowledged as {entry}, but it is {life}")
    if life.outcome != KINDS[entry.kind][2]:
        history.fault(f"job {entry.job} ({kind}) was acknowledged and ended as {life.outcome}")


def _judge_endings(history: History, expected_pins: int) -> None:
    """Every job of the log ended as its kind does, acknowledged or not; the pins still wait."""
    pins = 0
    for job, life in history.lives.items():
        kind = history.kinds[life.kind]
        if history.queues[life.queue] == PIN_QUEUE:
            pins += 1
            if life.leases:
                history.fault(f"job {job} is a year ahead of its time and was leased")
        elif life.outcome != KINDS[kind][2]:
            history.fault(f"job {job} ({kind}) ended as {life.outcome}: {life}")
        elif life.attempts < 1:
            history.fault(f"job {job} ({kind}) ended without an attempt: {life}")
    if pins != expected_pins:
        history.fault(f"{pins} of {expected_pins} jobs wait for their time")


def _judge_tags(history: History, ledgers: list[list[Entry]]) -> None:
    """Say when an enqueue is in the log twice: each append line was asked for once."""
    seen: dict[bytes, int] = {}
    for job, life in _of_kind(history, "conf.append"):
        if life.payload in seen:
            history.fault(f"job {job} is job {seen[life.payload]} again: {life.payload!r}")
        seen[life.payload] = job
    keys: dict[int, set[str]] = defaultdict(set)
    for entry in (entry for ledger in ledgers for entry in ledger if entry.job in history.lives):
        keys[history.lives[entry.job].key].add(entry.key)
    for hashed, names in keys.items():
        if len(names) != 1:
            history.fault(f"key hash {hashed:x} stands for several keys: {names}")


def _judge_follow_ups(history: History) -> None:
    """Follow-ups are in the log once, in the group that settles their parent as completed."""
    for parent, children in history.children.items():
        life = history.lives.get(parent)
        if life is None or history.kinds[life.kind] != "conf.follow":
            history.fault(f"jobs {children} follow job {parent}: {life}")
    for job, life in _of_kind(history, "conf.follow"):
        children = history.children.get(job, [])
        expected = FOLLOW_COUNT if life.outcome == Outcome.OK else 0
        groups = {history.lives[child].group for child in children}
        if len(children) != expected or not groups <= {life.settled_group}:
            history.fault(
                f"job {job} was settled in group {life.settled_group}, "
                f"its follow-ups {children} came in groups {groups}"
            )


def _judge_appended(history: History, path: Path) -> None:
    """Hold what handlers wrote against the log.

    Each append job wrote its line at least once, but not more often than it was leased. First lines
    stand in the order of the key.
    """
    lines = path.read_text().splitlines() if path.exists() else []
    counts = Counter(lines)
    first = {line: place for place, line in reversed(list(enumerate(lines)))}
    places: dict[tuple[int, int], int] = {}
    for job, life in _of_kind(history, "conf.append"):
        tag = appended_tag(life.payload)
        runs = counts.pop(tag, 0)
        if runs == 0:
            history.fault(f"job {job} completed, but its handler wrote no line {tag}")
            continue
        if runs > life.leases:
            history.fault(f"job {job} ran {runs} times, but was leased {life.leases} times")
        if life.key and history.queues[life.queue] != "skip":
            key = (life.queue, life.key)
            if first[tag] < places.get(key, -1):
                history.fault(f"job {job} wrote line {first[tag]} before one with its key did")
            places[key] = first[tag]
    for tag in counts:
        history.fault(f"a handler wrote {tag}, of which the log knows nothing")


def _of_kind(history: History, kind: str) -> Iterator[tuple[int, Life]]:
    for job, life in history.lives.items():
        if history.kinds[life.kind] == kind and history.queues[life.queue] != PIN_QUEUE:
            yield job, life
