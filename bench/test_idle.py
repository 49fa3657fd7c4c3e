"""Nothing to do: what do supervisor and workers cost?"""

import time
from pathlib import Path
from typing import Any

import psutil
import pytest

import hybridrt
from bench.scale import Scale
from bench.test_hybridrt import plan_of
from hybridrt.cli.load import KIND, QUEUE, directories, private_instance, worker_command

SETTLE_S = 2.0  # for what follows a start: first samples, allocator, journals


def cost(processes: list[psutil.Process]) -> dict[str, dict[str, int]]:
    """Return CPU time in ns and wake-ups of all threads of each process, from the scheduler."""
    return {" ".join(process.cmdline()[:2]): _cost(process.pid) for process in processes}


def _cost(pid: int) -> dict[str, int]:
    total = {"cpu_ns": 0, "wakes": 0}
    for task in Path(f"/proc/{pid}/task").iterdir():
        total["cpu_ns"] += int((task / "schedstat").read_text().split()[0])
        for line in (task / "status").read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches"):
                total["wakes"] += int(line.split()[1])
    return total


@pytest.mark.timeout(120)
@pytest.mark.parametrize("durability", ["memory", "sync"])
def test_idle(benchmark: Any, note: Any, scale: Scale, durability: str) -> None:
    """A supervisor, a worker in each language and a producer, all attached, for some seconds."""
    languages = ("c", "go", "rust")
    with directories(durability, None) as (home, log):
        plans = {name: plan_of(name, 64, durability, latency=False) for name in languages}
        pools = {name: worker_command(plan, home) for name, plan in plans.items()}
        with (
            private_instance(durability, pools, home, log) as instance,
            hybridrt.connect(instance.environment["HYBRIDRT_SOCKET"]) as client,
        ):
            client.enqueue_many(KIND, [b"warm"] * 1000, queue=QUEUE)
            time.sleep(SETTLE_S)
            supervisor = psutil.Process(instance.process.pid)
            family = [supervisor, *supervisor.children(recursive=True)]
            before = cost(family)
            benchmark.pedantic(time.sleep, args=(scale.idle_s,), rounds=1)
            after = cost(family)
    used = {
        Path(name.split()[0]).name: {key: after[name][key] - counts[key] for key in counts}
        for name, counts in before.items()
    }
    note(
        "idle",
        system="hybridrt",
        durability=durability,
        command="make bench BENCH='-k idle'",
        seconds=scale.idle_s,
        cpu_fraction=sum(one["cpu_ns"] for one in used.values()) / 1e9 / scale.idle_s,
        wakes_per_second=sum(one["wakes"] for one in used.values()) / scale.idle_s,
        processes=used,
    )
