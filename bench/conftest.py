"""What the benchmarks share: their size, where results are noted, and the facts of the machine."""

from collections.abc import Callable
from typing import Any

import pytest

from bench import machine
from bench.scale import Scale, quick, scale


@pytest.fixture(name="scale", scope="session")
def _scale() -> Scale:
    """Give the sizes of this run."""
    return scale()


@pytest.fixture
def note(benchmark: Any) -> Callable[..., None]:
    """Give the function that puts figures beside the times of pytest-benchmark."""
    before = machine.load_average()

    def put(what: str, **figures: Any) -> None:
        benchmark.extra_info.update(what=what, load_average=before, **figures)

    return put


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: Any) -> None:  # noqa: ARG001 - the names are those of the hook
    """Replace what pytest-benchmark says of the machine: it names the host and the user's paths."""
    machine_info.clear()
    machine_info.update(machine.facts())
    machine_info["fdatasync_ns"] = machine.fdatasync_ns(scale().probes)
    machine_info["wake_ns"] = machine.wake_ns(scale().probes)
    machine_info["quick"] = quick()


def pytest_benchmark_update_json(config: pytest.Config, benchmarks: Any, output_json: Any) -> None:  # noqa: ARG001 - the names are those of the hook
    """Name the peers that were skipped, so that a table without them says why."""
    output_json.pop("commit_info", None)
    skipped = config.stash.get(SKIPPED, {})
    output_json["skipped"] = dict(sorted(skipped.items()))


SKIPPED = pytest.StashKey[dict[str, str]]()


@pytest.fixture
def skip_peer(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Give the function that skips a peer and keeps the reason for the report."""

    def skip(name: str, reason: str) -> None:
        request.config.stash.setdefault(SKIPPED, {})[name] = reason
        pytest.skip(reason)

    return skip
