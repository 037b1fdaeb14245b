"""The way out: what arrives, with what credentials, and what happens when the server does not."""

from __future__ import annotations

import logging
import random
import socket
import threading
import time

import grpc
import pytest
import trustme
from conftest import Received, attributes, until
from google.protobuf import any_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as service_pb2

import axonize


def make_spans(count: int, **kwargs) -> None:
    for number in range(count):
        with axonize.span(f"s{number}", **kwargs):
            pass


def warnings(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "axonize"]


class RawServer:
    """Accepts connections and hands each to `handle` in a thread of its own."""

    def __init__(self, handle) -> None:
        self.handle = handle
        self.connections: list[socket.socket] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection) -> None:
        try:
            self.handle(connection)
        except OSError:
            return

    def close(self) -> None:
        self.listener.close()
        for connection in self.connections:
            connection.close()


@pytest.fixture
def raw():
    servers: list[RawServer] = []

    def start(handle) -> int:
        servers.append(RawServer(handle))
        return servers[-1].port

    yield start
    axonize.shutdown(0.2)
    for server in servers:
        server.close()


def test_grpc_carries_key_headers_and_resource(grpc_server):
    axonize.init(
        grpc_server.address, "svc", "prod", api_key="axk_a_b_c", headers={"X-Extra": "1"},
        resource_attributes={"team": "vision"},
    )  # fmt: skip
    make_spans(1)
    assert axonize.flush()
    metadata = grpc_server.metadata[0]
    assert metadata["authorization"] == "Bearer axk_a_b_c" and metadata["x-extra"] == "1"
    assert metadata["user-agent"].startswith("axonize-python/")
    resource = grpc_server.resource()
    assert resource["service.name"] == "svc" and resource["deployment.environment.name"] == "prod"
    assert resource["team"] == "vision" and resource["telemetry.sdk.name"] == "axonize"
    scope = grpc_server.requests[0].resource_spans[0].scope_spans[0].scope
    assert scope.name == "axonize" and scope.version == axonize.__version__


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_large_batches_pass_flow_control_and_compression(grpc_server, compression):
    axonize.init(grpc_server.address, batch_size=8192, flush_interval_ms=60_000, compression=compression)
    make_spans(3000, text="x" * 200, n=1, f=0.5)
    assert axonize.flush(10)
    assert len(grpc_server.requests) <= 2 and len(grpc_server.spans()) == 3000
    assert axonize.stats()["sent"] == 3000 and axonize.stats()["lost"] == 0


def test_a_full_batch_is_sent_before_the_interval(grpc_server):
    axonize.init(grpc_server.address, batch_size=10, flush_interval_ms=3_600_000)
    make_spans(9)
    make_spans(1)
    assert len(grpc_server.wait(10)) == 10


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_http_carries_the_same(http_server, compression):
    axonize.init(http_server.address, "svc", api_key="axk_a_b_c", compression=compression)
    make_spans(3, a=1)
    assert axonize.flush()
    make_spans(2)
    assert axonize.flush()
    assert [s.name for s in http_server.spans()] == ["s0", "s1", "s2", "s0", "s1"]
    metadata = http_server.metadata[0]
    assert metadata[":path"] == "/v1/traces" and metadata["authorization"] == "Bearer axk_a_b_c"
    assert metadata["content-type"] == "application/x-protobuf"


def test_tls_is_verified(tmp_path, monkeypatch):
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    key, chain = certificate.private_key_pem.bytes(), certificate.cert_chain_pems[0].bytes()
    from concurrent import futures

    from grpc_receiver import Service
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as service_grpc

    received = Received()
    server = grpc.server(futures.ThreadPoolExecutor(1))
    service_grpc.add_TraceServiceServicer_to_server(Service(received), server)
    port = server.add_secure_port("localhost:0", grpc.ssl_server_credentials([(key, chain)]))
    server.start()
    try:
        axonize.init(f"grpcs://localhost:{port}")
        make_spans(1)
        assert not axonize.flush(1) and received.calls == 0
        axonize.shutdown(0.1)
        path = tmp_path / "ca.pem"
        authority.cert_pem.write_to_path(path)
        monkeypatch.setenv("AXONIZE_CERTIFICATE", str(path))
        axonize.init(f"grpcs://localhost:{port}")
        make_spans(1)
        assert axonize.flush(5) and len(received.spans()) >= 1
    finally:
        server.stop(None)


def test_rejected_spans_are_counted_and_named_once(sdk, caplog):
    partial = service_pb2.ExportTraceServiceResponse()
    partial.partial_success.rejected_spans = 2
    partial.partial_success.error_message = "too old"
    sdk.answer = lambda: partial
    before = axonize.stats()["lost"]
    for _ in range(3):
        make_spans(3)
        assert axonize.flush()
    assert axonize.stats()["lost"] - before == 6
    assert len(warnings(caplog)) == 1 and "too old" in warnings(caplog)[0]


