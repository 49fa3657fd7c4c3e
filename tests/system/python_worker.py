"""A worker with a handler for each way an attempt can end. Started by tests."""

import os
import signal
import sys
from pathlib import Path

import hybridrt
from hybridrt import errors

worker = hybridrt.Worker(concurrency=4)


@worker.handle("echo")
def echo(job: hybridrt.Job) -> bytes:
    return job.payload


@worker.handle("fail")
def fail(job: hybridrt.Job) -> hybridrt.Ok:
    """Fail until the attempt that the payload names."""
    if job.attempt < int(job.text()):
        raise RuntimeError(f"attempt {job.attempt} fails")
    return hybridrt.Ok(f"attempt {job.attempt}")


@worker.handle("dead")
def dead(job: hybridrt.Job) -> None:
    raise hybridrt.NonRetryableError(job.text())


@worker.handle("discard")
def discard(job: hybridrt.Job) -> hybridrt.Discard:
    return hybridrt.Discard(job.text())


@worker.handle("snooze")
def snooze(job: hybridrt.Job) -> str:
    """Snooze until the file that the payload names exists."""
    if not Path(job.text()).exists():
        Path(job.text()).touch()
        raise hybridrt.Snooze("10ms")
    return f"attempt {job.attempt}"


@worker.handle("slow")
def slow(job: hybridrt.Job) -> str:
    """Touch the file in the payload, then wait for its twin with ".go", or to be cancelled."""
    Path(job.text()).touch()
    while not Path(job.text() + ".go").exists():
        job.wait(0.01)
        job.check()
    return "done"


@worker.handle("stubborn")
def stubborn(job: hybridrt.Job) -> None:
    """Touch the file in the payload and never end."""
    Path(job.text()).touch()
    while True:
        signal.pause()


@worker.handle("crash")
def crash(job: hybridrt.Job) -> str:
    """Die in the first attempts, as many as the payload says."""
    if job.attempt <= int(job.text()):
        os._exit(3)
    return f"attempt {job.attempt}"


@worker.handle("follow")
def follow(job: hybridrt.Job) -> str:
    """Enqueue two follow-ups; fail once, so that those of the failed attempt must not come."""
    for number in range(2):
        job.enqueue("echo", f"{job.attempt}.{number}", key="follow", result_ttl="1m")
    if job.attempt == 1:
        raise RuntimeError("the first attempt fails")
    return "followed"


@worker.handle("save")
def save(job: hybridrt.Job) -> bytes | hybridrt.Retry:
    """Save twice and fail, until the second attempt returns what the first one left."""
    if job.saved:
        return job.saved
    job.checkpoint(b"not the last one")
    job.checkpoint(bytearray(b"half way"))
    return hybridrt.Retry("not yet")


@worker.handle("save_crash")
def save_crash(job: hybridrt.Job) -> bytes:
    """Save and die at once."""
    if not job.saved:
        job.checkpoint(b"before the crash")
        os.kill(os.getpid(), signal.SIGKILL)
    return job.saved


@worker.handle("save_drain")
def save_drain(job: hybridrt.Job) -> bytes:
    """Touch the file in the payload, and hand the job back once the worker drains."""
    if job.saved:
        return job.saved
    Path(job.text()).touch()
    while not job.draining:
        job.wait(0.01)
        job.check()
    job.checkpoint(b"half way")
    raise hybridrt.HandBack


@worker.handle("save_large")
def save_large(job: hybridrt.Job) -> str:
    """Save as many bytes as the payload says."""
    try:
        job.checkpoint(bytes(int(job.text())))
    except errors.PayloadTooLargeError:
        return "too large"
    return "saved"


print('{"level":"warn","msg":"a line in JSON","answer":42}', flush=True)
print("a plain line", file=sys.stderr, flush=True)
worker.run()
