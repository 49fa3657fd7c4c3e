"""Runs a prover in a process of its own: low priority, ended by a signal or with its supervisor.

A supervisor writes durable positions to stdin, one a line, and reads progress from stdout, one JSON
object a line. The end of stdin is the end of the supervisor.
"""

import contextlib
import os
import select
import signal
import sys
import time
from types import FrameType

import msgspec

from hybridrt.proof.prover import Options, Prover

NICE = 19
READ_BYTES = 65_536
TELL_EVERY_S = 1.0


def be_humble() -> None:
    """Take only the time that nobody else wants."""
    with contextlib.suppress(OSError):
        os.nice(NICE)
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


class Watch:
    """What ends a prover, and what it is told: signals, and the pipe of a supervisor."""

    def __init__(self, *, supervised: bool) -> None:
        """Catch TERM and INT; listen to stdin when a supervisor is behind it."""
        self.ended = False
        self.durable = 0
        self._rest = b""
        self._wake, wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        self._listen = [self._wake, *([sys.stdin.fileno()] if supervised else [])]

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        self.ended = True

    def pause(self, seconds: float) -> None:
        """Wait until something is said, at most so long."""
        ready, _, _ = select.select(self._listen, [], [], seconds)
        for fd in ready:
            data = os.read(fd, READ_BYTES)
            if fd != self._wake:
                self._hear(data)

    def _hear(self, data: bytes) -> None:
        if not data:
            self.ended = True
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        if lines:
            self.durable = int(lines[-1])


def tell(prover: Prover) -> None:
    """Print the progress."""
    sys.stdout.buffer.write(msgspec.json.encode(prover.progress()) + b"\n")
    sys.stdout.buffer.flush()


def run(options: Options, *, supervised: bool) -> None:
    """Prove until told to end; raise HybridrtError when it cannot go on."""
    be_humble()
    watch = Watch(supervised=supervised)
    prover = Prover(options)
    try:
        prover.open()
        tell(prover)
        told, told_at = prover.progress(), time.monotonic()
        while not watch.ended:
            if prover.is_lost():
                _await_return(prover, watch)
                continue
            busy = prover.step()
            if prover.progress() != told and time.monotonic() - told_at >= TELL_EVERY_S:
                tell(prover)
                told, told_at = prover.progress(), time.monotonic()
            watch.pause(0 if busy else options.interval_s)
            prover.told_durable(watch.durable)
        if not prover.is_lost():
            prover.finish()
            tell(prover)
    finally:
        prover.close()


def _await_return(prover: Prover, watch: Watch) -> None:
    """Write nothing until the directory of the proof is back, and say so.

    Who began again in another one would sign a tree that begins where the log does by now.
    """
    where = prover.options.directory
    said = f"{where} was moved or removed; nothing is signed until it is back\n"
    sys.stdout.write(said)
    sys.stdout.flush()
    while prover.is_lost() and not watch.ended:
        watch.pause(prover.options.interval_s)
        prover.told_durable(watch.durable)
    if not watch.ended:
        tell(prover)  # which says that all is well
