"""Work that goes on in rounds beside everything else: a thread of its own, at a low priority."""

import contextlib
import os
import threading
from collections.abc import Callable

from hybridrt.errors import from_os_error
from hybridrt.logs import get_logger

log = get_logger("chore")

NICENESS = 10
RETRY_S = 1.0  # after a round that failed


class Chore:
    """Calls `round_` again and again; it returns the seconds until the next time."""

    def __init__(
        self, name: str, round_: Callable[[], float], failed: Callable[[str], None]
    ) -> None:
        """Describe the work; `failed` is told when a round raised an error."""
        self._round = round_
        self._failed = failed
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"hybridrt-{name}", daemon=True)

    def start(self) -> None:
        """Begin with the first round."""
        self._thread.start()

    def close(self) -> None:
        """Wait for the end of the round at hand; rounds that `rest` end early."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def rest(self, seconds: float) -> bool:
        """Sleep within a round; say whether to go on."""
        return not self._stop.wait(seconds)

    def _run(self) -> None:
        with contextlib.suppress(OSError):  # of this thread only
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        pause = 0.0
        while not self._stop.wait(pause):
            pause = self._try()

    def _try(self) -> float:
        try:
            return self._round()
        except OSError as error:
            self._failed(from_os_error(error).message)
        except Exception as error:  # noqa: BLE001 - it is told, and tried again
            self._failed(str(error))
        return RETRY_S
