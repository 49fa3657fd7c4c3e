"""The jobs of a kill campaign: what is enqueued, and how each kind has to end. Pure."""

import json
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hybridrt.names import Outcome

KEYS = 12
BATCH_MAX = 32
FOLLOW_COUNT = 3
PINS = 1100  # more than a segment's share of living jobs: the first segment is never retired
PIN_QUEUE = "pins"
PIN_DELAY_S = 365 * 24 * 3600
MAIN_QUEUES = ("block", "skip", "kept")
NEVER_LAST = 60_000  # attempts and crashes alone make no job of the campaign dead
CRASHES_MAX = 255

# kind: how often it is chosen, attempts it may take (0: the queue's), how it ends
KINDS = {
    "conf.append": (30, 0, Outcome.OK),
    "conf.echo": (20, 0, Outcome.OK),
    "conf.sleep": (25, 0, Outcome.OK),
    "conf.fail_until": (6, 0, Outcome.OK),
    "conf.snooze": (3, 0, Outcome.OK),
    "conf.follow": (6, 0, Outcome.OK),
    "conf.fail": (4, 2, Outcome.DEAD),
    "conf.panic": (2, 2, Outcome.DEAD),
    "conf.dead": (2, 0, Outcome.DEAD),
    "conf.discard": (2, 0, Outcome.DISCARD),
    "conf.crash": (0.1, 2, Outcome.DEAD),
}


@dataclass(frozen=True, slots=True)
class Batch:
    """Jobs of one enqueue: they differ only in their payload."""

    kind: str
    queue: str
    key: str
    tags: list[str]  # one for each job, never used again
    payloads: list[bytes]
    options: dict[str, Any] = field(default_factory=dict)


class Mix:
    """Chooses batches from a seed."""

    def __init__(self, seed: str, prefix: str, directory: Path) -> None:
        """Begin; `prefix` makes the tags unique, handlers write into `directory`."""
        self._random = random.Random(seed)
        self._prefix = prefix
        self._directory = directory
        self._made = 0

    def next(self) -> Batch:
        """Return the next batch."""
        choose = self._random
        kind = choose.choices(list(KINDS), [share for share, _, _ in KINDS.values()])[0]
        queue = choose.choices(MAIN_QUEUES, [6, 2, 2])[0]
        key = f"key-{choose.randrange(KEYS)}" if choose.random() < 0.6 else ""
        count = 1 if kind == "conf.crash" else choose.randint(1, BATCH_MAX)
        tags = [f"{self._prefix}-{self._made + place}" for place in range(count)]
        self._made += count
        options: dict[str, Any] = {"queue": queue}
        if key:
            options["key"] = key
        if KINDS[kind][1]:
            options["max_attempts"] = KINDS[kind][1]
        if choose.random() < 0.15:
            options["delay"] = choose.uniform(0.001, 0.05)
        payloads = [self._payload(kind, tag) for tag in tags]
        return Batch(kind, queue, key, tags, payloads, options)

    def _payload(self, kind: str, tag: str) -> bytes:
        arguments: dict[str, dict[str, Any]] = {
            "conf.append": {"path": str(appended_path(self._directory)), "text": tag},
            "conf.sleep": {"ms": self._random.randint(1, 8)},
            "conf.fail_until": {"n": self._random.randint(2, 4)},
            "conf.snooze": {"n": 2, "ms": 2, "path": str(self._directory / f"snooze-{tag}")},
            "conf.follow": {
                "kind": "conf.echo",
                "queue": "block",
                "count": FOLLOW_COUNT,
                "payload": tag,
            },
        }
        return json.dumps(arguments[kind]).encode() if kind in arguments else tag.encode()


def appended_path(directory: Path) -> Path:
    """Return the file that conf.append writes a line into."""
    return directory / "appended"


def appended_tag(payload: bytes) -> str:
    """Return the line that a conf.append job writes."""
    arguments = json.loads(payload)
    return str(arguments["text"])
