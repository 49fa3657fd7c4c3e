"""What each verb of the control protocol does: all are idempotent, all reply with an object."""

import asyncio
import base64
import contextlib
import os
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from hybridrt import messages, native
from hybridrt.errors import (
    BusyError,
    ControlError,
    DiskFullError,
    HybridrtError,
    JobNotFoundError,
    JobStateError,
    LogFullError,
    UnknownKindError,
    UnknownQueueError,
)
from hybridrt.names import JobState
from hybridrt.stats import snapshot

if TYPE_CHECKING:
    from hybridrt.supervisor import Supervisor

BULK_MAX = 10_000  # dead letters handled by one request
PAYLOAD_PART = 1  # enum hrt_job_part
META_PART = 3
RESULT_PART = 5
SAVED_PART = 7

Reply = dict[str, Any]
Verb = Callable[["Supervisor", Any], Awaitable[Reply]]


async def answer(supervisor: "Supervisor", verb: str, arguments: messages.Arguments) -> Reply:
    """Do what `verb` says and return the body of the reply."""
    return await _VERBS[verb](supervisor, arguments)


# ---- the whole ----------------------------------------------------------------------------------


async def _ping(supervisor: "Supervisor", _: messages.Arguments) -> Reply:
    return {"pid": os.getpid(), "state": supervisor.state, "version": native.version()}


async def _status(supervisor: "Supervisor", _: messages.Arguments) -> Reply:
    page = supervisor.runtime.page
    counters = page.runtime_counters()
    pools = [pool.describe() for pool in supervisor.pools.values()]
    lacking = [p["pool"] for p in pools if p["required"] and p["ready"] < p["wanted"]]
    started_ns = counters["started_ns"]
    proof, upkeep = supervisor.proof_status(), {}
    if supervisor.upkeep is not None:
        upkeep = supervisor.upkeep.describe()
    return {
        "state": supervisor.state,
        "ready": supervisor.state == "running" and not lacking,
        "lacking": lacking,
        "troubles": _troubles(supervisor, proof, upkeep),
        "pid": os.getpid(),
        "version": native.version(),
        "config": supervisor.config.origin,
        "directory": str(supervisor.directory),
        "log_directory": str(supervisor.log_directory),
        "uptime_s": (time.time_ns() - started_ns) / 1e9 if started_ns else 0.0,
        "jobs": counters["jobs"],
        "sequence": counters["sequence"],
        "epoch": counters["epoch"],
        "log_bytes": counters["log_tail"] - counters["log_head"],
        "unsynced_bytes": counters["log_tail"] - counters["log_durable"],
        "rescues": counters["rescues"],
        "role": "active",
        "standby": supervisor.standby_status(),
        "takeover": supervisor.takeover,
        "proof": proof,
        "recovery": supervisor.runtime.recovery(),
        "upkeep": upkeep,
        "queues": _queues(supervisor),
        "pools": pools,
    }


def _troubles(supervisor: "Supervisor", proof: Reply | None, upkeep: Reply) -> list[str]:
    """Return what somebody has to look after although the service goes on."""
    found = [why for why in (supervisor.loss_of_log(), supervisor.lack_of_space()) if why]
    found += _holders(proof, upkeep)
    if (scrub := upkeep.get("scrub")) and scrub["findings"]:
        found.append("the log is damaged: see scrub, and 'hybridrt log verify'")
    return found


def _holders(proof: Reply | None, upkeep: Reply) -> list[str]:
    """Return why parts of the log that are not needed any more cannot be used again."""
    found = []
    if proof and proof["failure"]:
        found.append(f"the log is not proven, and held until it is: {proof['failure']}")
    if (archive := upkeep.get("archive")) and archive["fault"]:
        found.append(f"the log is not archived, and held until it is: {archive['fault']}")
    return found


async def _stats(supervisor: "Supervisor", _: messages.Arguments) -> Reply:
    return snapshot(supervisor.runtime.page)


