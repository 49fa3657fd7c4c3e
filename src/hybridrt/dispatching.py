"""The C runtime as the configuration wants it, and the thread of its dispatch loop."""

import threading
from typing import Any

from hybridrt import configfile
from hybridrt.config import SEGMENTS_MIN, Config, QueueConfig
from hybridrt.errors import HybridrtError
from hybridrt.logs import get_logger
from hybridrt.names import Durability, Order
from hybridrt.native import Runtime, RuntimeOptions
from hybridrt.units import to_milliseconds, to_nanoseconds

log = get_logger("supervisor")


def runtime_options(config: Config) -> RuntimeOptions:
    """Return the options of the C library that a configuration stands for."""
    settings = config.log
    return RuntimeOptions(
        directory=str(configfile.log_directory(config).absolute()),
        segment_bytes=settings.segment_size,
        segments_min=settings.history // settings.segment_size + SEGMENTS_MIN,
        segments_max=settings.max_size // settings.segment_size,
        async_ns=to_nanoseconds(settings.async_interval),
        checkpoint_ns=to_nanoseconds(settings.checkpoint_interval),
        checkpoint_records=settings.checkpoint_records,
        snapshot=settings.snapshot,
        snapshot_bytes=settings.snapshot_every,
        lease_ns=to_nanoseconds(config.runtime.lease),
        cancel_grace_ns=to_nanoseconds(config.runtime.cancel_grace),
    )


def declare(runtime: Runtime, config: Config) -> None:
    """Declare the queues and kinds of a configuration; what is known already changes nothing."""
    for queue in config.queues:
        runtime.queue(_queue_settings(queue))
    for kind in config.kind_names():
        runtime.kind(kind)


def _queue_settings(queue: QueueConfig) -> dict[str, Any]:
    """Return the fields of hrt_queue_settings for a queue of the configuration."""
    return {
        "name": queue.name,
        "weight": queue.weight,
        "max_jobs": queue.max_jobs,
        "retain_max": queue.retain,
        "retry_base_ms": to_milliseconds(queue.retry_base),
        "retry_cap_ms": to_milliseconds(queue.retry_cap),
        "max_running": queue.max_running,
        "durability": Durability[queue.durability.upper()],
        "order": Order[queue.order.upper()],
        "max_attempts": queue.max_attempts,
        "timeout_ms": to_milliseconds(queue.timeout),
        "result_ttl_ms": to_milliseconds(queue.result_ttl),
        "max_crashes": queue.max_crashes,
    }


class DispatchThread(threading.Thread):
    """Dispatches from `start` until the runtime is told to stop, in one call without the GIL."""

    def __init__(self, runtime: Runtime) -> None:
        """Describe the thread; `runtime` stays open until it has ended."""
        super().__init__(name="hybridrt-dispatch", daemon=True)
        runtime.hold(0)  # until hybridrt.upkeep says which segments are still to be copied
        self._runtime = runtime

    def run(self) -> None:
        """Run the dispatch loop; its failure is told by a FAILED event."""
        try:
            self._runtime.run()
        except HybridrtError as error:
            log.critical("the dispatch loop ended", err=str(error))
