"""Kills processes at random under load, then judges from the log what became of each job.

Usage: python -m tests.crash.campaign [--kills N] [--seed S] [--durability sync|async|memory]
           [--recycle] [--standby] [--keep] [--json FILE]

The log keeps everything until the end, when it is read: jobs far ahead hold its first segment.
With --recycle there are none, segments are small, and the log is read while it is written.
"""

import argparse
import contextlib
import json
import random
import secrets
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.crash.dynasty import Dynasty
from tests.crash.history import Follower, History
from tests.crash.mix import PIN_DELAY_S, PIN_QUEUE, PINS
from tests.crash.verdict import judge
from tests.crash.world import ENDING, LANGUAGES, StuckError, World

VICTIMS = {"producer": 2, "go": 3, "rust": 3, "c": 1, "supervisor": 2}
STANDBY_VICTIMS = {**VICTIMS, "supervisor": 3, "standby": 2, "supervisor and standby": 2}
SUCCESSION = STANDBY_VICTIMS.keys() - VICTIMS.keys() | {"supervisor"}
PACES = (0, 1, 10, 50, 150, 300)  # jobs settled between one kill and the next
EARLY_SHARE = 0.25  # of the supervisors are killed again while they recover


@dataclass(frozen=True, slots=True)
class Plan:
    """What a campaign does."""

    kills: int
    seed: str
    durability: str = "sync"
    recycle: bool = False
    standby: bool = False


@dataclass(slots=True)
class Outcome:
    """What a campaign came to."""

    plan: Plan
    kills: Counter[str] = field(default_factory=Counter)
    acknowledged: int = 0
    takeovers: int = 0
    resumed: int = 0  # restarts from a snapshot
    rescues: int = 0
    history: History = field(default_factory=History)
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        """Say whether nothing was found wrong."""
        return not self.history.faults

    def text(self) -> str:
        """Return the report."""
        history = self.history
        victims = ", ".join(f"{name} {count}" for name, count in sorted(self.kills.items()))
        ends = ", ".join(f"{name} {n}" for name, n in sorted(history.outcomes.items()))
        lines = [
            f"seed {self.plan.seed}, durability {self.plan.durability}",
            f"kills: {self.kills.total()} ({victims})",
            f"jobs: {len(history.lives)} in the log, {self.acknowledged} acknowledged",
            f"settles: {ends}",
            f"log: {history.records} records, {history.bytes / 2**20:.1f} MiB",
            f"epochs: {history.epochs} records, {history.torn} over a torn tail",
            f"copied forward: {history.kept} jobs",
            f"state hash: {history.replay_hash:016x}, {history.replay_jobs} jobs left",
            f"state hashes compared on the way: {history.hashes}",
            f"restarts from a snapshot: {self.resumed}",
            f"rescues: {self.rescues}",
            f"time: {self.seconds:.1f} s",
            *(f"FAULT {fault}" for fault in history.faults),
        ]
        found = f"{history.fault_count} faults" if history.faults else "good"
        return "\n".join([*lines, f"verdict: {found}"])

    def report(self) -> dict[str, Any]:
        """Return the figures for docs/evidence.md."""
        history = self.history
        options = f" --durability {self.plan.durability}" if self.plan.durability != "sync" else ""
        options += " --recycle" if self.plan.recycle else ""
        options += " --standby" if self.plan.standby else ""
        return {
            "what": f"random kills{options.replace(' --', ', ')}",
            "seed": self.plan.seed,
            "faults": {f"{name} killed": count for name, count in sorted(self.kills.items())},
            "counts": {
                "jobs": len(history.lives),
                "acknowledged": self.acknowledged,
                "records": history.records,
                "state hashes compared": history.hashes,
                **({"restarts from a snapshot": self.resumed} if self.plan.standby else {}),
            },
            "violations": history.fault_count,
            "seconds": round(self.seconds, 1),
        }