async def _config_show(supervisor: "Supervisor", _: messages.Arguments) -> Reply:
    return {**supervisor.config.tables(), "origin": supervisor.config.origin}


async def _drain(supervisor: "Supervisor", arguments: messages.DrainArguments) -> Reply:
    await supervisor.drain(arguments.timeout)
    if supervisor.state == "handed over":
        raise BusyError("an upgrade came first; nothing was drained", "ask the new supervisor")
    return {"state": supervisor.state}


async def _shutdown(supervisor: "Supervisor", arguments: messages.DrainArguments) -> Reply:
    """Answer first, then stop: the reply has to leave before the socket closes."""
    supervisor.stop_timeout = arguments.timeout
    asyncio.get_running_loop().call_soon(supervisor.stop_wanted.set)
    return {"state": "draining", "pid": os.getpid()}


async def _reload(supervisor: "Supervisor", _: messages.Arguments) -> Reply:
    config = supervisor.load_again()
    return {"origin": config.origin, "needs_restart": await supervisor.reload(config)}


async def _upgrade(supervisor: "Supervisor", arguments: messages.UpgradeArguments) -> Reply:
    """Answer as the last thing that this supervisor does: the next one has taken its place."""
    return await supervisor.upgrade(arguments.python)


async def _log_sync(supervisor: "Supervisor", arguments: messages.SyncArguments) -> Reply:
    await supervisor.call(supervisor.runtime.sync, arguments.timeout)
    return {"durable": supervisor.runtime.page.runtime_counters()["log_durable"]}


async def _log_backup(supervisor: "Supervisor", arguments: messages.BackupArguments) -> Reply:
    if supervisor.upkeep is None:
        raise BusyError(f"the supervisor is {supervisor.state}", "try again")
    return await supervisor.call(supervisor.upkeep.back_up, Path(arguments.directory))


async def _enqueue(supervisor: "Supervisor", arguments: messages.EnqueueArguments) -> Reply:
    fields = msgspec.structs.asdict(arguments)
    try:
        job = await supervisor.enqueue(fields.pop("kind"), fields.pop("payload"), **fields)
    except DiskFullError as error:
        reason = supervisor.lack_of_space() or error.message
        raise DiskFullError(reason, "make room on the disk, then try again") from error
    except LogFullError as error:
        upkeep = supervisor.upkeep.describe() if supervisor.upkeep is not None else {}
        if held := _holders(supervisor.proof_status(), upkeep):
            raise LogFullError(f"{error.message}; {held[0]}", "see 'hybridrt status'") from error
        raise
    return {"id": job.id, "durability": job.durability.name.lower()}


# ---- queues -------------------------------------------------------------------------------------


def _queues(supervisor: "Supervisor") -> list[Reply]:
    page = supervisor.runtime.page
    return [
        {**settings, "counters": page.queue_counters(number)}
        for number, settings in enumerate(page.queues())
    ]


def _queue(supervisor: "Supervisor", name: str) -> Reply:
    for queue in _queues(supervisor):
        if queue["name"] == name:
            return queue
    raise UnknownQueueError(f"no queue {name!r} is declared", "run 'hybridrt queue ls'")


async def _queue_ls(supervisor: "Supervisor", _: messages.Arguments) -> Reply:
    return {"queues": _queues(supervisor)}


async def _queue_show(supervisor: "Supervisor", arguments: messages.QueueArguments) -> Reply:
    return _queue(supervisor, arguments.queue)


async def _queue_pause(supervisor: "Supervisor", arguments: messages.QueueArguments) -> Reply:
    supervisor.pause(arguments.queue)
    return {"queue": arguments.queue, "paused": True}


async def _queue_resume(supervisor: "Supervisor", arguments: messages.QueueArguments) -> Reply:
    supervisor.resume(arguments.queue)
    return {"queue": arguments.queue, "paused": False}


# ---- jobs ---------------------------------------------------------------------------------------


