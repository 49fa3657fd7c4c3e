"""Cases for the verifiers: a proof as it is, and with one byte changed somewhere."""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hybridrt.proof.checkpoint import parse_head
from hybridrt.proof.follower import SEGMENT
from hybridrt.proof.issuer import issue
from hybridrt.proof.leaf import read_entry
from hybridrt.proof.note import split
from hybridrt.proof.tiles import CHECKPOINT, WIDTH, Folder, Tiles
from hybridrt.records import HEADER, RecordType
from tests.proof.proven_log import Proven


@dataclass(slots=True)
class Cases:
    """Writes the cases below a directory, one line each into a file."""

    home: Path
    dice: random.Random
    expected: dict[int, bool] = field(default_factory=dict)
    kinds: dict[int, str] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)

    def add(self, kind: str, *, accepted: bool, **case: Any) -> None:
        """Add one case."""
        number = len(self.lines)
        self.expected[number], self.kinds[number] = accepted, kind
        self.lines.append(json.dumps({"id": number, **case}))

    def write(self) -> Path:
        """Write the file of cases."""
        path = self.home / "cases.jsonl"
        path.write_text("\n".join(self.lines) + "\n")
        return path

    def changed(self, data: bytes, offset: int) -> bytes:
        """Change one byte into another."""
        value = data[offset] ^ self.dice.randrange(1, 256)
        return data[:offset] + bytes([value]) + data[offset + 1 :]

    def twin(self, original: Path, name: Path, data: bytes | None) -> Path:
        """Make a directory like `original` but for one file; None: without it."""
        twin = self.home / f"{len(self.lines)}"
        for path in original.rglob("*"):
            place = twin / path.relative_to(original)
            if path.is_file() and path.parent.name != "prover":
                place.parent.mkdir(parents=True, exist_ok=True)
                place.symlink_to(path)
        (twin / name).unlink()
        if data is not None:
            (twin / name).write_bytes(data)
        return twin


def published(directory: Path) -> Iterator[Path]:
    """Give the files of a proof that everybody sees."""
    for path in sorted(directory.rglob("*")):
        if path.is_file() and path.parent.name != "prover":
            yield path.relative_to(directory)


def signed_bytes(proven: Proven) -> list[tuple[str, int, int]]:
    """Return file, offset and length of every record, as far as its digest covers it."""
    names = {}
    size = 0
    for path in proven.log.glob("*.seg"):
        fields = SEGMENT.unpack_from(path.read_bytes())
        size, names[fields[5]] = fields[4], path.name
    head = parse_head(split((proven.directory / CHECKPOINT).read_text())[0])
    tiles = Tiles(Folder(proven.directory), head.size)
    found = []
    for number in range(-(-head.size // WIDTH)):
        for entry in tiles.bundle(number):
            header = read_entry(entry)
            segment, offset = divmod(header["position"], size)
            pad = header["type"] == RecordType.PAD
            found.append((names[segment], offset, HEADER.size if pad else header["length"]))
    return found


def tamper_records(cases: Cases, proven: Proven, count: int) -> None:
    """Change single bytes of the log itself."""
    places = signed_bytes(proven)
    for _ in range(count):
        name, begin, length = cases.dice.choice(places)
        data = (proven.log / name).read_bytes()
        changed = cases.changed(data, begin + cases.dice.randrange(length))
        log = cases.twin(proven.log, Path(name), changed)
        case = {"keys": [proven.vkey], "directory": str(proven.directory), "log": str(log)}
        cases.add("record", accepted=False, **case)


def drop_segments(cases: Cases, proven: Proven) -> None:
    """Leave one segment out: the oldest may have been used again, any other one is missing."""
    names = list(dict.fromkeys(name for name, _, _ in signed_bytes(proven)))
    assert len(names) > 2
    for place, name in enumerate(names):
        log = cases.twin(proven.log, Path(name), None)
        case = {"keys": [proven.vkey], "directory": str(proven.directory), "log": str(log)}
        cases.add("segment", accepted=place == 0, **case)


def tamper_files(cases: Cases, proven: Proven, count: int) -> None:
    """Change single bytes of checkpoint, tiles and entries, each file as often as the others."""
    files = list(published(proven.directory))
    for turn in range(count):
        name = files[turn % len(files)]
        data = (proven.directory / name).read_bytes()
        changed = cases.changed(data, cases.dice.randrange(len(data)))
        twin = cases.twin(proven.directory, name, changed)
        kind = "checkpoint" if name.name == CHECKPOINT else name.parts[1]
        cases.add(kind, accepted=False, keys=[proven.vkey], directory=str(twin))


def tamper_receipts(cases: Cases, proven: Proven, every: int) -> None:
    """Change every n-th byte of receipts, one of them cosigned, and of their records."""
    checkpoint = (proven.directory / CHECKPOINT).read_text()
    witness = proven.witness()
    cosigned = checkpoint + witness.line(split(checkpoint)[0], 1_800_000_000)
    both = [proven.vkey, str(witness.verifier)]
    source = Folder(proven.directory)
    for keys, signed in (([proven.vkey], checkpoint), (both, cosigned)):
        for issued in issue(source, signed, proven.log, proven.jobs[0]):
            assert issued.record is not None
            name = cases.home / f"{issued.role}-{len(keys)}"
            record = name.with_suffix(".record")
            record.write_bytes(issued.record)
            text = issued.receipt.text().encode()
            receipt = name.with_suffix(".tlog-proof")
            receipt.write_bytes(text)
            files = {"receipt": str(receipt), "record": str(record)}
            cases.add("receipt", accepted=True, keys=keys, **files)
            for offset in [place for place, byte in enumerate(text) if byte == ord("\n")]:
                # What a reader of texts might take for the same.
                path = cases.home / f"{len(cases.lines)}.receipt"
                path.write_bytes(text[:offset] + b"\r" + text[offset + 1 :])
                cases.add("receipt", accepted=False, keys=keys, **{**files, "receipt": str(path)})
            for kind, data in (("receipt", text), ("record", issued.record)):
                for offset in range(0, len(data), every):
                    path = cases.home / f"{len(cases.lines)}.{kind}"
                    path.write_bytes(cases.changed(data, offset))
                    cases.add(kind, accepted=False, keys=keys, **{**files, kind: str(path)})
