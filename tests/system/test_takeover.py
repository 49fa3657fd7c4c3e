"""A supervisor dies, hangs, or is upgraded, with a standby: real processes, real signals."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import zmq

import hybridrt
from hybridrt import errors, handover, messages, standby
from hybridrt.client import Client
from hybridrt.errors import HybridrtError
from hybridrt.exits import Status
from hybridrt.heir import close_all

ROOT = Path(__file__).parent.parent.parent
DEADLINE_S = 30
KEYS = 5
LANGUAGES = ("go", "rust", "c")
SLOW_MS = 1500
APPEND_POOLS = [
    {
        "name": language,
        "command": [
            str(ROOT / "build" / "bin" / f"conformance-{language}"),
            "--concurrency" if language == "rust" else "-concurrency",
            "2",
        ],
        "kinds": ["conf.append", "conf.sleep"],
        "workers": 2,
        "restart_backoff": "10ms",
    }
    for language in LANGUAGES
]
QUEUES = [{"name": "sync"}, {"name": "memory", "durability": "memory"}]


class Plant:
    """A running instance with a standby, whose supervisors come and go."""

    def __init__(self, instance: Any, await_condition: Callable[..., Any]) -> None:
        """Describe it; `start` starts it."""
        self.instance = instance
        self.until = await_condition
        self.first: subprocess.Popen[bytes] | None = None

    def start(self, *words: str, **tables: Any) -> None:
        """Start a supervisor that keeps a standby, and wait until that one is ready."""
        runtime = {"standby": True, **tables.pop("runtime", {})}
        tables = {"queue": QUEUES, **tables}
        self.first = self.instance.run(*words, runtime=runtime, **tables)
        if runtime["standby"]:
            self.await_standby()

    def status(self) -> Any:
        """Return the status, or None while nobody answers."""
        with contextlib.suppress(HybridrtError):
            return self.instance.call("status")
        return None

    def await_standby(self) -> int:
        """Wait until a standby is ready; return its process."""

        def ready() -> int:
            status = self.status()
            there = status and status["standby"] and status["standby"]["ready"]
            return int(status["standby"]["pid"]) if there else 0

        pid: int = self.until(ready, "a standby is ready")
        return pid

    def await_supervisor(self, pid: int) -> Any:
        """Wait until this process is the supervisor; return its status."""

        def there() -> Any:
            status = self.status()
            return status if status and status["pid"] == pid and status["ready"] else None

        return self.until(there, f"process {pid} is the supervisor")

    def supervisor(self) -> int:
        """Return the process of the supervisor."""
        return int(self.instance.call("ping")["pid"])

    def take_over(self) -> Any:
        """Kill the supervisor; return the status of the one that goes on."""
        successor = self.await_standby()
        os.kill(self.supervisor(), signal.SIGKILL)
        return self.await_supervisor(successor)

    def workers(self) -> dict[str, tuple[int, int]]:
        """Return process and lane of every spawned worker, by name."""
        lanes = self.instance.call("worker.ls")["workers"]
        return {w["worker"]: (w["pid"], w["incarnation"]) for w in lanes if w["spawned"]}

    def connect(self) -> Client:
        """Attach as a producer."""
        return hybridrt.connect(self.instance.directory)


@pytest.fixture
def plant(instance: Any, await_condition: Callable[..., Any]) -> Plant:
    """Give a plant that is not started yet."""
    return Plant(instance, await_condition)


class Producer(threading.Thread):
    """Enqueues jobs that append their tag to a file, one by one, until it is told to stop."""

    def __init__(self, client: Client, path: Path) -> None:
        """Produce through `client`."""
        super().__init__()
        self.client = client
        self.path = path
        self.enqueued: list[tuple[int, str]] = []  # acknowledged: key and tag, in order
        self.failure: BaseException | None = None
        self._stopping = threading.Event()

    def run(self) -> None:
        """Enqueue until `stop`."""
        number = 0
        try:
            while not self._stopping.is_set():
                key, tag = number % KEYS, f"{number % KEYS}:{number}"
                payload = {"path": str(self.path), "text": tag}
                queue = "sync" if number % 2 else "memory"
                options = {"queue": queue, "key": str(key), "block_timeout": DEADLINE_S}
                self.client.enqueue("conf.append", payload, **options)
                self.enqueued.append((key, tag))
                number += 1
        except HybridrtError as error:
            self.failure = error

    def stop(self) -> None:
        """Let the job under way be acknowledged, and end."""
        self._stopping.set()
        self.join()


@contextlib.contextmanager
def producing(client: Client, path: Path) -> Iterator[Producer]:
    """Produce in the background."""
    producer = Producer(client, path)
    producer.start()
    try:
        yield producer
    finally:
        producer.stop()


def check_history(plant: Plant, producer: Producer, path: Path) -> None:
    """Every acknowledged job ran once, and those of a key and queue in their order."""
    assert producer.failure is None
    tags = [tag for _, tag in producer.enqueued]

    def appended() -> list[str]:
        return path.read_text().split() if path.exists() else []

    plant.until(lambda: len(set(appended())) >= len(tags), "all acknowledged jobs ran")
    found = appended()
    assert [tag for tag, count in Counter(found).items() if count > 1] == []
    assert set(tags) == set(found)
    for first in range(KEYS * 2):  # a key orders within its queue, which the parity chooses
        numbers = [int(tag.partition(":")[2]) for tag in found]
        own = [number for number in numbers if number % (KEYS * 2) == first]
        assert own == sorted(own)


# ---- death --------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_workers_go_on_with_their_job_under_the_standby(plant: Plant, language: str) -> None:
    pool = next(pool for pool in APPEND_POOLS if pool["name"] == language)
    plant.start(pool=[pool])
    before = plant.workers()
    with plant.connect() as client:
        job = client.enqueue("conf.sleep", {"ms": SLOW_MS}, queue="sync")
        plant.until(lambda: job.info().state == "running", "the job runs")
        status = plant.take_over()
        assert status["takeover"]["cause"] == "killed"
        assert plant.workers() == before
        assert job.info().state == "running"
        job.result(DEADLINE_S)
        info = job.info()
        assert (info.state, info.attempt, info.crashes) == ("completed", 1, 0)
    page = plant.instance.call("stats")["runtime"]
    assert page["lane_faults"] == 0


def test_a_python_worker_goes_on_with_its_job_and_its_output(plant: Plant, tmp_path: Path) -> None:
    plant.start(pool=[plant.instance.python_pool()])
    before = plant.workers()
    started = tmp_path / "started"
    with plant.connect() as client:
        job = client.enqueue("slow", str(started))
        plant.until(started.exists, "the handler began")
        plant.take_over()
        assert plant.workers() == before
        (tmp_path / "started.go").touch()
        assert job.result(DEADLINE_S) == b"done"
        assert job.info().attempt == 1
        with pytest.raises(errors.JobDeadError):
            client.enqueue("dead", "its traceback goes through the pipe").result(DEADLINE_S)


def test_producers_notice_only_a_pause_and_nothing_is_lost_or_doubled(
    plant: Plant, tmp_path: Path
) -> None:
    plant.start(pool=APPEND_POOLS)
    path = tmp_path / "appended"
    before = plant.workers()
    with plant.connect() as client, producing(client, path) as producer:
        for _ in range(3):
            count = len(producer.enqueued)
            plant.until(lambda: len(producer.enqueued) > count + 50, "jobs are acknowledged")  # noqa: B023
            plant.take_over()
        plant.until(lambda: len(producer.enqueued) > count + 100, "and after that, too")
        producer.stop()
        assert plant.workers() == before
        check_history(plant, producer, path)


def test_a_worker_that_dies_with_the_supervisor_is_replaced(plant: Plant) -> None:
    plant.start(pool=APPEND_POOLS[:1])
    name, (pid, _) = next(iter(plant.workers().items()))
    with plant.connect() as client:
        options = {"queue": "sync", "max_attempts": 5}
        jobs = [client.enqueue("conf.sleep", {"ms": 300}, **options) for _ in range(8)]
        plant.until(lambda: jobs[0].info().state == "running", "jobs run")
        successor = plant.await_standby()
        os.kill(plant.supervisor(), signal.SIGSTOP)  # so that it does not replace the worker
        os.kill(pid, signal.SIGKILL)
        os.kill(plant.first.pid, signal.SIGKILL)  # type: ignore[union-attr]
        plant.await_supervisor(successor)
        plant.until(lambda: plant.workers().get(name, (pid, 0))[0] != pid, "it is replaced")
        for job in jobs:
            job.result(DEADLINE_S)


def test_a_cancel_that_was_answered_holds_when_worker_and_supervisor_die(plant: Plant) -> None:
    """The worker is stopped, so it never hears of it; the log tells the successor."""
    plant.start(pool=APPEND_POOLS[:1])
    with plant.connect() as client:
        options = {"queue": "sync", "max_attempts": 5}
        job = client.enqueue("conf.sleep", {"ms": 300}, **options)
        plant.until(lambda: job.info().state == "running", "the job runs")
        name, (pid, _) = next(
            (name, found)
            for name, found in plant.workers().items()
            if found[1] == plant.instance.call("job.show", id=job.id)["client"]
        )
        os.kill(pid, signal.SIGSTOP)
        assert plant.instance.call("job.cancel", ids=[job.id])["done"] == [job.id]
        successor = plant.await_standby()
        os.kill(plant.supervisor(), signal.SIGSTOP)  # so that it does not hear of the worker
        os.kill(pid, signal.SIGKILL)
        os.kill(plant.first.pid, signal.SIGKILL)  # type: ignore[union-attr]
        plant.await_supervisor(successor)
        with pytest.raises(errors.JobCancelledError):
            job.result(DEADLINE_S)
    plant.until(lambda: name in plant.workers(), "its worker is replaced")
    command = [sys.executable, "-m", "hybridrt.cli", "log", "why"]
    story = subprocess.run(
        [*command, str(plant.instance.log_directory), str(job.id)],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=True,
    )
    assert "somebody cancelled it" in story.stdout


def test_a_standby_that_is_killed_is_started_again(plant: Plant) -> None:
    plant.start(pool=APPEND_POOLS[:1])
    old = plant.await_standby()
    os.kill(old, signal.SIGKILL)
    plant.until(lambda: (s := plant.status()) and (s["standby"] or {}).get("pid") != old, "it goes")
    assert plant.await_standby() != old
    assert plant.take_over()["standby"] is None or plant.await_standby()


def test_a_supervisor_that_hangs_is_killed_and_replaced(plant: Plant) -> None:
    plant.start(pool=APPEND_POOLS[:1], runtime={"hang_timeout": "3s"})
    before = plant.workers()
    successor, old = plant.await_standby(), psutil.Process(plant.supervisor())
    old.send_signal(signal.SIGSTOP)
    status = plant.await_supervisor(successor)
    assert status["takeover"]["cause"] == "hung"
    assert plant.workers() == before
    with contextlib.suppress(psutil.NoSuchProcess):
        old.send_signal(signal.SIGCONT)
        assert old.status() == psutil.STATUS_ZOMBIE
    assert plant.first is not None
    assert plant.first.wait(DEADLINE_S) == -signal.SIGKILL
    assert plant.supervisor() == successor


def test_a_supervisor_whose_dispatch_loop_is_stuck_is_replaced(plant: Plant) -> None:
    """Its event loop lives and its sockets answer, but the dispatch lock is never given back."""
    change = "import time; from hybridrt import native\n"
    change += "native.Runtime.touch = lambda _: time.sleep(600)"
    runtime = {"standby": True, "hang_timeout": "3s"}
    stuck = other_supervisor(plant, change, pool=APPEND_POOLS[:1], runtime=runtime)
    plant.until(lambda: stuck.poll() is not None, "it is killed")
    assert stuck.returncode == -signal.SIGKILL
    plant.until(lambda: (s := plant.status()) and s["takeover"], "the standby goes on")
    assert plant.status()["takeover"]["cause"] == "hung"


def test_an_event_tells_of_the_takeover(plant: Plant) -> None:
    plant.start()
    context = zmq.Context()
    subscriber = context.socket(zmq.SUB)
    subscriber.reconnect_ivl = 5
    subscriber.subscribe(b"runtime")
    subscriber.connect(f"ipc://{plant.instance.directory / 'events.sock'}")
    try:
        successor = plant.await_standby()
        plant.take_over()
        while subscriber.poll(DEADLINE_S * 1000):
            _, body = messages.decode_event(subscriber.recv_multipart())
            if body["event"] == "takeover":
                break
        assert (body["event"], body["pid"], body["cause"]) == ("takeover", successor, "killed")
        assert 0 < body["value"] < DEADLINE_S * 1e9
    finally:
        context.destroy(linger=0)


def test_a_supervisor_with_a_standby_has_a_keeper_of_its_memory(plant: Plant) -> None:
    """It has none of its files, hears no signal, is in nobody's way, and goes with it."""
    plant.start()

    def keepers() -> list[psutil.Process]:
        assert plant.first is not None
        children = psutil.Process(plant.first.pid).children()
        return [child for child in children if child.name() == "hrt-keeper"]

    (keeper,) = keepers()
    files = list(Path(f"/proc/{keeper.pid}/fd").iterdir())
    assert [str(file.readlink()) for file in files] == ["anon_inode:[pidfd]"]
    assert os.sched_getscheduler(keeper.pid) == os.SCHED_IDLE
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        keeper.send_signal(number)
    plant.take_over()
    plant.until(lambda: not keeper.is_running() or keeper.status() == "zombie", "it goes too")


