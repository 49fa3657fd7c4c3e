"""The wall clock jumps, for the supervisor, for its workers, for all: by seconds, hours, years.

native/tests/wall_clock.c, preloaded, moves the clock of a process by what stands in a file; the
clock of this machine is never set. The load is that of the kill campaign, with jobs beside it that
wait for a time, expire, or have a time limit. Judged by the log, at the end and as it grows.
"""

import contextlib
import json
import os
import random
import secrets
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from hybridrt.names import Outcome
from tests.attacks.due_times import DueHistory
from tests.attacks.programs import program
from tests.attacks.report import Counts, Report, ViolationError, add_up, percentiles
from tests.crash.campaign import compare_memory
from tests.crash.dynasty import Dynasty
from tests.crash.history import Follower, Life
from tests.crash.mix import CRASHES_MAX, NEVER_LAST
from tests.crash.verdict import judge
from tests.crash.world import ENDING, LANGUAGES, StuckError, World

JUMPS, JUMPS_LONG = 60, 1500  # of each case
NOTICES, NOTICES_LONG = 12, 100
HOUR_S, DAY_S, YEAR_S = 3600.0, 86400.0, 365 * 86400.0
SPANS_S = (0.01, 2.0, HOUR_S, DAY_S, YEAR_S, 40 * YEAR_S)
EPOCH_SHARE = 0.1  # of the jumps go to 1970, long before the log began
HOME_SHARE = 0.4  # go to the latest time so far, at which everything is due
PAUSE_S = (0.0, 0.15)  # between jumps
TREMBLE_S = 0.01  # at most, between jumps while a supervisor dies
DEATH_EVERY, LIMIT_EVERY = 15, 5  # jumps
DELAYS_S = (0.05, 2.0, HOUR_S, DAY_S)
MARGIN_S = 2.0
LIMIT_S, LIMITED_MS = 0.2, 3_000  # a time limit that ends a handler, and how long that would take
FAR_LIMIT_S = 60.0  # one that never does
NOTICED_MS_MAX = 20_000.0  # a guard only: how soon it is stands in the report
JUMPING, STILL, WORKERS = "jumping-clock", "still-clock", "clock-of-workers"
SECOND_NS = 10**9
QUEUE = "clock"  # of the jobs beside the load
QUEUE_CONFIG = f"""[[queue]]
name = "{QUEUE}"
max_attempts = {NEVER_LAST}
max_crashes = {CRASHES_MAX}
retry_base = "2ms"
retry_cap = "20ms"
"""


class WallClock:
    """A file that says how far the wall clock of some processes is off."""

    def __init__(self, path: Path) -> None:
        """Begin with the right time."""
        self.path = path
        self.off_s = 0.0
        self.latest_s = 0.0
        path.write_bytes(bytes(8))
        self._fd = os.open(path, os.O_WRONLY)

    def close(self) -> None:
        """Leave the clock as it is."""
        os.close(self._fd)

    def jump(self, off_s: float) -> None:
        """Let the clock be `off_s` seconds before or behind the right time, from now on."""
        self.off_s = off_s
        self.latest_s = max(self.latest_s, off_s)
        value = round(off_s * SECOND_NS).to_bytes(8, "little", signed=True)
        os.pwrite(self._fd, value, 0)


@dataclass(frozen=True, slots=True)
class Case:
    """Whose clock jumps, and what dies meanwhile."""

    name: str
    supervisor: bool = True
    workers: bool = True
    deaths: bool = False
    standby: bool = False


CASES = (
    Case("supervisor", workers=False),
    Case("workers", supervisor=False),
    Case("all, restarts", deaths=True),
    Case("all, takeovers", deaths=True, standby=True),
)


def with_clock(world: World, config: str) -> str:
    """Add the queue of the jobs beside the load, and the clock of the workers."""
    clock = world.directory / WORKERS
    pools = config.replace("[[pool]]\n", f'[[pool]]\nenv = {{ HRT_WALL_CLOCK = "{clock}" }}\n')
    return f"{pools}\n{QUEUE_CONFIG}"


class ClockWorld(World):
    """A world whose clocks can be moved."""

    def _config(self) -> str:
        return with_clock(self, super()._config())


class ClockDynasty(Dynasty):
    """The same with a standby."""

    def _config(self) -> str:
        return with_clock(self, super()._config())


