"""The same loads on the peers, in the same run: only ratios of one run mean something."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bench.peers import PEERS, Peer, drive
from bench.scale import Scale
from hybridrt.cli.load import DISK_DIRECTORY

TIMEOUT_S = 300


@pytest.fixture(params=PEERS)
def peer(request: pytest.FixtureRequest, skip_peer: Any) -> Peer:
    """Give each peer; one that is not installed is named and skipped."""
    found = PEERS[request.param]
    if missing := found.missing():
        skip_peer(found.name, missing)
    return found


@contextmanager
def serving(peer: Peer) -> Iterator[Any]:
    """Start a peer with a directory of its own, on the disk."""
    with (
        tempfile.TemporaryDirectory(prefix="hrt-peer-", dir=DISK_DIRECTORY) as home,
        peer.serving(Path(home)) as address,
    ):
        yield address


def about(peer: Peer) -> dict[str, str]:
    return {
        "system": peer.name,
        "version": peer.version(),
        "setup": peer.setup,
        "durability": peer.durability,
    }


@pytest.mark.timeout(TIMEOUT_S)
@pytest.mark.parametrize("size", [64, 1024])
def test_throughput(benchmark: Any, note: Any, scale: Scale, peer: Peer, size: int) -> None:
    """Flat out from one process to another: jobs taken a second."""
    runs: list[dict[str, Any]] = []
    with serving(peer) as address:
        arguments = (peer, address, size, scale.throughput_s, scale.throughput_jobs)
        benchmark.pedantic(lambda: runs.append(drive.throughput(*arguments)), rounds=scale.rounds)
    command = f"make bench BENCH='-k \"throughput and {peer.key}\"'"
    rates = [run["jobs_per_second"] for run in runs]
    note("throughput", size=size, command=command, jobs_per_second=rates, **about(peer))


@pytest.mark.timeout(TIMEOUT_S)
def test_latency(benchmark: Any, note: Any, scale: Scale, peer: Peer) -> None:
    """At a pace that leaves the machine idle: from the send until it was taken."""
    if not peer.latency:
        pytest.skip(f"{peer.name} wakes nobody: a receiver would poll")
    with serving(peer) as address:
        arguments = (peer, address, 64, scale.rate, scale.latency_jobs)
        spans = benchmark.pedantic(drive.latency, args=arguments, rounds=1)
    command = f"make bench BENCH='-k \"latency and {peer.key}\"'"
    note("latency", size=64, command=command, latency=spans, **about(peer))
