"""What a standby hands to the supervisor that it becomes: a runtime that dispatches already."""

import socket
from dataclasses import dataclass

from hybridrt.config import Config
from hybridrt.dispatching import DispatchThread
from hybridrt.handover import Held, Taken, encode, send
from hybridrt.logs import get_logger
from hybridrt.native import Runtime

log = get_logger("estate")


@dataclass(slots=True)
class Estate:
    """A runtime taken over, and all that belongs to it. The supervisor owns it from its start."""

    runtime: Runtime
    dispatch: DispatchThread
    config: Config
    words: dict[str, str]  # of [runtime], from the command line of the first supervisor
    lock_fd: int
    listening: socket.socket
    held: list[Held]
    cause: str
    duration_ns: int  # from the decision until the dispatch loop ran
    death_ns: int  # of that, until the kernel had let go of the dead process
    upgraded_from: socket.socket | None = None  # who waits to hear that all went well

    def confirm(self) -> None:
        """Tell a predecessor that waits that it may leave."""
        connection, self.upgraded_from = self.upgraded_from, None
        if connection is None:
            return
        epoch = self.runtime.page.runtime_counters()["epoch"]
        try:
            send(connection, encode(Taken(epoch=epoch)))
        except OSError as error:
            log.warning("the predecessor is gone already", err=str(error))
        connection.close()
