"""Hostile programs and hostile bytes, for a fixed time each: nothing raises, nothing is corrupted.

AXONIZE_FUZZ_S lengthens them; the sanitizers' build runs the same (scripts/sanitize.sh). Seeds are printed.
"""

from __future__ import annotations

import gc
import os
import random
import sys
import sysconfig
import threading
import time
from pathlib import Path

import pytest
from conftest import attributes
from opentelemetry.proto.trace.v1 import trace_pb2

import axonize
from axonize import _h2, _hpack, _protocol, _values
from axonize._core_choice import core

SECONDS = float(os.environ.get("AXONIZE_FUZZ_S", "1.5"))
FREE = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


@pytest.fixture
def chance():
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    return random.Random(seed)


@pytest.fixture
def recording():
    core.enable(4 << 20, 1 << 40, lambda: None)
    core.watch_gpus(lambda: None)
    drain()
    yield
    drain()
    core.watch_gpus(None)
    core.disable()


def drain(spans_max: int = 100_000, bytes_max: int = 1 << 24) -> list:
    data, count, marks = core.drain(spans_max, bytes_max)
    spans = list(trace_pb2.ScopeSpans.FromString(data).spans)
    assert len(spans) == count
    for at, lead, size, _, start, end, gpus in _values.MARK.iter_unpack(marks):
        span = trace_pb2.Span.FromString(data[at + lead : at + lead + size])
        assert (span.start_time_unix_nano, span.end_time_unix_nano) == (start, end)
        # A span with 128 attributes has no room for them.
        found = attributes(span).get("axonize.gpu.ordinals")
        assert found in (None, [bit for bit in range(64) if gpus >> bit & 1])
    return spans


class Hostile:
    """An object whose every look fails, or does what nobody expects in the middle of a call."""

    def __init__(self, span, chance) -> None:
        self.span, self.chance = span, chance

    def _act(self):
        action = self.chance.randrange(5)
        if action == 0:
            raise RuntimeError("hostile")
        if action == 1:
            self.span.__exit__(None, None, None)
        if action == 2:
            self.span.set_attribute("from inside", "x" * 3000)
        if action == 3:
            drain()
        return "text"

    def __str__(self):
        return self._act()

    def __int__(self):
        return len(self._act())

    def __index__(self):
        return len(self._act())

    def __iter__(self):
        self._act()
        return iter((self, 1))

    def __len__(self):
        return self.chance.randrange(-2, 3)


def value(chance, span):
    kind = chance.randrange(14)
    plain = [
        None, True, 1.5, float("nan"), 1 << chance.randrange(80), -(1 << chance.randrange(80)),
        "x" * chance.choice([0, 1, 56, 57, 58, 63, 127, 128, 300, 40_000]),
        "é✓\U0001f600" * chance.choice([1, 20, 20_000]), "\ud800lone", b"\x00\xff",
    ]  # fmt: skip
    if kind < len(plain):
        return plain[kind]
    if kind == 10:
        return [value(chance, span) for _ in range(chance.randrange(4))]
    if kind == 11:
        return {str(index): value(chance, span) for index in range(chance.randrange(3))}
    return Hostile(span, chance) if kind == 12 else object()


def text(chance) -> object:
    return chance.choice(["k", "gen_ai.request.model", "k" * 63, "k" * 64, "k" * 300, "é" * 200, "", "\udfff", 7, None])


def step(chance, span, values) -> None:
    actions = (
        lambda: span.set_attribute(text(chance), values()), lambda: span.set_attribute(f"a{chance.randrange(200)}", values()),
        lambda: span.add_event(text(chance), chance.choice([None, {"k": values()}, 5])),
        lambda: span.set_gpus(chance.choice([["cuda:0"], [chance.randrange(-9, 99)], "cuda:63", values()])),
        lambda: span.set_status(chance.choice([0, 1, 2, 9, "x", None]), chance.choice([None, "d" * 2000])),
        lambda: span.record_exception(chance.choice([ValueError("x"), KeyError(), values()])),
        lambda: span.record_token(), lambda: span.record_token(values()), lambda: span.set_tokens_input(values()),
        lambda: span.set_tokens_output(values()), lambda: span.set_model(values(), values()),
        lambda: span._add(chance.choice([b"", b"\x5a\x00", b"\x6a\x00", b"\xff" * 9, b"\x5a\x02\x12\x00"])),
        lambda: span._begin(chance.choice([0, 1, 1 << 62, -1, "x", 1 << 70])),
        lambda: setattr(span, "name", chance.choice(["n", "n" * 3000, "é" * 700])),
        lambda: repr(span), lambda: drain(chance.randrange(5), chance.randrange(100_000)),
    )  # fmt: skip
    try:
        chance.choice(actions)()
    except TypeError:
        # What a plain Python function would raise for arguments of the wrong kind or number, too.
        return


