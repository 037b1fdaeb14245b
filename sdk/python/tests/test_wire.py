"""HPACK, HTTP/2 and the small protobuf reader against a second implementation and against noise."""

from __future__ import annotations

import random
import string

import hpack
import pytest

from axonize import _config, _h2, _hpack, _http, _protocol


def seeded() -> random.Random:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    return random.Random(seed)


def noise(chance: random.Random, most: int = 60) -> str:
    return "".join(chance.choices(string.printable[:95], k=chance.randrange(1, most)))


def test_hpack_reads_what_another_encoder_writes():
    chance = seeded()
    for _ in range(300):
        pairs = [(noise(chance).lower(), noise(chance)) for _ in range(chance.randrange(8))]
        pairs += [(":status", "200"), ("content-type", "application/grpc")]
        encoder = hpack.Encoder()
        encoder.header_table_size = 0
        block = encoder.encode(pairs, huffman=chance.random() < 0.7)
        assert _hpack.decode(block) == [(name, value) for name, value in pairs]


def test_another_decoder_reads_what_hpack_writes():
    chance = seeded()
    for _ in range(200):
        pairs = [(noise(chance).lower(), noise(chance, 300)) for _ in range(chance.randrange(8))]
        block = _hpack.encode(pairs, frozenset(name for name, _ in pairs[:1]))
        assert [(str(n), str(v)) for n, v in hpack.Decoder().decode(block)] == pairs


def test_hpack_never_fails_otherwise_than_by_saying_so():
    chance = seeded()
    for _ in range(5000):
        block = chance.randbytes(chance.randrange(40))
        try:
            _hpack.decode(block)
        except _hpack.HpackError:
            continue


def answer(status: int = 0, body: bytes = b"\x00\x00\x00\x00\x00", stream: int = 1) -> bytes:
    """A gRPC server's bytes for one call."""
    encoder = hpack.Encoder()
    encoder.header_table_size = 0
    head = encoder.encode([(":status", "200"), ("content-type", "application/grpc")])
    trailers = encoder.encode([("grpc-status", str(status))])
    return b"".join((
        _h2._frame(4, 0, 0, b""), _h2._frame(4, 1, 0, b""), _h2._frame(1, 4, stream, head),
        _h2._frame(0, 0, stream, body), _h2._frame(1, 5, stream, trailers),
    ))  # fmt: skip


def begun(body: bytes = b"x" * 10) -> tuple[_h2.Connection, _h2.Response]:
    connection = _h2.Connection()
    return connection, connection.request([(":method", "POST")], [body[:7], b"", body[7:]], frozenset())


@pytest.mark.parametrize("step", [1, 2, 7, 1000])
def test_an_answer_is_understood_however_it_is_cut(step):
    connection, response = begun()
    data = answer()
    for at in range(0, len(data), step):
        assert not response.done
        connection.feed(data[at : at + step])
    assert response.done and response.header("grpc-status") == "0"


def test_the_body_waits_for_both_windows():
    body = bytes(200_000)
    connection, response = begun(body)
    sent = b"".join(connection.outgoing).count(b"\x00" * 100) > 0
    assert sent and sum(map(len, connection.outgoing)) < 65535 + 500
    connection.feed(_h2._frame(4, 0, 0, b"\x00\x04\x00\x10\x00\x00"))
    assert sum(map(len, connection.outgoing)) < 65535 + 500
    connection.feed(_h2._frame(8, 0, 0, (1 << 20).to_bytes(4, "big")))
    assert sum(map(len, connection.outgoing)) > 200_000
    connection.feed(answer()[9:])
    assert response.done


def test_a_server_that_goes_away_refuses_what_it_did_not_take():
    connection, _ = begun()
    connection.feed(_h2._frame(4, 0, 0, b""))
    with pytest.raises(_h2.StreamRefused):
        connection.feed(_h2._frame(7, 0, 0, bytes(8)))
    assert not connection.usable
    connection, response = begun()
    connection.feed(_h2._frame(4, 0, 0, b"") + _h2._frame(7, 0, 0, b"\x7f\xff\xff\xff" + bytes(4)))
    connection.feed(answer()[9:])
    assert response.done and not connection.usable