# ---- one writer ---------------------------------------------------------------------------------


def test_a_log_has_one_writer(instance: Any) -> None:
    """A standby that goes on while the supervisor lives is kept off by the log's lock."""
    instance.run()
    connection = standby.connect(instance.directory / handover.SOCKET_NAME)
    welcome, fds = standby.introduce(connection, upgrade=False)
    follower = standby.Follower(connection, welcome, fds)
    follower._standby.stop()
    follower._standby.run()
    epoch = instance.call("status")["epoch"]
    for _ in range(3):
        with pytest.raises(errors.AlreadyRunningError):
            follower._standby.take_over(0.05)
    follower._standby.close()
    follower._listening.close()
    for fd in (connection.detach(), *fds[:3]):
        os.close(fd)
    assert instance.call("status")["epoch"] == epoch


def test_a_second_standby_is_refused(plant: Plant) -> None:
    plant.start()
    directory = str(plant.instance.directory)
    command = [sys.executable, "-m", "hybridrt.cli", "standby", "--runtime-dir", directory]
    second = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert second.returncode == Status.UNREACHABLE
    assert f"process {plant.await_standby()} is the standby already" in second.stderr


def test_many_standbys_at_once_are_all_told_who_follows(instance: Any) -> None:
    instance.run()
    path = instance.directory / handover.SOCKET_NAME
    with contextlib.ExitStack() as stack:
        first, *others = [stack.enter_context(standby.connect(path)) for _ in range(12)]
        _, fds = standby.introduce(first, upgrade=False)
        close_all(fds)
        for other in others:
            with pytest.raises(errors.ClosedError, match=r"process \d+ is the standby already"):
                standby.introduce(other, upgrade=False)
            other.close()  # as a standby that was refused does


