"""The command line against a running supervisor with a real worker."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from hybridrt.cli.printing import Status

Run = Callable[..., Any]
Process = subprocess.Popen[bytes]


@pytest.fixture
def process(instance: Any) -> Process:
    """Start a supervisor with one Python worker and two queues."""
    queues = [
        {"name": "default", "retry_base": "1ms", "retry_cap": "1ms", "max_attempts": 2},
        {"name": "tiny", "max_jobs": 1},
    ]
    started: Process = instance.run(queue=queues, pool=[instance.python_pool()])
    return started


@pytest.fixture
def served(instance: Any, process: Process) -> Any:
    """Give the instance of a running supervisor."""
    assert process.poll() is None
    return instance


def call(instance: Any, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hybridrt.cli", *words, "--runtime-dir", str(instance.directory)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def ask(instance: Any, *words: str) -> dict[str, Any]:
    done = call(instance, *words, "--json")
    assert done.returncode == 0, done.stderr + done.stdout
    body: dict[str, Any] = json.loads(done.stdout)
    return body


def refused(instance: Any, *words: str) -> tuple[int, dict[str, str]]:
    done = call(instance, *words, "--json")
    error: dict[str, str] = json.loads(done.stdout)["error"]
    return done.returncode, error


def enqueue(instance: Any, *words: str) -> str:
    return str(ask(instance, "enqueue", *words)["id"])


def test_status_tells_ready_queues_and_pools(served: Any) -> None:
    assert ask(served, "status")["ready"] is True
    text = call(served, "status").stdout
    assert "running, ready" in text
    assert "tiny" in text
    assert "python" in text


def test_an_enqueued_job_is_run_and_shown(served: Any, await_condition: Run) -> None:
    job = enqueue(served, "echo", "hello")
    await_condition(lambda: ask(served, "job", "show", job)["state"] == "completed", "it ran")
    shown = call(served, "job", "show", job, "--payload").stdout
    assert "completed" in shown
    assert "aGVsbG8=" in shown  # the result, in base64
    listed = ask(served, "job", "ls", "--state", "completed")["jobs"]
    assert [str(found["id"]) for found in listed] == [job]


def test_the_payload_may_come_from_standard_input(served: Any) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hybridrt.cli", "enqueue", "echo", "--file", "-", "--delay", "1h"],
        input=b"\x00\xff",
        capture_output=True,
        check=False,
        timeout=60,
        env={**os.environ, "HYBRIDRT_RUNTIME_DIR": str(served.directory)},
    )
    job = done.stdout.decode().strip()
    assert ask(served, "job", "show", job, "--payload")["payload"] == "AP8="


def test_a_dead_letter_is_listed_retried_and_dropped(served: Any, await_condition: Run) -> None:
    job = enqueue(served, "dead", "x")
    is_dead = lambda: ask(served, "dead", "ls")["jobs"]  # noqa: E731 - one word for a condition
    await_condition(is_dead, "it is dead")
    assert ask(served, "dead", "show", job)["state"] == "dead"
    assert ask(served, "dead", "retry", job)["done"] == [int(job)]
    await_condition(is_dead, "it is dead again")
    dropped = call(served, "dead", "discard", "--all")
    assert dropped.stdout == f"{job} dropped\n"
    assert ask(served, "dead", "ls")["jobs"] == []


def test_what_is_not_there_exits_4(served: Any) -> None:
    for words in (("job", "show", "99"), ("queue", "pause", "none"), ("enqueue", "none", "x")):
        status, error = refused(served, *words)
        assert status == Status.NOT_FOUND, words
        assert error["message"], words
    retried = call(served, "job", "retry", "99")
    assert retried.returncode == Status.NOT_FOUND
    assert retried.stderr.startswith("hybridrt: there is no job 99:")


def test_a_full_queue_exits_75(served: Any) -> None:
    ask(served, "queue", "pause", "tiny")
    enqueue(served, "echo", "first", "--queue", "tiny")
    status, error = refused(served, "enqueue", "echo", "second", "--queue", "tiny")
    assert status == Status.TRY_AGAIN
    assert error["code"] == "HRT_EFULL"
    ask(served, "queue", "resume", "tiny")


def test_a_payload_over_the_limit_exits_64(served: Any) -> None:
    file = served.log_directory.parent / "large"
    file.write_bytes(bytes(300_000))
    status, error = refused(served, "enqueue", "echo", "--file", str(file))
    assert status == Status.BAD_DATA
    assert error["code"] == "HRT_ETOOLARGE"


def test_a_payload_that_no_message_could_hold_is_refused_before_it_is_sent(served: Any) -> None:
    file = served.log_directory.parent / "huge"
    with file.open("wb") as sparse:
        sparse.truncate(40 * 2**20)
    status, error = refused(served, "enqueue", "echo", "--file", str(file))
    assert status == Status.BAD_DATA
    assert error["code"] == "HRT_ETOOLARGE"
    assert "256 KiB" in error["message"]


def shell(instance: Any, words: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a shell does, with what stands behind it about its files."""
    command = f"exec {sys.executable} -m hybridrt.cli {words}"
    return subprocess.run(
        ["/bin/sh", "-c", command],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "HYBRIDRT_RUNTIME_DIR": str(instance.directory)},
    )


