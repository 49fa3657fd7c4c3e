"""The thread of the dispatch loop: one call into C that does not return, without the GIL."""

import threading

from hybridrt.errors import HybridrtError
from hybridrt.logs import get_logger
from hybridrt.native import Runtime

log = get_logger("supervisor")


class DispatchThread(threading.Thread):
    """Dispatches from `start` until the runtime is told to stop."""

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
