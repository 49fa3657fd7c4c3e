"""The supervisor: owns the log, runs the dispatch thread, the workers and the sockets.

Example:
    >>> async with Supervisor(Config.load("hybridrt.toml")) as rt:      # doctest: +SKIP
    ...     job = await rt.enqueue("image.resize", {"id": 7})
    ...     print(await job.result(timeout=10))
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, TypeVar

import msgspec

from hybridrt import configfile
from hybridrt.attach import Listener, listen
from hybridrt.config import Config, PoolConfig
from hybridrt.diskspace import lack_of_space
from hybridrt.dispatching import DispatchThread, declare, runtime_options
from hybridrt.errors import (
    BusyError,
    ClosedError,
    HybridrtError,
    JobNotFoundError,
    StartError,
    StorageError,
    UnknownPoolError,
    UnknownQueueError,
    UnknownWorkerError,
)
from hybridrt.estate import Estate
from hybridrt.handover import PEER, Settings
from hybridrt.heir import close_all
from hybridrt.holds import Holds
from hybridrt.jobs import JobInfo
from hybridrt.logs import get_logger
from hybridrt.names import EventType
from hybridrt.native import Event, Grant, Runtime, RuntimeOptions, error_of
from hybridrt.notary import Notary
from hybridrt.place import Place
from hybridrt.pools import Pool
from hybridrt.processes import WorkerProcess, holder_of
from hybridrt.producer import Producer
from hybridrt.rundir import RunDirectory, make_directory
from hybridrt.succession import Succession
from hybridrt.tasks import Tasks
from hybridrt.units import format_size
from hybridrt.upkeep import Upkeep

log = get_logger("supervisor")

T = TypeVar("T")
Grants = list[tuple[Grant, list[int]]]

EVENTFD_BYTES = 8


class Supervisor(Producer):
    """One runtime. Ready once entered: log recovered, sockets open, required pools registered.

    With an estate it goes on with the runtime that a standby took over.
    """

    def __init__(self, config: Config, estate: Estate | None = None) -> None:
        """Describe a supervisor; nothing is touched before it is entered."""
        super().__init__()
        self.config = config
        self.words: dict[str, str] = {}  # of [runtime], said on the command line
        self._rundir = RunDirectory(configfile.runtime_directory(config).absolute())
        self.log_directory = configfile.log_directory(config).absolute()
        self.pools: dict[str, Pool] = {}
        self.state = "new"
        self.failure: HybridrtError | None = None
        self.on_log_failure: Callable[[], None] | None = None  # called first, may not come back
        self.stop_wanted = asyncio.Event()  # set by a signal or the shutdown verb
        self.stop_timeout: float | None = None
        self._runtime: Runtime | None = None
        self._estate = estate
        self._thread: DispatchThread | None = None
        self.upkeep: Upkeep | None = None
        self._calls: set[asyncio.Future[Any]] = set()  # into C, from threads of the pool
        self._succession = Succession(self, self._rundir.standby)
        self.takeover: dict[str, Any] | None = None  # how it became the supervisor
        self.listening: socket.socket | None = None  # kept by a service manager over a restart
        self.keep_socket = False  # it is kept by one: its path stays
        self._upgraded = asyncio.Event()  # no upgrade is under way
        self._upgraded.set()
        self._listener: Listener | None = None
        self._control: Any = None
        self._notary: Notary | None = None
        self._tasks = Tasks()
        self._lacking_space = ""
        self._log_place: Place | None = None
        self._log_is_lost = False
        self._changed = asyncio.Event()

    # ---- life -----------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None and self.state == "running":
                await self.drain()
        finally:
            await self.close()

    async def _start(self) -> None:
        self.state = "starting"
        estate, self._estate = self._estate, None
        listening = await self._begin() if estate is None else self._inherit(estate)
        runtime = self.runtime
        self.begin(runtime.client(), runtime.client, self._describe_job)
        asyncio.get_running_loop().add_reader(runtime.event_fd, self._read_events)
        self._listener = Listener(runtime, listening, self.attach_path, self._succession)
        await self._open_control()
        self._look_after(runtime)
        self._tasks.start(self._sample(), "sample")
        if estate is None:
            await self._start_pools()
        else:
            self._adopt_pools(estate)
        self._succession.open()
        if self.state == "starting":
            self.state = "running"
        log.info("ready", directory=str(self.directory), log=str(self.log_directory))

    async def _begin(self) -> socket.socket:
        """Open the log and begin to dispatch; return the socket of the lanes."""
        configfile.check_places(self.config, {})  # it may come from a program instead of a file
        make_directory("log.directory", self.log_directory)
        self._rundir.claim()
        self._runtime = runtime = await asyncio.to_thread(Runtime.open, self.options())
        self._watch_over(runtime)
        self._report_recovery(runtime)
        declare(runtime, self.config)
        self._thread = DispatchThread(runtime)
        self._thread.start()
        if self.listening is not None:
            return self.listening
        self.attach_path.unlink(missing_ok=True)  # left behind by a supervisor that was killed
        return listen(self.attach_path)

    def _watch_over(self, runtime: Runtime) -> None:
        """Hold what the prover has yet to read, before any segment can be used again."""
        self._log_place = Place(self.log_directory)
        self.holds = Holds(runtime.hold)
        if self.config.proof.directory:
            self._notary = Notary(self.config, runtime, self.holds)
            self._notary.start()

    def proof_status(self) -> dict[str, Any] | None:
        """Describe the proof; None: there is none."""
        return self._notary.describe() if self._notary is not None else None

    def _look_after(self, runtime: Runtime) -> None:
        """Begin to archive and to scrub the log."""
        place = self.log_directory
        self.upkeep = Upkeep(self.config, place, runtime, self.holds, self.publish)
        self.upkeep.start()

    def options(self) -> RuntimeOptions:
        """Return how the C library runs this log."""
        return runtime_options(self.config)

    @property
    def directory(self) -> Path:
        """Return the runtime directory."""
        return self._rundir.path

    @property
    def attach_path(self) -> Path:
        """Return the socket where lanes are handed out."""
        return self._rundir.attach

    @property
    def control_path(self) -> Path:
        """Return the socket of the control requests."""
        return self._rundir.control

    @property
    def events_path(self) -> Path:
        """Return the socket of the events."""
        return self._rundir.events

    @property
    def runtime(self) -> Runtime:
        """Return the C runtime, or raise ClosedError."""
        if self._runtime is None:
            raise self.failure or ClosedError("the supervisor is not running")
        return self._runtime

    def _report_recovery(self, runtime: Runtime) -> None:
        found = runtime.recovery()
        if found["created"]:
            log.info("a new log was made", directory=str(self.log_directory))
            return
        report = log.warning if found["tail_bytes"] else log.info
        report("log recovered", **found)
        if runtime.page.segment_bytes != self.config.log.segment_size:
            log.warning(
                "the log keeps the segments that it has; [log] segment_size is for new ones",
                segment_size=format_size(runtime.page.segment_bytes),
            )
        if found["snapshot_position"] and not self.config.scrub.rate:
            log.warning(
                "nobody reads what lies before the snapshot: [scrub] rate is 0",
                position=found["snapshot_position"],
            )

    async def _open_control(self) -> None:
        from hybridrt.control import ControlServer  # imports zmq, which a bare client never needs

        self._control = ControlServer(self, self.control_path, self.events_path)
        self._control.start()

    # ---- pools ----------------------------------------------------------------------------------

    async def _start_pools(self) -> None:
        for config in self.config.pools:
            self._add_pool(config).start()
        required = [pool for pool in self.pools.values() if pool.config.required]
        limit = self.config.runtime.start_timeout
        waiting = [asyncio.ensure_future(pool.ready()) for pool in required]
        try:
            async with asyncio.timeout(limit):
                await asyncio.gather(*waiting)
        except TimeoutError as error:
            late = [pool for pool in required if not pool.is_ready()]
            texts = [pool.explain(f"is not ready within {limit:g} s") for pool in late]
            raise StartError("\n".join(texts)) from error
        finally:
            for waiter in waiting:
                waiter.cancel()

    def _add_pool(self, config: PoolConfig) -> Pool:
        for kind in config.kinds:
            self.runtime.kind(kind)
        pool = Pool(config, self.runtime, self.attach_path, self.publish, self._succession)
        self.pools[config.name] = pool
        return pool

    def find_worker(self, text: str) -> tuple[Pool, WorkerProcess]:
        """Find a spawned worker by name, pid or incarnation; raise UnknownWorkerError."""
        for pool in self.pools.values():
            for worker in pool.workers.values():
                if text in {worker.name, str(worker.pid), str(worker.incarnation)}:
                    return pool, worker
        raise UnknownWorkerError(f"no worker {text!r}", "run 'hybridrt worker ls'")

    def find_pool(self, name: str) -> Pool:
        """Return a pool; raise UnknownPoolError."""
        if name not in self.pools:
            raise UnknownPoolError(f"no pool {name!r}", "run 'hybridrt pool ls'")
        return self.pools[name]

    async def _sample(self) -> None:
        """Look at memory and CPU of the workers from time to time."""
        import psutil

        known: dict[int, psutil.Process] = {}
        while True:
            workers = [w for pool in self.pools.values() for w in pool.workers.values()]
            known = {w.pid: known.get(w.pid) or psutil.Process(w.pid) for w in workers if w.pid}
            for worker in workers:
                try:
                    with known[worker.pid].oneshot():
                        worker.sample = {
                            "rss_bytes": known[worker.pid].memory_info().rss,
                            "cpu_percent": known[worker.pid].cpu_percent(),
                            "threads": known[worker.pid].num_threads(),
                        }
                except (psutil.Error, KeyError):
                    worker.sample = {}
            self.lack_of_space()
            self.loss_of_log()
            await asyncio.sleep(self.config.runtime.sample_interval)

    def lack_of_space(self) -> str:
        """Return why the log cannot grow although it may; empty: it can. Logs when that changes."""
        before = self._lacking_space
        self._lacking_space = lacking = lack_of_space(self.log_directory, self.config.log)
        if lacking and not before:
            log.error(lacking, directory=str(self.log_directory))
        elif before and not lacking:
            log.info("the disk has room for the log again", directory=str(self.log_directory))
        return lacking

    def loss_of_log(self) -> str:
        """Return that nobody who starts would find this log; empty: he would. Logs the change."""
        before, place = self._log_is_lost, self._log_place
        self._log_is_lost = place is not None and place.is_lost()
        if not self._log_is_lost:
            return ""
        lost = "the log directory was moved or removed: what is written now is not found there"
        if not before:
            log.critical(lost, directory=str(self.log_directory), hint="move it back")
        return lost

    # ---- events of the runtime ------------------------------------------------------------------

    def _read_events(self) -> None:
        try:
            os.read(self.runtime.event_fd, EVENTFD_BYTES)
        except BlockingIOError:
            return
        while events := self.runtime.events():
            for event in events:
                self._handle(event)
        self._changed.set()

    def _handle(self, event: Event) -> None:
        kind = EventType(event.type)
        if kind is EventType.FAILED:
            self._fail(event)
        elif kind is EventType.DEAD:
            log.warning("job is dead", job_id=event.job, err=event.text)
            self.publish("job", {"event": "dead", "job": event.job, "error": event.text})
        elif kind is EventType.DIED:
            self._report_death(event)
            self._tell_client("died", event)
        elif kind in {EventType.FAULT, EventType.HUNG, EventType.KILL}:
            self._condemn(kind, event)
        elif kind is EventType.SNAPSHOT:
            log.warning("a snapshot was refused and put aside", err=event.text)
        else:
            self._attached(kind, event)

    @staticmethod
    def _report_death(event: Event) -> None:
        """Tell a loss from a program that just ended: many producers never say goodbye."""
        if event.count == 0:
            log.info("a client ended without detaching; it held no jobs", pid=event.pid)
            return
        log.warning(
            "worker died, its jobs are ready again",
            pid=event.pid,
            jobs=event.count,
            recovery_us=event.value // 1000,
        )

    def _attached(self, kind: EventType, event: Event) -> None:
        worker = self._worker_of(event.incarnation)
        if kind is EventType.REGISTERED and worker is not None:
            pool = self.pools[worker.pool.name]
            pool.registered(worker)
        elif kind is EventType.DETACHED and self._listener is not None:
            self._listener.detached(event.incarnation)
        if worker is None:
            self._tell_client(kind.name.lower(), event)

    def _condemn(self, kind: EventType, event: Event) -> None:
        """Kill the process behind a lane: politely for KILL, at once for HUNG and FAULT."""
        log.error(
            "a client misbehaves",
            why=kind.name.lower(),
            pid=event.pid,
            job_id=event.job or None,
            err=event.text,
        )
        self._tell_client(kind.name.lower(), event)
        worker = self._worker_of(event.incarnation)
        if worker is not None:
            grace = worker.pool.stop_grace if kind is EventType.KILL else 0
            self._tasks.start(worker.kill(grace), f"kill {worker.name}")
        elif self._listener is not None and self._serves_jobs(event.incarnation):
            self._tasks.start(self._kill_peer(event.incarnation, kind), "kill peer")

    def _serves_jobs(self, incarnation: int) -> bool:
        """Say whether a client is a worker: a mere producer is only shut out, not killed."""
        lanes = self.runtime.lanes()
        return any(lane["incarnation"] == incarnation and lane["registered"] for lane in lanes)

    async def _kill_peer(self, incarnation: int, kind: EventType) -> None:
        if self._listener is None:
            return
        if kind is EventType.KILL and self._listener.kill(incarnation, signal.SIGTERM):
            await asyncio.sleep(self.config.runtime.cancel_grace)
        self._listener.kill(incarnation, signal.SIGKILL)

    def _worker_of(self, incarnation: int) -> WorkerProcess | None:
        found = (pool.find(incarnation) for pool in self.pools.values())
        return next((worker for worker in found if worker is not None), None)

    def _tell_client(self, what: str, event: Event) -> None:
        body = {"event": what, "pid": event.pid, "incarnation": event.incarnation}
        self.publish("client", {**body, "jobs": event.count, "value": event.value})

    def _fail(self, event: Event) -> None:
        """The log failed: nothing was acknowledged after the failure."""
        error = error_of(event.code, event.text) if event.code < 0 else StorageError(event.text)
        self.give_up(error)

    def give_up(self, error: HybridrtError) -> None:
        """End without the log, which somebody else has by now, or nobody can write."""
        self.failure = error
        self.state = "failed"
        hint = self.loss_of_log() or None
        log.critical("the log failed, nothing more is acknowledged", err=str(error), hint=hint)
        if self.on_log_failure is not None:
            self.on_log_failure()
        self.fail(error)
        self.stop_wanted.set()

    def publish(self, topic: str, body: dict[str, Any]) -> None:
        """Tell the subscribers of the control plane."""
        if self._control is not None:
            self._control.publish(topic, {"time_ns": time.time_ns(), **body})

    # ---- what an operator does ------------------------------------------------------------------

    def stats(self) -> Any:
        """Return numpy views on the counters; see hybridrt.stats."""
        from hybridrt.stats import Stats  # numpy is heavy

        return Stats(self.runtime.page)

    def _queue_number(self, name: str) -> int:
        names = [settings["name"] for settings in self.runtime.page.queues()]
        if name not in names:
            raise UnknownQueueError(f"no queue {name!r} is declared", "run 'hybridrt queue ls'")
        return names.index(name)

    def pause(self, queue: str) -> None:
        """Hand out no more jobs of a queue; it still takes new ones."""
        self.runtime.pause(self._queue_number(queue), paused=True)
        self.publish("queue", {"event": "paused", "queue": queue})

    def resume(self, queue: str) -> None:
        """Hand out jobs of a queue again."""
        self.runtime.pause(self._queue_number(queue), paused=False)
        self.publish("queue", {"event": "resumed", "queue": queue})

    async def _describe_job(self, job: int) -> JobInfo:
        return self.job_info(self.runtime.job(job))

    def job_info(self, info: dict[str, Any]) -> JobInfo:
        """Put names and texts to what the runtime knows of a job."""
        key, error = 2, 4  # parts of enum hrt_job_part
        runtime = self.runtime
        return JobInfo.make(
            info,
            kind=runtime.page.kinds()[info["kind"]],
            queue=runtime.page.queues()[info["queue"]]["name"],
            key=self._part(info, key, info["key_length"]).decode("utf-8", "replace"),
            error=self._part(info, error, info["error_length"]).decode("utf-8", "replace"),
        )

    def _part(self, info: dict[str, Any], part: int, length: int) -> bytes:
        return self.runtime.job_part(info["id"], part, length) if length else b""

    async def scale(self, pool: str, workers: int) -> None:
        """Set the number of workers of a pool until the next reload."""
        scaling = self.find_pool(pool).scale(workers, self.config.runtime.drain_timeout)
        self.settings_changed()
        await scaling

    async def roll(self, name: str) -> None:
        """Replace the workers of a pool one by one; see Pool.roll."""
        pool, patience = self.find_pool(name), self.config.runtime
        await pool.roll(patience.start_timeout, patience.drain_timeout)

    async def try_roll(self, pool: Pool, config: PoolConfig | None = None) -> None:
        """Roll one of several pools: one that cannot be is told of, and the others go on."""
        patience = self.config.runtime
        try:
            await pool.roll(patience.start_timeout, patience.drain_timeout, config)
        except StartError as error:
            log.warning("a pool is not rolled", pool=pool.config.name, err=error.message)

    def load_again(self) -> Config:
        """Read the file again; raise ConfigError. What the command line said still holds."""
        return Config.load(self.config.origin).with_runtime(self.words)

    async def reload(self, config: Config) -> list[str]:
        """Apply a changed configuration; return what needs a restart to take effect."""
        old, self.config = self.config, config
        declare(self.runtime, self.config)
        drain_timeout = config.runtime.drain_timeout
        wanted = {pool.name: pool for pool in config.pools}
        for name in [name for name in self.pools if name not in wanted]:
            await self.pools.pop(name).close(drain_timeout)
        for name, pool in wanted.items():
            if name not in self.pools:
                self._add_pool(pool).start()
            else:
                await self._reload_pool(self.pools[name], pool)
        self.settings_changed()
        log.info("configuration reloaded", origin=config.origin)
        return configfile.needs_restart(old, config)

    async def _reload_pool(self, pool: Pool, config: PoolConfig) -> None:
        """Go on as the file says: a pool that was scaled or given up begins anew, too."""
        if config != pool.config:
            await self.try_roll(pool, config)
        elif config.workers != pool.wanted or pool.state == "failed":
            await pool.scale(config.workers, self.config.runtime.drain_timeout)

    # ---- a standby, and the next supervisor ----------------------------------------------------

    def _inherit(self, estate: Estate) -> socket.socket:
        """Go on with what a standby took over; return the socket of the lanes."""
        self._runtime, self._thread = estate.runtime, estate.dispatch
        self._rundir.inherit(estate.lock_fd)
        self.takeover = {
            "cause": estate.cause,
            "duration_ns": estate.duration_ns,
            "death_ns": estate.death_ns,
            "time_ns": time.time_ns(),
        }
        log.warning("took over", **self.takeover)
        self._watch_over(estate.runtime)
        declare(estate.runtime, self.config)
        estate.listening.setblocking(False)
        return estate.listening

    def _adopt_pools(self, estate: Estate) -> None:
        """Go on with the processes of an earlier supervisor; start what is missing."""
        assert self._listener is not None
        for config in self.config.pools:
            self._add_pool(config)
        registered = {lane["incarnation"] for lane in self.runtime.lanes() if lane["registered"]}
        for held in estate.held:
            incarnation, pool = held.lane.incarnation, self.pools.get(held.lane.pool)
            if held.pidfd < 0 and (found := holder_of(held.memory)) is not None:
                held.pid, held.pidfd = found
                held.started = time.monotonic()
            if held.pid and not held.lane.pid:  # the lane was made before its process
                self.runtime.lane_pid(incarnation, held.pid)
            if held.pidfd < 0:  # the supervisor died before it could start the process
                held.close()
                self.runtime.lane_gone(incarnation, counted=False)
            elif pool is not None and held.lane.worker != PEER:
                pool.adopt(held, registered=incarnation in registered)
            else:
                for fd in held.streams.values():
                    os.close(fd)
                self._listener.watch(incarnation, held.pid, held.pidfd)
        for pool in self.pools.values():
            pool.start()
            trimming = pool.trim(self.config.runtime.drain_timeout)
            self._tasks.start(trimming, f"trim {pool.config.name}")

    def standby_status(self) -> dict[str, Any] | None:
        """Describe the standby; None: there is none."""
        return self._succession.status()

    def standby_command(self, python: str | None = None) -> list[str]:
        """Return the command that starts a standby for this supervisor."""
        program = [python or sys.executable, "-m", "hybridrt.cli", "standby"]
        return [*program, "--runtime-dir", str(self.directory)]

    def without_standby(self) -> None:
        """Tell the clients that nobody would go on with their lanes."""
        if self._runtime is not None:
            self._runtime.standby(present=False)

    def settings(self) -> Settings:
        """Return the configuration as it is in use, for a standby."""
        pools = [
            msgspec.structs.replace(pool.config, workers=pool.wanted)
            for pool in self.pools.values()
        ]
        tables = msgspec.structs.replace(self.config, pools=tuple(pools)).tables()
        tables["log"]["directory"] = str(self.log_directory)
        tables["runtime"]["directory"] = str(self.directory)
        origin = Path(self.config.origin)
        return Settings(
            tables=tables,
            origin=str(origin.absolute()) if origin.exists() else str(origin),
            words=self.words,
        )

    def settings_changed(self) -> None:
        """Tell the standby the configuration anew."""
        self._succession.settings_changed()

    def workers(self) -> list[WorkerProcess]:
        """Return the spawned workers of all pools."""
        return [worker for pool in self.pools.values() for worker in pool.workers.values()]

    def peers(self) -> dict[int, tuple[int, int]]:
        """Return process id and pidfd of the clients that attached by themselves, by lane."""
        pids = {lane["incarnation"]: lane["pid"] for lane in self.runtime.lanes()}
        pidfds = self._listener.peers if self._listener is not None else {}
        return {lane: (pids.get(lane, 0), pidfd) for lane, pidfd in pidfds.items()}

    def shared_fds(self) -> tuple[int, int]:
        """Return the lock of the directory and the attach socket; they stay ours."""
        assert self._listener is not None
        return self._rundir.lock_fd, self._listener.fileno()

    async def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call into C from another thread; the runtime is not closed before it returns."""
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(None, function, *arguments)
        self._calls.add(running)
        running.add_done_callback(self._calls.discard)
        return await asyncio.shield(running)

    async def touch(self) -> None:
        """Return once the dispatch lock was taken and given back: the dispatch loop lives."""
        await self.call(self.runtime.touch)

    async def upgrade(self, python: str | None = None) -> dict[str, Any]:
        """Hand over to a new supervisor, run by `python`; raise UpgradeError when it fails.

        Afterwards this supervisor only has to be closed. Its workers go on under the new one.
        """
        from hybridrt.upgrade import upgrade

        if self.state != "running":
            raise BusyError(f"the supervisor is {self.state}", "try again")
        self.state = "upgrading"
        self._upgraded.clear()
        command = self.standby_command(python)
        log.info("upgrading", command=command)
        try:
            outcome = await upgrade(self, self._succession, command)
        except BaseException:
            if self.state == "upgrading":
                self.state = "running"
            self._upgraded.set()
            raise
        self.state = "handed over"
        self._upgraded.set()
        log.info("handed over", **outcome)
        asyncio.get_running_loop().call_soon(self.stop_wanted.set)
        return outcome

    async def stopped(self) -> None:
        """Wait until it is told to stop; an upgrade under way ends first."""
        await self.stop_wanted.wait()
        await self._upgraded.wait()

    async def freeze(self) -> tuple[int, Grants]:
        """Begin nothing new: the next supervisor is about to go on with everything.

        Returns the page and all lanes once more, for `thaw`; the caller owns the descriptors.
        """
        for pool in self.pools.values():
            pool.freeze()
        if self._listener is not None:
            self._listener.freeze()
        await self._leave_runtime()
        await self.end()
        try:
            return self._duplicate()
        except HybridrtError:
            assert self._thread is not None
            self.thaw(self.runtime, self._thread)
            raise

    def _duplicate(self) -> tuple[int, Grants]:
        """Return the page and all lanes once more; the caller owns the descriptors."""
        grants: Grants = []
        try:
            for lane in self.runtime.lanes():
                with contextlib.suppress(JobNotFoundError):  # one that has ended since is no loss
                    grants.append(self.runtime.grant(lane["incarnation"]))
            return self.runtime.page_fd(), grants
        except HybridrtError:
            close_all([fd for _, fds in grants for fd in fds])
            raise

    async def release(self) -> None:
        """Stop to dispatch and let go of the log, but not of the lanes."""
        await self._end_runtime(Runtime.release)

    def thaw(self, runtime: Runtime, dispatch: DispatchThread) -> None:
        """Go on: the next supervisor did not, and this one took the log back."""
        self._runtime, self._thread = runtime, dispatch
        self._watch_over(runtime)
        self.begin(runtime.client(), runtime.client, self._describe_job)
        asyncio.get_running_loop().add_reader(runtime.event_fd, self._read_events)
        self._control.bind()
        self._look_after(runtime)
        self._succession.rebind()
        if self._listener is not None:
            self._listener.thaw(runtime)
        for pool in self.pools.values():
            pool.thaw(runtime)

    # ---- the end --------------------------------------------------------------------------------

    async def drain(self, timeout: float | None = None) -> None:
        """Take no new jobs, let workers finish, and stop them.

        Workers get `timeout` seconds (default: drain_timeout), then SIGTERM, after stop_grace
        SIGKILL. What they did not finish goes back, uncounted. Jobs that wait stay in the log.
        """
        patience = self.config.runtime.drain_timeout if timeout is None else timeout
        if self.state in {"draining", "drained"}:
            return
        await self._upgraded.wait()
        if self.state == "handed over":
            return
        self.state = "draining"
        await self._succession.dismiss("the supervisor drains")
        log.info("draining", timeout_s=float(patience))
        self.publish("runtime", {"event": "draining"})
        self.runtime.refuse(refuse=True)
        self.runtime.drain()
        pools = (pool.close(patience) for pool in self.pools.values())
        await asyncio.gather(self._peers_finish(patience), *pools)
        self.state = "drained"
        self.publish("runtime", {"event": "drained"})

    async def _peers_finish(self, patience: float) -> None:
        """Wait until workers that attached by themselves hold no job any more."""
        try:
            async with asyncio.timeout(patience):
                while self._peers_hold_jobs():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            log.warning("attached workers did not finish in time")

    def _peers_hold_jobs(self) -> bool:
        peers = self._listener.peers if self._listener is not None else {}
        lanes = self.runtime.lanes()
        return any(lane["incarnation"] in peers and lane["outstanding"] for lane in lanes)

    async def close(self) -> None:
        """Stop everything that still runs. Does not wait for workers; `drain` does."""
        if self.state == "closed":
            return
        handed_over, self.state = self.state == "handed over", "closed"
        if not handed_over:
            await self._succession.dismiss("the supervisor ends")
        end = Pool.leave if handed_over else Pool.kill
        await asyncio.gather(*(end(pool) for pool in self.pools.values()))
        await self._succession.close(handed_over=handed_over)
        if self._control is not None:
            await self._control.close(handed_over=handed_over)
        if self._listener is not None:
            self._listener.close(keep_path=handed_over or self.keep_socket)
        await self._tasks.close()
        await self._close_runtime()
        if self._notary is not None:
            await asyncio.to_thread(self._notary.join)
        self._rundir.close()

    async def _close_runtime(self) -> None:
        if self._runtime is not None:
            await self.end()
            await self._end_runtime(Runtime.close)

    async def _leave_runtime(self) -> None:
        """Let all that reads the log beside the dispatch loop use the runtime no more."""
        if self._notary is not None:
            await asyncio.to_thread(self._notary.detach)
        if self.upkeep is not None:
            await self.upkeep.close()
            self.upkeep = None

    def _stop_and_end(self, runtime: Runtime, end: Callable[[Runtime], None]) -> int:
        """Return where the log ended; in one thread, because nobody dispatches meanwhile."""
        runtime.stop()
        if self._thread is not None:
            self._thread.join()
        tail = 0 if self.failure else int(runtime.page.runtime_counters()["log_tail"])
        end(runtime)
        return tail

    async def _end_runtime(self, end: Callable[[Runtime], None]) -> None:
        """Stop to dispatch, then `end` the runtime."""
        await self._leave_runtime()
        runtime = self.runtime
        asyncio.get_running_loop().remove_reader(runtime.event_fd)
        self._runtime = None
        if self._calls:
            await asyncio.wait(self._calls)
        tail = await asyncio.to_thread(self._stop_and_end, runtime, end)
        if self._notary is not None:
            self._notary.end(tail)  # the end of the runtime has synced all