@dataclass
class Side:
    """The jobs beside the load, by how they have to end."""

    expected: dict[int, Outcome] = field(default_factory=dict)
    enqueued: Counter[str] = field(default_factory=Counter)
    needed_s: float = 0.0  # how far the clock has to be off until all are due

    def enqueue(
        self, world: World, choose: random.Random, delays: Sequence[float], off_s: float
    ) -> None:
        """Enqueue one of each sort; the supervisor's clock is `off_s` off just now."""
        delay = choose.choice(delays)
        key = choose.choice((None, "a", "b"))
        self._one(world, "delayed", Outcome.OK, delay=delay, key=key)
        late = choose.choice(delays)
        self._one(world, "expiring", Outcome.EXPIRED, delay=late, expires=late / 2)
        self._one(world, "below their time limit", Outcome.OK, ms=20, timeout=FAR_LIMIT_S)
        self.needed_s = max(self.needed_s, off_s + delay, off_s + late)

    def limit(self, world: World) -> None:
        """Enqueue one that its time limit ends, whatever the wall clock says."""
        limits = {"timeout": LIMIT_S, "max_attempts": 1}
        self._one(world, "over their time limit", Outcome.DEAD, ms=LIMITED_MS, **limits)

    def _one(self, world: World, sort: str, end: Outcome, *, ms: int = 0, **options: Any) -> None:
        assert world.monitor is not None
        job = world.monitor.enqueue("conf.sleep", {"ms": ms}, queue=QUEUE, **options)
        self.expected[job.id] = end
        self.enqueued[sort] += 1

    def judge(self, history: DueHistory) -> None:
        """Hold the log against what was expected, and take these jobs out of it."""
        own: dict[int, Life] = {
            job: life for job, life in history.lives.items() if history.queues[life.queue] == QUEUE
        }
        for job in own:
            del history.lives[job]
        for job in own.keys() ^ self.expected.keys():
            history.fault(f"job {job} is in the log or was acknowledged, not both")
        for job, end in self.expected.items():
            if job in own and own[job].outcome != end:
                history.fault(f"job {job} ended as {own[job].outcome}, not {end.name}: {own[job]}")


class Attack:
    """One case, from the first job to the last."""

    def __init__(self, directory: Path, case: Case, jumps: int, seed: int) -> None:
        """Make its clocks."""
        directory.mkdir()
        self._case = case
        self._wanted = jumps
        self._random = random.Random(f"{seed} {case.name}")
        self._clock = WallClock(directory / JUMPING)
        clocks = {True: directory / JUMPING, False: directory / STILL}
        clocks[False].write_bytes(bytes(8))
        (directory / WORKERS).symlink_to(clocks[case.workers])
        self._supervisors = clocks[case.supervisor]
        world = ClockDynasty if case.standby else ClockWorld
        self._world = world(directory, "sync", str(seed), recycle=True)
        self._side = Side()
        self.history = DueHistory()
        self.jumps: Counter[str] = Counter()

    @property
    def _off_s(self) -> float:
        """Return how far the clock of the supervisor is off."""
        return self._clock.off_s if self._case.supervisor else 0.0

    def run(self) -> None:
        """Jump, let all end, and read the log."""
        world = self._world
        with preloaded(self._supervisors), contextlib.closing(self._clock), world_of(world):
            world.start_supervisor()
            world.attach()
            follower = Follower(self.history, str(world.log_directory))
            try:
                world.start_producer()
                self._jump_about()
                self._come_to_an_end()
            finally:
                follower.stop()
            self.history.end()
        self._judge()

    def _jump_about(self) -> None:
        delays = DELAYS_S if self._case.supervisor else DELAYS_S[:2]
        for number in range(1, self._wanted + 1):
            self._side.enqueue(self._world, self._random, delays, self._off_s)
            if number % LIMIT_EVERY == 0:
                self._side.limit(self._world)
            time.sleep(self._random.uniform(*PAUSE_S))
            if self._case.deaths and number % DEATH_EVERY == 0:
                self._die_amid_jumps()
            else:
                self._jump(self._random)

    def _jump(self, choose: random.Random) -> None:
        """Go to the time at which all is due, to 1970, or anywhere."""
        chance = choose.random()
        if chance < HOME_SHARE:
            off_s = max(self._clock.latest_s, self._side.needed_s) + MARGIN_S
        elif chance < HOME_SHARE + EPOCH_SHARE:
            off_s = choose.uniform(0, DAY_S) - time.time()
        else:
            off_s = choose.choice((-1, 1)) * choose.choice(SPANS_S) * choose.uniform(0.5, 1)
        self.jumps["jumps back" if off_s < self._clock.off_s else "jumps forward"] += 1
        self._clock.jump(off_s)

    def _die_amid_jumps(self) -> None:
        """Kill the supervisor; the clock jumps about until the next one is at work."""
        done = threading.Event()
        choose = random.Random(self._random.random())

        def tremble() -> None:
            while not done.wait(choose.uniform(0, TREMBLE_S)):
                self._jump(choose)

        thread = threading.Thread(target=tremble)
        thread.start()
        try:
            if isinstance(self._world, ClockDynasty):
                self._world.kill_active()
                self.jumps["takeovers amid them"] += 1
            else:
                self._world.kill_supervisor()
                self._world.start_supervisor()
                self._world.attach()
                self._world.await_orphans()
                self.jumps["restarts amid them"] += 1
        finally:
            done.set()
            thread.join()

    def _come_to_an_end(self) -> None:
        self._clock.jump(max(self._clock.latest_s, self._side.needed_s) + MARGIN_S)
        self._world.until(lambda: open_side_jobs(self._world) == 0, "jobs beside the load end")
        self._world.finish()

    def _judge(self) -> None:
        history, world = self.history, self._world
        self._side.judge(history)
        self.acknowledged = judge(history, world.directory, 0)
        if not self._case.standby:
            compare_memory(history, json.loads((world.directory / ENDING).read_text()))
        if history.outcomes["LOST"] and not self._case.deaths:
            history.fault(f"{history.outcomes['LOST']} leases were lost, and nobody died")
        if self._case.supervisor and not history.went_back:
            history.fault("no record is older than the one before it: the clock did not jump")
        if world.rescues or world.lane_faults:
            history.fault(f"{world.rescues} lost wake-ups, {world.lane_faults} lane faults")
        for line in (*world.strange_lines(), *condemned(world)):
            history.fault(f"a process said: {line}")
        if history.faults:
            raise ViolationError("\n".join((f"{self._case.name}:", *history.faults)))

    def counts(self) -> Counts:
        """Return what was explored."""
        beside = {f"{sort} jobs": count for sort, count in self._side.enqueued.items()}
        return {
            "jobs of the load": self.acknowledged,
            **beside,
            "records": self.history.records,
            "records older than the one before": self.history.went_back,
            "jobs made ready by their time": self.history.promoted,
        }


