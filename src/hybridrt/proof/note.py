"""C2SP signed notes: keys, signatures, and what a note says once it is verified.

Ed25519 alone: type 1 signs the text, type 4 (a witness) signs the text and a time. Pure but for the
randomness of a new key.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from hybridrt.errors import HybridrtError, ProofError, ProofKeyError
from hybridrt.proof.checkpoint import Head, decode_base64, encode_hash, parse_head

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ED25519 = 1
COSIGNATURE = 4
KEY_BYTES = 32
ID_BYTES = 4
PRIVATE_PREFIX = "PRIVATE+KEY+"
NOTE_BYTES_MAX = 64 * 1024
SIGNATURES_MAX = 16
NAME_BYTES_MAX = 128
CONTROL_END = 0x20


def _library() -> Any:
    """Return the module of Ed25519; it comes with an extra of the package."""
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise HybridrtError(
            "proofs need the Python package cryptography", "pip install 'hybridrt[proof]'"
        ) from error
    return ed25519


def check_key_name(name: str) -> None:
    """Raise ProofKeyError unless a name may stand in a key and as the origin of a log."""
    if not name or "+" in name or any(c.isspace() or ord(c) < CONTROL_END for c in name):
        raise ProofKeyError(f"a key's name has no space and no plus: {name!r}")
    if len(name.encode()) > NAME_BYTES_MAX:
        raise ProofKeyError(f"a key's name has at most {NAME_BYTES_MAX} bytes")


def _key_id(name: str, typed_key: bytes) -> bytes:
    return sha256(name.encode() + b"\n" + typed_key).digest()[:ID_BYTES]


@dataclass(frozen=True)
class Verifier:
    """A public key and the name that signs with it."""

    name: str
    kind: int
    public: bytes

    @classmethod
    def parse(cls, text: str) -> "Verifier":
        """Read a verifier key, `name+id+base64`."""
        name, _, rest = text.strip().partition("+")
        number, _, encoded = rest.partition("+")
        check_key_name(name)
        kind, material = _typed(decode_base64(encoded))
        found = cls(name, kind, material)
        if number != found.id.hex():
            raise ProofKeyError(f"the id of the key does not fit it: {text[:80]!r}")
        return found

    @cached_property
    def id(self) -> bytes:
        """Return the four bytes that announce the key in a signature."""
        return _key_id(self.name, bytes([self.kind]) + self.public)

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{encode_hash(bytes([self.kind]) + self.public)}"

    def verifies(self, text: bytes, signature: bytes) -> bool:
        """Say whether a signature, its id taken off, is this key's on the text."""
        from cryptography.exceptions import InvalidSignature

        if self.kind == COSIGNATURE:
            stamp, signature = signature[:8], signature[8:]
            if len(stamp) != struct.calcsize(">Q"):
                return False
            text = _cosigned(text, int.from_bytes(stamp, "big"))
        try:
            _library().Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True)
