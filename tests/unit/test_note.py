"""Signed notes: the example of the specification, keys, and notes that are no notes."""

import pytest

from hybridrt.errors import ProofError, ProofKeyError
from hybridrt.proof import note
from hybridrt.proof.checkpoint import parse_head
from hybridrt.proof.note import COSIGNATURE, Signer, Verifier

# The example of C2SP signed-note.
VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
TEXT = "This is an example message.\n"
NOTE = (
    f"{TEXT}\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYj"
    "OBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)
# A key that was made by Go's note package.
GO_KEY = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"


@pytest.fixture
def key() -> Signer:
    return Signer.generate("example.org/log")


def test_the_example_of_the_specification_verifies() -> None:
    verifier = Verifier.parse(VKEY)
    assert note.verified(NOTE, [verifier]) == (TEXT, [verifier])
    assert str(verifier) == VKEY


def test_a_private_key_reads_and_writes_as_in_go() -> None:
    assert Signer.parse(GO_KEY).private_text() == GO_KEY


@pytest.mark.parametrize(
    "broken",
    [
        NOTE[:-1],
        NOTE.replace("\n\n", "\n"),
        NOTE.replace("example message", "example\tmessage"),
        NOTE.replace("— ", "- "),
        NOTE.replace("aQM=", "aQN="),  # the same bytes, with stray bits behind them
        NOTE.replace("aQM=", "aQM"),
        NOTE + "\n",
        TEXT,
        "",
        "a" * 100_000,
    ],
)
def test_what_is_no_note_is_refused(broken: str) -> None:
    with pytest.raises(ProofError):
        note.verified(broken, [Verifier.parse(VKEY)])


def test_a_bad_signature_of_a_known_key_condemns_the_note(key: Signer) -> None:
    other = Signer.generate("example.org/other")
    signed = note.sign("text\n", [other]) + key.line("another text\n")
    assert note.verified(signed, [other.verifier])[1] == [other.verifier]
    with pytest.raises(ProofKeyError, match="not valid"):
        note.verified(signed, [other.verifier, key.verifier])


def test_a_note_of_strangers_is_refused_and_names_them(key: Signer) -> None:
    with pytest.raises(ProofKeyError) as error:
        note.verified(NOTE, [key.verifier])
    assert "example.com/foo+530d903a" in error.value.hint


def test_a_cosignature_is_of_a_time_and_by_a_key_of_its_own_type() -> None:
    witness = Signer.generate("witness.example.org", COSIGNATURE)
    text = "example.org/log\n7\n" + "A" * 43 + "=\n"
    line = witness.line(text, 1_700_000_000)
    assert note.verified(f"{text}\n{line}", [witness.verifier])[1] == [witness.verifier]
    later = witness.line(text, 1_700_000_001)
    assert later != line
    assert parse_head(text).size == 7
    with pytest.raises(ProofKeyError):  # a witness alone does not speak for the log
        note.signed_head(f"{text}\n{line}", [witness.verifier])


@pytest.mark.parametrize("name", ["", "two words", "a+b", "line\nbreak", "x" * 129])
def test_a_name_that_would_break_a_note_is_refused(name: str) -> None:
    with pytest.raises(ProofKeyError):
        Signer.generate(name)


@pytest.mark.parametrize(
    "text",
    [
        VKEY.replace("530d903a", "530d903b"),
        VKEY[:-4],
        "example.com/foo",
        "",
        VKEY.replace("+Aeky", "+Beky"),
    ],
)
def test_a_damaged_verifier_key_is_refused(text: str) -> None:
    with pytest.raises(ProofError):
        Verifier.parse(text)


def test_a_damaged_private_key_is_never_shown() -> None:
    secret = GO_KEY.rpartition("+")[2]
    for damaged in (GO_KEY[:-2], GO_KEY.replace("c74f20a3", "c74f20a4"), GO_KEY[4:]):
        with pytest.raises(ProofKeyError) as error:
            Signer.parse(damaged)
        assert secret[:20] not in f"{error.value.message} {error.value.hint}"


@pytest.mark.parametrize(
    "text",
    [
        "origin\n1\n",
        "origin\n01\n" + "A" * 43 + "=\n",
        "origin\n-1\n" + "A" * 43 + "=\n",
        "\n1\n" + "A" * 43 + "=\n",
        "origin\n1\nAAAA\n",
        "origin\n9223372036854775808\n" + "A" * 43 + "=\n",
    ],
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(ProofError):
        parse_head(text)
