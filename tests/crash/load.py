"""The producer process of a kill campaign: enqueues as fast as the queues take it, until SIGTERM.

Usage: python -m tests.crash.load RUNTIME_DIRECTORY WORK_DIRECTORY SEED NUMBER
"""

import contextlib
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import hybridrt
from hybridrt.client import Client
from hybridrt.errors import ClosedError, HybridrtError, QueueFullError, UnreachableError
from tests.crash.ledger import Ledger
from tests.crash.mix import Batch, Mix

PATIENCE_S = 60.0  # for a supervisor to come back, and for room in a queue
PAUSE_S = 0.01


class Load:
    """One producer; goes on when the supervisor is killed and comes back."""

    def __init__(self, runtime_directory: Path, mix: Mix, ledger: Ledger) -> None:
        """Begin to enqueue what `mix` says, noting in `ledger` what was acknowledged."""
        self._directory = runtime_directory
        self._mix = mix
        self._ledger = ledger
        self._stopping = False

    def stop(self, *_: object) -> None:
        """Make `run` return after the batch under way."""
        self._stopping = True

    def run(self) -> None:
        """Enqueue until told to stop."""
        while not self._stopping:
            with contextlib.suppress(ClosedError), self._attached() as client:
                while not self._stopping:
                    self._enqueue(client, self._mix.next())

    @contextlib.contextmanager
    def _attached(self) -> Iterator[Client]:
        client = self._attach()
        try:
            yield client
        finally:
            client.close()

    def _attach(self) -> Client:
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                return hybridrt.connect(self._directory, name="load")
            except (UnreachableError, ClosedError):
                if time.monotonic() > end:
                    raise
                time.sleep(PAUSE_S)

    def _enqueue(self, client: Client, batch: Batch) -> None:
        answers = client.enqueue_many(batch.kind, batch.payloads, **batch.options)
        self._ledger.add(batch, list(answers))
        for error in answers.errors.values():
            if not isinstance(error, QueueFullError):
                raise error
        if answers.errors:
            self._await_room(client, batch)

    def _await_room(self, client: Client, full: Batch) -> None:
        """Enqueue one job that waits until the queue has room again."""
        batch = self._mix.next()
        single = Batch(batch.kind, full.queue, batch.key, batch.tags[:1], batch.payloads[:1])
        options = {**batch.options, "queue": full.queue, "block_timeout": PATIENCE_S}
        job = client.enqueue(single.kind, single.payloads[0], **options)
        self._ledger.add(single, [job.id])


def main() -> int:
    """Run as a process."""
    runtime_directory, work_directory = Path(sys.argv[1]), Path(sys.argv[2])
    seed, number = sys.argv[3], sys.argv[4]
    mix = Mix(f"{seed}/{number}", f"p{number}", work_directory)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    with Ledger(work_directory / f"ledger-{number}") as ledger:
        load = Load(runtime_directory, mix, ledger)
        signal.signal(signal.SIGTERM, load.stop)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        try:
            load.run()
        except HybridrtError as error:
            print(f"the producer gives up: {type(error).__name__}: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
