"""Several holders, one number for the runtime."""

from hybridrt.holds import NOTHING, Holds


def test_the_lowest_segment_counts() -> None:
    told: list[int] = []
    holds = Holds(told.append)
    assert holds.lowest() is None
    holds.set("archive", 7)
    holds.set("proof", 3)
    holds.set("proof", 9)
    assert holds.lowest() == 7
    holds.clear("archive")
    holds.clear("archive")
    holds.clear("proof")
    assert told == [7, 3, 7, 9, 9, NOTHING]
