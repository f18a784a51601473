"""Messages over a stream socket: one JSON object a line."""

from __future__ import annotations

import json
import socket
from typing import Any

Message = dict[str, Any]

_READ_BYTES = 65536


class Wire:
    """One end of a conversation that never blocks: what the socket does not take now is kept for the next `flush`."""

    def __init__(self, sock: socket.socket) -> None:
        """Take over `sock`."""
        sock.setblocking(False)
        self._socket = sock
        self._incoming = b""
        self._outgoing = b""
        self.closed = False
        """True if the other side has gone. Messages it sent before are still returned by `receive`."""

    def fileno(self) -> int:
        """Return a descriptor that is readable when there is something to receive."""
        return self._socket.fileno()

    def send(self, message: Message) -> None:
        """Send `message`, now or with a later `flush`. To a side that has gone it is not sent."""
        self._outgoing += json.dumps(message).encode() + b"\n"
        self.flush()

    def flush(self) -> bool:
        """Send what is still to be sent. Returns whether nothing is left."""
        try:
            while self._outgoing and not self.closed:
                self._outgoing = self._outgoing[self._socket.send(self._outgoing) :]
        except BlockingIOError:
            return False
        except (BrokenPipeError, ConnectionResetError):
            self._outgoing = b""  # `receive` will come to the end of the stream and say so
        return True

    def receive(self) -> list[Message]:
        """Return the messages that have arrived, and notice whether the other side has gone."""
        while not self.closed:
            try:
                piece = self._socket.recv(_READ_BYTES)
            except BlockingIOError:
                break
            except ConnectionResetError:
                piece = b""
            self.closed = not piece
            self._incoming += piece
        *lines, self._incoming = self._incoming.split(b"\n")
        return [json.loads(line) for line in lines]

    def close(self) -> None:
        """Close this end."""
        self._socket.close()
