"""When a worker that exited is started again. Pure: takes the time, keeps no clock."""

from collections import deque
from dataclasses import dataclass, field

from hybridrt.config import PoolConfig

DOUBLINGS_MAX = 20  # enough for any ratio of backoff_max to backoff


@dataclass(slots=True)
class Restarts:
    """The recent exits of one pool, and what follows from them."""

    exits: deque[float] = field(default_factory=deque)
    quick: int = 0  # exits in a row of workers that lived less than the window

    def after_exit(self, pool: PoolConfig, now: float, lived: float) -> float | None:
        """Return seconds until the restart, or None when the pool is in a crash loop."""
        self.quick = 1 if lived >= pool.crash_window else self.quick + 1
        self.exits.append(now)
        while self.exits[0] <= now - pool.crash_window:
            self.exits.popleft()
        if len(self.exits) > pool.crash_limit:
            return None
        doublings = min(self.quick - 1, DOUBLINGS_MAX)
        return float(min(pool.restart_backoff_max, pool.restart_backoff * 2**doublings))

    def forgive(self) -> None:
        """Forget the past: an operator says that the cause is mended."""
        self.exits.clear()
        self.quick = 0
