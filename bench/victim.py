"""A worker that holds memory, and that holds the first attempt at a job until it is killed.

Usage: victim.py BYTES KIND. It prints the time (CLOCK_MONOTONIC ns) at which each attempt started.
"""

import mmap
import sys
import threading
import time

import hybridrt


def main() -> None:
    """Make the memory resident, then work."""
    size, kind = int(sys.argv[1]), sys.argv[2]
    memory = mmap.mmap(-1, size)
    memory[:: mmap.PAGESIZE] = bytes(len(memory) // mmap.PAGESIZE)
    worker = hybridrt.Worker(concurrency=1)

    @worker.handle(kind)
    def hold(job: hybridrt.Job) -> None:
        print(job.attempt, time.monotonic_ns(), flush=True)
        if job.attempt == 1:
            threading.Event().wait()

    worker.run()


if __name__ == "__main__":
    main()
