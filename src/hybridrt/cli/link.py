"""One request to the supervisor over its control socket, and its reply.

Apart from hybridrt.client, because that loads asyncio and the C library, which a command needs not.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any

from hybridrt.errors import (
    InvalidArgumentError,
    PermissionDeniedError,
    ProtocolError,
    TimedOutError,
    UnreachableError,
)

if TYPE_CHECKING:
    from pathlib import Path

POLL_MS_MAX = 2**31 - 1  # of poll(2): 24 days


def ask(runtime_dir: Path, verb: str, body: dict[str, Any], timeout_s: float) -> dict[str, Any]:
    """Send `verb` and return the reply; raise what the supervisor refuses with."""
    address = runtime_dir / "control.sock"
    _probe(address)
    import zmq

    from hybridrt.messages import RECONNECT_MILLISECONDS, decode_reply, encode_request

    request_id = os.urandom(8)
    try:
        request = encode_request(request_id, verb, body)
    except UnicodeEncodeError as err:
        raise InvalidArgumentError(
            f"{err.object!r} is not UTF-8", "look at the locale, or name bytes in another way"
        ) from err
    context = zmq.Context()
    try:
        dealer = context.socket(zmq.DEALER)
        dealer.linger = 0
        dealer.reconnect_ivl = RECONNECT_MILLISECONDS
        dealer.connect(f"ipc://{address}")
        dealer.send_multipart(request)
        hang_up = dealer.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        poller = zmq.Poller()
        poller.register(dealer, zmq.POLLIN)
        poller.register(hang_up, zmq.POLLIN)
        ready = dict(poller.poll(min(int(timeout_s * 1000), POLL_MS_MAX)))
        if hang_up in ready and not dealer.poll(0):
            raise UnreachableError(
                f"the supervisor at {address} ended before it answered {verb}",
                "It may have done it. See what `hybridrt status` says, then ask again.",
            )
        if not ready:
            raise TimedOutError(
                f"the supervisor at {address} did not answer {verb} within {timeout_s:g} s",
                "It may be busy or stopped: look at its output, or give --timeout more.",
            )
        frames = dealer.recv_multipart()
    finally:
        context.destroy(linger=0)
    reply = decode_reply(frames)
    if frames[1] != request_id or not isinstance(reply, dict):
        message = "the supervisor's reply belongs to no request of this command"
        raise ProtocolError(message)
    return reply


def _probe(address: Path) -> None:
    """Find out why nobody would answer: ZeroMQ itself would wait for ever without a word."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.connect(str(address))
    except FileNotFoundError:
        reason = "there is no such socket"
    except ConnectionRefusedError:
        reason = "the socket is left over, its supervisor is gone"
    except PermissionError as err:
        raise PermissionDeniedError(
            f"may not connect to {address}: {err.strerror}",
            "Run the command as the user of the supervisor.",
        ) from err
    except OSError as err:
        reason = err.strerror or str(err)
    else:
        return
    raise UnreachableError(
        f"cannot reach a supervisor at {address}: {reason}",
        "Start one with `hybridrt run`, or name its directory with --runtime-dir.",
    )