def test_unavailable_is_tried_again_without_loss_or_noise(sdk, caplog):
    failures = iter(range(2))

    def answer():
        if next(failures, None) is not None:
            return lambda context: context.abort(grpc.StatusCode.UNAVAILABLE, "restarting")
        return None

    sdk.answer = answer
    make_spans(5)
    assert not axonize.flush()
    assert len(sdk.wait(5)) == 5 and sdk.calls == 3
    assert len(warnings(caplog)) == 1 and "UNAVAILABLE" in warnings(caplog)[0]


def test_a_delay_that_the_server_asks_for_is_kept(sdk):
    from axonize import _protocol

    # google.rpc.Status{details: Any{RetryInfo{retry_delay: 1.2 s}}}
    info = any_pb2.Any(type_url="type.googleapis.com/google.rpc.RetryInfo", value=b"\x0a\x07\x08\x01\x10\x80\x84\xaf\x5f")
    packed = info.SerializeToString()
    status = b"\x08\x08\x1a" + bytes((len(packed),)) + packed
    assert _protocol.read_retry_delay(status) == pytest.approx(1.2)
    times: list[float] = []

    def answer():
        times.append(time.monotonic())
        if len(times) > 1:
            return None

        def refuse(context):
            context.set_trailing_metadata((("grpc-status-details-bin", status),))
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "slow down")

        return refuse

    sdk.answer = answer
    make_spans(1)
    sdk.wait(1)
    assert 1.2 <= times[1] - times[0] < 3


def test_what_the_server_will_never_take_is_dropped_and_counted(sdk, caplog):
    sdk.answer = lambda: lambda context: context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no")
    before = axonize.stats()["lost"]
    make_spans(7)
    assert not axonize.flush()
    assert axonize.stats()["lost"] - before == 7 and axonize.stats()["pending"] == 0
    sdk.answer = lambda: None
    make_spans(1)
    assert axonize.flush() and len(sdk.spans()) == 1
    scope = sdk.requests[-1].resource_spans[0].scope_spans[0].scope
    assert attributes(scope)["axonize.sdk.dropped_spans"] >= 7
    assert len(warnings(caplog)) == 1


def test_a_rotated_key_file_is_read_again(grpc_server, tmp_path, monkeypatch):
    path = tmp_path / "key"
    path.write_text("old\n")
    monkeypatch.setenv("AXONIZE_API_KEY_FILE", str(path))

    def answer():
        if path.read_text() == "old\n":
            return lambda context: context.abort(grpc.StatusCode.UNAUTHENTICATED, "revoked")
        return None

    grpc_server.answer = answer
    axonize.init(grpc_server.address)
    make_spans(2)
    assert not axonize.flush()
    path.write_text("new\n")
    assert axonize.flush()
    assert grpc_server.metadata[-1]["authorization"] == "Bearer new"


@pytest.mark.parametrize("scheme", ["", "http://"])
def test_an_absent_server_costs_one_line_and_gets_the_spans_when_it_comes(scheme, caplog, grpc_server):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    axonize.init(f"{scheme}127.0.0.1:{port}", batch_size=100, flush_interval_ms=20)
    started = time.monotonic()
    make_spans(1000)
    assert time.monotonic() - started < 2
    assert not axonize.flush(1) and not axonize.flush(1)
    assert len(warnings(caplog)) == 1 and "cannot connect" in warnings(caplog)[0]
    assert axonize.stats()["pending"] + 100 == 1000


def test_a_full_buffer_drops_counts_and_says_so_later(grpc_server):
    grpc_server.answer = lambda: lambda context: context.abort(grpc.StatusCode.UNAVAILABLE, "")
    axonize.init(grpc_server.address)
    dropped = axonize.stats()["dropped"]
    make_spans(2000, text="x" * 30_000)
    stats = axonize.stats()
    assert stats["dropped"] - dropped > 500
    grpc_server.answer = lambda: None
    assert axonize.flush(20)
    assert len(grpc_server.spans()) == 2000 - (axonize.stats()["dropped"] - dropped)
    make_spans(1)
    assert axonize.flush()
    scope = grpc_server.requests[-1].resource_spans[0].scope_spans[0].scope
    assert attributes(scope)["axonize.sdk.dropped_spans"] >= stats["dropped"]


def silent(connection):
    connection.recv(1)
    time.sleep(30)


def closes(connection):
    connection.recv(10)
    connection.close()


def trickles(connection):
    while True:
        connection.sendall(b"H")
        time.sleep(0.05)


