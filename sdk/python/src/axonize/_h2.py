"""HTTP/2 (RFC 9113), client side, one request at a time, without any I/O: bytes in, bytes out.

As much as unary gRPC needs: SETTINGS, flow control in both directions, HEADERS with CONTINUATION,
DATA, PING, RST_STREAM, GOAWAY. Anything a peer may not send raises ProtocolError; the caller closes
the connection then. Sizes that a peer can choose are bounded.
"""

from __future__ import annotations

import struct

from . import _hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME_BYTES_MAX = 16384
"""We announce no larger frames than the protocol's minimum."""
BODY_BYTES_MAX = 1 << 20
"""Answers are a few bytes; a peer that sends a mebibyte speaks something else."""
ANSWERS_MAX = 65536
"""Acknowledgements of 13 to 17 bytes that wait while a peer does not read: 6 MB with their objects."""
_WINDOW_STEP = 16384
_KNOWN_BLOCKS_MAX, _KNOWN_BLOCK_BYTES_MAX = 16, 1024
_WINDOW_MAX = (1 << 31) - 1

_DATA, _HEADERS, _RST, _SETTINGS, _PUSH, _PING, _GOAWAY, _WINDOW, _CONTINUATION = (
    0, 1, 3, 4, 5, 6, 7, 8, 9,
)  # fmt: skip
_END_STREAM, _END_HEADERS, _PADDED, _PRIORITY, _ACK = 0x1, 0x4, 0x8, 0x20, 0x1


class ProtocolError(Exception):
    """The peer broke the protocol; the connection is of no use any more."""


class StreamRefused(Exception):
    """The peer ended the request without an answer; it may be sent again on another connection."""


class Response:
    """What came back for one request; `done` once the stream has ended."""

    def __init__(self) -> None:
        self.headers: list[tuple[str, str]] = []
        self.trailers: list[tuple[str, str]] = []
        self.body = bytearray()
        self.done = False

    def header(self, name: str) -> str | None:
        """The last value of a header, trailers first."""
        for pairs in (self.trailers, self.headers):
            for key, value in reversed(pairs):
                if key == name:
                    return value
        return None


