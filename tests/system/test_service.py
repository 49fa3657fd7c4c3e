"""`hybridrt run` as a process: signals, reload, the death of the supervisor."""

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

import hybridrt
from hybridrt import errors, service
from hybridrt.client import ClientJob
from hybridrt.errors import StartError
from hybridrt.exits import Status

DEADLINE_S = 20


def workers(instance: Any) -> list[int]:
    """Return the process ids of the spawned workers."""
    return [w["pid"] for w in instance.call("worker.ls")["workers"] if w["spawned"]]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_exits_cleanly(instance: Any, number: signal.Signals) -> None:
    process = instance.run(pool=[instance.python_pool()])
    pids = workers(instance)
    process.send_signal(number)
    assert process.wait(DEADLINE_S) == Status.OK
    assert [pid for pid in pids if psutil.pid_exists(pid)] == []
    assert sorted(path.name for path in instance.directory.iterdir()) == ["lock"]


def test_a_second_signal_stops_at_once(instance: Any, tmp_path: Path, await_condition: Any) -> None:
    process = instance.run(pool=[instance.python_pool(kinds=["stubborn"])])
    path = tmp_path / "started"
    with hybridrt.connect(instance.directory) as client:
        client.enqueue("stubborn", str(path))
        await_condition(path.exists, "the handler began")
    process.send_signal(signal.SIGTERM)
    await_condition(lambda: "draining" in instance.output(), "the drain began")
    process.send_signal(signal.SIGTERM)
    assert process.wait(DEADLINE_S) == 130


def test_shutdown_by_request_exits_cleanly(instance: Any) -> None:
    process = instance.run(pool=[instance.python_pool()])
    instance.call("shutdown")
    assert process.wait(DEADLINE_S) == Status.OK


def test_hup_applies_changed_queues_and_rolls_changed_pools(
    instance: Any, await_condition: Any
) -> None:
    process = instance.run(pool=[instance.python_pool()])
    before = workers(instance)
    instance.write(
        pool=[instance.python_pool(env={"CHANGED": "1"})],
        queue=[{"name": "new", "weight": 7}],
    )
    process.send_signal(signal.SIGHUP)
    await_condition(lambda: "configuration reloaded" in instance.output(), "the reload")
    assert [queue["name"] for queue in instance.call("queue.ls")["queues"]] == ["default", "new"]
    after = workers(instance)
    assert len(after) == 1
    assert after != before


def failing_pool(instance: Any, flag: Path, how: str, **settings: Any) -> dict[str, Any]:
    """Return the pool of the tests, whose new workers do not come up while a file is there."""
    pool = instance.python_pool(**settings)
    words = [f'test ! -e "$0" || {how}; exec "$@"', str(flag), *pool["command"]]
    return {**pool, "command": ["sh", "-c", *words]}


def spawned(instance: Any) -> dict[str, int]:
    """Return the process ids of the spawned workers, by name."""
    found = instance.call("worker.ls")["workers"]
    return {one["worker"]: one["pid"] for one in found if one["spawned"]}


@pytest.mark.parametrize("how", ["exit 3", "exec sleep 600"])
def test_a_roll_whose_new_worker_does_not_come_up_says_so(
    instance: Any, tmp_path: Path, how: str
) -> None:
    """Without this, the command said 'rolled'; and a worker that only hung stayed for good."""
    flag = tmp_path / "flag"
    instance.run(pool=[failing_pool(instance, flag, how)], runtime={"start_timeout": "2s"})
    before = spawned(instance)
    flag.touch()
    with pytest.raises(StartError, match="keeps its old workers"):
        instance.call("worker.roll", pool="python")
    assert spawned(instance) == before
    assert instance.call("pool.ls")["pools"][0]["running"] == 1
    flag.unlink()
    assert instance.call("worker.roll", pool="python")["running"] == 1
    assert set(spawned(instance).values()).isdisjoint(before.values())


def test_rolls_at_once_follow_each_other(instance: Any) -> None:
    """Without this, both took the same workers for old, and one too many stayed."""
    instance.run(pool=[instance.python_pool(workers=2)])
    before = spawned(instance)
    with ThreadPoolExecutor() as threads:
        rolls = [threads.submit(instance.call, "worker.roll", pool="python") for _ in range(2)]
        assert [roll.result()["wanted"] for roll in rolls] == [2, 2]
    after = spawned(instance)
    assert len(after) == 2
    assert set(after.values()).isdisjoint(before.values())


def test_a_reload_ends_a_scaling_and_a_crash_loop(
    instance: Any, tmp_path: Path, await_condition: Any
) -> None:
    flag = tmp_path / "flag"
    limits = {"crash_limit": 1, "crash_window": "10m", "restart_backoff": "1ms"}
    instance.run(pool=[failing_pool(instance, flag, "exit 3", **limits)])

    def pool() -> dict[str, Any]:
        return dict(instance.call("pool.ls")["pools"][0])

    instance.call("pool.scale", pool="python", workers=3)
    instance.call("reload")
    assert (pool()["wanted"], pool()["running"]) == (1, 1)
    flag.touch()
    for pid in spawned(instance).values():
        os.kill(pid, signal.SIGKILL)
    await_condition(lambda: pool()["state"] == "failed", "a crash loop")
    flag.unlink()
    instance.call("reload")
    await_condition(lambda: pool()["ready"] == 1, "the worker is back")


