"""The Python producer of `hybridrt bench`: `enqueue_many` from one process, flat out or paced.

Takes the options of hrt-bench produce that it needs, and prints the same object.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import TYPE_CHECKING, Any

import hybridrt
from hybridrt.native import Lane

if TYPE_CHECKING:
    import numpy as np

BATCH = 4096
STAMP_BYTES = 8
NAP_S = 0.001  # while too many jobs wait, and for the last ones to be settled
SETTLE_TIMEOUT_S = 300.0


def main() -> None:
    """Enqueue the jobs asked for, wait until all are settled, print what happened."""
    options = _options()
    payloads = _payloads(options.size)
    lane = Lane.attach(name="hybridrt bench counters")
    queue = lane.queue(options.queue)
    before = lane.page.queue_counters(queue)["completed"]
    with hybridrt.connect() as client:
        began = time.monotonic()
        sent = 0
        while _wanted(options, sent, began):
            _hold(lane, queue, options.backlog)
            _pace(options, sent, began)
            batch = payloads[: min(BATCH, options.jobs - sent) if options.jobs else BATCH]
            batch["stamp"] = 0 if sent < options.warmup else time.monotonic_ns()
            ids = client.enqueue_many(options.kind, batch, queue=options.queue)
            if ids.errors:  # what is measured then is something else
                raise SystemExit(f"hybridrt bench: {len(ids.errors)} jobs were refused")
            sent += len(batch)
        enqueued = time.monotonic()
        _await_settled(lane, queue, before + sent)
        settled = time.monotonic()
    figures = {
        "sent": sent,
        "accepted": sent,
        "seconds": settled - began,
        "enqueue_seconds": enqueued - began,
    }
    print(json.dumps(figures))
    lane.close()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", required=True)
    parser.add_argument("--queue", required=True)
    for name in ("size", "jobs", "seconds", "rate", "warmup", "backlog"):
        parser.add_argument(f"--{name}", type=int, default=0)
    return parser.parse_args()


def _payloads(size: int) -> np.ndarray[Any, Any]:
    import numpy as np

    rest = [("rest", f"V{size - STAMP_BYTES}")] if size > STAMP_BYTES else []
    return np.zeros(BATCH, dtype=[("stamp", "<u8"), *rest])


def _wanted(options: argparse.Namespace, sent: int, began: float) -> bool:
    if options.jobs:
        return bool(sent < options.jobs)
    return bool(time.monotonic() - began < options.seconds)


def _pace(options: argparse.Namespace, sent: int, began: float) -> None:
    if options.rate:
        time.sleep(max(0.0, began + sent / options.rate - time.monotonic()))


def _hold(lane: Lane, queue: int, backlog: int) -> None:
    while backlog and lane.page.queue_counters(queue)["ready"] > backlog:
        time.sleep(NAP_S)


def _await_settled(lane: Lane, queue: int, completed: int) -> None:
    deadline = time.monotonic() + SETTLE_TIMEOUT_S
    while lane.page.queue_counters(queue)["completed"] < completed:
        if time.monotonic() > deadline:
            raise SystemExit("hybridrt bench: not all jobs were settled in time")
        time.sleep(NAP_S)


if __name__ == "__main__":
    main()
