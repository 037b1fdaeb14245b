"""Fixtures: real receivers (grpcio and HTTP on port 0) that decode with OTLP's official protobuf.

grpcio has no wheel for some Pythons (3.13t): there the receiver of both fixtures speaks HTTP.
"""

from __future__ import annotations

import http.server
import subprocess
import sys
import threading
import time
from importlib.util import find_spec

import pytest
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as service_pb2

import axonize


class Received:
    """What a receiver got, and how it is to answer."""

    def __init__(self) -> None:
        self._arrived: list[service_pb2.ExportTraceServiceRequest | bytes] = []
        self.metadata: list[dict[str, str]] = []
        self.metrics: list[metrics_pb2.ExportMetricsServiceRequest] = []
        self.calls = 0
        self.answer = lambda: None
        self.address = ""

    @property
    def requests(self) -> list:
        """Decoded when they are looked at: a receiver that takes its time must not make the SDK try again."""
        for at, arrived in enumerate(self._arrived):
            if isinstance(arrived, bytes):
                self._arrived[at] = service_pb2.ExportTraceServiceRequest.FromString(arrived)
        return self._arrived

    def spans(self) -> list:
        return [
            span
            for request in list(self.requests)
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def holds(self, text: str) -> bool:
        """Whether a name has arrived, without decoding: in a loop that would slow down who sends, in this process."""
        return any(
            text.encode() in (arrived if isinstance(arrived, bytes) else arrived.SerializeToString())
            for arrived in list(self._arrived)
        )

    def by_name(self) -> dict:
        return {span.name: span for span in self.spans()}

    def resource(self) -> dict:
        return attributes(self.requests[-1].resource_spans[0].resource)

    def wait(self, count: int, timeout: float = 10.0) -> list:
        until(lambda: len(self.spans()) >= count, timeout)
        return self.spans()


def until(condition, timeout: float = 10.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true in time"
        time.sleep(0.005)


def attributes(holder) -> dict:
    return {pair.key: plain(pair.value) for pair in holder.attributes}


def plain(value):
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: plain(pair.value) for pair in value.kvlist_value.values}
    return getattr(value, kind) if kind else None


def parents(received) -> dict:
    """Name of each span → name of its parent."""
    assert axonize.flush()
    names = {span.span_id: span.name for span in received.spans()}
    return {span.name: names.get(span.parent_span_id) for span in received.spans()}


@pytest.fixture
def grpc_server():
    if find_spec("grpc") is None:
        yield from http_receiver()
        return
    import grpc_receiver

    received = Received()
    server = grpc_receiver.start(received)
    yield received
    server.stop(None)


@pytest.fixture
def http_server():
    yield from http_receiver()


def http_receiver():
    received = Received()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            metrics = self.path.endswith("/v1/metrics")
            received.calls += not metrics
            status = 200 if metrics else received.answer() or 200
            if metrics:
                received.metrics.append(metrics_pb2.ExportMetricsServiceRequest.FromString(body))
            elif status == 200:
                if self.headers.get("content-encoding") == "gzip":
                    import gzip

                    body = gzip.decompress(body)
                received._arrived.append(body)
                received.metadata.append({":path": self.path, **{k.lower(): v for k, v in self.headers.items()}})
            self.send_response(status)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    received.address = f"http://127.0.0.1:{server.server_port}"
    yield received
    server.shutdown()
    server.server_close()


@pytest.fixture
def sdk(grpc_server):
    """An initialised SDK; the value is the receiver."""
    axonize.init(endpoint=grpc_server.address, service_name="tests", flush_interval_ms=50)
    yield grpc_server
    axonize.shutdown()


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    """No test leaves the SDK running, a span current, or a cause silenced."""
    from axonize import _log
    from axonize._generators import current_span

    _log._said.clear()
    yield
    axonize.shutdown(0.5)
    leaked = current_span.get()
    current_span.set(None)
    assert leaked is None, f"{leaked!r} was left current"


def python(code: str, *args: str, env: dict | None = None, timeout: float = 30, check: bool = True):
    """Runs `code` in a fresh interpreter of the same Python."""
    import os

    result = subprocess.run(
        [sys.executable, "-c", code, *args],
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    if check:
        assert result.returncode == 0, result.stderr
    return result