class Connection:
    """State of one connection. `request()` and `feed()` put bytes for the peer into `outgoing`."""

    def __init__(self) -> None:
        settings = struct.pack(">HIHIHI", 1, 0, 2, 0, 6, _hpack.HEADERS_BYTES_MAX)
        self.outgoing: list[bytes | memoryview] = [PREFACE + _frame(_SETTINGS, 0, 0, settings)]
        self.usable = True
        self._incoming = bytearray()
        self._next_stream = 1
        self._stream = 0
        self._response = Response()
        self._pending: list[memoryview] = []
        self._answers = self._taken = self._stream_taken = 0
        self._sent_block: tuple[list[tuple[str, str]], bytes] = ([], b"")
        self._known_blocks: dict[bytes, list[tuple[str, str]]] = {}
        self._window = 65535
        self._stream_window = 0
        self._initial_window = 65535
        self._frame_max = FRAME_BYTES_MAX
        self._block: bytearray | None = None
        self._block_ends_stream = False
        self._got_settings = False

    def take(self) -> list[bytes | memoryview]:
        """What is to be sent now."""
        taken, self.outgoing = self.outgoing, []
        self._answers = 0
        return taken

    def request(self, headers: list[tuple[str, str]], body: list[bytes | memoryview], secret: frozenset[str]) -> Response:
        """Begins a request; the answer fills while `feed` is called."""
        self._stream = self._next_stream
        self._next_stream += 2
        if self._next_stream > _WINDOW_MAX - 2:
            self.usable = False
        self._stream_window = self._initial_window
        self._stream_taken = 0
        self._response = Response()
        self._pending = [memoryview(part) for part in body if part]
        if self._sent_block[0] != headers:
            self._sent_block = (headers, _hpack.encode(headers, secret))
        block = self._sent_block[1]
        first, rest = block[:FRAME_BYTES_MAX], block[FRAME_BYTES_MAX:]
        self.outgoing.append(_frame(_HEADERS, 0 if rest else _END_HEADERS, self._stream, first))
        while rest:
            part, rest = rest[:FRAME_BYTES_MAX], rest[FRAME_BYTES_MAX:]
            self.outgoing.append(_frame(_CONTINUATION, 0 if rest else _END_HEADERS, self._stream, part))
        self._send_data()
        return self._response

    def feed(self, data: bytes) -> None:
        """Takes bytes from the peer."""
        self._incoming += data
        while len(self._incoming) >= 9:
            length = int.from_bytes(self._incoming[:3], "big")
            if length > FRAME_BYTES_MAX:
                raise ProtocolError("a frame is too long; is this an HTTP/2 server?")
            if len(self._incoming) < 9 + length:
                return
            kind, flags = self._incoming[3], self._incoming[4]
            stream = int.from_bytes(self._incoming[5:9], "big") & _WINDOW_MAX
            payload = bytes(self._incoming[9 : 9 + length])
            del self._incoming[: 9 + length]
            self._take(kind, flags, stream, payload)

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if not self._got_settings and kind != _SETTINGS:
            raise ProtocolError("no SETTINGS first; is this an HTTP/2 server?")
        if self._block is not None and (kind != _CONTINUATION or stream != self._stream):
            raise ProtocolError("a header block was interrupted")
        if kind == _SETTINGS:
            self._take_settings(flags, stream, payload)
        elif kind == _DATA:
            self._take_data(flags, stream, payload)
        elif kind == _HEADERS:
            self._take_headers(flags, stream, payload)
        elif kind == _CONTINUATION:
            self._take_continuation(flags, payload)
        elif kind == _WINDOW:
            self._take_window(stream, payload)
        elif kind == _PING:
            if len(payload) != 8 or stream:
                raise ProtocolError("bad PING")
            if not flags & _ACK:
                self._answer(_frame(_PING, _ACK, 0, payload))
        elif kind == _RST:
            self._take_reset(stream, payload)
        elif kind == _GOAWAY:
            self.usable = False
            if len(payload) < 8:
                raise ProtocolError("bad GOAWAY")
            last = int.from_bytes(payload[:4], "big") & _WINDOW_MAX
            if not self._response.done and last < self._stream:
                raise StreamRefused("the server is going away")
        elif kind == _PUSH:
            raise ProtocolError("a push that nobody asked for")
        # Unknown frames, PRIORITY among them, are ignored as the protocol demands.

    def _answer(self, frame: bytes) -> None:
        self._answers += 1
        if self._answers > ANSWERS_MAX:
            raise ProtocolError("the peer floods us")
        self.outgoing.append(frame)

    def _take_settings(self, flags: int, stream: int, payload: bytes) -> None:
        if stream or len(payload) % 6:
            raise ProtocolError("bad SETTINGS")
        self._got_settings = True
        if flags & _ACK:
            return
        for at in range(0, len(payload), 6):
            key, value = struct.unpack_from(">HI", payload, at)
            if key == 4:
                if value > _WINDOW_MAX:
                    raise ProtocolError("bad window in SETTINGS")
                self._stream_window += value - self._initial_window
                self._initial_window = value
            elif key == 5:
                if not FRAME_BYTES_MAX <= value < 1 << 24:
                    raise ProtocolError("bad frame size in SETTINGS")
                self._frame_max = min(value, 1 << 18)
        self._answer(_frame(_SETTINGS, _ACK, 0, b""))
        self._send_data()

    def _take_data(self, flags: int, stream: int, payload: bytes) -> None:
        if stream == 0 or stream >= self._next_stream:
            raise ProtocolError("data on a stream that does not exist")
        self._taken += len(payload)
        if self._taken >= _WINDOW_STEP:
            # Answers are a few bytes: what many of them used up is given back at once.
            self._answer(_frame(_WINDOW, 0, 0, self._taken.to_bytes(4, "big")))
            self._taken = 0
        if stream != self._stream or self._response.done:
            return
        self._stream_taken += len(payload)
        if self._stream_taken >= _WINDOW_STEP and not flags & _END_STREAM:
            self._answer(_frame(_WINDOW, 0, stream, self._stream_taken.to_bytes(4, "big")))
            self._stream_taken = 0
        self._response.body += _unpadded(payload, flags)
        if len(self._response.body) > BODY_BYTES_MAX:
            raise ProtocolError("the answer is too long")
        self._response.done = bool(flags & _END_STREAM)

    def _take_headers(self, flags: int, stream: int, payload: bytes) -> None:
        if stream != self._stream:
            raise ProtocolError("headers on another stream")
        payload = _unpadded(payload, flags)
        if flags & _PRIORITY:
            if len(payload) < 5:
                raise ProtocolError("bad priority")
            payload = payload[5:]
        self._block = bytearray(payload)
        self._block_ends_stream = bool(flags & _END_STREAM)
        self._end_block(flags)

    def _take_continuation(self, flags: int, payload: bytes) -> None:
        if self._block is None:
            raise ProtocolError("a continuation of nothing")
        self._block += payload
        if len(self._block) > _hpack.HEADERS_BYTES_MAX:
            raise ProtocolError("the header block is too long")
        self._end_block(flags)

    def _end_block(self, flags: int) -> None:
        if not flags & _END_HEADERS or self._block is None:
            return
        try:
            pairs = self._decode(bytes(self._block))
        except _hpack.HpackError as error:
            raise ProtocolError(str(error)) from error
        self._block = None
        response = self._response
        if response.done:
            return
        if not response.headers:
            # 1xx are announcements; the real headers follow.
            if not any(name == ":status" and value.startswith("1") for name, value in pairs):
                response.headers = pairs
        else:
            response.trailers = pairs
        response.done = self._block_ends_stream

    def _decode(self, block: bytes) -> list[tuple[str, str]]:
        """Without a dynamic table the same block says the same each time, and servers repeat themselves."""
        pairs = self._known_blocks.get(block)
        if pairs is None:
            pairs = _hpack.decode(block)
            if len(block) <= _KNOWN_BLOCK_BYTES_MAX and len(self._known_blocks) < _KNOWN_BLOCKS_MAX:
                self._known_blocks[block] = pairs
        return pairs

    def _take_window(self, stream: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise ProtocolError("bad WINDOW_UPDATE")
        step = int.from_bytes(payload, "big") & _WINDOW_MAX
        if stream == 0:
            self._window += step
        elif stream == self._stream:
            self._stream_window += step
        if step == 0 or self._window > _WINDOW_MAX or self._stream_window > _WINDOW_MAX:
            raise ProtocolError("bad window")
        self._send_data()

    def _take_reset(self, stream: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise ProtocolError("bad RST_STREAM")
        if stream == self._stream and not self._response.done:
            code = int.from_bytes(payload, "big")
            if code == 0 and self._response.headers:
                # gRPC servers may answer early and then stop reading: the answer stands.
                self._response.done = True
                return
            raise StreamRefused(f"the server reset the request (HTTP/2 error {code})")

    def _send_data(self) -> None:
        """Puts as much of the body out as both windows allow; the last frame ends the stream."""
        pending = self._pending
        while pending:
            room = min(self._window, self._stream_window, self._frame_max)
            if room <= 0:
                return
            parts: list[memoryview] = []
            size = 0
            while pending and size < room:
                part = pending[0][: room - size]
                parts.append(part)
                size += len(part)
                if len(part) == len(pending[0]):
                    del pending[0]
                else:
                    pending[0] = pending[0][len(part) :]
            self._window -= size
            self._stream_window -= size
            self.outgoing.append(_head(size, _DATA, 0 if pending else _END_STREAM, self._stream))
            self.outgoing += parts


_pack_head = struct.Struct(">HBBBI").pack


def _head(size: int, kind: int, flags: int, stream: int) -> bytes:
    return _pack_head(size >> 8, size & 0xFF, kind, flags, stream)


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return _head(len(payload), kind, flags, stream) + payload


def _unpadded(payload: bytes, flags: int) -> bytes:
    if not flags & _PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise ProtocolError("bad padding")
    return payload[1 : len(payload) - payload[0]]
