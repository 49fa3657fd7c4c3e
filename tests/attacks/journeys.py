"""Journeys: random sequences of all that can happen to a supervisor and all that operators do.

Each operation has attacks of its own; here they meet. A journey is a seed: kills, stops, changed
configurations, upgrades, copies, restored logs, while a producer and workers go on and the log is
often full. What has to hold stands in journey_notes.py and at the end of a journey.
"""

import contextlib
import os
import random
import secrets
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from hybridrt.exits import Status
from hybridrt.logreader import Replay, Scan
from hybridrt.records import CHECKPOINT, HEADER, RecordType, read_header, record_type
from hybridrt.segments import HEADER_BYTES, Catalog
from hybridrt.store import Archive
from tests.attacks.journey_notes import TAKEN, Judgement, read_notes
from tests.attacks.journey_settings import OPTIONAL_QUEUES, Settings
from tests.attacks.journey_world import JourneyWorld, Running
from tests.attacks.report import Counts, Report, ViolationError, add_up

JOURNEYS_LONG = 60
STEPS, STEPS_LONG = 9, 40
SEEDS = ("7", "10", "11")  # of the short run
BESIDE_SHARE = 0.4  # of the steps have a command under way meanwhile
GARBAGE_BYTES = 192
RECORD_ALIGN = 64
UNDER_WAY = ("scheduled", "ready", "running", "retrying")
# While a supervisor dies, or is full, or drains, nobody is wrong.
AWAY = (Status.UNREACHABLE, Status.TIMEOUT, Status.TRY_AGAIN)
ABSENT = (*AWAY, Status.NOT_FOUND, Status.NOT_READY)


