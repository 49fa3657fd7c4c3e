"""The standby: follows the log of a supervisor, and becomes the supervisor when that one ends.

Everything is imported and allocated before it is needed: between the death of a supervisor and the
first job that is dispatched here stand a signal, a wait, and one call into C.
"""

import contextlib
import gc
import importlib
import math
import os
import select
import signal
import socket
import threading
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

from hybridrt import handover, native
from hybridrt.config import Config
from hybridrt.dispatching import DispatchThread, runtime_options
from hybridrt.errors import ClosedError, HybridrtError, UnreachableError
from hybridrt.estate import Estate
from hybridrt.exits import Status, exit_status
from hybridrt.handover import AnyMessage, Held, Message
from hybridrt.heir import close_all
from hybridrt.logs import configure, get_logger
from hybridrt.native import Grant, Standby
from hybridrt.service import run_loop

log = get_logger("standby")

CONNECT_SECONDS = 10.0  # for the supervisor to answer a hello
PINGS = 4  # in hang_timeout; so many unanswered ones in a row mean that the supervisor hangs
WARM_MODULES = ("hybridrt.control", "numpy", "psutil", "uvloop", "zmq.asyncio")
AGAIN_SECONDS = 60.0  # for an upgrade to come to its end, and whoever goes on to let us in
AGAIN_PAUSE_SECONDS = 0.2
CATCH_UP_SECONDS = 0.02  # between looks at how far behind the log it is
MILLISECONDS = 1000

Met = tuple[socket.socket, handover.Welcome, list[int]]