def test_a_standby_by_hand_takes_over(plant: Plant) -> None:
    first = plant.instance.run(pool=APPEND_POOLS[:1])
    assert plant.status()["standby"] is None
    directory = str(plant.instance.directory)
    plant.instance.spawn(
        sys.executable, "-m", "hybridrt.cli", "standby", "--runtime-dir", directory
    )
    before, successor = plant.workers(), plant.await_standby()
    first.kill()
    plant.await_supervisor(successor)
    assert plant.workers() == before


# ---- the end ------------------------------------------------------------------------------------


def test_nobody_waits_for_a_standby_that_there_is_not(plant: Plant) -> None:
    """One that took over has none of its own: when it dies, its workers end at once."""
    plant.start(pool=APPEND_POOLS[:1], runtime={"standby": False, "lease": "60s"})
    directory = str(plant.instance.directory)
    plant.instance.spawn(
        sys.executable, "-m", "hybridrt.cli", "standby", "--runtime-dir", directory
    )
    os.kill(plant.take_over()["pid"], signal.SIGKILL)
    plant.until(lambda: not plant.instance.processes(), "the workers are gone")


def test_a_drain_sends_the_standby_away_and_ends_each_worker_once(plant: Plant) -> None:
    plant.start(pool=APPEND_POOLS)
    with plant.connect() as client:
        client.enqueue("conf.sleep", {"ms": 100}, queue="sync").result(DEADLINE_S)
    assert plant.first is not None
    plant.first.send_signal(signal.SIGTERM)
    assert plant.first.wait(DEADLINE_S) == Status.OK
    plant.until(lambda: plant.instance.processes() == [], "nothing is left")
    assert sorted(path.name for path in plant.instance.directory.iterdir()) == ["lock"]
    lines = [line for line in plant.instance.output().splitlines() if "was killed" in line]
    assert lines == []