def _filter(
    supervisor: "Supervisor", wanted: messages.JobFilter, state: str | None
) -> native.Filter:
    page = supervisor.runtime.page
    queues = [queue["name"] for queue in page.queues()]
    kinds = page.kinds()
    if wanted.queue is not None and wanted.queue not in queues:
        raise UnknownQueueError(f"no queue {wanted.queue!r} is declared")
    if wanted.kind is not None and wanted.kind not in kinds:
        raise UnknownKindError(f"no kind {wanted.kind!r} is known")
    if state is not None and state.upper() not in JobState.__members__:
        known = ", ".join(name.lower() for name in JobState.__members__)
        raise ControlError(f"no state {state!r}", f"known: {known}")
    return native.Filter(
        after=wanted.after,
        states=1 << JobState[state.upper()] if state else 0,
        queue=queues.index(wanted.queue) if wanted.queue is not None else -1,
        kind=kinds.index(wanted.kind) if wanted.kind is not None else -1,
    )


def _list(supervisor: "Supervisor", wanted: messages.JobFilter, state: str | None) -> Reply:
    chosen = _filter(supervisor, wanted, state)
    infos, following = supervisor.runtime.jobs(chosen, wanted.limit)
    jobs: list[Reply] = []
    for info in infos:
        with contextlib.suppress(JobNotFoundError):  # it has ended since it was listed
            jobs.append(msgspec.to_builtins(supervisor.job_info(info)))
    return {"jobs": jobs, "next": following}


async def _job_ls(supervisor: "Supervisor", wanted: messages.JobFilter) -> Reply:
    return _list(supervisor, wanted, wanted.state)


async def _job_show(supervisor: "Supervisor", arguments: messages.JobArguments) -> Reply:
    info = supervisor.runtime.job(arguments.id)
    shown: Reply = msgspec.to_builtins(supervisor.job_info(info))
    if arguments.payload:
        for name, part, length in (
            ("payload", PAYLOAD_PART, info["payload_length"]),
            ("meta", META_PART, info["meta_length"]),
            ("result", RESULT_PART, info["result_length"]),
            ("saved", SAVED_PART, info["saved_length"]),
        ):
            data = supervisor.runtime.job_part(arguments.id, part, length) if length else b""
            shown[name] = base64.b64encode(data).decode()
    return shown


def _each(ids: Iterable[int], action: Callable[[int], None]) -> Reply:
    """Do something to each job; say which were done and what went wrong with the others."""
    done: list[int] = []
    failed: dict[str, Reply] = {}
    for job in ids:
        try:
            action(job)
            done.append(job)
        except HybridrtError as error:
            failed[str(job)] = {"code": error.code, "message": error.message}
    return {"done": done, "errors": failed}


async def _job_retry(supervisor: "Supervisor", arguments: messages.JobsArguments) -> Reply:
    return _each(arguments.ids, supervisor.runtime.retry)


async def _job_cancel(supervisor: "Supervisor", arguments: messages.JobsArguments) -> Reply:
    return _each(arguments.ids, supervisor.runtime.cancel)


async def _job_discard(supervisor: "Supervisor", arguments: messages.JobsArguments) -> Reply:
    return _each(arguments.ids, supervisor.runtime.discard)


# ---- dead letters -------------------------------------------------------------------------------


async def _dead_ls(supervisor: "Supervisor", wanted: messages.JobFilter) -> Reply:
    return _list(supervisor, wanted, "dead")


async def _dead_show(supervisor: "Supervisor", arguments: messages.JobArguments) -> Reply:
    shown = await _job_show(supervisor, arguments)
    if shown["state"] != "dead":
        raise JobStateError(f"job {arguments.id} is {shown['state']}, not dead")
    return shown


