"""OTLP over gRPC: one unary call at a time on a kept connection.

Maps every way a call can end to an Outcome: which of them may be tried again follows the OTLP
specification's table of status codes.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from time import monotonic
from urllib.parse import unquote

from . import _h2
from ._config import Config
from ._protocol import Outcome, bounded_delay, read_response, read_retry_delay
from ._wire import Wire, WireError

PATH = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
METRICS_PATH = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
SECRET = frozenset(("authorization", "x-axonize-key"))
_CODES = {
    0: "OK", 1: "CANCELLED", 2: "UNKNOWN", 3: "INVALID_ARGUMENT", 4: "DEADLINE_EXCEEDED",
    5: "NOT_FOUND", 6: "ALREADY_EXISTS", 7: "PERMISSION_DENIED", 8: "RESOURCE_EXHAUSTED",
    9: "FAILED_PRECONDITION", 10: "ABORTED", 11: "OUT_OF_RANGE", 12: "UNIMPLEMENTED",
    13: "INTERNAL", 14: "UNAVAILABLE", 15: "DATA_LOSS", 16: "UNAUTHENTICATED",
}  # fmt: skip
_FRESH_S = 0.5
_CODE_TEXTS = frozenset(str(code) for code in _CODES)
# OTLP: these may be tried again. RESOURCE_EXHAUSTED strictly only with RetryInfo; our own backoff
# makes trying it without harmless, and losing the batch is worse.
_RETRYABLE = frozenset((1, 4, 8, 10, 11, 14, 15))


class GrpcClient:
    """Sends batches; keeps the connection while it works."""

    def __init__(self, config: Config, user_agent: str) -> None:
        self._config = config
        self._user_agent = user_agent
        self._wire: Wire | None = None
        self._h2 = _h2.Connection()
        self._path = PATH
        self._used = 0.0

    def send(
        self, body: list[bytes | memoryview], headers: Callable[[], tuple[tuple[str, str], ...]], deadline: float,
        metrics: bool = False,
    ) -> Outcome:  # fmt: skip
        """Sends one ExportTraceServiceRequest, or one of metrics. Never raises."""
        self._path = METRICS_PATH if metrics else PATH
        flag = b"\x00"
        if self._config.compress:
            import zlib

            packer = zlib.compressobj(1, zlib.DEFLATED, 31)
            body, flag = [*map(packer.compress, body), packer.flush()], b"\x01"
        message = [flag + sum(map(len, body)).to_bytes(4, "big"), *body]
        fresh = not self._alive()
        outcome = self._attempt(message, headers(), deadline)
        if not fresh and outcome.cause in ("connection", "refused", "protocol"):
            # A kept connection may have died of old age; that says nothing about the server.
            outcome = self._attempt(message, headers(), deadline)
        return outcome

    def _alive(self) -> bool:
        """Whether the kept connection is still of use; takes in what arrived while it was idle."""
        if self._wire is None:
            return False
        if self._h2.usable and monotonic() - self._used < _FRESH_S:
            # It worked a moment ago; if it died since, the second attempt will tell.
            return True
        try:
            while self._h2.usable:
                data = self._wire.receive_waiting()
                if data is None:
                    return True
                if data == b"":
                    break
                self._h2.feed(data)
        except (_h2.ProtocolError, _h2.StreamRefused):
            # Whatever it sent, this connection is over; a new one will tell.
            self.close()
            return False
        self.close()
        return False

    def _attempt(self, message: list[bytes | memoryview], headers: tuple[tuple[str, str], ...], deadline: float) -> Outcome:
        try:
            return self._call(message, headers, deadline)
        except WireError as error:
            self.close()
            return Outcome(False, retry=True, cause=error.cause, message=str(error))
        except _h2.StreamRefused as error:
            self.close()
            return Outcome(False, retry=True, cause="refused", message=str(error))
        except _h2.ProtocolError as error:
            self.close()
            return Outcome(
                False, retry=True, cause="protocol",
                message=f"{self._config.endpoint.authority} does not speak gRPC: {error}",
            )  # fmt: skip

    def _call(self, message: list[bytes | memoryview], headers: tuple[tuple[str, str], ...], deadline: float) -> Outcome:
        if self._wire is None:
            self._h2 = _h2.Connection()
            self._wire = Wire(self._config, deadline)
        wire, h2 = self._wire, self._h2
        wire.deadline = deadline
        endpoint = self._config.endpoint
        # In whole seconds, rounded up: the header block is then the same again and again.
        timeout_s = max(1, min(int(deadline - monotonic() + 1), 99_999_999))
        request = [
            (":method", "POST"),
            (":scheme", "https" if endpoint.tls else "http"),
            (":path", self._path),
            (":authority", endpoint.authority),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("user-agent", self._user_agent),
            ("grpc-timeout", f"{timeout_s}S"),
        ]
        if self._config.compress:
            request.append(("grpc-encoding", "gzip"))
        response = h2.request([*request, *headers], message, SECRET)
        while True:
            if h2.outgoing:
                wire.send(h2.take())
            if response.done:
                break
            data = wire.receive()
            if not data:
                raise WireError("connection", "the server closed the connection")
            h2.feed(data)
        self._used = monotonic()
        if not h2.usable:
            self.close()
        return self._outcome(response)

    def _outcome(self, response: _h2.Response) -> Outcome:
        http_status = response.header(":status")
        code_text = response.header("grpc-status")
        if code_text not in _CODE_TEXTS:
            self.close()
            retry = http_status in ("429", "502", "503", "504")
            return Outcome(
                False, retry=retry, cause="protocol",
                message=f"no gRPC status from {self._config.endpoint.authority} (HTTP {http_status})",
            )  # fmt: skip
        code = int(code_text or 0)
        if code == 0:
            body = bytes(response.body)
            plain = len(body) >= 5 and body[0] == 0
            return Outcome(True, rejected=read_response(body[5:]) if plain else 0)
        name = _CODES[code]
        said = unquote(response.header("grpc-message") or "")[:300]
        return Outcome(
            False, retry=code in _RETRYABLE, delay_s=self._delay(response), cause=name,
            message=f"{self._config.endpoint.authority} answers {name}: {said}",
        )  # fmt: skip

    def _delay(self, response: _h2.Response) -> float | None:
        details = response.header("grpc-status-details-bin")
        if not details:
            pushback = response.header("grpc-retry-pushback-ms") or ""
            valid = pushback.isascii() and pushback.isdigit() and len(pushback) < 10
            return bounded_delay(int(pushback) / 1000) if valid else None
        try:
            return read_retry_delay(base64.b64decode(details + "=" * (-len(details) % 4)))
        except (binascii.Error, ValueError):
            # Garbage in an optional field: our own backoff applies.
            return None

    def close(self) -> None:
        """Drops the connection; the next send opens another."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    def abandon(self) -> None:
        """In a forked child: drops the parent's connection without touching it."""
        if self._wire is not None:
            self._wire.abandon()
            self._wire = None
