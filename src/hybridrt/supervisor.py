"""The supervisor: owns the log, runs the dispatch thread, the workers and the sockets.

Example:
    >>> async with Supervisor(Config.load("hybridrt.toml")) as rt:      # doctest: +SKIP
    ...     job = await rt.enqueue("image.resize", {"id": 7})
    ...     print(await job.result(timeout=10))
"""

import asyncio
import errno
import fcntl
import os
import signal
import stat
import threading
import time
from pathlib import Path
from typing import Any, Self

from hybridrt import configfile
from hybridrt.attach import Listener
from hybridrt.config import SEGMENTS_MIN, Config, PoolConfig, QueueConfig
from hybridrt.errors import (
    AlreadyRunningError,
    ClosedError,
    ConfigError,
    DiskFullError,
    HybridrtError,
    PermissionDeniedError,
    StartError,
    StorageError,
    SystemCallError,
    UnknownPoolError,
    UnknownQueueError,
    UnknownWorkerError,
)
from hybridrt.jobs import JobInfo
from hybridrt.logs import get_logger
from hybridrt.names import Durability, EventType, Order
from hybridrt.native import Event, Runtime, RuntimeOptions, error_of
from hybridrt.pools import Pool
from hybridrt.processes import WorkerProcess
from hybridrt.producer import Producer
from hybridrt.tasks import Tasks
from hybridrt.units import to_milliseconds, to_nanoseconds

log = get_logger("supervisor")

EVENTFD_BYTES = 8
SOCKET_PATH_BYTES_MAX = 107  # of a sockaddr_un
ERROR_TEXT_BYTES = 4096
KEY_BYTES = 255


def queue_settings(queue: QueueConfig) -> dict[str, Any]:
    """Return the fields of hrt_queue_settings for a queue of the configuration."""
    return {
        "name": queue.name,
        "weight": queue.weight,
        "max_jobs": queue.max_jobs,
        "retain_max": queue.retain,
        "retry_base_ms": to_milliseconds(queue.retry_base),
        "retry_cap_ms": to_milliseconds(queue.retry_cap),
        "max_running": queue.max_running,
        "durability": Durability[queue.durability.upper()],
        "order": Order[queue.order.upper()],
        "max_attempts": queue.max_attempts,
        "timeout_ms": to_milliseconds(queue.timeout),
        "result_ttl_ms": to_milliseconds(queue.result_ttl),
        "max_crashes": queue.max_crashes,
    }


