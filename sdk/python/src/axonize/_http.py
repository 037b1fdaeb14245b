"""OTLP over HTTP/1.1: POST of protobuf on a kept connection, with one absolute deadline.

Written over the same Wire as gRPC because the standard library's client has timeouts per read only.
Answers are bounded; redirects are not followed (a key must not travel to where a server points).
"""

from __future__ import annotations

from collections.abc import Callable
from email.utils import parsedate_to_datetime
from time import time

from ._config import Config
from ._protocol import Outcome, bounded_delay, read_response
from ._wire import Wire, WireError

HEAD_BYTES_MAX = 64 * 1024
BODY_BYTES_MAX = 1 << 20
_RETRYABLE = frozenset((408, 429, 502, 503, 504))


class HttpClient:
    """Sends batches; keeps the connection while the server does."""

    def __init__(self, config: Config, user_agent: str) -> None:
        self._config = config
        self._user_agent = user_agent
        self._wire: Wire | None = None
        self._buffer = bytearray()
        self._path = config.endpoint.path

    def send(
        self, body: list[bytes | memoryview], headers: Callable[[], tuple[tuple[str, str], ...]], deadline: float,
        metrics: bool = False,
    ) -> Outcome:  # fmt: skip
        """Sends one ExportTraceServiceRequest, or one of metrics. Never raises."""
        path = self._config.endpoint.path
        self._path = path.removesuffix("/v1/traces") + "/v1/metrics" if metrics else path
        encoding = ""
        if self._config.compress:
            import zlib

            packer = zlib.compressobj(1, zlib.DEFLATED, 31)
            body = [*map(packer.compress, body), packer.flush()]
            encoding = "content-encoding: gzip\r\n"
        fresh = self._wire is None
        outcome = self._attempt(body, encoding, headers(), deadline)
        if not fresh and outcome.cause == "connection":
            # A kept connection may have died of old age; that says nothing about the server.
            outcome = self._attempt(body, encoding, headers(), deadline)
        return outcome

    def _attempt(
        self, body: list[bytes | memoryview], encoding: str, headers: tuple[tuple[str, str], ...], deadline: float
    ) -> Outcome:
        try:
            return self._call(body, encoding, headers, deadline)
        except WireError as error:
            self.close()
            return Outcome(False, retry=True, cause=error.cause, message=str(error))

    def _call(
        self, body: list[bytes | memoryview], encoding: str, headers: tuple[tuple[str, str], ...], deadline: float
    ) -> Outcome:
        if self._wire is None:
            self._wire = Wire(self._config, deadline)
            self._buffer.clear()
        self._wire.deadline = deadline
        endpoint = self._config.endpoint
        extra = "".join(f"{name}: {value}\r\n" for name, value in headers)
        head = (
            f"POST {self._path} HTTP/1.1\r\nhost: {endpoint.authority}\r\n"
            f"user-agent: {self._user_agent}\r\ncontent-type: application/x-protobuf\r\n"
            f"content-length: {sum(map(len, body))}\r\n{encoding}{extra}\r\n"
        )
        self._wire.send([head.encode("ascii"), *body])
        status, answer = self._read_head()
        while 100 <= status < 200:
            status, answer = self._read_head()
        content = self._read_body(status, answer)
        if answer.get("connection", "").lower() == "close" or answer.get(":version") == "HTTP/1.0":
            self.close()
        return self._outcome(status, answer, content)

    def _fill(self) -> None:
        wire = self._wire
        data = wire.receive() if wire is not None else b""
        if not data:
            raise WireError("connection", "the server closed the connection")
        self._buffer += data

    def _read_head(self) -> tuple[int, dict[str, str]]:
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > HEAD_BYTES_MAX:
                raise WireError("protocol", "the answer's head is too long")
            self._fill()
            if not self._buffer[:5] == b"HTTP/"[: len(self._buffer[:5])]:
                raise WireError("protocol", f"{self._config.endpoint.authority} does not speak HTTP")
        lines = bytes(self._buffer[:end]).decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        parts = lines[0].split(" ", 2)
        if not parts[0].startswith("HTTP/1.") or len(parts) < 2 or not _is_number(parts[1], 3):
            raise WireError("protocol", f"{self._config.endpoint.authority} does not speak HTTP")
        answer = {":version": parts[0]}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            answer[name.strip().lower()] = value.strip()
        return int(parts[1]), answer

    def _read_body(self, status: int, answer: dict[str, str]) -> bytes:
        if status in (204, 304):
            return b""
        if "chunked" in answer.get("transfer-encoding", "").lower():
            return self._read_chunks()
        length = answer.get("content-length")
        if length is None:
            # Ended by the end of the connection: not worth waiting for, the status says all.
            self.close()
            return b""
        if not _is_number(length, 7) or int(length) > BODY_BYTES_MAX:
            raise WireError("protocol", "the answer's length makes no sense")
        return self._take(int(length))

    def _read_chunks(self) -> bytes:
        body = bytearray()
        while True:
            size_text = self._line().partition(";")[0].strip()
            try:
                size = int(size_text, 16) if 0 < len(size_text) <= 6 else -1
            except ValueError:
                size = -1
            if size < 0 or len(body) + size > BODY_BYTES_MAX:
                raise WireError("protocol", "the answer's chunks make no sense")
            if size == 0:
                while self._line():
                    continue
                return bytes(body)
            body += self._take(size)
            self._line()

    def _line(self) -> str:
        while (end := self._buffer.find(b"\r\n")) < 0:
            if len(self._buffer) > HEAD_BYTES_MAX:
                raise WireError("protocol", "a line of the answer is too long")
            self._fill()
        line = bytes(self._buffer[:end]).decode("latin-1")
        del self._buffer[: end + 2]
        return line

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._fill()
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def _outcome(self, status: int, answer: dict[str, str], content: bytes) -> Outcome:
        if 200 <= status < 300:
            protobuf = "protobuf" in answer.get("content-type", "")
            return Outcome(True, rejected=read_response(content) if protobuf else 0)
        return Outcome(
            False, retry=status in _RETRYABLE, delay_s=_delay(answer), cause=f"HTTP {status}",
            message=f"{self._config.endpoint.authority} answers HTTP {status}",
        )  # fmt: skip

    def close(self) -> None:
        """Drops the connection; the next send opens another."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None
        self._buffer = bytearray()

    def abandon(self) -> None:
        """In a forked child: drops the parent's connection without touching it."""
        if self._wire is not None:
            self._wire.abandon()
            self._wire = None


def _is_number(text: str, digits: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= digits


def _delay(answer: dict[str, str]) -> float | None:
    """Retry-After as seconds or as a date."""
    text = answer.get("retry-after", "")
    if _is_number(text, 9):
        return bounded_delay(float(text))
    if not text:
        return None
    try:
        return bounded_delay(parsedate_to_datetime(text).timestamp() - time())
    except (TypeError, ValueError, OverflowError):
        # Neither a number nor a date: our own backoff applies.
        return None
