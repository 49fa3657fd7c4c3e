"""The supervisor side of the demonstration: start, watch, kill, and compare."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridrt import logs, stats
from hybridrt.config import Config
from hybridrt.demo.display import Display
from hybridrt.demo.follow import Follower
from hybridrt.demo.plain import Walk, compare
from hybridrt.demo.report import Recovery, Report, build
from hybridrt.programs import built_program
from hybridrt.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Iterator

QUEUES = ("scan", "sniff", "digest")
KINDS = {"tree.scan": "go", "file.sniff": "go", "file.digest": "rust"}
VICTIMS = {"go": "file.sniff", "rust": "file.digest"}
RECORDS_AT_ONCE = 200  # read from the log before the event loop gets its turn
HISTORY = "256MiB"  # files are used again once their jobs have ended: the reader needs some time
FEEDS = {"scan": "sniff", "sniff": "digest"}  # a queue whose jobs enqueue into another
BACKLOG_MAX = 8_000  # jobs waiting in the other one before the first is paused
LOOK_INTERVAL_S = 0.1
KILL_INTERVAL_S = 0.005  # between looks until the kills are done: half of a small tree takes 0.1 s
MEMORY_LOG = Path("/dev/shm")  # noqa: S108 - where a log that is kept in memory lies
KIBIBYTE = 1024


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the command line asked for."""

    root: Path
    durability: str
    workers: int
    kill: bool


class WatchedSupervisor(Supervisor):
    """A supervisor that also keeps the deaths that it publishes."""

    def __init__(self, config: Config) -> None:
        """Describe it, as its base does."""
        super().__init__(config)
        self.deaths: dict[int, dict[str, Any]] = {}

    def publish(self, topic: str, body: dict[str, Any]) -> None:
        """Keep a death by pid, then tell the subscribers."""
        if topic == "client" and body["event"] == "died":
            self.deaths[body["pid"]] = {**body, "seen": time.monotonic()}
        super().publish(topic, body)


@dataclass(slots=True)
class Killer:
    """Kills one worker of each language when its half of the work is done."""

    total: int
    pending: dict[str, str] = field(
        default_factory=lambda: {"go": "file.sniff", "rust": "file.digest"}
    )
    kills: list[Recovery] = field(default_factory=list)

    def due(self, completed: dict[str, int]) -> list[str]:
        """Return the pools whose time has come."""
        return [pool for pool, kind in self.pending.items() if completed[kind] * 2 >= self.total]

    def strike(self, rt: Supervisor, pool: str) -> bool:
        """Send SIGKILL to a worker that is in the middle of a job; False when none is just now."""
        for lane in rt.runtime.lanes():
            if lane["pool"] == pool and lane["started"]:
                os.kill(lane["pid"], signal.SIGKILL)
                kill = Recovery(pool, lane["pid"], lane["started"], lane["outstanding"])
                kill.killed_at = time.monotonic()
                self.kills.append(kill)
                del self.pending[pool]
                return True
        return False


