"""The prover: follows a log, grows its tree, and signs checkpoints, off the hot path.

Three files of its own lie in `prover/`: `lock`; `head`, the last note that was signed, durable
before anybody sees it; `anchor`, up to where tiles are synced. What is behind the anchor comes
again from the files or from the log, and has to give the root that was signed: so a prover that
was killed at any point never signs a second head that contradicts the first.
"""

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from hybridrt.errors import AlreadyRunningError, ForkError, ProofError, ProofMissingError
from hybridrt.files import write_durably, write_file
from hybridrt.memo import Memo
from hybridrt.place import Place
from hybridrt.proof import keys, leaf, note
from hybridrt.proof.checkpoint import Head, decode_hash, encode_hash, parse_head
from hybridrt.proof.follower import Follower
from hybridrt.proof.growth import Growth
from hybridrt.proof.leaf import Leaves
from hybridrt.proof.tiles import CHECKPOINT, Folder, Tiles
from hybridrt.proof.tree import EMPTY_ROOT

LOCK_TIMEOUT_S = 10.0
LOCK_PAUSE_S = 0.05
BATCH = 4096
MEMO = "proven"  # the file in the log's directory
LOST_MAX = 1 << 32  # leaves that say "lost", in one gap


class Anchor(msgspec.Struct, frozen=True):
    """Up to where the tiles are durable."""

    uuid: str  # of the log
    size: int = 0
    root: str = encode_hash(EMPTY_ROOT)
    last: str = ""  # entry of the last leaf, in hex