def test_http2_never_fails_otherwise_than_by_saying_so():
    chance = seeded()
    outcomes = set()
    for _ in range(4000):
        connection, response = begun(bytes(chance.randrange(100_000)))
        data = bytearray(answer(chance.randrange(17)))
        for _ in range(chance.randrange(6)):
            action, at = chance.randrange(4), chance.randrange(len(data))
            if action == 0:
                data[at] = chance.randrange(256)
            elif action == 1:
                del data[at : at + chance.randrange(20)]
            elif action == 2:
                data[at:at] = chance.randbytes(chance.randrange(20))
            else:
                kind, flags = chance.randrange(11), chance.randrange(64)
                payload = chance.randbytes(chance.choice([0, 4, 5, 6, 8, 17]))
                # Mostly between two frames: after the two SETTINGS.
                place = chance.choice([at, 9, 18])
                data[place:place] = _h2._frame(kind, flags, chance.randrange(4), payload)
            if not data:
                data = bytearray(b"\0")
        try:
            connection.feed(bytes(data))
            outcomes.add("done" if response.done else "waits")
        except (_h2.ProtocolError, _h2.StreamRefused) as error:
            outcomes.add(type(error).__name__)
        assert sum(map(len, connection.outgoing)) < 3_000_000
    assert outcomes == {"done", "waits", "ProtocolError", "StreamRefused"}, outcomes


def test_the_protobuf_reader_survives_noise():
    chance = seeded()
    for _ in range(5000):
        data = chance.randbytes(chance.randrange(60))
        list(_protocol.read_fields(data))
        _protocol.read_retry_delay(data)
        _protocol.read_response(data)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("localhost:4317", ("localhost", 4317, False, True, "")),
        ("collector", ("collector", 4317, False, True, "")),
        ("[::1]:9", ("::1", 9, False, True, "")),
        ("grpcs://a.b", ("a.b", 4317, True, True, "")),
        ("http://a.b", ("a.b", 4318, False, False, "/v1/traces")),
        ("https://a.b/otlp/", ("a.b", 443, True, False, "/otlp/v1/traces")),
        ("https://a.b:8/v1/traces", ("a.b", 8, True, False, "/v1/traces")),
        ("HTTP://a:4318", ("a", 4318, False, False, "/v1/traces")),
        ("", None), ("ftp://a", None), ("a:b", None), ("a:70000", None), ("http://a/\r\nx: y", None),
        ("[::1", None), (":4317", None), ("http://ä", None),
    ],
)  # fmt: skip
def test_endpoints(text, expected):
    parsed = _config.parse_endpoint(text)
    assert (parsed and (parsed.host, parsed.port, parsed.tls, parsed.grpc, parsed.path)) == expected


def test_odd_configuration_is_replaced_not_raised(caplog):
    config = _config.resolve(
        {"endpoint": "ftp://x", "batch_size": object(), "headers": {"bad name": "v", "ok": "line\r\nx"}},
        {"AXONIZE_FLUSH_INTERVAL_MS": "-5", "AXONIZE_ENDPOINT": "::::"},
    )
    assert config.endpoint.authority == "localhost:4317" and (config.batch_size, config.request_spans) == (512, 4096)
    assert config.flush_interval_s == 0.01 and config.headers == ()


def test_open_telemetrys_headers_stay_with_open_telemetrys_endpoint():
    env = {"OTEL_EXPORTER_OTLP_HEADERS": "a=b", "OTEL_EXPORTER_OTLP_ENDPOINT": "https://other"}
    assert _config.resolve({"endpoint": "mine"}, env).headers == ()
    assert _config.resolve({}, env).headers == (("a", "b"),)
    assert _config.resolve({}, env).endpoint.tls is True


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [("5", 5, 5), ("", None, None), ("soon", None, None), ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0),
     ("Wed, 21 Oct 2515 07:28:00 GMT", 300, 300), ("99999999", 300, 300)],
)  # fmt: skip
def test_retry_after(value, least, most):
    delay = _http._delay({"retry-after": value})
    assert delay is None if least is None else least <= delay <= most