def perform(wishes: Wishes) -> Report:
    """Run the whole demonstration and return its report."""
    import uvloop

    logs.configure("error", "auto")
    parent = MEMORY_LOG if wishes.durability == "memory" else None
    with (
        tempfile.TemporaryDirectory(prefix="hybridrt-demo-", dir=parent) as home,
        Display() as shown,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        return runner.run(_perform(wishes, Path(home), shown))


async def _perform(wishes: Wishes, home: Path, shown: Display) -> Report:
    config = _configuration(wishes, home)
    total = _count(wishes.root, shown)
    since_ns = time.time_ns()
    killer = Killer(total, dict(VICTIMS) if wishes.kill else {})
    began = time.monotonic()
    async with WatchedSupervisor(config) as rt:
        follower = Follower(rt.log_directory)
        try:
            await rt.enqueue("tree.scan", _first_payload(wishes.root), queue="scan")
            await _drive(rt, follower, killer, shown, total)
        finally:
            follower.close()
        seconds = time.monotonic() - began
        figures = _figures(rt, seconds)
        _note_recoveries(rt, killer.kills)
    figures["peak_rss_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIBIBYTE
    step = shown.phase("plain Python pass", follower.files)
    comparison = compare(str(wishes.root), since_ns, follower.findings, _counts(follower), step)
    return build(
        root=wishes.root,
        durability=wishes.durability,
        follower=follower,
        kills=killer.kills,
        figures=figures,
        comparison=comparison,
    )


def _counts(follower: Follower) -> dict[str, int]:
    names = ("folders", "files", "unreadable")
    return {name: getattr(follower, name) for name in names}


def _configuration(wishes: Wishes, home: Path) -> Config:
    run = home / "run"
    run.mkdir(mode=0o700)
    queue = {"durability": wishes.durability, "max_jobs": 0, "result_ttl": 0}
    pools = [
        {
            "name": language,
            "command": [str(built_program(f"filework-{language}"))],
            "kinds": [kind for kind, owner in KINDS.items() if owner == language],
            "workers": wishes.workers,
        }
        for language in ("go", "rust")
    ]
    return Config.make(
        {
            "log": {"directory": str(home / "log"), "history": HISTORY},
            "runtime": {"directory": str(run), "log_level": "error"},
            "queue": [{"name": name, **queue} for name in QUEUES],
            "pool": pools,
        },
        "demo",
    )


def _count(root: Path, shown: Display) -> int:
    """List the folder once, so that the progress has an end and half-way is known."""
    step = shown.phase("counting files", None)
    walk = Walk(str(root), time.time_ns())
    for _ in walk:
        step(walk.files)
    return walk.files


def _first_payload(root: Path) -> dict[str, Any]:
    return {"root": str(root), "path": "", "queues": {name: name for name in QUEUES}}


@dataclass(slots=True)
class Valve:
    """Pauses a queue while the one that it feeds is too long: a tree of any size fits in memory."""

    paused: set[str] = field(default_factory=set)

    def turn(self, rt: Supervisor, counters: dict[str, dict[str, Any]]) -> None:
        """Pause and resume by what waits just now."""
        for queue, fed in FEEDS.items():
            waiting = counters[fed]["ready"]
            if waiting > BACKLOG_MAX and queue not in self.paused:
                rt.pause(queue)
                self.paused.add(queue)
            elif waiting < BACKLOG_MAX // 2 and queue in self.paused:
                rt.resume(queue)
                self.paused.remove(queue)


async def _drive(
    rt: WatchedSupervisor, follower: Follower, killer: Killer, shown: Display, total: int
) -> None:
    """Follow the log until every job has ended."""
    step = shown.languages(total)
    valve = Valve()
    looked = 0.0
    while True:
        behind = follower.advance(RECORDS_AT_ONCE) == RECORDS_AT_ONCE
        pause = KILL_INTERVAL_S if killer.pending else LOOK_INTERVAL_S
        await asyncio.sleep(0 if behind else pause)
        _kill(rt, killer, shown)
        if time.monotonic() - looked < LOOK_INTERVAL_S:
            continue
        looked = time.monotonic()
        if rt.failure is not None:
            raise rt.failure
        counters = _queue_counters(rt)
        valve.turn(rt, counters)
        step(list(_languages(rt)))
        if _finished(counters, follower):
            return


def _kill(rt: WatchedSupervisor, killer: Killer, shown: Display) -> None:
    if not killer.pending:
        return
    completed = {kind["name"]: kind["completed"] for kind in _kinds(rt)}
    for pool in killer.due(completed):
        if killer.strike(rt, pool):
            shown.say(f"killed {pool} worker {killer.kills[-1].pid} in the middle of a job")


def _queue_counters(rt: Supervisor) -> dict[str, dict[str, Any]]:
    page = rt.runtime.page
    numbers = {settings["name"]: number for number, settings in enumerate(page.queues())}
    return {name: page.queue_counters(numbers[name]) for name in QUEUES}


def _finished(counters: dict[str, dict[str, Any]], follower: Follower) -> bool:
    """Say whether no job is left and the end of each was seen in the log."""
    waiting = ("scheduled", "ready", "running", "retrying")
    if any(queue[state] for queue in counters.values() for state in waiting):
        return False
    enqueued: int = sum(queue["enqueued"] for queue in counters.values())
    return follower.ended >= enqueued


def _kinds(rt: Supervisor) -> Iterator[dict[str, Any]]:
    page = rt.runtime.page
    for number, name in enumerate(page.kinds()):
        if name in KINDS:
            yield {"name": name, "language": KINDS[name], **page.kind_counters(number)}


def _languages(rt: Supervisor) -> Iterator[dict[str, Any]]:
    """Describe each kind for the display and the report."""
    for kind in _kinds(rt):
        yield {
            "kind": kind["name"],
            "language": kind["language"],
            "completed": kind["completed"],
            "failed": kind["failed"],
            "wait": stats.summary(kind["wait"]),
            "run": stats.summary(kind["run"]),
        }


def _figures(rt: Supervisor, seconds: float) -> dict[str, Any]:
    counters = rt.runtime.page.runtime_counters()
    kinds = list(_languages(rt))
    for kind in kinds:
        kind["per_second"] = kind["completed"] / seconds
    names = ("records", "bytes", "groups", "syncs", "rescues", "lane_deaths", "refused")
    return {
        "seconds": seconds,
        "kinds": kinds,
        "runtime": {name: counters[name] for name in names},
        "sync": stats.summary(counters["sync"]),
    }


def _note_recoveries(rt: WatchedSupervisor, kills: list[Recovery]) -> None:
    for kill in kills:
        death = rt.deaths.get(kill.pid)
        if death is not None:
            kill.noticed_ms = (death["seen"] - kill.killed_at) * 1e3
            kill.recovery_ms = death["value"] / 1e6
            kill.returned = death["jobs"]
