"""The configurations of a journey: small logs that are often full, changed again and again."""

import random
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.attacks.programs import ROOT
from tests.conftest import to_toml

KIB = 1024
SIZES = tuple(size * KIB for size in (256, 320, 512, 1024, 2048))
DURABILITIES = {"async": "async", "memory": "memory"}
OPTIONAL_QUEUES = ("block", "skip", "async", "memory", "kept")
NEVER_LAST = 60_000
LEASE = "2s"
HANG_TIMEOUT = "1s"


@dataclass
class Settings:
    """What the configuration file says just now."""

    directory: Path  # of the journey
    era: int = 0
    standby: bool = False
    snapshot: bool = False
    archive: bool = False
    proof: bool = False
    max_size: int = SIZES[-1]
    queues: dict[str, dict[str, Any]] = field(default_factory=dict)
    pools: dict[str, int] = field(default_factory=dict)

    @property
    def log(self) -> Path:
        """Return the directory of this era's log."""
        return self.directory / f"log{self.era}"

    @property
    def archived(self) -> Path:
        """Return the archive, one for all eras."""
        return self.directory / "archive"

    @property
    def proven(self) -> Path:
        """Return the directory of this era's proof."""
        return self.directory / f"proof{self.era}"

    def vary(self, choose: random.Random) -> None:
        """Change some of it."""
        self.standby = choose.random() < 0.5
        self.snapshot = choose.random() < 0.5
        self.max_size = choose.choice(SIZES)
        self.vary_queues(choose)
        self.vary_pools(choose)

    def vary_queues(self, choose: random.Random) -> None:
        """Choose which queues there are, and what they say."""
        names = ["default", *(name for name in OPTIONAL_QUEUES if choose.random() < 0.8)]
        self.queues = {name: queue(name, choose) for name in names}

    def vary_pools(self, choose: random.Random) -> None:
        """Choose how many workers there are of each sort."""
        self.pools = {
            "python": choose.randint(0, 2),
            "go": choose.randint(0, 1),
            "c": choose.randint(0, 1),
        }

    def be_generous(self) -> None:
        """Say what lets everything come to its end."""
        choose = random.Random(0)
        self.queues = {name: queue(name, choose) for name in ("default", *OPTIONAL_QUEUES)}
        for table in self.queues.values():
            table |= {"max_jobs": 0, "max_running": 0, "result_ttl": 0}
        self.pools = {"python": 2, "go": 1, "c": 1}
        self.max_size = SIZES[-1]

    def write(self, path: Path) -> None:
        """Write the file."""
        log = {"directory": str(self.log), "segment_size": 64 * KIB, "max_size": self.max_size}
        tables: dict[str, Any] = {
            "log": {**log, "snapshot": self.snapshot, "snapshot_every": 128 * KIB},
            "runtime": {
                "directory": str(self.directory / "run"),
                "standby": self.standby,
                "lease": LEASE,
                "hang_timeout": HANG_TIMEOUT,
                "cancel_grace": "500ms",
                "drain_timeout": "5s",
                "log_format": "json",
            },
            "queue": list(self.queues.values()),
            "pool": [self._pool(name) for name in self.pools],
            "kind": [{"name": "journey.step"}, {"name": "conf.echo"}, {"name": "conf.follow"}],
        }
        if self.archive:
            tables["archive"] = {"directory": str(self.archived)}
        if self.proof:
            key = str(self.directory / "key")
            tables["proof"] = {"directory": str(self.proven), "key": key, "interval": "200ms"}
        path.write_text(to_toml(tables))

    def _pool(self, name: str) -> dict[str, Any]:
        program = str(ROOT / "build" / "bin" / f"conformance-{name}")
        python = [sys.executable, "-m", "tests.attacks.journey_worker"]
        return {
            "name": name,
            "command": python if name == "python" else [program, "-concurrency", "2"],
            "workers": self.pools[name],
            "cwd": str(ROOT),
            "env": {
                "JOURNEY_ERA": str(self.era),
                "JOURNEY_NOTES": str(self.directory / "notes"),
            },
            "required": False,
            "restart_backoff": "10ms",
            "restart_backoff_max": "200ms",
            "crash_limit": 65_535,
        }


def queue(name: str, choose: random.Random) -> dict[str, Any]:
    """Return the table of a queue; what says how its jobs may end never changes."""
    return {
        "name": name,
        "durability": DURABILITIES.get(name, "sync"),
        "order": "skip" if name == "skip" else "block",
        "max_attempts": NEVER_LAST,
        "max_crashes": 255,
        "retry_base": "10ms",
        "retry_cap": "200ms",
        "weight": choose.choice((1, 10, 100)),
        "max_jobs": choose.choice((0, 20, 200)),
        "max_running": choose.choice((0, 0, 3)),
        "result_ttl": choose.choice((0, "100ms", "1m")),
        "retain": choose.choice((10, 10_000)),
    }