def test_what_a_supervisor_was_told_when_started_goes_on_after_it(plant: Plant) -> None:
    plant.start("--log-level", "debug")
    plant.take_over()
    assert plant.instance.call("reload")["needs_restart"] == []
    assert plant.instance.call("config.show")["runtime"]["log_level"] == "debug"


def test_a_drain_after_a_takeover_is_clean(plant: Plant) -> None:
    plant.start(pool=APPEND_POOLS)
    successor = plant.take_over()["pid"]
    plant.await_standby()
    os.kill(successor, signal.SIGTERM)
    plant.until(lambda: plant.instance.processes() == [], "nothing is left")
    assert sorted(path.name for path in plant.instance.directory.iterdir()) == ["lock"]


# ---- upgrades -----------------------------------------------------------------------------------


def upgrade(plant: Plant, *options: str) -> subprocess.CompletedProcess[str]:
    directory = str(plant.instance.directory)
    command = [sys.executable, "-m", "hybridrt.cli", "upgrade", "--runtime-dir", directory]
    return subprocess.run(
        [*command, "--json", *options], capture_output=True, text=True, check=False, timeout=90
    )


def other_python(path: Path, change: str) -> str:
    """Make a program that runs another version of hybridrt: this one with a change."""
    start = "from hybridrt.cli import main; main()"
    code = f"import sys; {change}\nsys.argv = ['hybridrt', *sys.argv[3:]]\n{start}"
    (path / "changed.py").write_text(code)
    program = path / "python"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {path}/changed.py "$@"\n')
    program.chmod(0o755)
    return str(program)


