"""Old against new, over every protocol: it works, or says why not, and nothing is lost.

tests/vectors/protocols-1.json holds the words of the last version before takeovers (ABI 1): what
its client said when it attached, what its supervisor answered a newer client, and what both said
over the control socket. handover-1.json holds both sides of the first protocol of handovers.
"""

import contextlib
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

import hybridrt
from hybridrt import errors, handover
from hybridrt.exits import Status
from hybridrt.handover import receive, send
from hybridrt.native import ABI_VERSION

VECTORS = Path(__file__).parent.parent / "vectors"
OLD = json.loads((VECTORS / "protocols-1.json").read_text())
HANDOVER = json.loads((VECTORS / "handover-1.json").read_text())
OLD_ABI = OLD["abi"]
OLD_WELCOME = bytes.fromhex(OLD["attach"]["welcome to a hello of ABI 2"])
WELCOME = struct.Struct("<2IiIQ232s")
DEADLINE_S = 30
EVERSION = -12
REPLY, BODY = 2, 3  # frames: ok or error, and the JSON
UNKNOWN = {verb for verb, said in OLD["control"].items() if "UNKNOWN_VERB" in said["reply"][BODY]}
KNOWN = sorted(set(OLD["control"]) - UNKNOWN - {"reload"})
PROGRAM = [sys.executable, "-m", "hybridrt.cli"]


@pytest.fixture(name="running")
def _running(instance: Any) -> Any:
    """Give a supervisor of this version with four jobs."""
    instance.run(kind=[{"name": "conf.echo"}])
    with hybridrt.connect(instance.directory) as client:
        client.enqueue_many("conf.echo", [b"{}"] * 4).check()
    return instance


def still_works(instance: Any) -> None:
    """All jobs are there, and one more is taken."""
    assert instance.call("status")["jobs"] == 4
    with hybridrt.connect(instance.directory) as client:
        client.enqueue("conf.echo", b"{}")