def test_hostile_programs_break_nothing(recording, chance):
    deadline = time.monotonic() + SECONDS
    rounds = 0
    while time.monotonic() < deadline or rounds < 6:  # on a busy machine the time alone may be one round
        rounds += 1
        span = axonize.llm_span(
            chance.choice(["n", "n" * 2000, 5]),
            parent=chance.choice([None, "x", axonize.SpanContext("a" * 32, "b" * 16, "s" * 900), axonize.span("unbegun")]),
            kind=chance.choice([1, 3, 99, -1, "x"]),
        )
        if chance.random() < 0.9:
            span.__enter__()
        for _ in range(chance.randrange(60)):
            step(chance, span, lambda: value(chance, span))
        span.__exit__(*chance.choice([(None, None, None), (ValueError, ValueError("e"), None), (None, "odd", None)]))
        step(chance, span, lambda: 1)
        drain()
    from axonize._generators import current_span

    current_span.set(None)


def test_a_ring_that_wraps_and_fills_keeps_order_and_counts(recording, chance):
    """What comes out is what went in, in order, whatever the sizes; what does not fit is counted."""
    deadline = time.monotonic() + SECONDS
    sent = got = 0
    expected: list[str] = []
    while time.monotonic() < deadline:
        for _ in range(chance.randrange(400)):
            dropped = core.stats()["dropped"]
            with axonize.span(f"{sent}", v="x" * chance.choice([0, 10, 400, 4000, 30_000])):
                pass
            if core.stats()["dropped"] == dropped:
                expected.append(f"{sent}")
            sent += 1
        names = [span.name for span in drain(chance.choice([1, 50, 100_000]), chance.choice([1, 10_000, 1 << 24]))]
        assert names == expected[: len(names)]
        del expected[: len(names)]
        got += len(names)
    while names := [span.name for span in drain()]:
        assert names == expected[: len(names)]
        del expected[: len(names)]
        got += len(names)
    assert not expected and got > 0


def test_threads_that_write_while_one_drains_lose_nothing(recording):
    each = 3000

    def write(number: int) -> None:
        for _ in range(each):
            with axonize.llm_span("s", thread=number, text="x" * 100) as span:
                span.record_token()
                span.set_gpus(["cuda:0"])

    before = core.stats()
    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    counts = [0] * 4
    while any(thread.is_alive() for thread in threads):
        for span in drain(300):
            counts[attributes(span)["thread"]] += 1
    for span in drain():
        counts[attributes(span)["thread"]] += 1
    dropped = core.stats()["dropped"] - before["dropped"]
    assert sum(counts) + dropped == 4 * each and sum(counts) > 0


def test_bytes_from_a_hostile_server_are_refused_in_words(chance):
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        data = chance.randbytes(chance.randrange(300))
        try:
            _hpack.decode(data)
        except (_hpack.HpackError, UnicodeDecodeError):
            pass
        assert isinstance(_protocol.read_response(data), int)
        assert _protocol.read_retry_delay(data) is None or _protocol.read_retry_delay(data) >= 0
        connection = _h2.Connection()
        connection.request([(":method", "POST")], [chance.randbytes(chance.randrange(40_000))], frozenset())
        stream = [_h2._frame(4, 0, 0, b"")]
        for _ in range(chance.randrange(12)):
            payload = chance.randbytes(chance.choice([0, 4, 5, 8, 17, chance.randrange(2000)]))
            stream.append(_h2._frame(chance.randrange(12), chance.randrange(256), chance.randrange(4), payload))
        try:
            connection.feed(b"".join(stream))
        except (_h2.ProtocolError, _h2.StreamRefused):
            continue
        assert sum(map(len, connection.take())) < 3_000_000


def test_a_long_run_with_an_exporter_keeps_memory_flat(grpc_server):
    """A day in short: spans, calls, events and errors go out all the while; nothing grows."""

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def work(rounds: int) -> None:
        for number in range(rounds):
            with axonize.llm_span("call", model="m", index=number) as span:
                for _ in range(20):
                    span.record_token()
                if number % 50 == 0:
                    span.add_event("e", {"k": "v" * 200})
            if number % 1000 == 0:
                assert axonize.flush(20)
                grpc_server.requests.clear()
                grpc_server.metadata.clear()

    axonize.init(grpc_server.address, batch_size=512, flush_interval_ms=50)
    scale = 4 if axonize.implementation == "c" else 1
    work(1_500 * scale)
    gc.collect()
    memory, blocks = resident(), sys.getallocatedblocks()
    work(6_000 * scale)
    assert axonize.flush(20)
    grpc_server.requests.clear()
    gc.collect()
    assert resident() - memory < 16 << 20, f"{(resident() - memory) >> 20} MiB more"
    # Without the GIL each thread, the receiver's too, keeps what others freed of its memory for a while.
    assert FREE or sys.getallocatedblocks() - blocks < 5000
    assert axonize.stats()["dropped"] >= 0 and axonize.stats()["pending"] == 0
