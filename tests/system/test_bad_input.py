"""What bad input gets, from clients in four languages: a clear error, and the rest goes on."""

import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import hybridrt
from hybridrt._native import lib
from hybridrt.exits import Status
from tests.producers import LANGUAGES, PROGRAMS, Tool

ROOT = Path(__file__).parent.parent.parent
DEADLINE_S = 20
NOBODY = 65534
HELLO = struct.Struct("<4I64s48x")
WELCOME = struct.Struct("<2IiIQ232s")
HELLO_MAGIC = 0x48545248
ABI_VERSION = lib.HRT_ABI_VERSION
SUBMIT_TAIL = 128  # of hrt_lane


@pytest.fixture(name="open_tool")
def _open_tool() -> Iterator[Callable[..., Tool]]:
    """Give a maker of producers that are gone at the end of the test."""
    tools: list[Tool] = []

    def make(language: str, address: Path, **options: Any) -> Tool:
        tools.append(Tool(language, address, **options))
        return tools[-1]

    yield make
    for tool in tools:
        tool.close()


@pytest.fixture(name="running", scope="module")
def _running(shared_instance: Any) -> Any:
    """Give one supervisor for all tests that leave it as it is."""
    queues = [
        {"name": "tiny", "max_jobs": 2, "durability": "memory"},
        {"name": "unread", "durability": "memory"},
    ]
    shared_instance.run(pool=[shared_instance.python_pool()], queue=queues)
    return shared_instance


@pytest.fixture(name="tools", scope="module")
def _tools(running: Any) -> Iterator[dict[str, Tool]]:
    """Give a producer in each language, for all tests: an error must not harm the next job."""
    made = {name: Tool(name, running.directory / "attach.sock") for name in LANGUAGES}
    yield made
    for tool in made.values():
        tool.close()


def still_works(instance: Any) -> None:
    """Check that the supervisor takes a job and its worker runs it."""
    with hybridrt.connect(instance.directory) as client:
        assert client.enqueue("echo", "on").result(DEADLINE_S) == b"on"


def cli(*arguments: str | Path, **options: Any) -> "subprocess.CompletedProcess[str]":
    """Run the command to its end."""
    command = [sys.executable, "-m", "hybridrt.cli", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=DEADLINE_S, check=False, **options
    )


# ---- what a producer gives ----------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("batch", "code", "says"),
    [
        ({"kind": "eco"}, "HRT_EKIND", "eco"),
        ({"queue": "tinny"}, "HRT_EQUEUE", "tinny"),
        ({"size": 262_145}, "HRT_ETOOLARGE", "262145"),
        ({"kind": "k" * 64}, "HRT_ENAME", "64 bytes"),
        ({"kind": "ec\nho"}, "HRT_ENAME", "control character"),
        ({"queue": "q\x7f"}, "HRT_ENAME", "control character"),
        ({"kind": ""}, "HRT_ENAME", "empty"),
        ({"key": "a\tb"}, "HRT_ENAME", "control character"),
        ({"key": "k" * 256}, "HRT_ENAME", "256"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else str(value)[:20],
)
def test_a_bad_job_is_refused_with_its_reason_and_the_client_goes_on(
    tools: Any, language: str, batch: dict[str, Any], code: str, says: str
) -> None:
    if language == "c" and len(batch.get("key", "")) > 255:
        pytest.skip("the field key_length of C holds no more than 255")
    tool = tools[language]
    answer = tool.send(**batch)
    assert answer["code"] == code
    assert says in answer["message"]
    after = tool.send("echo")
    assert after["code"] == ""
    assert after["ids"][0] > 0


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_full_queue_rejects_what_is_over_its_limit(
    running: Any, tools: Any, language: str
) -> None:
    tool = tools[language]
    running.call("queue.pause", queue="tiny")
    answer = tool.send("echo", "tiny", count=4)
    blocked = tool.send("echo", "tiny", block_ms=50)
    running.call("queue.resume", queue="tiny")
    assert (answer["code"], blocked["code"]) == ("HRT_EFULL", "HRT_EFULL")
    assert [job > 0 for job in answer["ids"]] == [True, True, False, False]
    assert "the queue is full" in answer["message"]
    assert "tiny" in blocked["message"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_producer_that_waits_for_room_keeps_its_order(
    running: Any, tools: Any, language: str
) -> None:
    tool = tools[language]
    running.call("queue.pause", queue="tiny")
    tool.begin("echo", "tiny", key="one", count=50, block_ms=DEADLINE_S * 1000)
    running.call("queue.resume", queue="tiny")
    answer = tool.end()
    assert answer["code"] == ""
    assert answer["ids"] == sorted(set(answer["ids"]))
    assert len(answer["ids"]) == 50


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["eco", "x"], Status.NOT_FOUND, '"eco" is not among'),
        (["echo", "x", "--queue", "tinny"], Status.NOT_FOUND, "tinny"),
        (["k" * 64, "x"], Status.BAD_DATA, "64 bytes"),
        (["echo", "x", "--key", "a\nb"], Status.BAD_DATA, "control character"),
    ],
)
def test_the_command_line_says_the_same(
    running: Any, arguments: list[str], status: Status, says: str
) -> None:
    done = cli("enqueue", *arguments, "--runtime-dir", running.directory)
    assert done.returncode == status
    assert says in done.stderr


