"""Spans as a server sees them: identity, attributes, events, status, limits, tokens."""

from __future__ import annotations

import enum
import math
import time

import pytest
from conftest import attributes

import axonize
from axonize import SpanKind, SpanStatus, _llm


def test_a_child_has_its_parents_trace_and_times_nest(sdk):
    before = time.time_ns()
    with axonize.span("outer") as outer:
        with axonize.span("inner") as inner:
            assert axonize.current() is inner
        assert axonize.current() is outer
    assert axonize.flush()
    spans = sdk.by_name()
    assert spans["inner"].trace_id == spans["outer"].trace_id == bytes.fromhex(outer.trace_id)
    assert spans["inner"].parent_span_id == spans["outer"].span_id == bytes.fromhex(outer.span_id)
    assert spans["outer"].parent_span_id == b""
    assert spans["outer"].start_time_unix_nano <= spans["inner"].start_time_unix_nano
    assert spans["inner"].end_time_unix_nano <= spans["outer"].end_time_unix_nano
    assert abs(spans["outer"].start_time_unix_nano - before) < 1_000_000_000
    assert spans["outer"].kind == SpanKind.INTERNAL and spans["outer"].flags == 0x101


def test_every_kind_of_value_arrives_as_itself(sdk):
    class Colour(enum.Enum):
        RED = "red"

    class Level(enum.IntEnum):
        HIGH = 3

    class Strange:
        def __str__(self):
            raise RuntimeError("no text")

    values = {
        "text": "héllo ✓", "empty": "", "long": "x" * 5000, "yes": True, "no": False,
        "int": 42, "negative": -7, "zero": 0, "max": 2**63 - 1, "min": -(2**63),
        "huge": 2**70, "float": 1.5, "nan": math.nan, "inf": math.inf,
        "bytes": b"\x00\xff", "list": [1, "a", 2.5, True], "nested": {"a": [1, {"b": 2}]},
        "tuple": (1, 2), "enum": Level.HIGH, "other_enum": Colour.RED, "strange": Strange(),
        "surrogate": "a\ud800b", "list_of_none": [None],
    }  # fmt: skip
    with axonize.span("values", kwarg="k") as s:
        for key, value in values.items():
            s.set_attribute(key, value)
        s.set_attribute("none", None)
    assert axonize.flush()
    got = attributes(sdk.by_name()["values"])
    assert math.isnan(got.pop("nan"))
    assert got == {
        **{k: v for k, v in values.items() if k not in ("nan",)},
        "kwarg": "k", "huge": str(2**70), "tuple": [1, 2], "enum": 3, "strange": "<Strange>",
        "other_enum": "Colour.RED", "surrogate": "a?b", "list_of_none": ["None"],
    }  # fmt: skip


def test_a_second_value_replaces_the_first_whatever_their_sizes(sdk):
    with axonize.span("twice", a="1", b=2) as s:
        for value in (1, "x" * 3000, "short", [1, 2], 7.5, "y" * 300, True):
            s.set_attribute("a", value)
    assert axonize.flush()
    span = sdk.by_name()["twice"]
    assert len(span.attributes) == 2 and attributes(span) == {"a": True, "b": 2}


def test_limits_cut_or_drop_and_count(sdk):
    with axonize.span("n" * 3000) as s:
        for i in range(200):
            s.set_attribute(f"k{i}", i)
    with axonize.span("big") as s:
        s.set_attribute("value", "é" * 40_000)
        for i in range(4):
            s.set_attribute(f"more{i}", "x" * 20_000)
        for i in range(200):
            s.add_event("e", {"i": i})
    assert axonize.flush()
    many, big = sdk.spans()
    assert len(many.name) == 1024
    assert len(many.attributes) == 128 and many.dropped_attributes_count == 72
    assert attributes(big)["value"] == "é" * 16384
    assert big.dropped_attributes_count == 3 and len(big.events) == 128 and big.dropped_events_count == 72
    assert axonize.stats()["truncated"] >= 72


def test_an_exception_sets_the_status_and_is_passed_on(sdk):
    with pytest.raises(ValueError, match="broken"):
        with axonize.span("fails") as s:
            s.set_status(SpanStatus.OK)
            raise ValueError("broken")
    assert axonize.current() is None
    with pytest.raises(KeyboardInterrupt):
        with axonize.span("interrupted"):
            raise KeyboardInterrupt
    assert axonize.flush()
    span = sdk.by_name()["fails"]
    assert span.status.code == SpanStatus.ERROR and span.status.message == "ValueError: broken"
    (event,) = span.events
    got = attributes(event)
    assert event.name == "exception" and got["exception.type"] == "ValueError"
    assert got["exception.message"] == "broken" and "test_spans.py" in got["exception.stacktrace"]
    assert attributes(span)["error.type"] == "ValueError"
    assert sdk.by_name()["interrupted"].status.code == SpanStatus.UNSET


