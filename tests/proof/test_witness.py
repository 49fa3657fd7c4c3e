"""A witness cosigns a log that only grows, and tells every other case apart by name."""

import shutil
import tempfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hybridrt.cli.app import app
from hybridrt.errors import ForkError, ProofError, ProofKeyError, RollbackError
from hybridrt.proof import note
from hybridrt.proof.checkpoint import parse_head
from hybridrt.proof.growth import Growth
from hybridrt.proof.leaf import Leaves
from hybridrt.proof.note import Signer
from hybridrt.proof.tiles import CHECKPOINT, Folder, Site, Tiles
from hybridrt.proof.witness import Witness
from tests.proof import proven_log
from tests.proof.proven_log import Proven


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proven]:
    with tempfile.TemporaryDirectory(prefix="hrt-") as runtime:
        yield proven_log.make(tmp_path_factory.mktemp("proven"), Path(runtime) / "run", 700)


class Shown:
    """What a log shows, at any size: the beginnings of one history, or a forged one."""

    def __init__(self, home: Path, log: Proven) -> None:
        """Begin with nothing shown."""
        self.home = home
        self.log = log
        head = parse_head(note.split((log.directory / CHECKPOINT).read_text())[0])
        self.entries = [
            e for found in Tiles(Folder(log.directory), head.size).entries(0) for e in found
        ]
        self.signer = Signer.parse(log.key.read_text())

    def show(self, size: int, *, forged: bool = False) -> Folder:
        """Publish the first `size` records, the first of them another one when forged."""
        shutil.rmtree(self.home, ignore_errors=True)
        growth = Growth(self.home)
        entries = self.entries[:size]
        if forged:
            entries[0] = entries[1]
        growth.extend(Leaves.of(entries))
        growth.write_partials()
        text = parse_head(f"{self.signer.name}\n{size}\n{'A' * 43}=\n")
        head = type(text)(text.origin, size, growth.root())
        (self.home / CHECKPOINT).write_text(note.sign(head.text(), [self.signer]))
        return Folder(self.home)


@pytest.fixture
def shown(tmp_path: Path, log: Proven) -> Shown:
    return Shown(tmp_path / "shown", log)


@pytest.fixture
def witness(tmp_path: Path, log: Proven) -> Witness:
    return Witness(tmp_path / "state", log.witness())


SIZES = [(1, 2), (1, 700), (255, 256), (256, 257), (300, 300), (511, 700), (256, 512)]


@pytest.mark.parametrize(("before", "after"), SIZES)
def test_a_log_that_grew_is_cosigned(
    shown: Shown, witness: Witness, log: Proven, before: int, after: int
) -> None:
    witness.look(shown.show(before), [log.verifier])
    seen = witness.look(shown.show(after), [log.verifier])
    assert (seen.before, seen.head.size) == (before, after)
    both = [log.verifier, log.witness().verifier]
    assert note.verified(seen.note, both)[1] == both


@pytest.mark.parametrize(("before", "after"), SIZES)
def test_a_fork_is_found(
    shown: Shown, witness: Witness, log: Proven, before: int, after: int
) -> None:
    """Also of the same size, and it changes nothing: the true history still goes on."""
    witness.look(shown.show(before), [log.verifier])
    with pytest.raises(ForkError, match="two histories"):
        witness.look(shown.show(after, forged=True), [log.verifier])
    assert witness.look(shown.show(after), [log.verifier]).before == before


def test_a_rollback_is_found_and_kept_as_evidence(
    shown: Shown, witness: Witness, log: Proven, tmp_path: Path
) -> None:
    witness.look(shown.show(300), [log.verifier])
    source = shown.show(299)
    with pytest.raises(RollbackError, match="299 records, it had signed 300"):
        witness.look(source, [log.verifier])
    [evidence] = (tmp_path / "state").glob("*/evidence-*")
    assert evidence.read_text() == (shown.home / CHECKPOINT).read_text()


@pytest.mark.parametrize("name", ["tile/0/001", "tile/0/002.p/188", "tile/1/000.p/2"])
@pytest.mark.parametrize("damage", ["cut", "gone", "changed"])
def test_damaged_tiles_prove_nothing(
    shown: Shown, witness: Witness, log: Proven, name: str, damage: str
) -> None:
    """Which is another thing than a fork: nobody is accused, and nothing is cosigned."""
    witness.look(shown.show(300), [log.verifier])
    source = shown.show(700)
    path = shown.home / name
    data = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(data[:-1] if damage == "cut" else bytes([data[0] ^ 1]) + data[1:])
    with pytest.raises(ProofError) as error:
        witness.look(source, [log.verifier])
    assert not isinstance(error.value, ForkError | RollbackError)
    assert witness.look(shown.show(700), [log.verifier]).before == 300


def test_a_checkpoint_by_another_key_is_refused(
    shown: Shown, witness: Witness, log: Proven
) -> None:
    stranger = Signer.generate(log.verifier.name)
    source = shown.show(300)
    with pytest.raises(ProofKeyError, match="not signed by a key that was named"):
        witness.look(source, [stranger.verifier])
    (shown.home / CHECKPOINT).write_text("not a note")
    with pytest.raises(ProofError):
        witness.look(source, [log.verifier])


def test_a_witness_looks_over_http(shown: Shown, witness: Witness, log: Proven) -> None:
    shown.show(300)
    handler = partial(Quiet, directory=str(shown.home))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            source = Site(f"http://127.0.0.1:{server.server_port}/")
            assert witness.look(source, [log.verifier]).head.size == 300
            shown.show(301)
            (shown.home / "tile/0/001.p/45").unlink()
            with pytest.raises(ProofError):
                witness.look(source, [log.verifier])
        finally:
            server.shutdown()
            thread.join()


class Quiet(SimpleHTTPRequestHandler):
    """A web server that says nothing."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_the_command_ends_with_a_status_for_each_case(
    shown: Shown, log: Proven, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log.witness()
    common = ["--signer", str(log.home / "witness-key"), "--state", str(tmp_path / "w")]

    def status(size: int, key: str, *, forged: bool = False) -> int:
        shown.show(size, forged=forged)
        with pytest.raises(SystemExit) as ended:
            app.main(["witness", str(shown.home), "--key", key, *common])
        return int(ended.value.code or 0)

    assert status(300, log.vkey) == 0
    assert status(301, log.vkey, forged=True) == 1
    assert "two histories" in capsys.readouterr().err
    assert status(299, log.vkey) == 1
    assert "it had signed 300" in capsys.readouterr().err
    assert status(302, str(Signer.generate("example.org/x").verifier)) == 64
