"""The attach socket: processes that were not spawned here ask for a lane and get descriptors.

An AF_UNIX SOCK_SEQPACKET socket in the 0700 runtime directory. A peer sends one hello; the C
library judges it (magic, version, user) and the answer goes back with the lane's descriptors.
"""

import asyncio
import errno
import os
import signal
import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from hybridrt import pidfds
from hybridrt.errors import HybridrtError
from hybridrt.logs import get_logger
from hybridrt.native import Runtime, status_text, struct_size

if TYPE_CHECKING:
    from hybridrt.succession import Succession

log = get_logger("attach")

BACKLOG = 64
HELLO_SECONDS_MAX = 5.0
PEERS_MAX = 64  # connections that have not said hello yet
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid
SO_PEERPIDFD = 77  # Linux 6.5; the socket module does not know it yet


def peer_pidfd(peer: socket.socket, pid: int) -> int:
    """Return a pidfd of the process that connected, also when its pid names another one by now.

    Before Linux 6.5 it is that of whoever has the pid, which may be too late by a moment.
    """
    try:
        return peer.getsockopt(socket.SOL_SOCKET, SO_PEERPIDFD)
    except OSError as error:
        if error.errno != errno.ENOPROTOOPT:
            raise
        return os.pidfd_open(pid)


def peer_credentials(peer: socket.socket) -> tuple[int, int]:
    """Return process and user of who connected."""
    raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _gid = _CREDENTIALS.unpack(raw)
    return pid, uid


def listen(path: Path) -> socket.socket:
    """Return a socket that listens at `path`, which must not exist."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listening.setblocking(False)
    listening.bind(str(path))
    listening.listen(BACKLOG)
    return listening


class Listener:
    """Admits peers, and watches the processes of those it admitted."""

    def __init__(
        self, runtime: Runtime, listening: socket.socket, path: Path, succession: "Succession"
    ) -> None:
        """Own the socket `listening` at `path`; needs a running event loop."""
        self._runtime = runtime
        self._path = path
        self._succession = succession
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[socket.socket, asyncio.TimerHandle] = {}
        self.peers: dict[int, int] = {}  # incarnation to pidfd
        self._socket = listening
        self._loop.add_reader(listening.fileno(), self._accept)

    def fileno(self) -> int:
        """Return the descriptor of the socket."""
        return self._socket.fileno()

    def freeze(self) -> None:
        """Let who connects wait, until `thaw`: another supervisor may go on with the socket."""
        self._loop.remove_reader(self._socket.fileno())
        for peer in list(self._waiting):
            self._drop(peer)

    def thaw(self, runtime: Runtime) -> None:
        """Admit peers again."""
        self._runtime = runtime
        self._loop.add_reader(self._socket.fileno(), self._accept)

    def close(self, *, keep_path: bool = False) -> None:
        """Stop listening; admitted peers keep their lanes. `keep_path`: it is another's too."""
        self.freeze()
        self._socket.close()
        if not keep_path:
            self._path.unlink(missing_ok=True)
        for incarnation in list(self.peers):
            self._forget(incarnation)

    def kill(self, incarnation: int, number: signal.Signals) -> bool:
        """Send a signal to the process of an admitted peer; False when it is not known."""
        process = self.peers.get(incarnation)
        if process is None:
            return False
        if not pidfds.send(process, number):
            log.debug("the process is gone already", incarnation=incarnation)
        return True

    def _accept(self) -> None:
        try:
            peer, _ = self._socket.accept()
        except OSError as error:
            log.warning("cannot accept a peer", err=str(error))
            return
        if len(self._waiting) >= PEERS_MAX:
            log.warning("too many peers connect without a word, dropping one")
            peer.close()
            return
        peer.setblocking(False)
        self._waiting[peer] = self._loop.call_later(HELLO_SECONDS_MAX, self._drop, peer)
        self._loop.add_reader(peer.fileno(), self._hello, peer)

    def _drop(self, peer: socket.socket) -> None:
        self._waiting.pop(peer).cancel()
        self._loop.remove_reader(peer.fileno())
        peer.close()

    def _hello(self, peer: socket.socket) -> None:
        """Read the hello, answer it once, and hang up."""
        try:
            hello = peer.recv(struct_size("hrt_hello") + 1)
            if hello:
                self._answer(peer, hello)
        except (OSError, HybridrtError) as error:
            log.warning("a peer could not be admitted", err=str(error))
        finally:
            self._drop(peer)

    def _answer(self, peer: socket.socket, hello: bytes) -> None:
        pid, uid = peer_credentials(peer)
        pidfd = peer_pidfd(peer, pid)
        status, welcome, incarnation, fds = self._runtime.admit(hello, pid, uid)
        if status < 0:
            os.close(pidfd)
            log.warning("a peer was refused", pid=pid, uid=uid, err=status_text(status))
        else:
            self.watch(incarnation, pid, pidfd)
            self._succession.peer_admitted(incarnation, pid, pidfd)
        try:
            socket.send_fds(peer, [welcome], fds)
        except OSError:
            if status >= 0:
                self._forget(incarnation)
                self._runtime.lane_gone(incarnation, counted=False)
            raise
        finally:
            for fd in fds:
                os.close(fd)

    def watch(self, incarnation: int, pid: int, pidfd: int) -> None:
        """Watch the process of a peer; owns `pidfd`."""
        self.peers[incarnation] = pidfd
        self._loop.add_reader(pidfd, self._died, incarnation)
        log.info("peer attached", pid=pid, incarnation=incarnation)

    def _died(self, incarnation: int) -> None:
        self._forget(incarnation)
        try:
            self._runtime.lane_gone(incarnation, counted=True)
        except HybridrtError as error:
            log.warning("jobs stay leased until a restart", incarnation=incarnation, err=str(error))

    def _forget(self, incarnation: int) -> None:
        pidfd = self.peers.pop(incarnation)
        self._succession.lane_ended(incarnation)
        self._loop.remove_reader(pidfd)
        os.close(pidfd)

    def detached(self, incarnation: int) -> None:
        """Stop watching a peer that left on purpose."""
        if incarnation in self.peers:
            self._forget(incarnation)
