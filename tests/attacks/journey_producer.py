"""The producer of a journey: enqueues what the log takes, and notes what was acknowledged.

Usage: python -m tests.attacks.journey_producer RUNTIME_DIRECTORY NOTES ERA NUMBER SEED
"""

import contextlib
import json
import random
import sys
import time
from pathlib import Path
from typing import Any

import hybridrt
from hybridrt.errors import (
    BusyError,
    ClosedError,
    HybridrtError,
    TimedOutError,
    UnknownNameError,
    UnreachableError,
)
from tests.attacks.journey_notes import TAKEN, Note, write_lines

QUEUES = ("default", "block", "skip", "async", "memory", "kept")
KEYS = 5
BATCH_MAX = 12
FILL_BYTES = (0, 100, 2_000, 12_000)
PAUSE_S, REFUSED_PAUSE_S = 0.004, 0.03
# Nothing is wrong, but nothing was taken, or nobody knows whether it was.
PASSING = (BusyError, TimedOutError, UnknownNameError)
GONE = (ClosedError, UnreachableError, *PASSING)


class Source:
    """Chooses batches from a seed."""

    def __init__(self, seed: str, number: int) -> None:
        """Begin; the number makes its tags its own."""
        self._random = random.Random(f"{seed} {number}")
        self._number = number
        self._made = 0

    def batch(self) -> tuple[str, list[str], list[bytes], dict[str, Any]]:
        """Return kind, tags, payloads and options of some jobs; without tags nobody counts them."""
        choose = self._random
        kind = choose.choices(("journey.step", "conf.follow", "conf.echo"), (5, 3, 2))[0]
        count = choose.randint(1, BATCH_MAX)
        fill = "x" * choose.choices(FILL_BYTES, (6, 4, 2, 1))[0]
        options: dict[str, Any] = {"queue": choose.choice(QUEUES)}
        if choose.random() < 0.4:
            options["key"] = f"key{choose.randrange(KEYS)}"
        if choose.random() < 0.15:
            options["delay"] = choose.uniform(0.01, 1)
        if kind == "conf.echo":
            return kind, [], [fill.encode()] * count, options
        tags = [f"p{self._number}-{self._made + place}" for place in range(count)]
        self._made += count
        order = self._order(kind, options.get("key", ""), fill)
        return kind, tags, [json.dumps(order(tag)).encode() for tag in tags], options

    def _order(self, kind: str, key: str, fill: str) -> Any:
        failures = self._random.choices((0, 1, 3), (8, 1, 1))[0]
        ms = self._random.choices((0, 5, 60), (6, 3, 1))[0]

        def step(tag: str) -> dict[str, Any]:
            return {"tag": tag, "key": key, "ms": ms, "failures": failures, "fill": fill}

        def follow(tag: str) -> dict[str, Any]:
            return {"kind": "journey.mark", "queue": "default", "count": 1, "payload": tag}

        return step if kind == "journey.step" else follow


def enqueue(client: hybridrt.Client, source: Source, notes: Path, era: int) -> bool:
    """Enqueue a batch; say whether all of it was taken."""
    kind, tags, payloads, options = source.batch()
    answers = client.enqueue_many(kind, payloads, **options)
    queue, key = options["queue"], options.get("key", "")
    taken = zip(answers, tags, strict=False)
    write_lines(notes, [Note(era, TAKEN, j, 0, queue, key, tag) for j, tag in taken if j > 0])
    for error in answers.errors.values():
        if not isinstance(error, PASSING):
            raise error
    return not answers.errors


def produce(directory: Path, source: Source, notes: Path, era: int) -> None:
    """Go on until this process is killed."""
    while True:
        with contextlib.suppress(*GONE), hybridrt.connect(directory, name="journey") as client:
            while True:
                try:
                    taken = enqueue(client, source, notes, era)
                except PASSING:
                    taken = False
                time.sleep(PAUSE_S if taken else REFUSED_PAUSE_S)
        time.sleep(REFUSED_PAUSE_S)


def main() -> int:
    """Run as a process."""
    directory, notes = Path(sys.argv[1]), Path(sys.argv[2])
    era, number, seed = int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
    try:
        produce(directory, Source(seed, number), notes, era)
    except HybridrtError as error:
        print(f"the producer gives up: {type(error).__name__}: {error}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