@pytest.mark.parametrize("form", ["", "--json"])
def test_an_answer_that_cannot_be_written_does_not_ask_for_another_try(
    served: Any, form: str
) -> None:
    done = shell(served, f"enqueue echo x {form} > /dev/full")
    assert done.returncode == Status.IO
    assert "standard output: No space left" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(ask(served, "job", "ls")["jobs"]) == 1  # it was enqueued


@pytest.mark.parametrize("words", ["enqueue echo x", "status", "job ls --json"])
def test_a_command_needs_no_standard_output(served: Any, words: str) -> None:
    done = shell(served, f"{words} >&-")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_name_that_is_no_text_is_refused(served: Any) -> None:
    done = shell(served, "enqueue echo x --key $(printf '\\377')")
    assert done.returncode == Status.USAGE
    assert "is not UTF-8" in done.stderr


def test_a_delayed_job_is_cancelled(served: Any) -> None:
    job = enqueue(served, "echo", "later", "--delay", "1h")
    assert ask(served, "job", "show", job)["state"] == "scheduled"
    assert call(served, "job", "cancel", job).stdout == f"{job} cancelled\n"


def test_workers_pools_and_stats_are_listed(served: Any) -> None:
    workers = ask(served, "worker", "ls")["workers"]
    assert "python" in {worker["language"] for worker in workers}
    assert "works" in call(served, "worker", "ls").stdout
    assert "python" in call(served, "pool", "ls").stdout
    assert "p50/p99" in call(served, "stats").stdout
    assert call(served, "config", "show").returncode == 0


def test_the_log_is_read_beside_the_supervisor(served: Any, await_condition: Run) -> None:
    job = enqueue(served, "echo", "in the log")
    await_condition(lambda: ask(served, "job", "show", job)["state"] == "completed", "it ran")
    printed = call(served, "log", "cat", str(served.log_directory), "--job", job, "--json").stdout
    records = [json.loads(line) for line in printed.splitlines()]
    assert [record["type"] for record in records] == ["enqueue", "lease", "settle"]
    assert records[0]["kind"] == "echo"
    verified = ask(served, "log", "verify", str(served.log_directory))
    assert verified["verdict"] == "clean"
    assert verified["types"]["settle"] >= 1


def test_the_verified_state_is_that_of_the_stopped_supervisor(served: Any) -> None:
    for number in range(20):
        enqueue(served, "echo", str(number), "--delay", "1h")
    served.call("log.sync")
    verified = ask(served, "log", "verify", str(served.log_directory))
    assert verified["jobs"] == 20


def test_a_flipped_bit_is_found_and_named(served: Any, process: Process) -> None:
    enqueue(served, "echo", "to be damaged", "--delay", "1h")
    enqueue(served, "echo", "after it", "--delay", "1h")
    process.send_signal(signal.SIGTERM)
    process.wait(60)
    segment = next(
        path for path in served.log_directory.glob("*.seg") if b"to be damaged" in path.read_bytes()
    )
    data = bytearray(segment.read_bytes())
    data[data.index(b"to be damaged")] ^= 1
    segment.write_bytes(data)
    done = call(served, "log", "verify", str(served.log_directory), "--json")
    assert done.returncode == Status.FAILED
    assert json.loads(done.stdout)["verdict"] == "committed"
    assert segment.name in done.stderr


def test_drain_and_shutdown_end_the_supervisor(served: Any, process: Process) -> None:
    assert call(served, "drain").stdout == "drained\n"
    status, error = refused(served, "enqueue", "echo", "too late")
    assert status == Status.TRY_AGAIN
    assert error["code"] == "HRT_EPAUSED"
    assert call(served, "shutdown").returncode == 0
    assert process.wait(60) == 0
    assert refused(served, "status")[0] == Status.UNREACHABLE