def test_status_events_gpus_and_kind(sdk):
    with axonize.span("all", kind=SpanKind.SERVER) as s:
        s.set_gpus(["cuda:0", "cuda:1"])
        s.set_gpus([5, "7", "cuda:64", "nonsense", None])
        s.set_gpus("cuda:3")
        s.set_gpus(None)
        s.set_status(SpanStatus.ERROR, "because")
        s.set_status(9)
        s.add_event("step", {"i": 1})
        s.add_event("bare")
        s.record_exception(KeyError("k"))
    assert axonize.flush()
    span = sdk.by_name()["all"]
    assert attributes(span)["axonize.gpu.ordinals"] == [0, 1, 3, 5, 7]
    assert span.kind == 2 and span.status.code == 2 and span.status.message == "because"
    assert [event.name for event in span.events] == ["step", "bare", "exception"]
    assert attributes(span.events[0]) == {"i": 1}
    assert span.start_time_unix_nano <= span.events[0].time_unix_nano <= span.end_time_unix_nano


def test_an_llm_span_derives_its_figures(sdk):
    with axonize.llm_span("generate", model="llama-3-70b") as s:
        s.set_tokens_input(128)
        s.set_model("llama-3", "70b")
        time.sleep(0.02)
        s.record_token()
        for _ in range(4):
            time.sleep(0.005)
            s.record_token(2)
    assert axonize.flush()
    got = attributes(sdk.by_name()["generate"])
    assert got["gen_ai.request.model"] == got["ai.model.name"] == "llama-3"
    assert got["ai.model.version"] == "70b"
    assert got["gen_ai.usage.input_tokens"] == got["ai.llm.tokens.input"] == 128
    assert got["gen_ai.usage.output_tokens"] == got["ai.llm.tokens.output"] == 9
    assert 20 <= got["ai.llm.ttft_ms"] < 200
    assert got["gen_ai.response.time_to_first_chunk"] == pytest.approx(got["ai.llm.ttft_ms"] / 1000)
    assert 40 < got["ai.llm.tokens_per_second"] <= 400
    assert 2 <= got["axonize.llm.itl_p50_ms"] < 20 and got["axonize.llm.itl_p99_ms"] >= got["axonize.llm.itl_p50_ms"]
    assert got["axonize.llm.last_token_ms"] > got["ai.llm.ttft_ms"]


def test_the_timeline_says_when_tokens_arrived(sdk):
    with axonize.llm_span("stream") as s:
        s.record_token(3)
        for _ in range(4):
            time.sleep(0.03)
            s.record_token(2)
    with axonize.llm_span("one") as s:
        s.record_token(5)
    assert axonize.flush()
    got = attributes(sdk.by_name()["stream"])
    bins, width = got["axonize.llm.timeline.tokens"], got["axonize.llm.timeline.bin_ms"]
    assert sum(bins) == 11 and bins[0] == 3 and bins[-1] >= 2 and len(bins) <= 64
    # The last bin holds the last token: so many bins after the first one.
    span_of_tokens = got["axonize.llm.last_token_ms"] - got["ai.llm.ttft_ms"]
    assert (len(bins) - 1) * width <= span_of_tokens < len(bins) * width
    assert "axonize.llm.timeline.tokens" not in attributes(sdk.by_name()["one"])


def test_a_long_streams_timeline_stays_at_64_bins_and_loses_no_token():
    timeline = _llm.Timeline()
    for index in range(20_000):
        timeline.add(index * 7_000_000, 1)
    assert sum(timeline.bins) == 20_000 and len(timeline.trimmed()) <= 64
    assert 64 << timeline.shift >= 20_000 * 7_000_000 > 32 << timeline.shift


def test_counts_from_the_engine_win_and_odd_counts_do_no_harm(sdk):
    with axonize.llm_span("usage") as s:
        s.record_token()
        s.set_tokens_output(50)
        s.set_tokens_input(-1)
        for odd in (0, -5, None, "x", 1 << 80, object()):
            s.record_token(odd)
    with axonize.llm_span("own") as s:
        s.record_token()
        s.set_attribute("gen_ai.usage.output_tokens", 7)
    with axonize.llm_span("none"):
        pass
    assert axonize.flush()
    spans = sdk.by_name()
    got = attributes(spans["usage"])
    assert got["gen_ai.usage.output_tokens"] == 50 and "gen_ai.usage.input_tokens" not in got
    assert attributes(spans["own"])["gen_ai.usage.output_tokens"] == 7
    assert attributes(spans["none"]) == {}


def test_misuse_never_raises(sdk):
    s = axonize.llm_span("misuse")
    s.__exit__(None, None, None)
    with s:
        with s:
            s.set_attribute(5, 5)
    s.set_attribute("late", 1)
    s.record_token()
    s.add_event("late")
    s.set_model("late")
    with s:
        pass
    with axonize.span(17, parent="nonsense"):
        pass
    assert axonize.flush()
    assert [span.name for span in sdk.spans()] == ["misuse", "17"]
    assert attributes(sdk.spans()[0]) == {"5": 5}


def test_before_init_and_after_shutdown_spans_work_unrecorded(grpc_server):
    with axonize.span("before") as s:
        assert len(s.trace_id) == 32 and axonize.current() is s
    axonize.init(endpoint=grpc_server.address)
    with axonize.span("during"):
        pass
    assert axonize.shutdown()
    with axonize.span("after"):
        pass
    assert [span.name for span in grpc_server.spans()] == ["during"]
    assert axonize.flush()


def test_ids_are_distinct_and_names_stay_apart(sdk):
    for i in range(2000):
        with axonize.span(f"s{i}"):
            pass
    assert axonize.flush()
    spans = sdk.spans()
    assert [span.name for span in spans] == [f"s{i}" for i in range(2000)]
    assert len({span.span_id for span in spans}) == len({span.trace_id for span in spans}) == 2000