def speaks_http(connection):
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
    time.sleep(30)


def floods(connection):
    while True:
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 10_000)


def deaf(connection):
    time.sleep(30)


@pytest.mark.parametrize("scheme", ["", "http://", "grpcs://"])
@pytest.mark.parametrize("handle", [silent, closes, trickles, speaks_http, floods, deaf])
def test_hostile_servers_never_hold_the_program(raw, caplog, scheme, handle):
    axonize.init(f"{scheme}127.0.0.1:{raw(handle)}", batch_size=50, flush_interval_ms=10, timeout_ms=300)
    started = time.monotonic()
    make_spans(200, text="x" * 1000)
    assert time.monotonic() - started < 2
    started = time.monotonic()
    assert axonize.flush(0.4) is False
    assert time.monotonic() - started < 2
    started = time.monotonic()
    axonize.shutdown(0.5)
    assert time.monotonic() - started < 2
    assert len(warnings(caplog)) <= 2, warnings(caplog)


@pytest.mark.parametrize("scheme", ["", "http://"])
def test_garbage_never_holds_or_breaks_the_exporter(raw, caplog, scheme):
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    starts = [
        b"", b"HTTP/1.1 200 OK\r\n", b"\x00\x00\x00\x04\x00\x00\x00\x00\x00",
        b"\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x08\x01\x05\x00\x00\x00\x01",
    ]  # fmt: skip

    def handle(connection):
        connection.recv(100)
        connection.sendall(chance.choice(starts) + chance.randbytes(chance.randrange(2000)))
        connection.close()

    axonize.init(f"{scheme}127.0.0.1:{raw(handle)}", timeout_ms=500)
    for _ in range(25):
        make_spans(1)
        axonize.flush(1)
    assert not any("internal" in line or "cannot export" in line for line in warnings(caplog))
    from axonize import _runtime

    assert _runtime._exporter._thread.is_alive()


def test_a_server_that_restarts_between_batches_loses_nothing(grpc_server, raw):
    """A proxy cuts the idle connection; the next batch goes over a new one."""
    host, port = grpc_server.address.split(":")
    pairs = []

    def proxy(connection):
        upstream = socket.create_connection((host, int(port)))
        pairs.append((connection, upstream))
        threading.Thread(target=pump, args=(upstream, connection), daemon=True).start()
        pump(connection, upstream)

    def pump(source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            return

    axonize.init(f"127.0.0.1:{raw(proxy)}")
    for round_number in range(3):
        make_spans(10)
        assert axonize.flush(), round_number
        for pair in pairs:
            for end in pair:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue
    assert len(grpc_server.spans()) == 30


def test_init_again_moves_to_another_server(grpc_server, http_server):
    axonize.init(grpc_server.address)
    make_spans(1)
    axonize.init(http_server.address)
    make_spans(2)
    assert axonize.flush()
    assert len(grpc_server.spans()) == 1 and len(http_server.spans()) == 2


def losses(received) -> dict:
    """(metric, error.type) → value, of the last metrics request."""
    scope = received.metrics[-1].resource_metrics[0].scope_metrics[0]
    return {
        (metric.name, attributes(point).get("error.type")): point.as_int
        for metric in scope.metrics
        for point in metric.sum.data_points
    }


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_dropped_and_refused_spans_are_told_as_a_metric_once_spans_get_through(request, scheme):
    server = request.getfixturevalue(f"{scheme}_server")
    bad = grpc.StatusCode.INVALID_ARGUMENT
    server.answer = (lambda: lambda context: context.abort(bad, "no")) if scheme == "grpc" else lambda: 400
    axonize.init(server.address, "lossy", flush_interval_ms=3_600_000)
    make_spans(3)
    assert axonize.flush() is False and server.metrics == []
    server.answer = lambda: None
    make_spans(2)
    assert axonize.flush() and len(server.spans()) == 2
    until(lambda: len(server.metrics) == 1)
    assert losses(server) == {
        ("otel.sdk.processor.span.processed", "queue_full"): 0,
        ("otel.sdk.exporter.span.exported", None): 2,
        ("otel.sdk.exporter.span.exported", "rejected"): 3,
    }
    metric = server.metrics[0].resource_metrics[0]
    assert attributes(metric.resource)["service.name"] == "lossy"
    point = metric.scope_metrics[0].metrics[0].sum
    assert point.is_monotonic and point.aggregation_temporality == 2
    assert 0 < point.data_points[0].start_time_unix_nano <= point.data_points[0].time_unix_nano
    make_spans(1)
    assert axonize.flush() and axonize.shutdown()
    assert len(server.metrics) == 1, "nothing more was lost, so nothing more is said"
