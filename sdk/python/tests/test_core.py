"""Both hot paths hold the same limits, encode what random programs do, and keep memory flat."""

from __future__ import annotations

import gc
import math
import random
import re
import string
import sys
from pathlib import Path

import pytest
from conftest import attributes
from opentelemetry.proto.trace.v1 import trace_pb2

import axonize
from axonize import _llm, _values
from axonize._core_choice import core


@pytest.fixture
def recording():
    """The core without an exporter: finished spans stay until they are drained."""
    core.enable(4 << 20, 1 << 40, lambda: None)
    drain_all()
    yield
    drain_all()
    core.disable()


def drain_all() -> list:
    spans = []
    while True:
        data, count, _ = core.drain(100_000, 1 << 24)
        if count == 0:
            return spans
        decoded = trace_pb2.ScopeSpans.FromString(data).spans
        assert len(decoded) == count
        spans += decoded


def test_the_environment_chose_this_implementation():
    import os

    assert axonize.implementation == os.environ.get("AXONIZE_EXPECT", axonize.implementation)


def test_c_and_python_have_the_same_limits():
    header = Path(__file__).parent.parent.joinpath("csrc", "arena.h").read_text()
    found = dict(re.findall(r"#define AX_(\w+_MAX) (?:\()?([\d *]+)", header))
    wanted = {
        "ATTRIBUTES_MAX": _values.ATTRIBUTES_MAX, "EVENTS_MAX": _values.EVENTS_MAX,
        "KEY_MAX": _values.KEY_BYTES_MAX, "NAME_MAX": _values.NAME_BYTES_MAX,
        "MESSAGE_MAX": _values.MESSAGE_BYTES_MAX, "VALUE_MAX": _values.VALUE_BYTES_MAX,
        "ARENA_MAX": _values.ARENA_BYTES_MAX,
    }  # fmt: skip
    assert {key: math.prod(int(part) for part in value.split("*")) for key, value in found.items()} == wanted


def random_value(chance: random.Random):
    kind = chance.randrange(8)
    if kind == 0:
        return chance.randint(-(1 << 63), (1 << 63) - 1) >> chance.randrange(64)
    if kind == 1:
        return chance.choice([True, False])
    if kind == 2:
        return chance.uniform(-1e9, 1e9)
    if kind == 3:
        return [chance.randrange(100) for _ in range(chance.randrange(5))]
    if kind == 4:
        return {"k": chance.randrange(300)}
    if kind == 5:
        return chance.randbytes(chance.randrange(40))
    letters = string.printable + "äöü→✓😀"
    return "".join(chance.choices(letters, k=chance.choice([0, 3, 20, 127, 128, 129, 300, 500])))


def test_random_programs_decode_to_what_they_did(recording):
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    wanted = []
    for number in range(400):
        name = f"{number}-{random_value(chance)}"[:200]
        model: dict = {}
        events = 0
        with axonize.span(name, kind=chance.randrange(1, 6)) as span:
            for _ in range(chance.choice([0, 1, 3, 10, 60])):
                if chance.random() < 0.1:
                    span.add_event("e", {"v": random_value(chance)})
                    events += 1
                else:
                    key = f"key{chance.randrange(20)}" * chance.choice([1, 1, 1, 20])
                    model[key] = random_value(chance)
                    span.set_attribute(key, model[key])
        wanted.append((name, span.span_id, model, events))
    spans = drain_all()
    assert len(spans) == len(wanted)
    for span, (name, span_id, model, events) in zip(spans, wanted):
        assert span.name == name and span.span_id.hex() == span_id
        assert span.dropped_attributes_count == span.dropped_events_count == 0
        assert attributes(span) == model and len(span.attributes) == len(model)
        assert len(span.events) == events


def test_the_ring_wraps_without_loss_or_mixing(recording):
    chance = random.Random(1)
    sent = 0
    for _ in range(60):
        names = [f"{sent + i}" * chance.randrange(1, 20) for i in range(chance.randrange(1, 800))]
        for name in names:
            with axonize.span(name, payload="x" * chance.choice([0, 10, 500, 2000])):
                pass
        sent += len(names)
        assert [span.name for span in drain_all()] == names
    assert sent * 500 > 4 << 20


def test_derived_figures_follow_the_same_arithmetic(recording):
    import time

    with axonize.llm_span("l") as span:
        span.set_tokens_input(3)
        for pause in (0, 0.001, 0.002, 0.004, 0.001):
            time.sleep(pause)
            span.record_token(2)
    (got,) = drain_all()
    values = attributes(got)
    first, last = values["ai.llm.ttft_ms"] * 1e6, values["axonize.llm.last_token_ms"] * 1e6
    assert values["ai.llm.tokens_per_second"] == pytest.approx(9e9 / (last - first), rel=1e-6)
    middles = {_llm.bucket_middle_ms(index) for index in range(_llm.BUCKETS)}
    assert {values["axonize.llm.itl_p50_ms"], values["axonize.llm.itl_p99_ms"]} <= middles
    keys = {key for key, _ in _llm.derived(0, 100, 10, 50, 10, 3, -1, {3: 8}, _llm.Timeline())}
    assert set(values) == keys


def test_buckets_are_within_an_eighth_and_percentiles_ordered():
    chance = random.Random(2)
    for _ in range(2000):
        gap = int(10 ** chance.uniform(4, 10.8))
        middle = _llm.bucket_middle_ms(_llm.bucket(gap)) * 1e6
        assert abs(middle - gap) <= max(0.13 * gap, 1024)
    assert _llm.bucket(1 << 62) == _llm.BUCKETS - 1 and _llm.bucket(-5) == 0
    assert _llm.percentile_ms({0: 99, 50: 1}, 0.5) < _llm.percentile_ms({0: 50, 50: 50}, 0.99)


def exercise() -> None:
    for number in range(50):
        with axonize.span(f"s{number}", a=1, b="x" * number * 40, c=[1, 2]) as outer:
            outer.set_attribute("d", {"k": number})
            outer.add_event("e", {"v": 1})
            outer.set_status(2, "why")
            with axonize.llm_span("l", model="m", parent=axonize.SpanContext("a" * 32, "b" * 16, "k=v")) as llm:
                llm.record_token()
                llm.record_token(n=3)
                llm.set_gpus(["cuda:1", 2])
                list(llm.stream(range(3)))
        try:
            with axonize.span("fails"):
                raise ValueError("x")
        except ValueError:
            pass
        for call in (lambda: axonize.span(), lambda: outer.set_attribute(), lambda: llm.record_token(1, 2)):
            try:
                call()
            except TypeError:
                continue
        axonize.span("unused", x=1)
        repr(llm), llm.trace_id, llm.trace_state

        def generator():
            with axonize.span("g"):
                yield 1

        for _ in generator():
            break
    core.drain(100_000, 1 << 24)


def test_nothing_leaks_over_many_spans(recording):
    for _ in range(15):
        exercise()
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(20):
        exercise()
    gc.collect()
    grown = sys.getallocatedblocks() - before
    assert grown < 300, f"{grown} blocks more after 20,000 spans"


def test_memory_stays_flat_while_recording(recording):
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    def rounds(count: int) -> None:
        for _ in range(count):
            for _ in range(5000):
                with axonize.span("s", a=1, b="text"):
                    pass
            core.drain(100_000, 1 << 24)

    rounds(4)
    before = resident()
    rounds(16)
    assert resident() - before < 8 << 20


def test_a_long_row_of_open_spans_is_freed_without_recursion(recording):
    for _ in range(100_000):
        axonize.span("deep").__enter__()
    from axonize._generators import current_span

    current_span.set(None)
    gc.collect()