@contextlib.contextmanager
def preloaded(clock: Path) -> Iterator[None]:
    """Let what is started meanwhile have its wall clock moved."""
    added = {"LD_PRELOAD": str(program("wall_clock.so")), "HRT_WALL_CLOCK": str(clock)}
    before = {name: os.environ.get(name) for name in added}
    os.environ.update(added)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def world_of(world: World) -> Iterator[None]:
    """Leave no process behind; what stands still is a violation."""
    try:
        yield
    except StuckError as error:
        raise ViolationError(f"{world.output()}\n{error}") from error
    finally:
        world.close()


def open_side_jobs(world: World) -> int:
    """Return how many of the jobs beside the load have not ended."""
    assert world.monitor is not None
    row = world.monitor.stats().queue(QUEUE)
    return sum(int(row[state]) for state in ("scheduled", "ready", "running", "retrying"))


def has_settled(world: World, more_than: int) -> bool:
    """Say whether more jobs were settled than `more_than`."""
    return world.counter("settles") > more_than


def condemned(world: World) -> list[str]:
    """Return what the supervisor said of clients that it took for hung or broken."""
    lines = (world.directory / "output").read_text(errors="replace").splitlines()
    said = [line for line in lines if "a client misbehaves" in line]
    return [line for line in said if json.loads(line)["why"] != "kill"]


def notice_jumps(directory: Path, times: int) -> list[float]:
    """Jump over a delay of an idle supervisor; return how long it took to notice, in ms."""
    directory.mkdir()
    world = ClockWorld(directory, "sync", "0", recycle=True)
    (directory / WORKERS).write_bytes(bytes(8))
    clock = WallClock(directory / JUMPING)
    found: list[float] = []
    with preloaded(clock.path), contextlib.closing(clock), world_of(world):
        world.start_supervisor()
        world.attach()
        assert world.monitor is not None
        world.until(lambda: all(map(world.workers, LANGUAGES)), "workers")
        for _ in range(times):
            settles = world.counter("settles")
            world.monitor.enqueue("conf.sleep", {"ms": 0}, queue=QUEUE, delay=HOUR_S)
            time.sleep(random.uniform(0, 1))  # anywhere in its sleep
            clock.jump(clock.off_s + HOUR_S)
            begun = time.monotonic()
            world.until(partial(has_settled, world, settles), "the job is run")
            found.append((time.monotonic() - begun) * 1e3)
        world.detach()
        world.stop_supervisor()
    return found


def jump_clocks(directory: Path, long: bool) -> Report:
    """Let clocks jump in each case, then see how soon a jump is noticed."""
    seed = int(os.environ.get("SEED") or secrets.randbits(31))
    faults: list[Counts] = []
    counts: list[Counts] = []
    for number, case in enumerate(CASES):
        print(f"{case.name}: seed {seed}", flush=True)
        attack = Attack(directory / str(number), case, JUMPS_LONG if long else JUMPS, seed)
        attack.run()
        faults.append(dict(attack.jumps))
        counts.append(attack.counts())
    times = notice_jumps(directory / "idle", NOTICES_LONG if long else NOTICES)
    if max(times) > NOTICED_MS_MAX:
        raise ViolationError(f"a jump of the clock was noticed late: {times} ms")
    return Report(
        "jumps of the wall clock, by up to 40 years",
        add_up(faults),
        add_up(counts),
        {"jump over a delay of an idle supervisor, job ended": percentiles(times)},
        seed,
    )
