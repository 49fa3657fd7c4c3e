"""A worker as other languages have them: its handler reads the payload where it lies in the log.

It takes one job and reads it, and reads it again at each SIGUSR1: what it read goes to the files
`0`, `1` ... of a directory. Started by tests.
"""

import signal
import sys
from pathlib import Path

from hybridrt.native import Lane, check, ffi, lib

address, directory = sys.argv[1], Path(sys.argv[2])
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
client = Lane.attach(address)
client.register(["hold"], concurrency=1)
job = ffi.new("hrt_job *")
count = ffi.new("uint32_t *")
check(lib.hrt_fetch(client.handle, job, 1, -1, count))
lib.hrt_job_started(job)
payload = ffi.buffer(job.payload, job.payload_length)

for number in range(sys.maxsize):
    path = directory / str(number)
    path.with_suffix(".new").write_bytes(payload)
    path.with_suffix(".new").rename(path)
    signal.sigwait([signal.SIGUSR1])