class Follower:
    """One standby, from its connection to the takeover. All decisions are the main thread's."""

    def __init__(
        self, connection: socket.socket, welcome: handover.Welcome, fds: list[int]
    ) -> None:
        """Own the connection and the descriptors that came with the welcome."""
        self.config = configuration(welcome.settings)
        self._words = welcome.settings.words
        self._connection = connection
        self._process_fd, self._page_fd, self._lock_fd, listening_fd = fds
        self._listening = socket.socket(fileno=listening_fd)
        self._standby = Standby.open(runtime_options(self.config), self._page_fd)
        self._held: dict[int, Held] = {}
        self._ended_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._thread = threading.Thread(target=self._follow, name="hybridrt-follow", daemon=True)
        self._failure: HybridrtError | None = None
        self._complete = False
        self._ready = False
        self._releasing = False
        self._candidate_fd = -1  # a process that an upgrade started, to go on in our place
        self._connected = True
        self._dismissed = ""
        self.again: tuple[str, ...] = ()  # the command that follows the next supervisor
        self._next_ping = time.monotonic()
        self._pings = 0  # sent
        self._pong = 0  # the last one that was answered
        self._snapshots = 0  # that were told of
        self._snapshot_failures = 0
        self._interval = float(self.config.runtime.hang_timeout) / PINGS

    def run(self) -> Estate | None:
        """Follow until the supervisor ends; None: it sent us away."""
        self._thread.start()
        cause = self._wait()
        if not cause:
            self._standby.stop()
            self._thread.join()
            self._standby.close()
            log.info("leaving", reason=self._dismissed)
            return None
        return self._take_over(cause)

    def _follow(self) -> None:
        try:
            self._standby.run()
        except HybridrtError as error:
            self._failure = error
        os.eventfd_write(self._ended_fd, 1)

    # ---- waiting --------------------------------------------------------------------------------

    def _wait(self) -> str:
        """Return why to take over; empty: not at all. Raises what ended the following."""
        poll = select.poll()
        for fd in (self._connection.fileno(), self._process_fd, self._ended_fd):
            poll.register(fd, select.POLLIN)
        while True:
            patience = min(self._next_ping - time.monotonic(), self._look_again())
            ready = {fd for fd, _ in poll.poll(max(0.0, patience) * MILLISECONDS)}
            if self._connected and self._connection.fileno() in ready:
                self._hear()
                if not self._connected:  # it dies, or has dropped us: the pidfd will tell
                    poll.unregister(self._connection.fileno())
            if self._dismissed:
                return ""
            if cause := self._end_of(ready):
                return cause
            if time.monotonic() >= self._next_ping:
                if self._releasing or self._pings - self._pong >= PINGS:
                    return "hung"
                self._ping()

    def _hear(self) -> None:
        """Take all that was told: what a process says last stands behind what it said before."""
        poll = select.poll()
        poll.register(self._connection.fileno(), select.POLLIN)
        while self._connected and poll.poll(0):
            self._connected = self._read()

    def _end_of(self, ready: set[int]) -> str:
        """Return how the supervisor ended; empty: it goes on. Raises what ended the following."""
        if self._process_fd in ready:
            return "killed"
        if self._ended_fd not in ready:
            return ""
        if self._failure is not None:
            raise self._failure
        self._hear()  # it was told before the log was let go of, and perhaps after the last look
        return "upgrade" if self._releasing else "killed"

    def _look_again(self) -> float:
        """Say that we are ready as soon as we are; return when to look at it again."""
        if self._ready:
            return math.inf
        status = self._standby.status()
        if not self._complete or status["behind"] or not status["sequence"]:
            return CATCH_UP_SECONDS
        self._ready = True
        self._tell(handover.Ready())
        log.info("ready to take over", jobs=status["jobs"], lanes=status["lanes"])
        return math.inf

    def _ping(self) -> None:
        """Ask for a sign of life, and say how far we are."""
        status = self._standby.status()
        self._tell_of_snapshots(status)
        self._pings += 1
        self._next_ping = time.monotonic() + self._interval
        self._tell(
            handover.Ping(number=self._pings, sequence=status["sequence"], behind=status["behind"])
        )

    def _tell_of_snapshots(self, status: dict[str, Any]) -> None:
        if status["snapshots"] != self._snapshots:
            self._snapshots = status["snapshots"]
            log.info("a snapshot was written", position=status["snapshot_position"])
        if status["snapshot_failures"] != self._snapshot_failures:
            self._snapshot_failures = status["snapshot_failures"]
            log.warning("a snapshot could not be written; the next one follows")

    def _tell(self, message: Message) -> None:
        try:
            handover.send(self._connection, handover.encode(message))
        except OSError as error:
            log.debug("the supervisor does not read", err=str(error))

    def _read(self) -> bool:
        """Take one message; False: the connection has ended."""
        try:
            data, fds = handover.receive(self._connection)
        except OSError:
            return False
        if not data:
            return False
        message = handover.decode(data)
        if message is None:
            close_all(fds)  # of a kind that we need not understand
        else:
            self._take(message, fds)
        return True

    def _take(self, message: AnyMessage, fds: list[int]) -> None:
        if isinstance(message, handover.Lane):
            self._take_lane(message, fds)
        elif isinstance(message, handover.Process):
            self._take_process(message, fds)
        elif isinstance(message, handover.Ended):
            self._forget(message.incarnation)
        elif isinstance(message, handover.Settings):
            self.config = configuration(message)
        elif isinstance(message, handover.Pong):
            self._pong = message.number
        elif isinstance(message, handover.Complete):
            self._complete = True
        elif isinstance(message, handover.Release):
            self._releasing = True
            # It answers no ping meanwhile, and has as long as it would have to answer four.
            self._next_ping = time.monotonic() + self._interval * PINGS
        elif isinstance(message, handover.Candidate):
            self._forget_candidate()
            (self._candidate_fd,) = fds
        elif isinstance(message, handover.Bye):
            self._dismissed, self.again = message.reason, message.again

    def _take_lane(self, lane: handover.Lane, fds: list[int]) -> None:
        grant = Grant(**{field.name: getattr(lane, field.name) for field in fields(Grant)})
        about = os.fstat(fds[0])
        self._standby.grant(grant, fds[: handover.LANE_FDS])
        streams = dict(zip(lane.streams, fds[handover.LANE_FDS :], strict=True))
        self._held[lane.incarnation] = Held(lane, streams, (about.st_dev, about.st_ino))

    def _take_process(self, process: handover.Process, fds: list[int]) -> None:
        held = self._held.get(process.incarnation)
        if held is None:
            close_all(fds)
            return
        (held.pidfd,) = fds
        held.pid, held.started = process.pid, process.started

    def _forget(self, incarnation: int) -> None:
        self._standby.forget(incarnation)
        held = self._held.pop(incarnation, None)
        if held is not None:
            held.close()

    # ---- taking over ----------------------------------------------------------------------------

    def _take_over(self, cause: str) -> Estate:
        """Make sure that the supervisor is gone, go on with its log, and dispatch at once."""
        began_ns = time.monotonic_ns()
        upgraded = cause == "upgrade"
        if not upgraded:
            self._end_process()
        death_ns = time.monotonic_ns() - began_ns
        self._standby.stop()  # it may sleep: the kernel wakes one of those who follow
        self._thread.join()
        self._hear()  # what it told in its last moments
        self._end_candidate()
        patience = float(self.config.runtime.hang_timeout)
        runtime = self._standby.take_over(patience)
        dispatch = DispatchThread(runtime)
        dispatch.start()
        duration_ns = time.monotonic_ns() - began_ns
        os.close(self._process_fd)
        os.close(self._page_fd)
        os.close(self._ended_fd)
        if not upgraded:
            self._connection.close()
        return Estate(
            runtime=runtime,
            dispatch=dispatch,
            config=self.config,
            words=self._words,
            lock_fd=self._lock_fd,
            listening=self._listening,
            held=list(self._held.values()),
            cause=cause,
            duration_ns=duration_ns,
            death_ns=death_ns,
            upgraded_from=self._connection if upgraded else None,
        )

    def _end_process(self) -> None:
        """Kill the supervisor by its pidfd and wait until the kernel has let go of it."""
        try:
            signal.pidfd_send_signal(self._process_fd, signal.SIGKILL)
        except ProcessLookupError:
            return
        poll = select.poll()
        poll.register(self._process_fd, select.POLLIN)
        poll.poll()

    def _end_candidate(self) -> None:
        """Kill the process of an upgrade that has lost its supervisor; the log's lock waits."""
        if self._candidate_fd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._candidate_fd, signal.SIGKILL)
        self._forget_candidate()

    def _forget_candidate(self) -> None:
        if self._candidate_fd >= 0:
            os.close(self._candidate_fd)
            self._candidate_fd = -1