class Progress(msgspec.Struct, frozen=True):
    """What the prover tells on stdout, one JSON object a line."""

    size: int
    sequence: int
    position: int  # after the last record that is proven
    segment: int  # the oldest that is still needed


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What a prover works on."""

    log: Path
    directory: Path
    key: Path
    interval_s: float = 1.0
    records: int = 10_000
    accept_loss: bool = False


class Prover:
    """Owns the directory of a proof while it is open."""

    def __init__(self, options: Options) -> None:
        """Describe a prover; `open` does the work."""
        self.options = options
        self.head = Head("", 0, EMPTY_ROOT)
        self._private = options.directory / "prover"
        self._growth = Growth(options.directory)
        self._last = b""  # entry of the last leaf
        self._signers: list[note.Signer] = []
        self._key_stamp = (0, 0)
        self._signed = time.monotonic()
        self._lock = -1
        self._anchored = 0  # segment of the first record behind the anchor

    # ---- life -----------------------------------------------------------------------------------

    def open(self) -> None:
        """Lock the directory and bring the tree to where the last signed head was."""
        self._follower = Follower(self.options.log)
        self._memo = Memo(self.options.log / MEMO, self._follower.uuid, self.options.directory)
        self._check_place()
        self._private.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._place = Place(self._private)
        self._take_lock()
        self._load_keys()
        self._recover()
        self._remember()
        accept_loss = self.options.accept_loss
        if self._last and not self._follower.begin_after(self._last, accept_loss=accept_loss):
            self._mind_gap()

    def close(self) -> None:
        """Let go of the log and the directory."""
        if self._lock < 0:
            return
        self._follower.close()
        os.close(self._lock)
        self._lock = -1

    def is_lost(self) -> bool:
        """Say whether the directory was moved or removed: what is written would lie elsewhere."""
        return self._place.is_lost()

    def _check_place(self) -> None:
        """Refuse to begin anew where a tree was: the two would contradict each other."""
        size = self._memo.recall()
        if size is not None and not (self._private / "head").exists():
            raise ProofMissingError(
                f"{self.options.directory} holds no proof, and the one of this log was there; is "
                "its disk mounted?",
                f"if it was removed on purpose, remove {self._memo.path} too: a new tree then "
                "begins with the oldest record of the log",
            )

    def _remember(self) -> None:
        """Let the log know that a head was signed here."""
        if self.head.size and self._memo.recall() is None:
            self._memo.keep(self.head.size)

    def _take_lock(self) -> None:
        self._lock = os.open(self._private / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        end = time.monotonic() + LOCK_TIMEOUT_S
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() > end:
                    raise AlreadyRunningError(
                        f"another prover works on {self.options.directory}"
                    ) from error
                time.sleep(LOCK_PAUSE_S)
            else:
                return

    def _load_keys(self) -> None:
        """Read the key file, again whenever it changed, so that a rotation needs no restart."""
        stamp = keys.stamp(self.options.key)
        if stamp == self._key_stamp:
            return
        signers = keys.load(self.options.key)
        if self._signers and signers[0].name != self._signers[0].name:
            raise ProofError("the name of a key is the name of the log and cannot change")
        self._signers, self._key_stamp = signers, stamp

    # ---- recovery -------------------------------------------------------------------------------

    def _recover(self) -> None:
        """Bring the tree to the signed head, from the files or else from the log."""
        origin = self._signers[0].name
        self.head = self._signed_head() or Head(origin, 0, EMPTY_ROOT)
        if self.head.origin != origin:
            raise ProofError(
                f"{self.options.directory} is the proof of {self.head.origin}, not of {origin}"
            )
        anchor = self._anchor()
        if anchor.uuid != self._follower.uuid.hex():
            raise ForkError(
                f"{self.options.log} is another log than {self.options.directory} is for"
            )
        if not (self._regrow(anchor, self._from_files) or self._regrow(anchor, self._from_log)):
            raise ForkError(
                f"the log in {self.options.log} does not lead to the head that was signed, "
                f"{self.head.size} records with root {encode_hash(self.head.root)}",
                "was it restored or rolled back? docs/proof.md says what to do",
            )
        self._growth.write_partials()
        self._publish()

    def _signed_head(self) -> Head | None:
        try:
            text, _ = note.split((self._private / "head").read_bytes().decode())
        except FileNotFoundError:
            return None
        return parse_head(text)

    def _anchor(self) -> Anchor:
        try:
            return msgspec.json.decode((self._private / "anchor").read_bytes(), type=Anchor)
        except FileNotFoundError:
            return Anchor(self._follower.uuid.hex())

    def _regrow(self, anchor: Anchor, grow: Callable[[Anchor], None]) -> bool:
        """Grow from the anchor to the head; say whether the root is the one that was signed."""
        self._growth = Growth(self.options.directory)
        self._last = bytes.fromhex(anchor.last)
        self._anchored = self._segment()
        try:
            self._growth.load(anchor.size)
            if self._growth.root() != decode_hash(anchor.root):
                return False
            grow(anchor)
        except ProofError:
            return False
        return self._growth.size == self.head.size and self._growth.root() == self.head.root

    def _from_files(self, anchor: Anchor) -> None:
        tiles = Tiles(Folder(self.options.directory), self.head.size)
        for entries in tiles.entries(anchor.size):
            self._grow(Leaves.of(entries))

    def _from_log(self, _: Anchor) -> None:
        if self._last and not self._follower.begin_after(self._last):
            return
        while missing := self.head.size - self._growth.size:
            leaves = self._follower.take_again(min(missing, BATCH))
            if not leaves:
                return
            self._grow(leaves)

    def _mind_gap(self) -> None:
        """Records went before they were read: refuse, or let leaves say so."""
        wanted = leaf.sequence_of(self._last) + 1
        found = self._follower.begin_behind(wanted - 1)
        if found == wanted:
            return
        if not self.options.accept_loss or not 0 < found - wanted <= LOST_MAX:
            raise ProofError(
                f"the log begins with record {found}, the tree needs {wanted}: what is between was "
                "used again before it was proven",
                "with 'hybridrt checkpoint run --accept-loss' leaves will say so, for ever",
            )
        for begin in range(wanted, found, BATCH):
            lost = range(begin, min(begin + BATCH, found))
            self._grow(Leaves.of(leaf.lost_entry(sequence) for sequence in lost))

    # ---- work -----------------------------------------------------------------------------------

    def _grow(self, leaves: Leaves) -> None:
        """Add leaves, whose sequences have to be dense."""
        first, last = leaf.sequence_of(leaves.entry(0)), leaf.sequence_of(leaves.entry(-1))
        before = leaf.sequence_of(self._last) if self._last else first - 1
        if first != before + 1 or last != before + len(leaves):
            raise ProofError(f"record {before + 1} is missing, the log goes on with {first}")
        self._last = leaves.entry(-1)
        self._growth.extend(leaves)

    def step(self, *, last: bool = False) -> bool:
        """Take records in, and sign when it is time; False when there is nothing more for now."""
        unsigned = self._growth.size - self.head.size
        leaves = self._follower.take(min(self.options.records - unsigned, BATCH))
        more = len(leaves)
        if more:
            self._grow(leaves)
            unsigned += more
        late = last or time.monotonic() - self._signed >= self.options.interval_s
        if unsigned and (late or unsigned >= self.options.records):
            self.checkpoint()
            if self.progress().segment < self._segment():
                self.anchor()
        return more > 0

    def finish(self) -> None:
        """Sign what the disk has, and make all of it durable."""
        while self.step(last=True):
            pass
        self.anchor()

    def checkpoint(self) -> None:
        """Sign the tree as it is: first durably to `head`, then for everybody to see."""
        self._load_keys()
        self._growth.write_partials()
        head = Head(self._signers[0].name, self._growth.size, self._growth.root())
        signed = note.sign(head.text(), self._signers)
        write_durably(self._private / "head", signed.encode())
        self.head = head
        self._remember()
        self._signed = time.monotonic()
        self._publish()

    def _publish(self) -> None:
        """Show the signed head; the file is written again at the start if that was cut short."""
        path = self._private / "head"
        if path.exists():
            write_file(self.options.directory / CHECKPOINT, path.read_bytes())

    def anchor(self) -> None:
        """Make everything up to the signed head durable, so that the log may forget it."""
        if not self._last or self._growth.size != self.head.size:
            return
        self._growth.sync()
        root = encode_hash(self.head.root)
        anchor = Anchor(self._follower.uuid.hex(), self.head.size, root, self._last.hex())
        write_durably(self._private / "anchor", msgspec.json.encode(anchor))
        self._anchored = self._segment()

    def _segment(self) -> int:
        """Return the segment of the record after the last leaf."""
        return leaf.end_of(self._last) // self._follower.segment_bytes if self._last else 0

    def told_durable(self, position: int) -> None:
        """Hear that the disk has everything below a position."""
        self._follower.durable = max(self._follower.durable, position)

    def progress(self) -> Progress:
        """Return how far it is."""
        last = self._last or leaf.lost_entry(0)
        return Progress(self.head.size, leaf.sequence_of(last), leaf.end_of(last), self._anchored)
