"""Who comes after the supervisor: it gives all that it holds to one standby, as it changes.

A standby connects to `standby.sock` in the runtime directory. It is started by hand, by
`[runtime] standby = true`, or for an upgrade. docs/control.md has the messages.
"""

import asyncio
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridrt import handover, native
from hybridrt.attach import listen, peer_credentials, peer_pidfd
from hybridrt.errors import ClosedError, HybridrtError, ProtocolError
from hybridrt.handover import AnyMessage, Lane, Process
from hybridrt.heir import Heir, close_all
from hybridrt.logs import get_logger
from hybridrt.offspring import Offspring
from hybridrt.processes import WorkerProcess
from hybridrt.tasks import Tasks

if TYPE_CHECKING:
    from hybridrt.supervisor import Supervisor

log = get_logger("standby")

HEIRS_MAX = 4  # connections at once, of which one standby and one successor at most may follow
DISMISS_SECONDS = 5.0  # for a standby that was told to leave
BACKOFF_SECONDS = 0.1  # until a standby that ended is started again, doubled for each quick end
BACKOFF_SECONDS_MAX = 30.0
LIVED_SECONDS = 60.0  # a standby that ends after so long did not end quickly


class Succession:
    """Lets one standby in, tells it everything, and keeps one running if that is wanted."""

    def __init__(self, supervisor: "Supervisor", path: Path) -> None:
        """Describe it; `open` begins to listen at `path`."""
        self._supervisor = supervisor
        self._path = path
        self._listening: socket.socket | None = None
        self._heirs: list[Heir] = []
        self._tasks = Tasks()
        self._keeping: asyncio.Task[Any] | None = None
        self._waiting: list[asyncio.Future[None]] = []
        self._keeper: Offspring | None = None  # without it a standby waits for our memory to go
        self.next: Offspring | None = None  # started for an upgrade: the only one to let in
        self.refusal = ""  # what the last one that did not want to follow said
        self.taken = False

    # ---- life -----------------------------------------------------------------------------------

    def open(self) -> None:
        """Begin to listen."""
        self._listening = listen(self._path)
        self._admit()
        self._tasks.start(self._watch(), "watch standby")
        self._put_lanes_right()
        self.keep()

    def _put_lanes_right(self) -> None:
        """Lanes that were taken over, or back, say that somebody stands by."""
        if not self._supervisor.config.runtime.standby:
            self._supervisor.without_standby()

    def keep(self) -> None:
        """Have a standby, if the configuration says so."""
        if self._supervisor.config.runtime.standby and self._keeping is None:
            self._keeping = self._tasks.start(self._keep(), "keep standby")

    async def dismiss(self, reason: str) -> None:
        """Send the standby away and wait until it is gone: nobody takes over any more."""
        await self._keep_no_more()
        bye = handover.Bye(reason=reason)
        await asyncio.gather(*(self._dismiss(heir, bye) for heir in list(self._heirs)))

    async def expect(self, successor: Offspring) -> None:
        """Let this process in, and nobody else. The present standby stays until it is ready.

        It is told of the process, which must not go on beside it should we die meanwhile.
        """
        self.next, self.refusal, self.taken = successor, "", False
        await self._keep_no_more()
        if self.standby is not None and successor.pidfd >= 0:
            self.standby.tell(handover.Candidate(pid=successor.pid), [successor.pidfd])

    async def make_way(self, again: Sequence[str]) -> None:
        """Send the standby away for the successor, which can go on in its place by now.

        One that was started by hand follows the successor, as the command `again`; else that one
        starts a standby of its own.
        """
        others = [heir for heir in self._heirs if not heir.upgrade]
        by_hand = not self._supervisor.config.runtime.standby
        bye = handover.Bye(
            reason="the next supervisor is ready", again=tuple(again) if by_hand else ()
        )
        await asyncio.gather(*(self._dismiss(heir, bye) for heir in others))

    async def _keep_no_more(self) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait((self._keeping,))
            self._keeping = None

    async def _dismiss(self, heir: Heir, bye: handover.Bye) -> None:
        if heir.pidfd < 0:
            return
        process = Offspring(heir.pid, os.dup(heir.pidfd))
        heir.tell(bye)
        leaving = self._hung_up(heir) if bye.again else process.wait(None)
        try:
            async with asyncio.timeout(DISMISS_SECONDS):
                await leaving
        except TimeoutError:
            log.warning("the standby does not leave, killing it", pid=heir.pid)
            await process.kill()
        process.close()
        self._remove(heir)
        heir.close()

    async def _hung_up(self, heir: Heir) -> None:
        """Wait until a standby has closed all that it had of us; its process may go on."""
        while heir.pidfd >= 0:
            await self.next_change()

    async def close(self, *, handed_over: bool = False) -> None:
        """Stop listening; a standby was dismissed before, or is the supervisor by now."""
        await self._tasks.close()
        if self._keeper is not None:
            await self._keeper.kill()
        for heir in self._heirs:
            heir.close()
        self._heirs.clear()
        if self._listening is not None:
            asyncio.get_running_loop().remove_reader(self._listening.fileno())
            self._listening.close()
            self._listening = None
            if not handed_over:
                self._path.unlink(missing_ok=True)

    def rebind(self) -> None:
        """Listen at the path again: one that failed to go on has taken it."""
        if self._listening is not None:
            asyncio.get_running_loop().remove_reader(self._listening.fileno())
            self._listening.close()
        self._path.unlink(missing_ok=True)
        self._listening = listen(self._path)
        self._admit()
        self._put_lanes_right()

    # ---- what there is --------------------------------------------------------------------------

    @property
    def standby(self) -> Heir | None:
        """Return the standby that was let in."""
        return next((heir for heir in self._followers() if not heir.upgrade), None)

    @property
    def successor(self) -> Heir | None:
        """Return the next supervisor of an upgrade, once it was let in."""
        return next((heir for heir in self._followers() if heir.upgrade), None)

    def _followers(self) -> list[Heir]:
        """Return all that were let in: they hear of every change."""
        return [heir for heir in self._heirs if heir.welcome]

    def status(self) -> dict[str, Any] | None:
        """Describe the standby for people and JSON; None: there is none."""
        heir = self.standby or self.successor
        if heir is None:
            return None
        return {
            "pid": heir.pid,
            "ready": heir.ready,
            "sequence": heir.sequence,
            "behind_bytes": heir.behind,
        }

    def next_change(self) -> "asyncio.Future[None]":
        """Return what is done when a standby gets ready, refuses, goes on or goes."""
        news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(news)
        return news

    def hear(self) -> None:
        """Take what standbys have said up to now."""
        for heir in list(self._heirs):
            heir.hear()

    def _notify(self) -> None:
        for news in self._waiting:
            if not news.done():
                news.set_result(None)
        self._waiting.clear()

    # ---- what changes ---------------------------------------------------------------------------

    def settings_changed(self) -> None:
        """Tell the configuration anew."""
        for heir in self._followers():
            heir.tell(self._supervisor.settings())

    def lane_made(self, worker: WorkerProcess) -> None:
        """Give a worker's lane, before its process is started."""
        for heir in self._followers():
            self._give(heir, worker.incarnation, worker)

    def process_started(self, worker: WorkerProcess) -> None:
        """Give a worker's process."""
        for heir in self._followers():
            self._give_process(heir, worker.incarnation, worker.pid, worker.pidfd, worker.started)

    def peer_admitted(self, incarnation: int, pid: int, pidfd: int) -> None:
        """Give the lane and the process of a peer, before it hears that it was admitted."""
        for heir in self._followers():
            self._give_peer(heir, incarnation, pid, pidfd)

    def lane_ended(self, incarnation: int) -> None:
        """Tell that a process is gone."""
        for heir in self._followers():
            heir.tell(handover.Ended(incarnation=incarnation))

    def _give_worker(self, heir: Heir, worker: WorkerProcess) -> None:
        self._give(heir, worker.incarnation, worker)
        self._give_process(heir, worker.incarnation, worker.pid, worker.pidfd, worker.started)

    def _give_peer(self, heir: Heir, incarnation: int, pid: int, pidfd: int) -> None:
        self._give(heir, incarnation, None)
        self._give_process(heir, incarnation, pid, pidfd, 0.0)

    def _give(self, heir: Heir, incarnation: int, worker: WorkerProcess | None) -> None:
        streams = worker.streams() if worker else {}
        try:
            grant, fds = self._supervisor.runtime.grant(incarnation)
        except HybridrtError as error:
            log.debug("the lane has ended already", incarnation=incarnation, err=str(error))
            return
        message = Lane(
            incarnation=incarnation,
            number=grant.number,
            submit_capacity=grant.submit_capacity,
            pid=grant.pid,
            pool=grant.pool,
            name=grant.name,
            worker=worker.number if worker else handover.PEER,
            streams=tuple(streams),
        )
        try:
            heir.tell(message, [*fds, *streams.values()])
        finally:
            close_all(fds)

    @staticmethod
    def _give_process(heir: Heir, incarnation: int, pid: int, pidfd: int, started: float) -> None:
        heir.tell(Process(incarnation=incarnation, pid=pid, started=started), [pidfd])

    # ---- a standby comes ------------------------------------------------------------------------

    def _admit(self) -> None:
        """Let in who connects; while all places are taken they wait in the socket's queue."""
        if self._listening is None:
            return
        loop, fd = asyncio.get_running_loop(), self._listening.fileno()
        if len(self._heirs) < HEIRS_MAX:
            loop.add_reader(fd, self._accept)
        else:
            loop.remove_reader(fd)

    def _accept(self) -> None:
        assert self._listening is not None
        try:
            connection, _ = self._listening.accept()
        except OSError as error:
            log.warning("cannot accept a standby", err=str(error))
            return
        pid, _uid = peer_credentials(connection)
        heir = Heir(connection, peer_pidfd(connection, pid), self._heard, self._gone)
        heir.pid = pid
        self._heirs.append(heir)
        self._admit()

    def _heard(self, heir: Heir, message: AnyMessage) -> None:
        if isinstance(message, handover.Hello):
            self._judge(heir, message)
        elif isinstance(message, handover.Refused):
            self._refused(heir, message.reason)
            log.warning("a standby does not follow", pid=heir.pid, err=message.reason)
        elif isinstance(message, handover.Ready):
            self._is_ready(heir)
        elif isinstance(message, handover.Ping):
            heir.sequence, heir.behind = message.sequence, message.behind
            self._tasks.start(self._answer(heir, message.number), "answer standby")
        elif isinstance(message, handover.Taken):
            self.taken = True
            self._notify()

    def _judge(self, heir: Heir, hello: handover.Hello) -> None:
        """Let a standby in, or say why not."""
        heir.upgrade = hello.upgrade
        theirs = handover.Speaker(
            hello.software, hello.abi, hello.protocol, hello.protocol_min, hello.must
        )
        ours = handover.us(native.version(), native.ABI_VERSION)
        try:
            self._check_role(heir)
            protocol = handover.agree(ours, theirs)
            self._welcome(heir, protocol)
        except HybridrtError as error:
            self._refused(heir, error.message)
            log.warning("a standby was refused", pid=heir.pid, err=str(error))
            heir.tell(handover.refusal(error))

    def _check_role(self, heir: Heir) -> None:
        """Raise ProtocolError unless a standby is wanted, or the successor that was started."""
        there = self.successor if heir.upgrade else self.standby
        if there is not None:
            raise ProtocolError(f"process {there.pid} is the standby already")
        expected = self.next.pid if self.next is not None else 0
        if expected != (heir.pid if heir.upgrade else 0):
            raise ProtocolError("an upgrade is under way, or was given up")

    def _refused(self, heir: Heir, reason: str) -> None:
        """Keep why the successor does not follow; a mere standby does not matter to an upgrade."""
        if heir.upgrade:
            self.refusal = reason
            self._notify()

    def _welcome(self, heir: Heir, protocol: int) -> None:
        supervisor = self._supervisor
        process, page = os.pidfd_open(os.getpid()), supervisor.runtime.page_fd()
        lock, listening = supervisor.shared_fds()
        welcome = handover.Welcome(
            software=native.version(),
            abi=native.ABI_VERSION,
            protocol=protocol,
            must=handover.MUST,
            settings=supervisor.settings(),
            directory=str(Path.cwd()),
        )
        heir.welcome = True
        try:
            heir.tell(welcome, [process, page, lock, listening])
        finally:
            close_all([process, page])
        for worker in supervisor.workers():
            self._give_worker(heir, worker)
        for incarnation, (pid, pidfd) in supervisor.peers().items():
            self._give_peer(heir, incarnation, pid, pidfd)
        heir.tell(handover.Complete())
        log.info("a standby follows", pid=heir.pid)

    def _is_ready(self, heir: Heir) -> None:
        heir.ready = True
        self._start_keeper()
        self._supervisor.runtime.standby(present=True)
        log.info("the standby is ready", pid=heir.pid)
        self._supervisor.publish("runtime", {"event": "standby_ready", "pid": heir.pid})
        self._notify()

    def _start_keeper(self) -> None:
        """See to it that our files are free as soon as we are killed; it works without, slower."""
        if self._keeper is not None and not self._keeper.ended:
            return
        try:
            keeper = native.keep_memory()
        except HybridrtError as error:
            log.warning("a takeover will wait for our memory to go", err=str(error))
            return
        self._keeper = Offspring(keeper, os.pidfd_open(keeper))

    async def _answer(self, heir: Heir, number: int) -> None:
        """Give the sign of life: the dispatch lock could be taken."""
        try:
            await self._supervisor.touch()
        except ClosedError:  # it lets go of the log just now
            return
        heir.tell(handover.Pong(number=number))

    def _gone(self, heir: Heir) -> None:
        if heir.welcome and not self.taken:
            log.warning("the standby is gone", pid=heir.pid)
        self._remove(heir)

    def _remove(self, heir: Heir) -> None:
        if heir not in self._heirs:
            return
        self._heirs.remove(heir)
        self._admit()
        if heir.ready:
            if not any(other.ready for other in self._heirs):
                self._supervisor.without_standby()
            self._supervisor.publish("runtime", {"event": "standby_gone", "pid": heir.pid})
        self._notify()

    async def _watch(self) -> None:
        """Kill a standby that says nothing for too long: it would not go on in time either.

        A successor says nothing while it takes over; the upgrade has limits of its own for it.
        """
        loop = asyncio.get_running_loop()
        while True:
            patience = float(self._supervisor.config.runtime.hang_timeout)
            await asyncio.sleep(patience)
            heir = self.standby
            if heir is None or not heir.ready:
                continue
            if loop.time() - heir.heard_at > patience:
                log.warning("the standby hangs, killing it", pid=heir.pid)
                await Offspring(heir.pid, os.dup(heir.pidfd)).kill()

    # ---- a standby of our own -------------------------------------------------------------------

    async def _keep(self) -> None:
        """Start a standby whenever there is none, with back-off."""
        delay = BACKOFF_SECONDS
        loop = asyncio.get_running_loop()
        while True:
            while self._heirs:
                await self.next_change()
            began = loop.time()
            own = Offspring.start(self._supervisor.standby_command())
            try:
                await own.wait(None)
            finally:
                if all(heir.pid != own.pid for heir in self._heirs):
                    own.signal_kill()
                own.close()
            log.warning("the standby exited", pid=own.pid, status=own.status)
            delay = BACKOFF_SECONDS if loop.time() - began > LIVED_SECONDS else delay * 2
            await asyncio.sleep(min(delay, BACKOFF_SECONDS_MAX))
