"""A pool: the wanted number of worker processes of one command, restarted when they exit."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridrt.config import PoolConfig
from hybridrt.errors import HybridrtError, StartError
from hybridrt.handover import Held
from hybridrt.logs import get_logger
from hybridrt.native import Runtime
from hybridrt.processes import WorkerProcess
from hybridrt.restarts import Restarts
from hybridrt.tasks import Tasks

if TYPE_CHECKING:
    from hybridrt.succession import Succession

log = get_logger("pool")

MEND_HINT = "mend its cause, or let the start go on without the pool: required = false"

Publish = Callable[[str, dict[str, Any]], None]


class Pool:
    """Worker processes of one command; pools never wait for each other."""

    def __init__(
        self,
        config: PoolConfig,
        runtime: Runtime,
        socket_path: Path,
        publish: Publish,
        succession: "Succession",
    ) -> None:
        """Describe a pool that is not started yet."""
        self.config = config
        self.wanted = config.workers
        self.workers: dict[int, WorkerProcess] = {}
        self.state = "starting"
        self.restarts = 0
        self.failure = ""
        self._runtime = runtime
        self._socket_path = socket_path
        self._publish = publish
        self._succession = succession
        self._history = Restarts()
        self._tasks = Tasks()
        self._restarting = False
        self._rolling = asyncio.Lock()
        self._thawed = self.state
        self._changed = asyncio.Event()

    def start(self) -> None:
        """Start workers up to the wanted number."""
        if self.state == "frozen":
            return  # `thaw` does it
        self.state = "running"
        for _ in range(self.wanted - len(self.workers)):
            if self._start_one() is None:
                return

    def _start_one(self) -> WorkerProcess | None:
        number = next(n for n in range(len(self.workers) + 1) if n not in self.workers)
        worker = WorkerProcess(self.config, number, self._exited)
        self.workers[number] = worker
        try:
            worker.start(self._runtime, self._socket_path, self._succession)
        except StartError as error:
            del self.workers[number]
            log.warning("cannot start a worker", pool=self.config.name, err=str(error))
            self._after_exit(f"{error.message}\n    {error.hint}", lived=0.0)
            return None
        # The log of jobs names the worker by its incarnation only.
        log.info(
            "worker started", worker=worker.name, pid=worker.pid, incarnation=worker.incarnation
        )
        self._tell("started", worker)
        return worker

    def adopt(self, held: Held, *, registered: bool) -> None:
        """Take in a worker that an earlier supervisor started."""
        worker = WorkerProcess(self.config, held.lane.worker, self._exited)
        self.workers[worker.number] = worker
        worker.adopt(held)
        if registered:
            worker.registered.set()

    def freeze(self) -> None:
        """Start and read nothing, until `thaw`: another supervisor may go on with the workers."""
        self._thawed = self.state
        self.state = "frozen"
        for worker in self.workers.values():
            worker.pause()

    def thaw(self, runtime: Runtime) -> None:
        """Go on, with the workers as they are by now."""
        self._runtime = runtime
        self.state = self._thawed
        for worker in self.workers.values():
            worker.resume()
        if self.state == "running":
            self.start()

    async def leave(self) -> None:
        """Let the workers be: another supervisor goes on with them."""
        self.state = "stopped"
        for worker in self.workers.values():
            worker.leave()
        self.workers.clear()
        await self._tasks.close()

    async def trim(self, drain_timeout: float) -> None:
        """Stop workers beyond the wanted number, the oldest first: a roll was interrupted."""
        oldest = sorted(self.workers.values(), key=lambda worker: worker.started)
        surplus = oldest[: max(0, len(oldest) - self.wanted)]
        await asyncio.gather(*(self.stop(worker, drain_timeout) for worker in surplus))

    def find(self, incarnation: int) -> WorkerProcess | None:
        """Return the worker with this lane."""
        for worker in self.workers.values():
            if worker.incarnation == incarnation:
                return worker
        return None

    def registered(self, worker: WorkerProcess) -> None:
        """Note that a worker is ready to take jobs."""
        worker.registered.set()
        self._notify()
        self._tell("registered", worker)

    def is_ready(self) -> bool:
        """Say whether all wanted workers are registered."""
        ready = sum(worker.registered.is_set() for worker in self.workers.values())
        return ready >= self.wanted

    async def ready(self) -> None:
        """Wait until all wanted workers are registered; raise StartError when the pool fails."""
        while not self.is_ready():
            if self.state == "failed":
                raise StartError(self.explain("does not start"), MEND_HINT)
            self._changed.clear()
            await self._changed.wait()

    def explain(self, what: str) -> str:
        """Say what is wrong, with the last output of a worker."""
        lines = [f'pool "{self.config.name}" {what}']
        if self.failure:
            lines.append(f"  {self.failure}")
        for worker in self.workers.values():
            if not worker.registered.is_set():
                lines.append(f"  worker {worker.name} (pid {worker.pid}) has not registered")
                lines.extend(f"    {line}" for line in worker.last_lines)
        return "\n".join(lines)

    def _exited(self, worker: WorkerProcess) -> None:
        """Take the jobs back, log, and plan the restart."""
        self.workers.pop(worker.number, None)
        self._succession.lane_ended(worker.incarnation)
        self._take_back(worker)
        lived = time.monotonic() - worker.started
        text = f"worker {worker.name} {worker.describe_exit()} after {lived:.1f} s"
        fields = {"worker": worker.name, "pid": worker.pid, "status": worker.status}
        self._tell("exited", worker)
        if worker.stopping or self.state != "running":
            log.info("worker stopped", **fields)
            self._notify()
            return
        log.warning(text, **fields)
        self._after_exit("\n    ".join([text, *worker.last_lines]), lived)

    def _take_back(self, worker: WorkerProcess) -> None:
        """Tell the runtime that a worker is gone; once the log failed it cannot act on that."""
        try:
            self._runtime.lane_gone(worker.incarnation, counted=not worker.stopping)
        except HybridrtError as error:
            log.warning(
                "its jobs stay leased until the restart", worker=worker.name, err=str(error)
            )

    def _after_exit(self, reason: str, lived: float) -> None:
        self.failure = reason
        delay = self._history.after_exit(self.config, time.monotonic(), lived)
        if delay is None:
            self.state = "failed"
            log.error(
                "crash loop: the pool is not restarted any more",
                pool=self.config.name,
                crash_limit=self.config.crash_limit,
                crash_window_s=float(self.config.crash_window),
                hint=f"mend the cause, then: hybridrt pool scale {self.config.name} {self.wanted}",
            )
            self._publish("pool", {"pool": self.config.name, "state": self.state})
        elif not self._restarting:
            self._restarting = True
            self.restarts += 1
            self._tasks.start(self._restart(delay), f"restart {self.config.name}")
        self._notify()

    async def _restart(self, delay: float) -> None:
        await asyncio.sleep(delay)
        self._restarting = False
        if self.state == "running":
            self.start()

    async def scale(self, wanted: int, drain_timeout: float) -> None:
        """Start or stop workers until there are `wanted`; also ends a crash loop."""
        self.wanted = wanted
        self._history.forgive()
        self.start()
        surplus = sorted(self.workers)[wanted:]
        await asyncio.gather(*(self.stop(self.workers[n], drain_timeout) for n in surplus))

    async def stop(self, worker: WorkerProcess, drain_timeout: float) -> None:
        """Let a worker finish, then SIGTERM, then SIGKILL; its jobs go back uncounted."""
        worker.stopping = True
        if drain_timeout > 0:
            self._runtime.drain(worker.incarnation)
            if await worker.wait(drain_timeout):
                return
            log.warning("worker did not finish in time", worker=worker.name, pid=worker.pid)
        self._runtime.pardon(worker.incarnation)
        await worker.kill(self.config.stop_grace)

    async def close(self, drain_timeout: float) -> None:
        """Stop all workers and start no more."""
        self.state = "stopped"
        await asyncio.gather(
            *(self.stop(worker, drain_timeout) for worker in list(self.workers.values()))
        )
        await self._tasks.close()

    async def kill(self) -> None:
        """Kill all workers at once."""
        self.state = "stopped"
        workers = list(self.workers.values())
        for worker in workers:
            worker.stopping = True
            self._runtime.pardon(worker.incarnation)
        await asyncio.gather(*(worker.kill(0) for worker in workers))
        await self._tasks.close()

    async def roll(
        self, start_timeout: float, drain_timeout: float, config: PoolConfig | None = None
    ) -> None:
        """Replace workers one by one, each new one ready before an old one stops.

        `config` replaces the one so far. A second roll begins when the first has ended.

        Raises:
            StartError: a new worker did not come up; the old ones that are left stay.
        """
        async with self._rolling:
            if config is not None:
                self.config, self.wanted = config, config.workers
            self._history.forgive()
            old = list(self.workers.values())
            self.state = "running"
            for worker in old[: self.wanted]:
                await self._replace(worker, start_timeout, drain_timeout)
            for worker in old[self.wanted :]:
                await self.stop(worker, drain_timeout)
            self.start()
            await self.trim(drain_timeout)  # it may have been scaled meanwhile

    async def _replace(
        self, worker: WorkerProcess, start_timeout: float, drain_timeout: float
    ) -> None:
        fresh = self._start_one()
        if fresh is None or not await self._came_up(fresh, start_timeout):
            reason = self.explain("keeps its old workers: a new one does not come up")
            if fresh is not None and not fresh.exited.is_set():
                await self.stop(fresh, 0)
            raise StartError(reason)
        await self.stop(worker, drain_timeout)

    async def _came_up(self, worker: WorkerProcess, start_timeout: float) -> bool:
        up = asyncio.ensure_future(worker.registered.wait())
        down = asyncio.ensure_future(worker.exited.wait())
        await asyncio.wait((up, down), timeout=start_timeout, return_when=asyncio.FIRST_COMPLETED)
        for waiter in (up, down):
            waiter.cancel()
        return worker.registered.is_set() and not worker.exited.is_set()

    async def restart(self, worker: WorkerProcess, drain_timeout: float) -> None:
        """Stop one worker and start another in its place."""
        await self.stop(worker, drain_timeout)
        self._history.forgive()
        self.start()

    def describe(self) -> dict[str, Any]:
        """Return the pool for people and JSON."""
        return {
            "pool": self.config.name,
            "state": self.state,
            "command": self.config.command,
            "kinds": self.config.kinds,
            "wanted": self.wanted,
            "running": len(self.workers),
            "ready": sum(worker.registered.is_set() for worker in self.workers.values()),
            "restarts": self.restarts,
            "required": self.config.required,
            "failure": self.failure,
        }

    def _notify(self) -> None:
        self._changed.set()

    def _tell(self, what: str, worker: WorkerProcess) -> None:
        self._publish(
            "worker",
            {
                "event": what,
                "pool": self.config.name,
                "worker": worker.name,
                "pid": worker.pid,
                "incarnation": worker.incarnation,
                "status": worker.status,
            },
        )
