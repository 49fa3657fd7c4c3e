"""What a supervisor does for its log besides writing it: archive, scrub, back up."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hybridrt.config import Config
from hybridrt.errors import from_os_error
from hybridrt.holds import Holds
from hybridrt.native import Runtime
from hybridrt.scrub import Scrubber

BACKUP_SYNC_S = 60.0
Publish = Callable[[str, dict[str, Any]], None]


class Upkeep:
    """The archiver and the scrubber of one runtime."""

    def __init__(
        self, config: Config, directory: Path, runtime: Runtime, holds: Holds, publish: Publish
    ) -> None:
        """Describe the work; call it in the event loop that `publish` belongs to."""
        loop = asyncio.get_running_loop()
        self._runtime = runtime
        self._directory = directory
        self._holds = holds
        self._archiver: Any = None
        self._scrubber: Scrubber | None = None

        def tell(topic: str, body: dict[str, Any]) -> None:
            loop.call_soon_threadsafe(publish, topic, body)

        if config.archive.directory:
            from hybridrt.archive import Archiver  # imports zstandard, which few need

            self._archiver = Archiver(config.archive, directory, runtime, self._holds, tell)
        if config.scrub.rate:
            self._scrubber = Scrubber(config.scrub, directory, self._counters, tell)

    def start(self) -> None:
        """Begin; from here segments that nobody needs may be used again."""
        self._holds.tell()
        for chore in self._chores():
            chore.start()

    async def close(self) -> None:
        """Stop both; the runtime may end afterwards."""
        await asyncio.gather(*(asyncio.to_thread(chore.close) for chore in self._chores()))

    def describe(self) -> dict[str, Any]:
        """Say how far both are."""
        return {
            "archive": self._archiver.describe() if self._archiver else None,
            "scrub": self._scrubber.describe() if self._scrubber else None,
            "held": self._holds.lowest(),
        }

    def back_up(self, destination: Path) -> dict[str, Any]:
        """Copy the log up to what is durable now, while jobs run. Takes its time: use a thread."""
        from hybridrt.backup import back_up

        holder = f"backup {destination}"
        self._holds.set(holder, 0)
        try:
            self._runtime.sync(BACKUP_SYNC_S)
            return back_up(self._directory, destination, self._counters()["log_durable"])
        except OSError as error:
            raise from_os_error(error) from error
        finally:
            self._holds.clear(holder)

    def _chores(self) -> list[Any]:
        return [chore for chore in (self._archiver, self._scrubber) if chore is not None]

    def _counters(self) -> dict[str, Any]:
        return self._runtime.page.runtime_counters()