def cli(directory: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a command of this version."""
    command = [*PROGRAM, *arguments, "--runtime-dir", str(directory)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(name="place")
def _place() -> Iterator[Path]:
    """Give a directory for the sockets of an old supervisor."""
    with tempfile.TemporaryDirectory(prefix="hrt-") as directory:
        yield Path(directory)


@contextlib.contextmanager
def listener(path: Path, serve: Callable[[socket.socket], None]) -> Iterator[None]:
    """Answer one connection as an old supervisor would."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(str(path))
        listening.listen()
        listening.settimeout(DEADLINE_S)

        def answer() -> None:
            peer, _ = listening.accept()
            with peer:
                peer.settimeout(DEADLINE_S)
                serve(peer)

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield
        finally:
            thread.join()


# ---- lanes --------------------------------------------------------------------------------------


def test_an_old_client_is_refused_by_a_new_supervisor(running: Any) -> None:
    """It would not know a lease that it is told of again, and run the job twice."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as peer:
        peer.settimeout(DEADLINE_S)
        peer.connect(str(running.directory / "attach.sock"))
        peer.send(bytes.fromhex(OLD["attach"]["hello"]))
        _, version, status, _, _, text = WELCOME.unpack(peer.recv(WELCOME.size))
    assert (version, status) == (ABI_VERSION, EVERSION)
    assert f"ABI version {OLD_ABI}, this supervisor has {ABI_VERSION};".encode() in text
    still_works(running)


def test_a_new_client_is_refused_by_an_old_supervisor(place: Path) -> None:
    def serve(peer: socket.socket) -> None:
        assert len(peer.recv(4096)) == len(bytes.fromhex(OLD["attach"]["hello"]))
        peer.send(OLD_WELCOME)

    with (
        listener(place / "attach.sock", serve),
        pytest.raises(
            errors.VersionError, match=f"ABI version {OLD_ABI}, .* built with {ABI_VERSION}"
        ),
    ):
        hybridrt.connect(place)


# ---- the control socket -------------------------------------------------------------------------


def fields_of(value: Any) -> Any:
    """Return the names of the fields of a reply, as deep as they go; of lists, of their first."""
    if isinstance(value, dict):
        return {name: fields_of(inner) for name, inner in value.items()}
    return [fields_of(inner) for inner in value[:1]] if isinstance(value, list) else None


def lacks(ours: Any, theirs: Any) -> list[str]:
    """Return the fields of an old reply that ours has not."""
    if isinstance(theirs, list):
        return lacks(ours[0], theirs[0]) if ours and theirs else []
    found: list[str] = []
    for name, inner in (theirs or {}).items():
        found += [name] if name not in ours else lacks(ours[name], inner)
    return found


@pytest.mark.parametrize("verb", KNOWN)
def test_an_old_command_is_understood_by_a_new_supervisor(running: Any, verb: str) -> None:
    said = OLD["control"][verb]
    context = zmq.Context()
    try:
        dealer = context.socket(zmq.DEALER)
        dealer.connect(f"ipc://{running.directory / 'control.sock'}")
        dealer.send_multipart([frame.encode() for frame in said["request"]])
        assert dealer.poll(DEADLINE_S * 1000)
        reply = [frame.decode() for frame in dealer.recv_multipart()]
    finally:
        context.destroy(linger=0)
    assert reply[:BODY] == said["reply"][:BODY]
    ours, theirs = (fields_of(json.loads(frames[BODY])) for frames in (reply, said["reply"]))
    assert lacks(ours, theirs) == []


@contextlib.contextmanager
def old_control(place: Path) -> Iterator[None]:
    """Answer on the control socket what the old supervisor answered."""
    context = zmq.Context()
    router = context.socket(zmq.ROUTER)
    router.bind(f"ipc://{place / 'control.sock'}")
    stopping = threading.Event()

    def serve() -> None:
        while not stopping.is_set():
            if router.poll(50):
                peer, protocol, number, verb, _ = router.recv_multipart()
                reply = OLD["control"][verb.decode()]["reply"]
                last = (frame.encode() for frame in reply[REPLY:])
                router.send_multipart([peer, protocol, number, *last])

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()
        context.destroy(linger=0)


COMMANDS = {
    "status": ("status",),
    "queue.ls": ("queue", "ls"),
    "job.ls": ("job", "ls"),
    "job.show": ("job", "show", "4"),
    "worker.ls": ("worker", "ls"),
    "dead.ls": ("dead", "ls"),
    "queue.pause": ("queue", "pause", "default"),
}


@pytest.mark.parametrize("verb", COMMANDS)
def test_a_new_command_understands_an_old_supervisor(place: Path, verb: str) -> None:
    with old_control(place):
        for form in ([], ["--json"]):
            done = cli(place, *COMMANDS[verb], *form)
            assert done.returncode == Status.OK, done.stdout + done.stderr
    shown = json.loads(done.stdout)
    theirs = json.loads(OLD["control"][verb]["reply"][BODY])
    assert lacks(fields_of(shown), fields_of(theirs)) == []


def test_an_old_supervisor_is_not_upgraded_but_says_so(place: Path) -> None:
    """The way from there: stop it, and start the new one, which reads its log (test_formats)."""
    with old_control(place):
        done = cli(place, "upgrade", "--json")
    assert done.returncode != Status.OK
    assert json.loads(done.stdout)["error"]["code"] == "UNKNOWN_VERB"


# ---- handing over -------------------------------------------------------------------------------


def words(side: str, kind: str, **changes: Any) -> bytes:
    """Return what one side of the first handover said, with other values in some fields."""
    said = next(json.loads(text) for text in HANDOVER[side] if json.loads(text)["type"] == kind)
    return json.dumps({**said, **changes}).encode()


class Heir:
    """A standby that speaks the recorded words."""

    def __init__(self, directory: Path) -> None:
        """Connect."""
        self.peer = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.peer.settimeout(DEADLINE_S)
        self.peer.connect(str(directory / handover.SOCKET_NAME))

    def say(self, kind: str, **changes: Any) -> None:
        """Say something."""
        send(self.peer, words("standby", kind, **changes))

    def hear(self, kind: str) -> tuple[dict[str, Any], int]:
        """Return the next message of a kind, and how many descriptors came with it."""
        while True:
            data, fds = receive(self.peer)
            for fd in fds:
                os.close(fd)
            assert data, f"it hung up without {kind}"
            message = json.loads(data)
            if message["type"] == kind:
                return message, len(fds)


@pytest.fixture(name="heir")
def _heir(running: Any) -> Iterator[Heir]:
    heir = Heir(running.directory)
    with heir.peer:
        yield heir


def test_a_standby_of_the_first_handover_is_let_in(
    running: Any, heir: Heir, await_condition: Any
) -> None:
    with hybridrt.connect(running.directory):
        heir.say("hello", abi=ABI_VERSION)
        for kind, count in (("welcome", 4), ("lane", 2), ("process", 1), ("complete", 0)):
            message, fds = heir.hear(kind)
            recorded = json.loads(words("supervisor", kind))
            assert fds >= count
            assert set(recorded) <= set(message)
        heir.say("ready")
        heir.say("ping")
        assert heir.hear("pong")[0]["number"] == json.loads(words("standby", "ping"))["number"]
        assert running.call("status")["standby"]["ready"]
    heir.peer.close()
    await_condition(lambda: running.call("status")["standby"] is None, "it is missed")
    still_works(running)


def test_a_standby_with_other_lanes_is_refused(running: Any, heir: Heir) -> None:
    heir.say("hello", abi=OLD_ABI)
    reason = heir.hear("refused")[0]["reason"]
    assert "their lanes have different layouts" in reason
    assert f"abi {OLD_ABI}" in reason
    assert f"abi {ABI_VERSION}" in reason
    still_works(running)


def test_a_new_standby_refuses_a_supervisor_with_other_lanes(place: Path) -> None:
    heard: list[dict[str, Any]] = []

    def serve(peer: socket.socket) -> None:
        heard.append(json.loads(peer.recv(4096)))
        with contextlib.ExitStack() as stack:
            fds = [stack.enter_context(Path(os.devnull).open()).fileno() for _ in range(4)]
            send(peer, words("supervisor", "welcome", abi=OLD_ABI), fds)
        heard.append(json.loads(peer.recv(4096)))

    with listener(place / handover.SOCKET_NAME, serve):
        done = cli(place, "standby")
    assert done.returncode == Status.BAD_DATA, done.stdout + done.stderr
    assert set(json.loads(words("standby", "hello"))) <= set(heard[0])
    assert heard[1]["type"] == "refused"
    assert "their lanes have different layouts" in heard[1]["reason"]
    assert heard[1]["reason"] in done.stderr


DOWNGRADE = f"""
import os, socket, sys
peer = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
peer.connect(os.path.join(sys.argv[sys.argv.index("--runtime-dir") + 1], "{handover.SOCKET_NAME}"))
peer.send({words("standby", "hello", abi=OLD_ABI, upgrade=True)!r})
sys.exit(0 if b'"refused"' in peer.recv(4096) else 9)
"""
BEFORE_STANDBYS = "import sys; sys.exit('Error: No such command')"


@pytest.mark.parametrize(
    ("program", "reason"),
    [(DOWNGRADE, "their lanes have different layouts"), (BEFORE_STANDBYS, "exited with status 1")],
    ids=["other lanes", "no standby command"],
)
def test_a_downgrade_is_refused_and_changes_nothing(
    running: Any, tmp_path: Path, program: str, reason: str
) -> None:
    (tmp_path / "old.py").write_text(program)
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} {tmp_path}/old.py "$@"\n')
    python.chmod(0o755)
    before = running.call("status")
    done = cli(running.directory, "upgrade", "--json", "--python", str(python))
    assert done.returncode == Status.FAILED, done.stdout + done.stderr
    error = json.loads(done.stdout)["error"]
    assert error["code"] == "UPGRADE"
    assert reason in error["message"]
    after = running.call("status")
    assert (after["pid"], after["epoch"]) == (before["pid"], before["epoch"])
    still_works(running)
