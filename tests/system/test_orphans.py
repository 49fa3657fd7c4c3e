"""A worker outlives its supervisor, and a new one is started: real processes, real signals."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hybridrt
from hybridrt.segments import Catalog

WORKER = Path(__file__).parent / "orphan_worker.py"
DEADLINE_S = 30
SEGMENT = 65536
FILES = 16
PAYLOAD = os.urandom(5000)


def tables(instance: Any) -> dict[str, Any]:
    return {
        "log": {"segment_size": f"{SEGMENT // 1024}KiB", "max_size": f"{FILES * SEGMENT}B"},
        "queue": [{"name": "default", "result_ttl": 0}],
        "pool": [instance.python_pool()],
    }


def turn_round(instance: Any, laps: int) -> None:
    """Run jobs until the log has begun as many segments as it can have files, `laps` times."""
    end = Catalog.settled(instance.log_directory).head + laps * FILES
    with hybridrt.connect(instance.directory) as client:
        while Catalog.settled(instance.log_directory).head < end:
            client.enqueue_many("echo", [os.urandom(4000)] * 20)
            client.enqueue("echo", b"", result_ttl="1s").result(DEADLINE_S)


def files_of(instance: Any) -> set[str]:
    return {path.name for path in instance.log_directory.glob("*.seg")}


def workers_of(kind: str, instance: Any) -> int:
    kinds = instance.call("stats")["kinds"]
    return sum(int(known["workers"]) for known in kinds if known["name"] == kind)


def test_an_orphan_reads_its_payload_however_often_the_log_goes_round(
    instance: Any, tmp_path: Path, await_condition: Callable[..., Any]
) -> None:
    first = instance.run(**tables(instance))
    read = tmp_path / "read"
    read.mkdir()
    socket = str(instance.directory / "attach.sock")
    orphan = instance.spawn(sys.executable, str(WORKER), socket, str(read))
    await_condition(lambda: workers_of("hold", instance) == 1, "it has registered")
    with hybridrt.connect(instance.directory) as client:
        job = client.enqueue("hold", PAYLOAD).id
    await_condition((read / "0").exists, "the handler has read its payload")
    first.send_signal(signal.SIGKILL)
    first.wait()

    instance.run(**tables(instance))
    turn_round(instance, 4)
    orphan.send_signal(signal.SIGUSR1)
    await_condition((read / "1").exists, "the handler has read it again")
    assert (read / "0").read_bytes() == (read / "1").read_bytes() == PAYLOAD
    assert len(files_of(instance)) <= FILES

    orphan.kill()
    orphan.wait()
    turn_round(instance, 2)
    settled = files_of(instance)
    turn_round(instance, 2)
    assert settled <= files_of(instance)  # files are used again, as ever
    assert instance.call("job.show", id=job)["state"] == "ready"  # taken back, and not lost