@pytest.mark.parametrize("roll", [True, False])
def test_an_upgrade_under_load_loses_nothing(plant: Plant, tmp_path: Path, roll: bool) -> None:
    plant.start(pool=APPEND_POOLS, runtime={"roll": roll})
    path = tmp_path / "appended"
    before, old = plant.workers(), plant.supervisor()
    with plant.connect() as client, producing(client, path) as producer:
        plant.until(lambda: len(producer.enqueued) > 50, "jobs are acknowledged")
        done = upgrade(plant)
        assert done.returncode == 0, done.stderr + plant.instance.output()
        successor = json.loads(done.stdout)["pid"]
        assert successor != old
        status = plant.await_supervisor(successor)
        assert status["takeover"]["cause"] == "upgrade"
        assert plant.first is not None
        assert plant.first.wait(DEADLINE_S) == Status.OK
        count = len(producer.enqueued)
        plant.until(lambda: len(producer.enqueued) > count + 50, "jobs are acknowledged again")
        if roll:
            old_pids = {pid for pid, _ in before.values()}
            plant.until(
                lambda: (
                    not {pid for pid, _ in plant.workers().values()} & old_pids
                    and len(plant.workers()) == len(before)
                ),
                "all workers are new",
            )
        else:
            assert plant.workers() == before
        producer.stop()
        check_history(plant, producer, path)
    plant.await_standby()


def test_a_standby_by_hand_follows_the_next_supervisor(plant: Plant) -> None:
    """As the same process, so that whoever started it finds it; and it can take over then."""
    plant.start(pool=APPEND_POOLS[:1], runtime={"standby": False, "roll": False})
    directory = str(plant.instance.directory)
    command = [sys.executable, "-m", "hybridrt.cli", "standby", "--runtime-dir", directory]
    by_hand = plant.instance.spawn(*command)
    assert plant.await_standby() == by_hand.pid
    before, old = plant.workers(), plant.supervisor()
    for _ in range(2):
        done = upgrade(plant)
        assert done.returncode == 0, done.stderr + plant.instance.output()
        assert plant.supervisor() != old
        old = plant.supervisor()
        assert plant.await_standby() == by_hand.pid
    os.kill(old, signal.SIGKILL)
    plant.await_supervisor(by_hand.pid)
    assert plant.workers() == before


SLOW_TO_LISTEN = """
import time; from hybridrt import standby
look = standby.Follower._look_again
def wait_before_listening(self):
    was_ready, patience = self._ready, look(self)
    if self._ready and not was_ready:
        self._ping()
        time.sleep(2)
    return patience
standby.Follower._look_again = wait_before_listening
"""


