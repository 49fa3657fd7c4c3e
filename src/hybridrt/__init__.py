"""Background jobs on one machine in Go, Rust and Python, with no broker.

Names are imported when they are first used, so that ``import hybridrt`` stays cheap.
"""

from importlib import import_module
from importlib.metadata import version as _installed_version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hybridrt.client import AsyncClient, Client, aconnect, connect
    from hybridrt.config import Config
    from hybridrt.errors import HybridrtError
    from hybridrt.jobs import JobHandle, JobInfo
    from hybridrt.names import Durability, JobState, Order
    from hybridrt.outcomes import Dead, Discard, HandBack, NonRetryableError, Ok, Retry, Snooze
    from hybridrt.supervisor import Supervisor
    from hybridrt.worker import Job, Stopped, Worker

_HOMES = {
    "AsyncClient": "client",
    "Client": "client",
    "Config": "config",
    "Dead": "outcomes",
    "Discard": "outcomes",
    "Durability": "names",
    "HandBack": "outcomes",
    "HybridrtError": "errors",
    "Job": "worker",
    "JobHandle": "jobs",
    "JobInfo": "jobs",
    "JobState": "names",
    "NonRetryableError": "outcomes",
    "Ok": "outcomes",
    "Order": "names",
    "Retry": "outcomes",
    "Snooze": "outcomes",
    "Stopped": "worker",
    "Supervisor": "supervisor",
    "Worker": "worker",
    "aconnect": "client",
    "connect": "client",
}

__all__ = [
    "AsyncClient",
    "Client",
    "Config",
    "Dead",
    "Discard",
    "Durability",
    "HandBack",
    "HybridrtError",
    "Job",
    "JobHandle",
    "JobInfo",
    "JobState",
    "NonRetryableError",
    "Ok",
    "Order",
    "Retry",
    "Snooze",
    "Stopped",
    "Supervisor",
    "Worker",
    "aconnect",
    "connect",
]


def __getattr__(name: str) -> Any:
    """Import the module that holds `name`."""
    if name == "__version__":
        return _installed_version("hybridrt")
    if name not in _HOMES:
        raise AttributeError(f"module 'hybridrt' has no attribute {name!r}")
    return getattr(import_module(f"hybridrt.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """List the public names."""
    return [*__all__, "__version__"]