def configuration(settings: handover.Settings) -> Config:
    """Check the configuration that the supervisor uses: it may be of another version."""
    return Config.make(settings.tables, settings.origin)


def connect(path: Path) -> socket.socket:
    """Return a connection to the supervisor; raise UnreachableError."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.settimeout(CONNECT_SECONDS)
    try:
        connection.connect(str(path))
    except OSError as error:
        connection.close()
        raise UnreachableError(
            f"cannot reach a supervisor at {path}: {error.strerror or error}",
            "start one with 'hybridrt run'",
        ) from error
    return connection


def introduce(connection: socket.socket, *, upgrade: bool) -> tuple[handover.Welcome, list[int]]:
    """Say hello and return the welcome; raise when one side does not want the other."""
    ours = handover.us(native.version(), native.ABI_VERSION)
    hello = handover.Hello(
        software=ours.software, abi=ours.abi, must=tuple(ours.must), upgrade=upgrade
    )
    handover.send(connection, handover.encode(hello))
    data, fds = handover.receive(connection)
    message = handover.decode(data) if data else None
    if isinstance(message, handover.Welcome):
        theirs = handover.Speaker(
            message.software, message.abi, message.protocol, message.protocol, message.must
        )
        handover.agree(ours, theirs)
        return message, fds
    reason = message.reason if isinstance(message, handover.Refused) else "it hung up"
    raise ClosedError(f"the supervisor takes no standby: {reason}")


def warm() -> None:
    """Load what the takeover will need, and keep the collector from looking at it."""
    for name in WARM_MODULES:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


def run(path: Path, *, upgrade: bool = False, again: bool = False) -> int:
    """Be a standby until the supervisor ends, then the supervisor; return the exit status."""
    configure("info", "auto")
    try:
        estate = follow(*meet(path, upgrade=upgrade, patience=AGAIN_SECONDS if again else 0.0))
    except (HybridrtError, OSError) as error:
        log.critical("cannot follow", err=str(error), hint=getattr(error, "hint", None))
        return exit_status(error.code) if isinstance(error, HybridrtError) else Status.FAILED
    if estate is None:
        return Status.OK
    return run_loop(estate.config, estate.words, estate)


def meet(path: Path, *, upgrade: bool, patience: float) -> Met:
    """Return a connection to who lets us in; `patience` is for an upgrade to come to its end."""
    deadline = time.monotonic() + patience
    while True:
        try:
            return _meet_once(path, upgrade=upgrade)
        except (ClosedError, UnreachableError) as error:
            if time.monotonic() >= deadline:
                raise
            log.debug("nobody lets us in yet", err=error.message)
        time.sleep(AGAIN_PAUSE_SECONDS)


def _meet_once(path: Path, *, upgrade: bool) -> Met:
    connection = connect(path)
    try:
        return connection, *introduce(connection, upgrade=upgrade)
    except OSError as error:  # ClosedError is one too: we were told why
        connection.close()
        if isinstance(error, ClosedError):
            raise
        raise ClosedError(f"the supervisor takes no standby: {error}") from error
    except HybridrtError as error:
        _tell_why(connection, error)
        connection.close()
        raise


def follow(connection: socket.socket, welcome: handover.Welcome, fds: list[int]) -> Estate | None:
    """Follow the supervisor at the other end; it is told why when that is not possible."""
    try:
        os.chdir(welcome.directory)
        follower = Follower(connection, welcome, fds)
        runtime = follower.config.runtime
        configure(runtime.log_level, runtime.log_format)
        warm()
        connection.settimeout(None)
        estate = follower.run()
    except HybridrtError as error:
        _tell_why(connection, error)
        raise
    if estate is None and follower.again:
        os.execv(follower.again[0], follower.again)  # noqa: S606 - the same process, of the next version
    return estate


def _tell_why(connection: socket.socket, error: HybridrtError) -> None:
    with contextlib.suppress(OSError):  # it may be gone by now
        handover.send(connection, handover.encode(handover.refusal(error)))