def test_a_successor_hears_all_that_it_was_told(plant: Plant, tmp_path: Path) -> None:
    """That the log is let go of stands behind an answer to a ping, when it comes to listen."""
    plant.start(pool=APPEND_POOLS[:1], runtime={"roll": False, "standby": False})
    before = plant.workers()
    done = upgrade(plant, "--python", other_python(tmp_path, SLOW_TO_LISTEN))
    assert done.returncode == 0, done.stderr + plant.instance.output()
    status = plant.await_supervisor(json.loads(done.stdout)["pid"])
    assert status["takeover"]["cause"] == "upgrade"
    assert plant.first is not None
    assert plant.first.wait(DEADLINE_S) == Status.OK
    assert plant.workers() == before


@contextlib.contextmanager
def upgrading(plant: Plant, path: Path) -> "Iterator[subprocess.Popen[str]]":
    """Ask for an upgrade that takes two seconds, and wait until it has begun."""
    directory = str(plant.instance.directory)
    command = [sys.executable, "-m", "hybridrt.cli", "upgrade", "--runtime-dir", directory]
    python = other_python(path, SLOW_TO_LISTEN)
    with subprocess.Popen(
        [*command, "--json", "--python", python], stdout=subprocess.PIPE, text=True
    ) as asking:
        plant.until(lambda: (s := plant.status()) and s["state"] == "upgrading", "it has begun")
        yield asking


@pytest.mark.parametrize("told_by", ["signal", "command"])
def test_a_stop_amid_an_upgrade_is_for_who_goes_on(
    plant: Plant, tmp_path: Path, told_by: str
) -> None:
    plant.start(pool=APPEND_POOLS[:1], runtime={"standby": False})
    with upgrading(plant, tmp_path) as asking:
        if told_by == "signal":
            os.kill(plant.supervisor(), signal.SIGTERM)
        else:
            plant.instance.call("shutdown")
        said, _ = asking.communicate(timeout=DEADLINE_S)
    assert asking.returncode == 0, said + plant.instance.output()
    assert plant.first is not None
    assert plant.first.wait(DEADLINE_S) == Status.OK
    plant.until(lambda: not plant.instance.processes(), "the new one has stopped, and its workers")
    assert "stopped" in plant.instance.output()


def test_a_drain_amid_an_upgrade_is_not_said_to_be_done(plant: Plant, tmp_path: Path) -> None:
    plant.start(pool=APPEND_POOLS[:1], runtime={"standby": False, "roll": False})
    with upgrading(plant, tmp_path) as asking:
        with pytest.raises(errors.BusyError, match="an upgrade came first"):
            plant.instance.call("drain")
        said, _ = asking.communicate(timeout=DEADLINE_S)
    plant.await_supervisor(json.loads(said)["pid"])
    assert plant.instance.call("drain") == {"state": "drained"}


def other_supervisor(plant: Plant, change: str, **tables: Any) -> "subprocess.Popen[bytes]":
    """Start a supervisor of this version with a change."""
    plant.instance.write(**tables)
    run = "from hybridrt.service import run; sys.exit(run(sys.argv[1]))"
    command = [sys.executable, "-c", f"import sys\n{change}\n{run}"]
    process: subprocess.Popen[bytes] = plant.instance.spawn(
        *command, str(plant.instance.config_path)
    )
    plant.until(lambda: plant.instance.is_ready(process), "the supervisor is ready")
    return process


LOSES_A_WORKER = """
import asyncio, os, signal; from hybridrt.supervisor import Supervisor
leave = Supervisor._leave_runtime
async def lose_a_worker(self):
    Supervisor._leave_runtime = leave
    await leave(self)
    (worker, *_) = self.workers()
    os.kill(worker.pid, signal.SIGKILL)
    await worker.exited.wait()
Supervisor._leave_runtime = lose_a_worker
"""


def test_a_worker_that_dies_as_an_upgrade_begins_is_replaced(plant: Plant) -> None:
    old = other_supervisor(
        plant, LOSES_A_WORKER, pool=APPEND_POOLS[:1], runtime={"roll": False}, queue=QUEUES
    )
    before = plant.workers()
    done = upgrade(plant)
    assert done.returncode == 0, done.stderr + plant.instance.output()
    assert old.wait(DEADLINE_S) == Status.OK
    plant.until(lambda: len(plant.workers()) == len(before), "it is replaced")
    assert len(set(before.values()) - set(plant.workers().values())) == 1


