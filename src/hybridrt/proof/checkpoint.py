"""The three lines of a C2SP tlog-checkpoint: origin, size, root. Pure."""

import binascii
from base64 import b64decode, b64encode
from dataclasses import dataclass

from hybridrt.errors import ProofError
from hybridrt.proof.tree import HASH_BYTES

LINES = 3


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a log's tree."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """Return the text to sign."""
        return f"{self.origin}\n{self.size}\n{encode_hash(self.root)}\n"


def parse_head(text: str) -> Head:
    """Read a checkpoint's text; lines behind the third are allowed and mean nothing here."""
    lines = text.split("\n")
    if len(lines) <= LINES or not all(lines[:-1]):
        raise ProofError("a checkpoint has at least three lines, none empty")
    return Head(lines[0], decode_number(lines[1]), decode_hash(lines[2]))


def encode_hash(value: bytes) -> str:
    """Write bytes as base64."""
    return b64encode(value).decode()


def decode_base64(text: str) -> bytes:
    """Read base64 in its one canonical form; raise ProofError for any other."""
    try:
        value = b64decode(text.encode(), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ProofError(f"not base64: {text[:64]!r}") from error
    if b64encode(value).decode() != text:
        raise ProofError(f"not the canonical base64: {text[:64]!r}")
    return value


def decode_hash(text: str) -> bytes:
    """Read one hash."""
    value = decode_base64(text)
    if len(value) != HASH_BYTES:
        raise ProofError(f"a hash has {HASH_BYTES} bytes: {text[:64]!r}")
    return value


def decode_number(text: str) -> int:
    """Read a size or an index: decimal digits without leading zeros."""
    if not (text.isascii() and text.isdigit()) or (text[0] == "0" and text != "0"):
        raise ProofError(f"not a plain decimal number: {text[:64]!r}")
    number = int(text)
    if number >= 1 << 63:
        raise ProofError(f"the number is too large: {text[:64]!r}")
    return number
