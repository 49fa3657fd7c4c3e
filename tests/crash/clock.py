"""The worker of a takeover campaign: says when each job began, by its own clock.

Usage: python -m tests.crash.clock FILE (started as a pool of a supervisor)
"""

import os
import struct
import sys
import time

import hybridrt

BEGUN = struct.Struct("<QQ")  # wall clock in ns, lease token
WORK_SECONDS = 0.002


def main() -> None:
    """Run as a worker."""
    fd = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    worker = hybridrt.Worker(concurrency=2)

    @worker.handle("clock")
    def clock(job: hybridrt.Job) -> None:
        os.write(fd, BEGUN.pack(time.time_ns(), job.token))
        time.sleep(WORK_SECONDS)

    worker.run()


if __name__ == "__main__":
    main()
