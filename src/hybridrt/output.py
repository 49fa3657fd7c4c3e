"""What a worker prints, line by line: JSON lines pass through, other text is wrapped."""

import asyncio
import os
from collections import deque
from typing import Any

import msgspec

from hybridrt.logs import pass_through

LINE_BYTES_MAX = 65_536  # a longer line is logged in pieces
READ_BYTES = 65_536
LAST_LINES = 20  # kept to explain a failed start


class Output:
    """One pipe of one worker; reads without blocking, ends at the end of the pipe."""

    def __init__(self, fd: int, stream: str, last: deque[str]) -> None:
        """Own `fd`; the text of its lines goes to `last`."""
        self.stream = stream
        self.fd = fd  # -1: closed
        self._logger: Any = None
        self._last = last
        self._rest = b""
        self._loop = asyncio.get_running_loop()
        os.set_blocking(fd, False)

    def start(self, logger: Any) -> None:
        """Begin to read; lines go to `logger`."""
        self._logger = logger
        self._loop.add_reader(self.fd, self._read_once)

    def pause(self) -> None:
        """Leave what comes in the pipe, until `resume`."""
        if self.fd >= 0:
            self._loop.remove_reader(self.fd)

    def resume(self) -> None:
        """Read on."""
        if self.fd >= 0:
            self._loop.add_reader(self.fd, self._read_once)

    def _read_once(self) -> bool:
        """Take what is there; False at the end of the pipe, or when nothing is there."""
        try:
            data = os.read(self.fd, READ_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self.close()
            return False
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LINE_BYTES_MAX:
            lines.append(self._rest)
            self._rest = b""
        for line in lines:
            self._emit(line)
        return True

    def finish(self) -> None:
        """Take what the dead worker left in the pipe, then close it."""
        while self.fd >= 0 and self._read_once():
            pass
        self.close()

    def close(self) -> None:
        """Log the unfinished line and close the pipe."""
        fd, self.fd = self.fd, -1
        if fd < 0:
            return
        self._loop.remove_reader(fd)
        os.close(fd)
        if self._rest:
            self._emit(self._rest)

    def _emit(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip("\r")
        if not text:
            return
        self._last.append(text)
        if text.startswith("{"):
            try:
                fields = msgspec.json.decode(line, type=dict[str, Any])
            except msgspec.DecodeError:
                fields = None
            if fields is not None:
                pass_through(self._logger, fields, {"stream": self.stream})
                return
        self._logger.info(text, stream=self.stream)
