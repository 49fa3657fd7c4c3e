"""One connected standby, as the supervisor sees it: what is told and heard, in order."""

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence

from hybridrt import handover
from hybridrt.errors import HybridrtError
from hybridrt.handover import AnyMessage, Message
from hybridrt.logs import get_logger

log = get_logger("standby")

OUTBOX_MAX = 4096  # messages that a standby has not read yet; one that is so far behind is dropped


class Heir:
    """A connection to a standby. `gone` is called once, when it ends for whatever reason."""

    def __init__(
        self,
        connection: socket.socket,
        pidfd: int,
        heard: Callable[["Heir", AnyMessage], None],
        gone: Callable[["Heir"], None],
    ) -> None:
        """Own the connection and the pidfd of the process at its other end."""
        self.pid = 0
        self.pidfd = pidfd
        self.welcome = False  # it was let in: it gets every change from now on
        self.ready = False
        self.upgrade = False  # started to be handed over to
        self.sequence = 0
        self.behind = 0
        self._connection = connection
        self._heard = heard
        self._gone = gone
        self._outbox: deque[tuple[bytes, list[int]]] = deque()
        self._loop = asyncio.get_running_loop()
        self.heard_at = self._loop.time()
        connection.setblocking(False)
        self._loop.add_reader(connection.fileno(), self._read)

    def tell(self, message: Message, fds: Sequence[int] = ()) -> None:
        """Send a message; the descriptors stay the caller's."""
        if self.pidfd < 0:
            return
        data = handover.encode(message)
        try:
            if not self._outbox:
                handover.send(self._connection, data, fds)
                return
        except BlockingIOError:
            self._loop.add_writer(self._connection.fileno(), self._flush)
        except OSError as error:
            self._end(str(error))
            return
        self._outbox.append((data, [os.dup(fd) for fd in fds]))
        if len(self._outbox) > OUTBOX_MAX:
            self._end("it does not read what it is told")

    def _flush(self) -> None:
        try:
            while self._outbox:
                data, fds = self._outbox[0]
                handover.send(self._connection, data, fds)
                self._outbox.popleft()
                close_all(fds)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(str(error))
            return
        self._loop.remove_writer(self._connection.fileno())

    def hear(self) -> None:
        """Take all that it has said up to now."""
        while self.pidfd >= 0 and self._read():
            pass

    def _read(self) -> bool:
        """Take one message; False: there is none, or there will be none any more."""
        try:
            data, fds = handover.receive(self._connection)
            close_all(fds)  # a standby has nothing to give
            message = handover.decode(data) if data else None
        except BlockingIOError:
            return False
        except (OSError, HybridrtError) as error:
            self._end(str(error))
            return False
        if not data:
            self._end("")
            return False
        if message is not None:
            self.heard_at = self._loop.time()
            self._heard(self, message)
        return True

    def _end(self, reason: str) -> None:
        if reason:
            log.warning("the connection to a standby broke", pid=self.pid, err=reason)
        if self.pidfd >= 0:
            self._gone(self)
        self.close()

    def close(self) -> None:
        """Hang up; `gone` is not called any more."""
        if self.pidfd < 0:
            return
        os.close(self.pidfd)
        self.pidfd = -1
        self._loop.remove_reader(self._connection.fileno())
        self._loop.remove_writer(self._connection.fileno())
        self._connection.close()
        for _, fds in self._outbox:
            close_all(fds)
        self._outbox.clear()


def close_all(fds: Sequence[int]) -> None:
    """Close descriptors."""
    for fd in fds:
        os.close(fd)