def test_a_word_of_the_command_line_holds_over_a_reload(instance: Any) -> None:
    words = ("--log-level", "debug", "--log-format", "json")
    instance.run(*words, pool=[instance.python_pool()], runtime={"log_level": "error"})
    assert instance.call("reload")["needs_restart"] == []
    said = instance.call("config.show")["runtime"]
    assert (said["log_level"], said["log_format"]) == ("debug", "json")
    instance.write(pool=[instance.python_pool()], runtime={"lease": "9s"})
    assert instance.call("reload")["needs_restart"] == ["runtime"]


def test_a_log_keeps_the_segments_that_it_has_and_says_so(instance: Any) -> None:
    small = {"segment_size": "64KiB", "max_size": "1MiB"}
    first = instance.run(log=small)
    assert "keeps the segments" not in instance.output()
    first.terminate()
    assert first.wait(DEADLINE_S) == Status.OK
    instance.run(log={"segment_size": "128KiB", "max_size": "2MiB"})
    line = next(line for line in instance.output().splitlines() if "keeps the segments" in line)
    assert json.loads(line)["segment_size"] == "64 KiB"


def test_a_bad_new_configuration_keeps_the_old_one(instance: Any, await_condition: Any) -> None:
    process = instance.run(pool=[instance.python_pool()])
    before = workers(instance)
    instance.config_path.write_text('[[queue]]\nname = "a"\nwieght = 3\n')
    process.send_signal(signal.SIGHUP)
    await_condition(lambda: "did you mean" in instance.output(), "the complaint")
    assert workers(instance) == before
    process.send_signal(signal.SIGTERM)
    assert process.wait(DEADLINE_S) == Status.OK


def test_a_bad_configuration_exits_with_its_status(instance: Any) -> None:
    instance.config_path.write_text("[lgo]\n")
    assert service.run(instance.config_path, log_format="json") == Status.CONFIG


def test_workers_leave_when_the_supervisor_is_killed_and_jobs_survive(
    instance: Any, tmp_path: Path, await_condition: Any
) -> None:
    process = instance.run(pool=[instance.python_pool()])
    pids = workers(instance)
    with hybridrt.connect(instance.directory) as client:
        waiting = client.enqueue("echo", "survives", delay="1s", result_ttl="1h")
        running = client.enqueue("slow", str(tmp_path / "started"), result_ttl="1h")
        await_condition((tmp_path / "started").exists, "the handler began")
        process.kill()
        process.wait()
    await_condition(lambda: not any(psutil.pid_exists(pid) for pid in pids), "the workers are gone")
    (tmp_path / "started.go").touch()
    instance.run(pool=[instance.python_pool()])
    with hybridrt.connect(instance.directory) as client:
        for job, result in ((waiting.id, b"survives"), (running.id, b"done")):
            assert read(client, job) == result


def read(client: hybridrt.Client, job: int) -> bytes:
    """Wait for the result of a job of an earlier client."""
    handle = ClientJob(job, "", hybridrt.Durability.SYNC, client)
    return handle.result(DEADLINE_S)


def test_worker_output_is_logged_with_its_origin(instance: Any, await_condition: Any) -> None:
    instance.run(pool=[instance.python_pool()], runtime={"log_format": "json"})
    await_condition(lambda: "a plain line" in instance.output(), "the plain line")
    lines = instance.output().splitlines()
    (json_line,) = [line for line in lines if "a line in JSON" in line]
    assert '"answer": 42' in json_line
    assert '"level": "warning"' in json_line
    (plain_line,) = [line for line in lines if "a plain line" in line]
    assert '"stream": "stderr"' in plain_line
    assert '"worker": "python/0"' in plain_line


def test_a_failing_log_ends_the_supervisor_and_loses_nothing_acknowledged(instance: Any) -> None:
    process = instance.run(pool=[instance.python_pool()])
    with hybridrt.connect(instance.directory) as client:
        kept = client.enqueue("echo", "acknowledged", delay="1s", result_ttl="1h")
        client.enqueue("echo", bytes(100_000), delay="1h")
        # From here the supervisor cannot write where its log is, as on a disk that is gone.
        psutil.Process(process.pid).rlimit(psutil.RLIMIT_FSIZE, (65_536, 65_536))
        with pytest.raises((errors.ClosedError, errors.StorageError)):
            client.enqueue("echo", "never acknowledged")
    assert process.wait(DEADLINE_S) == Status.IO
    assert "the log failed, nothing more is acknowledged" in instance.output()
    instance.run(pool=[instance.python_pool()])
    with hybridrt.connect(instance.directory) as client:
        assert read(client, kept.id) == b"acknowledged"