def _dead_ids(supervisor: "Supervisor", wanted: messages.DeadArguments) -> list[int]:
    """Return the jobs selected: the ids given that are dead, or all that the filter finds."""
    if wanted.ids:
        for job in wanted.ids:
            if supervisor.runtime.job(job)["state"] != JobState.DEAD:
                raise JobStateError(f"job {job} is not dead")
        return wanted.ids
    if wanted.queue is None and wanted.kind is None and not wanted.all:
        raise ControlError("nothing is selected", "give ids, a queue, a kind, or all")
    chosen = _filter(supervisor, wanted, "dead")
    found: list[int] = []
    while len(found) < BULK_MAX:
        infos, following = supervisor.runtime.jobs(chosen, messages.LIMIT_MAX // 10)
        found.extend(info["id"] for info in infos)
        if not following:
            break
        chosen = replace(chosen, after=following)
    return found[:BULK_MAX]


async def _dead_retry(supervisor: "Supervisor", arguments: messages.DeadArguments) -> Reply:
    return _each(_dead_ids(supervisor, arguments), supervisor.runtime.retry)


async def _dead_discard(supervisor: "Supervisor", arguments: messages.DeadArguments) -> Reply:
    return _each(_dead_ids(supervisor, arguments), supervisor.runtime.discard)


# ---- workers and pools --------------------------------------------------------------------------


async def _worker_ls(supervisor: "Supervisor", _: messages.Arguments) -> Reply:
    kinds = supervisor.runtime.page.kinds()
    spawned = {w.incarnation: w for p in supervisor.pools.values() for w in p.workers.values()}
    workers = []
    for lane in supervisor.runtime.lanes():
        worker = spawned.get(lane["incarnation"])
        workers.append(
            {
                **lane,
                "kinds": [kinds[number] for number in lane["kinds"]],
                "worker": worker.name if worker else "",
                "spawned": worker is not None,
                **(worker.sample if worker else {}),
            }
        )
    return {"workers": workers}


async def _worker_drain(supervisor: "Supervisor", arguments: messages.WorkerArguments) -> Reply:
    """Stop one worker and run the pool with one less."""
    pool, worker = supervisor.find_worker(arguments.worker)
    pool.wanted = max(0, pool.wanted - 1)
    supervisor.settings_changed()
    await pool.stop(worker, supervisor.config.runtime.drain_timeout)
    return {"worker": worker.name, "pool": pool.config.name, "wanted": pool.wanted}


async def _worker_restart(supervisor: "Supervisor", arguments: messages.WorkerArguments) -> Reply:
    pool, worker = supervisor.find_worker(arguments.worker)
    await pool.restart(worker, supervisor.config.runtime.drain_timeout)
    return {"worker": worker.name, "pool": pool.config.name}


async def _worker_roll(supervisor: "Supervisor", arguments: messages.PoolArguments) -> Reply:
    await supervisor.roll(arguments.pool)
    return supervisor.find_pool(arguments.pool).describe()


async def _pool_ls(supervisor: "Supervisor", _: messages.Arguments) -> Reply:
    return {"pools": [pool.describe() for pool in supervisor.pools.values()]}


async def _pool_scale(supervisor: "Supervisor", arguments: messages.ScaleArguments) -> Reply:
    await supervisor.scale(arguments.pool, arguments.workers)
    return supervisor.find_pool(arguments.pool).describe()


_VERBS: dict[str, Verb] = {
    "ping": _ping,
    "status": _status,
    "stats": _stats,
    "config.show": _config_show,
    "queue.ls": _queue_ls,
    "queue.show": _queue_show,
    "queue.pause": _queue_pause,
    "queue.resume": _queue_resume,
    "job.show": _job_show,
    "job.ls": _job_ls,
    "job.retry": _job_retry,
    "job.cancel": _job_cancel,
    "job.discard": _job_discard,
    "dead.ls": _dead_ls,
    "dead.show": _dead_show,
    "dead.retry": _dead_retry,
    "dead.discard": _dead_discard,
    "worker.ls": _worker_ls,
    "worker.drain": _worker_drain,
    "worker.restart": _worker_restart,
    "worker.roll": _worker_roll,
    "pool.ls": _pool_ls,
    "pool.scale": _pool_scale,
    "drain": _drain,
    "shutdown": _shutdown,
    "reload": _reload,
    "upgrade": _upgrade,
    "log.sync": _log_sync,
    "log.backup": _log_backup,
    "enqueue": _enqueue,
}