def make_directory(place: str, path: Path) -> None:
    """Make a directory that the configuration names at `place`, for this user alone."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise ConfigError([f"{place}: {path} is not a directory, or lies below a file"]) from error
    except PermissionError as error:
        raise PermissionDeniedError(
            f"{place}: cannot make {path}: {error.strerror}",
            "name a directory that this user may write to",
        ) from error
    except OSError as error:
        kind = DiskFullError if error.errno == errno.ENOSPC else SystemCallError
        raise kind(f"{place}: cannot make {path}: {error.strerror}") from error


class Supervisor(Producer):
    """One runtime. Ready once entered: log recovered, sockets open, required pools registered."""

    def __init__(self, config: Config) -> None:
        """Describe a supervisor; nothing is touched before it is entered."""
        super().__init__()
        self.config = config
        self.directory = configfile.runtime_directory(config).absolute()
        self.log_directory = configfile.log_directory(config).absolute()
        self.pools: dict[str, Pool] = {}
        self.state = "new"
        self.failure: HybridrtError | None = None
        self.stop_wanted = asyncio.Event()  # set by a signal or the shutdown verb
        self.stop_timeout: float | None = None
        self._runtime: Runtime | None = None
        self._thread: threading.Thread | None = None
        self._listener: Listener | None = None
        self._control: Any = None
        self._tasks = Tasks()
        self._lock_fd = -1
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
        self._lock_directory()
        self._runtime = await asyncio.to_thread(Runtime.open, self._options())
        self._report_recovery(self._runtime)
        for queue in self.config.queues:
            self._runtime.queue(queue_settings(queue))
        for kind in self.config.kind_names():
            self._runtime.kind(kind)
        name = "hybridrt-dispatch"
        self._thread = threading.Thread(target=self._dispatch, name=name, daemon=True)
        self._thread.start()
        self.begin(self._runtime.client(), self._runtime.client, self._describe_job)
        asyncio.get_running_loop().add_reader(self._runtime.event_fd, self._read_events)
        self._listener = Listener(self._runtime, self.attach_path)
        await self._open_control()
        self._tasks.start(self._sample(), "sample")
        await self._start_pools()
        if self.state == "starting":
            self.state = "running"
        log.info("ready", directory=str(self.directory), log=str(self.log_directory))

    def _options(self) -> RuntimeOptions:
        settings = self.config.log
        return RuntimeOptions(
            directory=str(self.log_directory),
            segment_bytes=settings.segment_size,
            segments_min=settings.history // settings.segment_size + SEGMENTS_MIN,
            segments_max=settings.max_size // settings.segment_size,
            async_ns=to_nanoseconds(settings.async_interval),
            checkpoint_ns=to_nanoseconds(settings.checkpoint_interval),
            checkpoint_records=settings.checkpoint_records,
            lease_ns=to_nanoseconds(self.config.runtime.lease),
            cancel_grace_ns=to_nanoseconds(self.config.runtime.cancel_grace),
        )

    def _lock_directory(self) -> None:
        """Make the runtime directory ours, and refuse to share it."""
        make_directory("log.directory", self.log_directory)
        make_directory("runtime.directory", self.directory)
        status = self.directory.stat()
        if status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o077:
            raise PermissionDeniedError(
                f"{self.directory} must belong to this user with mode 0700",
                f"chmod 700 {self.directory}, or name another one in [runtime] directory",
            )
        if len(os.fsencode(self.attach_path)) > SOCKET_PATH_BYTES_MAX:
            limit = f"the path of a socket in it has at most {SOCKET_PATH_BYTES_MAX} bytes"
            raise ConfigError(
                [f"runtime.directory: {self.directory} is too long: {limit}"],
                "name a shorter one, such as a directory in /run or /tmp",
            )
        fd = os.open(self.directory / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(fd)
            raise AlreadyRunningError(
                f"another supervisor uses {self.directory}",
                "stop it with 'hybridrt shutdown', or use another [runtime] directory",
            ) from error
        self._lock_fd = fd
        for path in (self.attach_path, self.control_path, self.events_path):
            path.unlink(missing_ok=True)  # left behind by a supervisor that was killed

    @property
    def attach_path(self) -> Path:
        """Return the socket where lanes are handed out."""
        return self.directory / "attach.sock"

    @property
    def control_path(self) -> Path:
        """Return the socket of the control requests."""
        return self.directory / "control.sock"

    @property
    def events_path(self) -> Path:
        """Return the socket of the events."""
        return self.directory / "events.sock"

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

    def _dispatch(self) -> None:
        """Run the dispatch loop; its failure is told by a FAILED event."""
        try:
            self.runtime.run()
        except HybridrtError as error:
            log.critical("the dispatch loop ended", err=str(error))

    async def _open_control(self) -> None:
        from hybridrt.control import ControlServer  # imports zmq, which a bare client never needs

        self._control = ControlServer(self, self.control_path, self.events_path)
        self._control.start()

    # ---- pools ----------------------------------------------------------------------------------

    async def _start_pools(self) -> None:
        for config in self.config.pools:
            self._add_pool(config)
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

    def _add_pool(self, config: PoolConfig) -> None:
        for kind in config.kinds:
            self.runtime.kind(kind)
        pool = Pool(config, self.runtime, self.attach_path, self.publish)
        self.pools[config.name] = pool
        pool.start()

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
            raise UnknownPoolError(f"no pool {name!r}", "run 'hybridrt worker ls'")
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
            await asyncio.sleep(self.config.runtime.sample_interval)

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
            log.warning(
                "worker died, its jobs are ready again",
                pid=event.pid,
                jobs=event.count,
                recovery_us=event.value // 1000,
            )
            self._tell_client("died", event)
        elif kind in {EventType.FAULT, EventType.HUNG, EventType.KILL}:
            self._condemn(kind, event)
        else:
            self._attached(kind, event)

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
        """The log failed: stop at once, nothing was acknowledged after the failure."""
        error = error_of(event.code, event.text) if event.code < 0 else StorageError(event.text)
        self.failure = error
        self.state = "failed"
        log.critical("the log failed, nothing more is acknowledged", err=str(error))
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
        await self.find_pool(pool).scale(workers, self.config.runtime.drain_timeout)

    async def reload(self, config: Config) -> list[str]:
        """Apply a changed configuration; return what needs a restart to take effect."""
        for queue in config.queues:
            self.runtime.queue(queue_settings(queue))
        for kind in config.kind_names():
            self.runtime.kind(kind)
        old, self.config = self.config, config
        drain_timeout = config.runtime.drain_timeout
        wanted = {pool.name: pool for pool in config.pools}
        for name in [name for name in self.pools if name not in wanted]:
            await self.pools.pop(name).close(drain_timeout)
        for name, pool in wanted.items():
            if name not in self.pools:
                self._add_pool(pool)
            elif pool != self.pools[name].config:
                await self.pools[name].roll(pool, config.runtime.start_timeout, drain_timeout)
        log.info("configuration reloaded", origin=config.origin)
        return [name for name in ("log", "runtime") if getattr(old, name) != getattr(config, name)]

    # ---- the end --------------------------------------------------------------------------------

    async def drain(self, timeout: float | None = None) -> None:
        """Take no new jobs, let workers finish, and stop them.

        Workers get `timeout` seconds (default: drain_timeout), then SIGTERM, after stop_grace
        SIGKILL. What they did not finish goes back, uncounted. Jobs that wait stay in the log.
        """
        patience = self.config.runtime.drain_timeout if timeout is None else timeout
        if self.state in {"draining", "drained"}:
            return
        self.state = "draining"
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
        self.state = "closed"
        await asyncio.gather(*(pool.kill() for pool in self.pools.values()))
        if self._control is not None:
            await self._control.close()
        if self._listener is not None:
            self._listener.close()
        await self._tasks.close()
        await self._close_runtime()
        if self._lock_fd >= 0:
            os.close(self._lock_fd)

    async def _close_runtime(self) -> None:
        if self._runtime is None:
            return
        asyncio.get_running_loop().remove_reader(self._runtime.event_fd)
        await self.end()
        self._runtime.stop()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)
        runtime, self._runtime = self._runtime, None
        await asyncio.to_thread(runtime.close)