DIES_AMID_A_START = """
import os, signal; from pathlib import Path; from hybridrt.processes import WorkerProcess
watch, flag = WorkerProcess._watch, Path({flag!r})
def die(self, *process):
    if flag.exists():
        os.kill(os.getpid(), signal.SIGKILL)
    watch(self, *process)
WorkerProcess._watch = die
"""


def test_a_worker_whose_start_the_supervisor_did_not_outlive_goes_on(
    plant: Plant, tmp_path: Path
) -> None:
    """The standby has its lane and was not told of its process."""
    flag = tmp_path / "die"
    change = DIES_AMID_A_START.format(flag=str(flag))
    old = other_supervisor(
        plant, change, pool=APPEND_POOLS[:1], runtime={"standby": True}, queue=QUEUES
    )
    successor, before = plant.await_standby(), plant.workers()
    name, (pid, _) = next(iter(before.items()))
    flag.touch()
    os.kill(pid, signal.SIGKILL)
    assert old.wait(DEADLINE_S) == -signal.SIGKILL
    plant.await_supervisor(successor)
    plant.until(lambda: plant.workers().keys() == before.keys(), "all workers are there")
    assert psutil.Process(plant.workers()[name][0]).ppid() != successor
    with plant.connect() as client:
        for _ in range(8):
            client.enqueue("conf.sleep", {"ms": 1}, queue="sync").result(DEADLINE_S)


def test_a_supervisor_that_does_not_let_go_is_replaced(plant: Plant) -> None:
    change = "import time; from hybridrt.native import Runtime\n"
    change += "Runtime.release = lambda _: time.sleep(600)"
    runtime = {"hang_timeout": "3s", "roll": False}
    old = other_supervisor(plant, change, pool=APPEND_POOLS[:1], runtime=runtime, queue=QUEUES)
    before = plant.workers()
    done = upgrade(plant)
    assert old.wait(DEADLINE_S) == -signal.SIGKILL
    assert done.returncode == Status.UNREACHABLE, done.stdout + done.stderr
    assert "ended before it answered upgrade" in json.loads(done.stdout)["error"]["message"]
    plant.until(lambda: (s := plant.status()) and s["takeover"], "the new one goes on")
    assert plant.status()["takeover"]["cause"] == "hung"
    assert plant.workers() == before


HANGS = "import time; time.sleep(600)"  # before it has said a word


def processes_of(plant: Plant, path: Path) -> list[psutil.Process]:
    """Return the processes of this instance that run the program of `other_python`."""
    found = []
    for process in plant.instance.processes():
        with contextlib.suppress(psutil.Error):
            if str(path / "changed.py") in process.cmdline():
                found.append(process)
    return found


def test_the_standby_stays_until_the_successor_is_ready(plant: Plant, tmp_path: Path) -> None:
    """It goes on when the supervisor dies meanwhile, the successor ends, and the command hears."""
    plant.start(pool=APPEND_POOLS[:1])
    before, kept, old = plant.workers(), plant.await_standby(), plant.supervisor()
    directory = str(plant.instance.directory)
    command = [sys.executable, "-m", "hybridrt.cli", "upgrade", "--runtime-dir", directory]
    asking = subprocess.Popen(
        [*command, "--python", other_python(tmp_path, HANGS)], stderr=subprocess.PIPE, text=True
    )
    with asking:
        plant.until(lambda: processes_of(plant, tmp_path), "the successor was started")
        plant.until(lambda: "upgrading" in plant.instance.output(), "the upgrade is under way")
        assert plant.await_standby() == kept
        os.kill(old, signal.SIGKILL)
        _, said = asking.communicate(timeout=DEADLINE_S)
    assert asking.returncode == Status.UNREACHABLE, said
    assert "ended before it answered upgrade" in said
    assert plant.await_supervisor(kept)["takeover"]["cause"] == "killed"
    plant.until(lambda: not processes_of(plant, tmp_path), "the successor is gone")
    assert plant.workers() == before
    plant.await_standby()


def test_an_upgrade_that_cannot_begin_keeps_the_standby(plant: Plant, tmp_path: Path) -> None:
    plant.start(runtime={"start_timeout": "1s"})
    kept, old = plant.await_standby(), plant.supervisor()
    no_program = tmp_path / "notes.txt"
    no_program.touch()
    hanging = other_python(tmp_path, HANGS)
    for python, reason in ((str(no_program), "cannot run"), (hanging, "not ready within 1 s")):
        failed = upgrade(plant, "--python", python)
        assert failed.returncode == 1, failed.stdout + failed.stderr
        assert reason in json.loads(failed.stdout)["error"]["message"]
        assert plant.await_standby() == kept
    assert processes_of(plant, tmp_path) == []
    os.kill(old, signal.SIGKILL)
    plant.await_supervisor(kept)