class Campaign:
    """Drives a world from one kill to the next."""

    def __init__(self, world: World, plan: Plan, history: History) -> None:
        """Choose kills by the plan's seed; `history` is read beside or afterwards."""
        self.kills: Counter[str] = Counter()
        self._world = world
        self._random = random.Random(plan.seed)
        self._wanted = plan.kills
        self._recycle = plan.recycle
        self._victims = STANDBY_VICTIMS if plan.standby else VICTIMS
        self._history = history
        self._follower: Follower | None = None

    def run(self) -> None:
        """Kill, restart and go on, then let everything come to its end, and read the log."""
        self._world.start_supervisor()
        self._world.attach()
        directory = str(self._world.log_directory)
        if self._recycle:
            self._follower = Follower(self._history, directory)
        else:
            self._pin()
        self._kill_all()
        self._world.finish()
        self.stop()
        if not self._recycle:
            self._history.begin(directory)
        self._history.end()

    def stop(self) -> None:
        """Stop reading beside."""
        if self._follower is not None:
            self._follower.stop()

    def _kill_all(self) -> None:
        self._world.start_producer()
        while self.kills.total() < self._wanted:
            self._await_progress(self._random.choice(PACES))
            victim = self._random.choices(list(self._victims), list(self._victims.values()))[0]
            self._kill(victim)
        self._await_progress(max(PACES))

    def _pin(self) -> None:
        """Fill the first segment with jobs far ahead: the log keeps everything behind them."""
        assert self._world.monitor is not None
        self._world.until(lambda: self._world.workers("c"), "a worker declares the kinds")
        self._world.until(lambda: int(self._world.counter("lanes")) > len(LANGUAGES), "lanes")
        self._world.monitor.enqueue_many(
            "conf.echo", [b"pin"] * PINS, queue=PIN_QUEUE, delay=PIN_DELAY_S
        ).check()

    def _await_progress(self, jobs: int) -> None:
        world = self._world
        begun = world.counter("settles")
        world.until(lambda: world.counter("settles") >= begun + jobs, f"{jobs} more settles")

    def _kill(self, victim: str) -> None:
        world = self._world
        if isinstance(world, Dynasty) and victim in SUCCESSION:
            self._kill_of_dynasty(world, victim)
        elif victim == "supervisor":
            self._kill_supervisor()
        elif victim == "producer":
            world.kill_producer()
            world.start_producer()
        else:
            workers = world.until(lambda: world.workers(victim), f"a {victim} worker")
            with contextlib.suppress(psutil.NoSuchProcess):  # its supervisor was quicker
                self._random.choice(workers).kill()
        self.kills[victim] += 1

    def _kill_of_dynasty(self, world: Dynasty, victim: str) -> None:
        if victim == "supervisor":
            world.kill_active()
        elif victim == "standby":
            world.kill_standby()
        else:
            world.kill_supervisor()
            world.restart()

    def _kill_supervisor(self) -> None:
        """Kill it, and sometimes its successor too, while that reads the log."""
        world = self._world
        world.kill_supervisor()
        world.start_supervisor()
        if self._random.random() < EARLY_SHARE and self.kills.total() + 1 < self._wanted:
            world.until(world.holds_log, "the new supervisor locks the log")
            world.kill_supervisor()
            self.kills["supervisor, recovering"] += 1
            world.start_supervisor()
        world.attach()
        world.await_orphans()


def run_campaign(plan: Plan, directory: Path) -> Outcome:
    """Run a campaign in a directory of its own and judge it.

    Raises:
        StuckError: something stood still, or ended by itself; says what the processes printed.
    """
    outcome = Outcome(plan)
    begun = time.monotonic()
    kind = Dynasty if plan.standby else World
    world = kind(directory, plan.durability, plan.seed, recycle=plan.recycle)
    campaign = Campaign(world, plan, outcome.history)
    try:
        campaign.run()
    except StuckError as error:
        raise StuckError(
            f"{error}\nseed {plan.seed}, after {campaign.kills.total()} kills; the last output:\n"
            f"{world.output()}"
        ) from error
    finally:
        campaign.stop()
        outcome.history.close()
        world.close()
    outcome.kills = campaign.kills
    outcome.acknowledged = judge(outcome.history, directory, 0 if plan.recycle else PINS)
    compare_ending(outcome, world)
    outcome.seconds = time.monotonic() - begun
    return outcome


def compare_ending(outcome: Outcome, world: World) -> None:
    """Hold the replayed state against the one that the last supervisor had in memory."""
    history = outcome.history
    outcome.rescues = world.rescues
    if not history.ended_well():
        history.fault("the log does not end with a checkpoint of the whole state")
    if isinstance(world, Dynasty):
        outcome.takeovers = world.takeovers
        outcome.resumed = world.resumed
        world.supervisors += world.takeovers
    else:
        compare_memory(history, json.loads((world.directory / ENDING).read_text()))
    if world.rescues:
        history.fault(f"{world.rescues} wake-ups were lost")
    if world.lane_faults:
        history.fault(f"{world.lane_faults} clients broke the lane protocol")
    for line in world.strange_lines():
        history.fault(f"a process said: {line}")
    if bool(history.kept) != outcome.plan.recycle:
        history.fault(f"{history.kept} jobs were copied forward")
    if history.epochs < world.supervisors - outcome.kills["supervisor, recovering"]:
        history.fault(f"{world.supervisors} supervisors ran")


def compare_memory(history: History, ending: dict[str, int]) -> None:
    """Hold the replayed state against what the last supervisor said at its end."""
    if history.replay_hash != ending["state_hash"]:
        history.fault(f"the live state hash was {ending['state_hash']:016x}")
    if history.replay_jobs != ending["jobs"]:
        history.fault(f"the supervisor had {ending['jobs']} jobs, the log has another number")


def make_directory(durability: str) -> Path:
    """Make a directory on disk, or in memory where nothing has to be synced."""
    place = "/dev/shm" if durability == "memory" else None
    return Path(tempfile.mkdtemp(prefix="hrt-crash-", dir=place))


def main() -> int:
    """Run as a command."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.campaign", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", default=secrets.token_hex(4))
    parser.add_argument("--durability", choices=("sync", "async", "memory"), default="sync")
    parser.add_argument("--recycle", action="store_true", help="recycle segments on the way")
    parser.add_argument("--standby", action="store_true", help="the supervisor has a standby")
    parser.add_argument("--keep", action="store_true", help="leave the directory behind")
    parser.add_argument("--json", type=Path, help="write the figures to a file too")
    options = parser.parse_args()
    plan = Plan(options.kills, options.seed, options.durability, options.recycle, options.standby)
    directory = make_directory(plan.durability)
    print(f"seed {options.seed}, in {directory}", flush=True)
    try:
        outcome = run_campaign(plan, directory)
    except StuckError as error:
        print(f"{error}\nverdict: stuck")
        return 1
    finally:
        if not options.keep:
            shutil.rmtree(directory)
    print(outcome.text())
    if options.json:
        options.json.write_text(json.dumps(outcome.report()) + "\n")
    return 0 if outcome.good else 1


if __name__ == "__main__":
    sys.exit(main())