class Signer:
    """A private key. Its text form is that of Go's note package, type 4 included."""

    name: str
    kind: int
    seed: bytes

    @classmethod
    def generate(cls, name: str, kind: int = ED25519) -> "Signer":
        """Make a new key."""
        check_key_name(name)
        return cls(name, kind, _library().Ed25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def parse(cls, text: str) -> "Signer":
        """Read `PRIVATE+KEY+name+id+base64`; the message of an error never shows the key."""
        parts = text.strip().removeprefix(PRIVATE_PREFIX).split("+", 2)
        if not text.startswith(PRIVATE_PREFIX) or len(parts) != len(("name", "id", "key")):
            raise ProofKeyError("not a private key: it begins with PRIVATE+KEY+ and has five parts")
        check_key_name(parts[0])
        try:
            kind, seed = _typed(decode_base64(parts[2]))
        except ProofError:
            raise ProofKeyError(f"the private key of {parts[0]!r} is damaged") from None
        found = cls(parts[0], kind, seed)
        if found.verifier.id.hex() != parts[1]:
            raise ProofKeyError(f"the private key of {parts[0]!r} does not fit its id")
        return found

    def private_text(self) -> str:
        """Return the text to keep secret."""
        key = encode_hash(bytes([self.kind]) + self.seed)
        return f"{PRIVATE_PREFIX}{self.name}+{self.verifier.id.hex()}+{key}"

    @cached_property
    def _key(self) -> "Ed25519PrivateKey":
        key: Ed25519PrivateKey = _library().Ed25519PrivateKey.from_private_bytes(self.seed)
        return key

    @cached_property
    def verifier(self) -> Verifier:
        """Return the public half."""
        return Verifier(self.name, self.kind, self._key.public_key().public_bytes_raw())

    def line(self, text: str, now_s: int = 0) -> str:
        """Return the signature line under a text; a cosignature says that it is of `now_s`."""
        body = text.encode()
        if self.kind == COSIGNATURE:
            signature = struct.pack(">Q", now_s) + self._key.sign(_cosigned(body, now_s))
        else:
            signature = self._key.sign(body)
        return f"— {self.name} {encode_hash(self.verifier.id + signature)}\n"


def _typed(value: bytes) -> tuple[int, bytes]:
    if len(value) != 1 + KEY_BYTES or value[0] not in {ED25519, COSIGNATURE}:
        raise ProofKeyError("the key is of an unknown type", "Ed25519 keys have type 1 or 4")
    return value[0], value[1:]


def _cosigned(text: bytes, now_s: int) -> bytes:
    return b"cosignature/v1\ntime %d\n%b" % (now_s, text)


@dataclass(frozen=True, slots=True)
class Signature:
    """One line under a note."""

    name: str
    id: bytes
    value: bytes
    line: str


def sign(text: str, signers: Iterable[Signer]) -> str:
    """Return a note signed by all of them."""
    return text + "\n" + "".join(signer.line(text) for signer in signers)


def split(note: str) -> tuple[str, list[Signature]]:
    """Take a note apart without judging its signatures; raise ProofError when it is malformed."""
    if len(note) > NOTE_BYTES_MAX or any(c < " " and c != "\n" for c in note):
        raise ProofError("the note is too long, or holds control characters")
    text, gap, lines = note.rpartition("\n\n")
    if not gap or not lines.endswith("\n"):
        raise ProofError("the note has no signatures, or its end is missing")
    signatures = [_signature(line) for line in lines[:-1].split("\n")]
    if len(signatures) > SIGNATURES_MAX:
        raise ProofError(f"the note has more than {SIGNATURES_MAX} signatures")
    return text + "\n", signatures


def _signature(line: str) -> Signature:
    dash, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    if dash != "—":
        raise ProofError(f"not a signature line: {line[:80]!r}")
    check_key_name(name)
    value = decode_base64(encoded)
    if len(value) <= ID_BYTES:
        raise ProofError(f"the signature is too short: {line[:80]!r}")
    return Signature(name, value[:ID_BYTES], value[ID_BYTES:], line)


def verified(note: str, keys: Iterable[Verifier]) -> tuple[str, list[Verifier]]:
    """Return a note's text and the keys that signed it; raise ProofKeyError when none did.

    A bad signature of a known key condemns the note; signatures of others mean nothing.
    """
    text, signatures = split(note)
    known = {(key.name, key.id): key for key in keys}
    signed: list[Verifier] = []
    for signature in signatures:
        key = known.get((signature.name, signature.id))
        if key is None:
            continue
        if not key.verifies(text.encode(), signature.value):
            raise ProofKeyError(f"the signature of {key.name} is not valid")
        if key not in signed:
            signed.append(key)
    if not signed:
        signers = ", ".join(f"{s.name}+{s.id.hex()}" for s in signatures)
        raise ProofKeyError(
            "not signed by a key that was named", f"its signatures are of {signers}"
        )
    return text, signed


def signed_head(note: str, keys: Iterable[Verifier]) -> tuple[Head, list[Verifier]]:
    """Return the head in a checkpoint that its own log signed, and all who did; else raise."""
    text, signed = verified(note, keys)
    head = parse_head(text)
    if not any(key.kind == ED25519 and key.name == head.origin for key in signed):
        raise ProofKeyError(f"the checkpoint is not signed by the key of its log, {head.origin}")
    return head, signed