def test_when_the_runtime_is_gone_every_language_says_closed_and_then_unreachable(
    instance: Any, open_tool: Any
) -> None:
    process = instance.run(kind=[{"name": "echo"}])
    address = instance.directory / "attach.sock"
    tools = [open_tool(language, address) for language in LANGUAGES]
    assert [tool.send("echo")["code"] for tool in tools] == [""] * len(tools)
    process.kill()
    process.wait()
    assert [tool.send("echo")["code"] for tool in tools] == ["HRT_ECLOSED"] * len(tools)
    late = [open_tool(language, address).attached for language in LANGUAGES]
    assert [answer["code"] for answer in late] == ["HRT_EREACH"] * len(tools)
    assert all(str(address) in answer["message"] for answer in late)


# ---- who may attach -----------------------------------------------------------------------------


def greet(path: Path, hello: bytes) -> tuple[int, int, str]:
    """Send a hello of our own; return ABI version, status and sentence of the welcome."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as peer:
        peer.settimeout(DEADLINE_S)
        peer.connect(str(path))
        peer.send(hello)
        _, version, status, _, _, text = WELCOME.unpack(peer.recv(WELCOME.size))
    return version, status, text.split(b"\0")[0].decode()


def test_a_client_of_another_abi_version_is_told_both(running: Any) -> None:
    hello = HELLO.pack(HELLO_MAGIC, 7, 0, 0, b"from the future")
    version, status, text = greet(running.directory / "attach.sock", hello)
    assert (version, status) == (ABI_VERSION, -12)
    assert text.startswith(
        f"the client has ABI version 7, this supervisor has {ABI_VERSION}; rebuild"
    )
    still_works(running)


@pytest.mark.parametrize("hello", [b"x", b"GET / HTTP/1.1\r\n\r\n", bytes(128), bytes(4096)])
def test_a_stranger_on_the_attach_socket_is_told_where_it_is(running: Any, hello: bytes) -> None:
    _, status, text = greet(running.directory / "attach.sock", hello)
    assert status == -21
    assert "is the attach socket of hybridrt" in text
    still_works(running)


def test_an_odd_size_of_the_lane_is_refused(running: Any) -> None:
    hello = HELLO.pack(HELLO_MAGIC, ABI_VERSION, 12_345, 0, b"odd")
    _, status, text = greet(running.directory / "attach.sock", hello)
    assert status == -1
    assert text.startswith("submit_capacity is 12345; it has to be a power of two")


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_old_client_at_a_newer_runtime_is_told_both_versions(language: str) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="hrt-") as directory,
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server,
    ):
        path = Path(directory) / "attach.sock"
        server.bind(str(path))
        server.listen()
        server.settimeout(DEADLINE_S)
        program = subprocess.Popen(
            [*PROGRAMS[language], str(path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        peer, _ = server.accept()
        with peer:
            peer.recv(HELLO.size)
            peer.send(WELCOME.pack(HELLO_MAGIC, ABI_VERSION + 1, 0, 0, 1, b""))
            answer = json.loads(program.communicate(timeout=DEADLINE_S)[0])
    assert answer["code"] == "HRT_EVERSION"
    assert f"ABI version {ABI_VERSION + 1}, this program" in answer["message"]
    assert f"was built with {ABI_VERSION}" in answer["message"]


needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")


@pytest.fixture(name="foreign_tool")
def _foreign_tool(open_tool: Any) -> Iterator[Callable[..., Tool]]:
    """Give a maker of producers that run as another user."""
    with tempfile.TemporaryDirectory(prefix="hrt-") as directory:
        Path(directory).chmod(0o755)
        program = Path(directory) / "produce-c"
        shutil.copy(PROGRAMS["c"][0], program)
        program.chmod(0o755)

        def make(address: Path) -> Tool:
            tool: Tool = open_tool(
                "c", address, command=[str(program)], user=NOBODY, group=NOBODY, extra_groups=[]
            )
            return tool

        yield make


@needs_root
def test_another_user_does_not_get_into_the_directory(running: Any, foreign_tool: Any) -> None:
    answer = foreign_tool(running.directory / "attach.sock").attached
    assert answer["code"] == "HRT_EPERM"
    assert f"user {NOBODY} may not connect" in answer["message"]
    assert "its directory belongs to user 0" in answer["message"]


@needs_root
def test_what_one_may_not_read_exits_77(tmp_path: Path) -> None:
    """As root without the right to pass over permissions: Python itself may lie in its home."""
    powerless = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
    secret = tmp_path / "secret"
    secret.write_text("nothing to see")
    secret.chmod(0o600)
    for path in (secret, tmp_path):
        os.chown(path, NOBODY, NOBODY)
    tmp_path.chmod(0o755)
    for words in (
        ["config", "check", str(secret)],
        ["status", "--config", str(secret)],
        ["enqueue", "echo", "--file", str(secret)],
        ["checkpoint", "key", str(secret)],
        ["checkpoint", "rotate", str(secret)],
        ["checkpoint", "keygen", "example.org/log", "--output", str(tmp_path / "new")],
        ["receipt", "verify", str(secret), "--key", str(secret)],
    ):
        command = [*powerless, sys.executable, "-m", "hybridrt.cli", *words]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=DEADLINE_S, check=False
        )
        assert done.returncode == Status.PERMISSION, (words, done.stderr)
        assert "ermission denied" in done.stderr
        assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


@needs_root
def test_another_user_is_refused_where_everybody_can_connect(
    instance: Any, foreign_tool: Any
) -> None:
    instance.run(pool=[instance.python_pool()])
    instance.directory.chmod(0o755)
    (instance.directory / "attach.sock").chmod(0o777)
    answer = foreign_tool(instance.directory / "attach.sock").attached
    assert answer["code"] == "HRT_EPERM"
    assert f"belongs to user 0, you are user {NOBODY}; run as that user" in answer["message"]
    still_works(instance)


# ---- how a supervisor is started ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[[queue]]\nname = "a"\nwieght = 3\n', "hybridrt.toml:3: queue[0].wieght: unknown key"),
        ("[lgo]\n", "did you mean"),
        ('[[pool]]\nname = "p"\ncommand = "x"\n', "pool[0].command: expected `array`"),
        ('[[queue]]\nname = "a\\nb"\n', "queue[0].name: a name must not hold control characters"),
        ("[log]\nsegment_size = 5\n", "must be a power of two"),
        ("[log\n", "hybridrt.toml:1"),
    ],
)
def test_a_faulty_configuration_is_named_with_its_place(
    tmp_path: Path, text: str, says: str
) -> None:
    path = tmp_path / "hybridrt.toml"
    path.write_text(text)
    for arguments in (["run", "--config", path], ["config", "check", path]):
        done = cli(*arguments)
        assert done.returncode == Status.CONFIG
        assert says in done.stderr
        assert "Traceback" not in done.stderr


def test_a_second_supervisor_is_refused_and_the_first_goes_on(running: Any, tmp_path: Path) -> None:
    done = cli("run", "--config", running.config_path)
    assert done.returncode == Status.TRY_AGAIN
    assert f"another supervisor uses {running.directory}" in done.stderr
    other = tmp_path / "other.toml"
    text = running.config_path.read_text()
    other.write_text(text.replace(str(running.directory), str(tmp_path / "run")))
    done = cli("run", "--config", other)
    assert done.returncode == Status.TRY_AGAIN
    assert f"holds the log in {running.log_directory}; stop it" in done.stderr
    still_works(running)


def test_directories_that_cannot_be_used_are_named(instance: Any, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    deep = tmp_path / ("d" * 100)
    log = instance.log_directory.resolve()
    for tables, status, says in (
        ({"log": {"directory": str(file)}}, Status.CONFIG, f"log.directory: {file} is not"),
        ({"log": {"directory": f"{file}/log"}}, Status.CONFIG, f"log.directory: {file}/log is not"),
        ({"runtime": {"directory": str(file)}}, Status.CONFIG, "runtime.directory: "),
        ({"runtime": {"directory": str(deep)}}, Status.CONFIG, "has at most 107 bytes"),
        ({"log": {"directory": "/sys/hybridrt"}}, Status.PERMISSION, "cannot make /sys/hybridrt"),
        ({"archive": {"directory": f"{log}/old"}}, Status.CONFIG, f"lies in log.directory, {log};"),
    ):
        done = cli("run", "--config", instance.write(**tables))
        assert done.returncode == status, done.stderr
        assert says in done.stderr
        assert "Traceback" not in done.stderr


def test_a_directory_that_others_may_enter_is_refused(instance: Any) -> None:
    instance.directory.chmod(0o755)
    done = cli("run", "--config", instance.write())
    assert done.returncode == Status.PERMISSION
    assert f"chmod 700 {instance.directory}" in done.stderr


def test_sockets_of_a_killed_supervisor_are_in_nobodys_way(instance: Any) -> None:
    process = instance.run(pool=[instance.python_pool()])
    process.kill()
    process.wait()
    assert (instance.directory / "attach.sock").exists()
    done = cli("status", "--runtime-dir", instance.directory)
    assert done.returncode == Status.UNREACHABLE
    assert "its supervisor is gone" in done.stderr
    instance.run(pool=[instance.python_pool()])
    still_works(instance)


def test_a_bad_reload_keeps_the_old_configuration(instance: Any, await_condition: Any) -> None:
    process = instance.run(pool=[instance.python_pool()])
    instance.config_path.write_text('[[queue]]\nname = "a"\nwieght = 3\n')
    done = cli("reload", "--runtime-dir", instance.directory)
    assert done.returncode == Status.CONFIG
    assert "queue[0].wieght" in done.stderr
    process.send_signal(signal.SIGHUP)
    await_condition(lambda: "keeping the old" in instance.output(), "the complaint")
    still_works(instance)


# ---- workers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["./no/such/program"], "cannot run './no/such/program': No such file or directory"),
        (["/"], "cannot run '/': Permission denied"),
        ([sys.executable, "-c", "print('no licence', flush=True); exit(3)"], "no licence"),
    ],
)
def test_a_required_pool_that_cannot_start_ends_the_start(
    instance: Any, command: list[str], says: str
) -> None:
    """The error names the pool, the program, and the last that it said."""
    pool = {"name": "bad", "command": command, "crash_limit": 1, "restart_backoff": "1ms"}
    done = cli("run", "--log-format", "human", "--config", instance.write(pool=[pool]))
    assert done.returncode == Status.FAILED
    assert 'pool "bad" does not start' in done.stderr
    assert says in done.stderr


def test_a_pool_in_a_crash_loop_is_seen_and_the_others_work(
    instance: Any, await_condition: Any
) -> None:
    bad = {"required": False, "crash_limit": 2, "restart_backoff": "1ms"}
    missing = {"name": "missing", "command": ["/no/such/program"], **bad}
    program = "print('cannot find my model', flush=True); raise SystemExit(9)"
    exits = {"name": "exits", "command": [sys.executable, "-c", program], **bad}
    instance.run(pool=[missing, exits, instance.python_pool()])

    def failed() -> Any:
        pools = {pool["pool"]: pool for pool in instance.call("pool.ls")["pools"]}
        names = ("missing", "exits")
        return pools if all(pools[name]["state"] == "failed" for name in names) else None

    pools = await_condition(failed, "both pools are given up")
    assert pools["python"]["state"] == "running"
    assert pools["missing"]["restarts"] == pools["exits"]["restarts"] == 2
    assert "/no/such/program" in pools["missing"]["failure"]
    assert "exited with status 9" in pools["exits"]["failure"]
    assert "cannot find my model" in pools["exits"]["failure"]
    status = cli("status", "--runtime-dir", instance.directory)
    assert "exited with status 9" in status.stdout
    assert "crash loop" in instance.output()
    listed = cli("worker", "ls", "--runtime-dir", instance.directory)
    assert "python/0" in listed.stdout
    still_works(instance)


def test_a_worker_that_writes_garbage_into_its_lane_is_killed(
    instance: Any, await_condition: Any, tmp_path: Path
) -> None:
    program = tmp_path / "hostile.py"
    program.write_text(
        "import mmap, os, signal, struct\n"
        "lane = mmap.mmap(int(os.environ['HYBRIDRT_ATTACH'][4:].split(',')[0]), 0)\n"
        f"lane[{SUBMIT_TAIL}:{SUBMIT_TAIL + 8}] = struct.pack('<Q', 12345)\n"
        "print('garbage is written', flush=True)\n"
        "signal.pause()\n"
    )
    hostile = {"name": "hostile", "command": [sys.executable, str(program)], "required": False}
    instance.run(pool=[hostile, instance.python_pool()])
    await_condition(lambda: "garbage is written" in instance.output(), "the garbage")
    still_works(instance)  # makes the runtime look at all lanes
    await_condition(lambda: "a client misbehaves" in instance.output(), "the fault is logged")
    await_condition(lambda: "was killed by SIGKILL" in instance.output(), "the worker is killed")
    assert "submit ring is malformed" in instance.output()
    still_works(instance)
