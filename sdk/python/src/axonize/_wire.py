"""One TCP or TLS connection whose every operation ends at a deadline.

Sockets' own timeouts are per call; a peer that sends one byte a second would hold a caller for ever.
Here the deadline is absolute and set once per export.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from time import monotonic
from typing import Any

from ._config import Config


_PARTS_MAX = 64
"""Buffers of one system call; the least that systems promise is 16, Linux takes 1024."""


# struct timeval of 64-bit Unix; elsewhere sockets keep the time by the interpreter's own means.
_TIMEVAL = struct.Struct("ll") if sys.platform in ("linux", "darwin") and sys.maxsize > 1 << 32 else None


class WireError(Exception):
    """The connection failed. `cause` is a short fixed word for the one log line per cause."""

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause


class Wire:
    """A connected socket with an absolute deadline."""

    def __init__(self, config: Config, deadline: float) -> None:
        self.deadline = deadline
        self._armed = 0.0
        self._plain = not config.endpoint.tls
        endpoint = config.endpoint
        try:
            # As bytes: a str would make the first call import the idna codec, which a fork in that
            # moment would leave locked in the child.
            self._socket: Any = socket.create_connection(
                (endpoint.host.encode("ascii"), endpoint.port),  # type: ignore[arg-type]
                timeout=self._left(),
            )
        except OSError as error:
            raise WireError("connect", f"cannot connect to {endpoint.authority}: {error}") from error
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if endpoint.tls:
                self._secure(config)
        except OSError as error:
            self.close()
            raise WireError("tls", f"no TLS with {endpoint.authority}: {error}") from error

    def _secure(self, config: Config) -> None:
        import ssl

        context = ssl.create_default_context(cafile=config.ca_file)
        if config.endpoint.grpc:
            context.set_alpn_protocols(["h2"])
        self._socket.settimeout(self._left())
        self._socket = context.wrap_socket(self._socket, server_hostname=config.endpoint.host)

    def _left(self) -> float:
        left = self.deadline - monotonic()
        if left <= 0:
            raise WireError("timeout", "the server did not answer in time")
        return left

    def _arm(self) -> None:
        """Tells the socket how long it may wait; spares the system call while that is nearly the same."""
        left = self._left()
        if left <= self._armed <= left * 1.1:
            return
        if self._plain and _TIMEVAL is not None:
            # The kernel keeps the time: the interpreter would poll before every call.
            moment = _TIMEVAL.pack(int(left), int(left % 1 * 1e6) + 1)
            self._socket.settimeout(None)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, moment)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, moment)
        else:
            self._socket.settimeout(left)
        self._armed = left

    def send(self, parts: list[bytes | memoryview]) -> None:
        """Sends all of the parts, or raises WireError."""
        gather = getattr(self._socket, "sendmsg", None) if self._plain else None
        if gather is None:
            parts = [b"".join(parts)]
        try:
            while parts:
                self._arm()
                if gather is None:
                    sent = self._socket.send(memoryview(parts[0])[:262144])
                else:
                    sent = gather(parts[:_PARTS_MAX])
                parts = _after(parts, sent)
        except (TimeoutError, BlockingIOError) as error:
            raise WireError("timeout", "the server does not take data") from error
        except OSError as error:
            raise WireError("connection", f"the connection broke: {error}") from error

    def receive(self) -> bytes:
        """Waits for some bytes; empty at the end of the stream."""
        try:
            self._arm()
            data: bytes = self._socket.recv(65536)
            return data
        except (TimeoutError, BlockingIOError) as error:
            raise WireError("timeout", "the server did not answer in time") from error
        except OSError as error:
            raise WireError("connection", f"the connection broke: {error}") from error

    def receive_waiting(self) -> bytes | None:
        """What has arrived without waiting: None for nothing, empty for the end of the stream."""
        try:
            self._socket.settimeout(0)
            self._armed = 0.0
            data: bytes = self._socket.recv(65536)
            return data
        except OSError as error:
            # SSLWantReadError and BlockingIOError mean that nothing is there.
            return None if isinstance(error, BlockingIOError) or "WANT_READ" in repr(error) else b""

    def close(self) -> None:
        """Closes the connection; errors at that point tell nobody anything."""
        try:
            self._socket.close()
        except OSError:
            return

    def abandon(self) -> None:
        """In a forked child: gives the descriptor back without a word to the peer."""
        try:
            os.close(self._socket.detach())
        except OSError:
            return


def _after(parts: list[bytes | memoryview], sent: int) -> list[bytes | memoryview]:
    """What is left of the parts once `sent` bytes are gone."""
    for index, part in enumerate(parts):
        if sent < len(part):
            rest = memoryview(part)[sent:] if sent else part
            return [rest, *parts[index + 1 :]]
        sent -= len(part)
    return []