FAILURES = {
    "does not run": ("", "exited with status"),
    "is not installed": (
        "sys.exit('No module named hybridrt')",
        "exited with status 1: No module named hybridrt",
    ),
    "is not understood": (
        "from hybridrt import handover; handover.MUST = ('lanes', 'teleport')",
        "teleport must be understood",
    ),
    "speaks a later protocol": (
        (
            "from hybridrt import handover; handover.PROTOCOL = handover.PROTOCOL_MIN = 99\n"
            "handover.Hello.__struct_defaults__\n"
            "old = handover.us\n"
            "from hybridrt import standby\n"
            "hello = handover.Hello\n"
            "handover.Hello = lambda **f: hello(protocol=99, protocol_min=99, **f)"
        ),
        "read handovers from 99",
    ),
    "dies as it takes over": (
        (
            "import os; from hybridrt import native\n"
            "native.Standby.take_over = lambda *_: os._exit(9)"
        ),
        "exited with status 9",
    ),
    "hangs as it takes over": (
        (
            "import signal; from hybridrt import native\n"
            "native.Standby.take_over = lambda *_: signal.pause()"
        ),
        "not go on",  # it is given up, or killed for its silence, whichever comes first
    ),
    "dies after it took over": (
        "import os; from hybridrt.estate import Estate\nEstate.confirm = lambda *_: os._exit(9)",
        "exited with status 9",
    ),
}


@pytest.mark.parametrize("name", FAILURES)
def test_an_upgrade_to_one_that_fails_changes_nothing(
    plant: Plant, tmp_path: Path, name: str
) -> None:
    change, reason = FAILURES[name]
    python = other_python(tmp_path, change) if change else "/bin/false"
    plant.start(pool=APPEND_POOLS, runtime={"hang_timeout": "3s"})
    path = tmp_path / "appended"
    before, old = plant.workers(), plant.supervisor()
    with plant.connect() as client, producing(client, path) as producer:
        plant.until(lambda: len(producer.enqueued) > 20, "jobs are acknowledged")
        failed = upgrade(plant, "--python", python)
        assert failed.returncode == 1, failed.stdout + failed.stderr
        assert reason in json.loads(failed.stdout)["error"]["message"]
        status = plant.await_supervisor(old)
        assert status["state"] == "running"
        count = len(producer.enqueued)
        plant.until(lambda: len(producer.enqueued) > count + 20, "jobs are acknowledged again")
        producer.stop()
        assert plant.workers() == before
        check_history(plant, producer, path)
    plant.await_standby()


@pytest.mark.parametrize("line", ["upgrading", "a standby follows", "the standby is ready"])
def test_a_supervisor_killed_in_an_upgrade_has_a_successor(
    plant: Plant, tmp_path: Path, line: str
) -> None:
    plant.start(pool=APPEND_POOLS[:1], runtime={"standby": False, "roll": False})
    path = tmp_path / "appended"
    with plant.connect() as client, producing(client, path) as producer:
        plant.until(lambda: len(producer.enqueued) > 20, "jobs are acknowledged")
        directory = str(plant.instance.directory)
        plant.instance.spawn(
            sys.executable, "-m", "hybridrt.cli", "upgrade", "--runtime-dir", directory
        )
        plant.until(lambda: line in plant.instance.output(), f"the log says: {line}")
        assert plant.first is not None
        plant.first.kill()
        producer.stop()
    if line == "upgrading":  # nobody follows yet: the log is all that is left
        plant.until(lambda: plant.first.poll() is not None, "it is dead")  # type: ignore[union-attr]
        assert plant.status() is None
        return
    plant.until(plant.status, "somebody goes on")
    with plant.connect() as client:
        assert producer.failure is None or line != "the standby is ready"
        payload = {"path": str(path), "text": "last"}
        client.enqueue("conf.append", payload, queue="sync").result(DEADLINE_S)
    tags = {tag for _, tag in producer.enqueued}
    plant.until(lambda: tags <= set(path.read_text().split()), "all acknowledged jobs ran")