class Journey:
    """One journey, from the first job to the last."""

    def __init__(self, directory: Path, seed: str, steps: int) -> None:
        """Choose everything by the seed."""
        directory.mkdir()
        (directory / "run").mkdir(mode=0o700)
        self._directory = directory
        self._steps = steps
        self._choose = random.Random(seed)
        self._settings = Settings(directory)
        self._settings.proof = self._choose.random() < 0.5
        self._settings.archive = self._choose.random() < 0.5
        self._settings.vary(self._choose)
        self.world = JourneyWorld(self._settings, seed)
        self.diary: list[str] = []
        self.done: Counter[str] = Counter()
        self.acknowledged = 0
        self._cuts: list[int] = []
        self._touched: dict[int, int] = {}
        self._has_backup = False
        self._backed_up = 0  # the last id that was acknowledged before the last backup began
        self._key = ""

    # ---- the way ----

    def travel(self) -> None:
        """Go all the way, and judge."""
        if self._settings.proof:
            key = ("example.org/journey", "--output", self._directory / "key")
            self._key = self.world.run("checkpoint", "keygen", *key).out.split()[-1]
        self._restart()
        self.world.start_producer()
        for _ in range(self._steps):
            self._step()
        self._come_to_an_end()
        self._judge()

    def _step(self) -> None:
        name, (_, act) = self._choose.choice(WEIGHED)
        beside = self._begin_beside() if self._choose.random() < BESIDE_SHARE else None
        words = f", beside {' '.join(beside[0].words)}" if beside else ""
        self.diary.append(f"{name}{words}")
        self.done[name] += 1
        act(self)
        if beside:
            self.world.end(beside[0], *beside[1])
        self.world.await_supervisor()
        self.world.check_producer()
        time.sleep(self._choose.uniform(0, 0.4))

    def _begin_beside(self) -> tuple[Running, tuple[Status, ...]]:
        """Start a command that is under way while the next operation is done."""
        log = self._settings.log
        commands: list[tuple[tuple[Any, ...], tuple[Status, ...]]] = [
            (("log", "verify", log), (Status.TRY_AGAIN,)),  # overtaken by the writer
            (("log", "cat", log, "--type", "lease"), (Status.TRY_AGAIN,)),
            (("log", "sync"), AWAY),
            (("status",), (*AWAY, Status.NOT_READY)),
            (("stats", "--json"), AWAY),
            (("job", "ls", "--state", "ready", "--json"), AWAY),
            (("queue", "ls"), AWAY),
            (("worker", "ls"), AWAY),
            (("worker", "roll", "python"), (*ABSENT, Status.FAILED)),  # amid a stop
            (("pool", "scale", "go", "2"), ABSENT),
            (("enqueue", "conf.echo", "by hand", "--queue", "block"), ABSENT),
            (("reload",), ABSENT),
            (("log", "backup", log, self._directory / "scratch"), AWAY),
        ]
        words, allowed = self._choose.choice(commands)
        return self.world.begin(*words), allowed

    # ---- faults ----

    def kill_supervisor(self) -> None:
        """Kill who supervises; its standby goes on if it has one that is ready."""
        self._kill(self._active())

    def kill_standby(self) -> None:
        """Kill the standby."""
        status = self.world.await_supervisor()
        if status["standby"]:
            self._kill(status["standby"]["pid"])

    def kill_all(self) -> None:
        """Kill all but the workers, and sometimes the next supervisor while it starts."""
        self.world.kill_family()
        if self._choose.random() < 0.4:
            self.world.start()
            time.sleep(self._choose.uniform(0.1, 0.8))
            self.world.kill_family()

    def kill_worker(self) -> None:
        """Kill a worker."""
        if workers := self.world.workers():
            self._kill(self._choose.choice(workers).pid)

    def kill_producer(self) -> None:
        """Kill the producer and start another one."""
        self.world.kill_producer()
        self.world.start_producer()

    def halt_supervisor(self) -> None:
        """Let the supervisor stand still for a while, sometimes long enough to be replaced."""
        self._halt(self._active(), 1.6)

    def halt_worker(self) -> None:
        """Let a worker stand still, sometimes longer than its lease."""
        if workers := self.world.workers():
            self._halt(self._choose.choice(workers).pid, 3.0)

    def _active(self) -> int:
        return int(self.world.await_supervisor()["pid"])

    @staticmethod
    def _kill(pid: int) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(pid).kill()

    def _halt(self, pid: int, longest_s: float) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            process.suspend()
            time.sleep(self._choose.uniform(0.05, longest_s))
            process.resume()

    # ---- what operators do ----

    def restart(self) -> None:
        """Stop and start, with another configuration or the same."""
        self.world.stop()
        if self._choose.random() < 0.7:
            self._settings.vary(self._choose)
        self._restart()

    def _restart(self) -> None:
        self.world.write()
        self.world.start()
        self.world.await_supervisor()

    def change(self) -> None:
        """Change queues and pools beneath the running supervisor."""
        self._settings.vary_queues(self._choose)
        self._settings.vary_pools(self._choose)
        self.world.write()
        if self._choose.random() < 0.5:
            self.world.run("reload", allowed=AWAY)
        else:
            os.kill(self._active(), signal.SIGHUP)

    def upgrade(self) -> None:
        """Hand over to a new supervisor, with the configuration that the file has by then."""
        self.world.run("upgrade", allowed=AWAY)

    def pause(self) -> None:
        """Pause a queue."""
        self._of_a_queue("pause")

    def resume(self) -> None:
        """Resume one."""
        self._of_a_queue("resume")

    def _of_a_queue(self, verb: str) -> None:
        name = self._choose.choice(OPTIONAL_QUEUES)
        self.world.run("queue", verb, name, allowed=ABSENT)

    def drain(self) -> None:
        """Drain, then stop and start."""
        active = self._active()
        self.world.run("drain", "--grace", "1s", allowed=AWAY)
        os.kill(active, signal.SIGTERM)
        self.world.until(lambda: not self.world.family(), "the drained supervisor ends")
        self._restart()

    def tell_jobs(self) -> None:
        """Cancel, send back or drop some jobs."""
        verb = self._choose.choice(("cancel", "retry", "discard"))
        kind = self._choose.choice(("journey.step", "conf.follow", "conf.echo"))
        listed = self.world.run("job", "ls", "--kind", kind, "--json", allowed=ABSENT)
        rows = listed.body().get("jobs", []) if listed.status == Status.OK else []
        ids = [row["id"] for row in rows]
        if chosen := self._choose.sample(ids, min(len(ids), 5)):
            if verb == "cancel":
                self._touched |= dict.fromkeys(chosen, self._settings.era)
            self.world.run("job", verb, *chosen, allowed=ABSENT)

    # ---- copies ----

    def back_up(self) -> None:
        """Copy the log, up to all that was acknowledged before."""
        synced = self.world.run("log", "sync", allowed=AWAY).status == Status.OK
        last = self._last_acknowledged() if synced else self._backed_up
        words = ("log", "backup", self._settings.log, self._backup())
        if self.world.run(*words, allowed=AWAY).status == Status.OK:
            self._has_backup = True
            self._backed_up = last
            self.world.run("log", "verify", self._backup())

    def _backup(self) -> Path:
        return self._directory / f"backup{self._settings.era}"

    def _last_acknowledged(self) -> int:
        era = self._settings.era
        notes = read_notes(self._directory / "notes")
        return max((n.job for n in notes if n.what == TAKEN and n.era == era), default=0)

    def restore(self) -> None:
        """Stop, go back to the last backup, and go on from there."""
        if not self._has_backup:
            self.back_up()
            return
        self.world.kill_producer()
        self._end_somehow()
        self.world.until(lambda: not self.world.workers(), "the workers leave")
        self._check_log()
        source = self._backup()
        self._settings.era += 1
        made = self.world.run("log", "restore", source, self._settings.log, "--json").body()
        if made["sequence"] < self._backed_up:
            raise ViolationError(f"job {self._backed_up} is not in the backup: {made}")
        self._cuts.append(made["sequence"])
        self._has_backup = False
        self._settings.archive = self._choose.random() < 0.5
        if self._choose.random() < 0.5:
            self._settings.vary(self._choose)
        self._restart()
        self.world.start_producer()

    def _end_somehow(self) -> None:
        if self._choose.random() < 0.5:
            self.world.stop()
        else:
            self.world.kill_family()

    def archive(self) -> None:
        """Archive the log while nobody runs, or be refused while somebody does."""
        words = ("log", "archive", self._settings.log, self._directory / "by-hand")
        self._end_somehow()
        self.world.run(*words)
        self._restart()

    def mend(self) -> None:
        """Tear the tail of a log whose supervisor was killed, and mend it, which needs nothing."""
        self.world.kill_family()
        self._tear()
        verdict = self.world.run("log", "verify", self._settings.log, "--json").body()
        if verdict["verdict"] not in {"torn", "clean"}:
            raise ViolationError(f"a torn tail is called {verdict}")
        self.world.run("log", "repair", self._settings.log, "--yes")
        self._restart()

    def _tear(self) -> None:
        """Write what no record is behind the last one."""
        place = None
        with Scan(str(self._settings.log)) as scan:
            for record in scan:
                header = read_header(record)
                length = -(-header["length"] // RECORD_ALIGN) * RECORD_ALIGN
                place = header["position"] + length
        catalog = Catalog.read(self._settings.log)
        assert place is not None
        number, offset = divmod(place, catalog.segment_size)
        offset = max(offset, HEADER_BYTES)
        if number in catalog.numbered and offset + GARBAGE_BYTES < catalog.segment_size:
            with catalog.numbered[number].path.open("r+b") as file:
                file.seek(offset)
                file.write(self._choose.randbytes(GARBAGE_BYTES))

    def refuse_repair(self) -> None:
        """A log that is held is never mended."""
        self.world.run("log", "repair", self._settings.log, "--yes", allowed=(Status.TRY_AGAIN,))

    def check_proof(self) -> None:
        """Check what was signed so far, beside the prover."""
        if self._settings.proof and (self._settings.proven / "checkpoint").exists():
            self.world.run("checkpoint", "verify", self._settings.proven, "--key", self._key)

    # ---- the end ----

    def _come_to_an_end(self) -> None:
        """Let all that was taken be done, and stop well."""
        self.diary.append("come to an end")
        self.world.kill_producer()
        self._end_somehow()
        self._settings.be_generous()
        self._restart()
        for name in OPTIONAL_QUEUES:
            self.world.until(partial(self._resumes, name), f"{name} is resumed")
        self.world.until(lambda: self._open_jobs() == 0, "all that is due is done")
        self.world.stop()
        self.world.until(lambda: not self.world.workers(), "the workers leave")
        self._check_log(closed=True)
        self._check_traces()

    def _check_traces(self) -> None:
        """A supervisor that has ended leaves its locks, and nothing half done."""
        left = {path.name for path in (self._directory / "run").iterdir()} - {"lock"}
        left |= {path.name for path in self._settings.log.glob("*.tmp")}
        left |= {path.name for path in self._settings.log.glob(".*")}
        if left:
            raise ViolationError(f"is left behind: {left}")

    def _resumes(self, name: str) -> bool:
        """Resume a queue; the log may have no room for that yet."""
        words = ("queue", "resume", name)
        return self.world.run(*words, allowed=(Status.TRY_AGAIN,)).status == Status.OK

    def _open_jobs(self) -> int:
        status = self.world.await_supervisor()
        rows = [queue["counters"] for queue in status["queues"]]
        return sum(int(row[state]) for row in rows for state in UNDER_WAY)

    def _check_log(self, *, closed: bool = False) -> None:
        """A log at rest is whole, and comes to what its supervisor had in memory."""
        log = self._settings.log
        self.world.run("log", "verify", log)
        if self._settings.proof and (self._settings.proven / "checkpoint").exists():
            place = (self._settings.proven, "--key", self._key, "--log", log)
            self.world.run("checkpoint", "verify", *place)
        self._check_archive()
        replay, last = Replay(), b""
        with Scan(str(log)) as scan:
            for record in scan:
                replay.apply(record)
                if record_type(record) == RecordType.CHECKPOINT:
                    last = bytes(record)
        if closed:
            live, _ = CHECKPOINT.unpack_from(last, HEADER.size)
            if live != replay.state_hash():
                raise ViolationError(f"the live state was {live:x}, not {replay.state_hash():x}")

    def _check_archive(self) -> None:
        """An archive that was kept from the first segment on has no hole."""
        if self._settings.archive:
            log = self._settings.log
            self.world.run("log", "archive", log, self._settings.archived)
            place = self._settings.archived / Catalog.settled(log).uuid.hex()
            numbers = Archive(place).numbers()
            if numbers and len(numbers) != numbers[-1] - numbers[0] + 1:
                raise ViolationError(f"the archive has a hole: {numbers}")

    def _judge(self) -> None:
        judgement = Judgement(self._directory / "notes", self._cuts, self._touched)
        judgement.judge()
        self.acknowledged = judgement.acknowledged
        if judgement.faults:
            raise ViolationError("\n".join(judgement.faults[:30]))


OPERATIONS: dict[str, tuple[int, Callable[[Journey], None]]] = {
    "supervisor killed": (4, Journey.kill_supervisor),
    "standby killed": (2, Journey.kill_standby),
    "all killed": (3, Journey.kill_all),
    "worker killed": (2, Journey.kill_worker),
    "producer killed": (1, Journey.kill_producer),
    "supervisor halted": (2, Journey.halt_supervisor),
    "worker halted": (2, Journey.halt_worker),
    "restart": (4, Journey.restart),
    "reload": (3, Journey.change),
    "upgrade": (3, Journey.upgrade),
    "pause": (2, Journey.pause),
    "resume": (1, Journey.resume),
    "drain": (1, Journey.drain),
    "jobs told": (3, Journey.tell_jobs),
    "backup": (3, Journey.back_up),
    "restore": (3, Journey.restore),
    "archive": (1, Journey.archive),
    "torn tail": (2, Journey.mend),
    "repair refused": (1, Journey.refuse_repair),
    "proof checked": (2, Journey.check_proof),
}
WEIGHED = [(name, one) for name, one in OPERATIONS.items() for _ in range(one[0])]


def travel(directory: Path, seed: str, steps: int) -> Journey:
    """Make one journey; a violation tells the whole way."""
    journey = Journey(directory, seed, steps)
    try:
        with contextlib.closing(journey.world):
            journey.travel()
    except ViolationError as violation:
        way = "\n".join(f"  {one}" for one in journey.diary)
        raise ViolationError(
            f"{journey.world.output()}\n{violation}\nSEED={seed} STEPS={steps}; the way:\n{way}"
        ) from violation
    return journey


def seeds(long: bool) -> Iterator[str]:
    """Give the seeds of the journeys: that of the environment, the fixed ones, or new ones."""
    if named := os.environ.get("SEED"):
        yield named
    elif long:
        yield from (str(secrets.randbits(32)) for _ in range(JOURNEYS_LONG))
    else:
        yield from SEEDS


def make_journeys(directory: Path, long: bool) -> Report:
    """Make some journeys, one after another."""
    steps = int(os.environ.get("STEPS", STEPS_LONG if long else STEPS))
    faults: list[Counts] = []
    counts: list[Counts] = []
    for seed in seeds(long):
        print(f"journey: SEED={seed} STEPS={steps}", flush=True)
        place = directory / seed
        journey = travel(place, seed, steps)
        faults.append(dict(journey.done))
        counts.append({"journeys": 1, "acknowledged jobs": journey.acknowledged})
    return Report("journeys", add_up(faults), add_up(counts))
