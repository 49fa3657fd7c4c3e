"""The page of evidence is what its data says."""

from tests.evidence.__main__ import PAGE, add_up, load, page
from tests.evidence.attacks import ATTACKS
from tests.evidence.page import render

REPORT = {
    "what": "random kills",
    "seed": "abc",
    "command": "kill them all",
    "faults": {"go killed": 1200, "rust killed": 3},
    "counts": {"states": 7, "load average": 1.5},
    "violations": 2,
    "times_ms": {"death to start": {"n": 10, "p50": 1.25, "p99": 9.5, "max": 10.0}},
}
BUG = {"what": "it broke", "found_by": "luck", "reproducer": "make test", "fixed": "1234567"}


def test_the_page_has_every_figure() -> None:
    total: dict[str, object] = {}
    add_up(total, [REPORT, REPORT])
    results = {"machine": "a machine", "attacks": {"kills": [REPORT]}, "so_far": {"kills": total}}
    text = render(results, [BUG])
    assert "2,406 faults injected, among them 2,406 processes killed at random" in text
    assert "14 crash states opened; 0 simulated lives; 4 violations." in text
    faults = "1,200 go killed, 3 rust killed"
    assert f"| random kills, seed `abc` | {faults} | 7 states, 1.5 load average | 2 |" in text
    assert "| kills | 1 | 2,400 go killed, 6 rust killed | 14 states | 4 |" in text
    assert "| death to start | 10 | 1.25 | 9.5 | 10 | `kill them all` |" in text
    assert "| it broke | luck | `make test` | 1234567 |" in text


def test_runs_add_up() -> None:
    total: dict[str, object] = {}
    add_up(total, [REPORT])
    add_up(total, [REPORT, REPORT])
    assert total == {
        "runs": 2,
        "violations": 6,
        "faults": {"go killed": 3600, "rust killed": 9},
        "counts": {"states": 21},
    }


def test_attacks_have_names_of_their_own() -> None:
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS)


def test_the_page_in_docs_is_generated() -> None:
    assert PAGE.read_text() == page(load())
