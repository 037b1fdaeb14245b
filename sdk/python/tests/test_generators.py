"""Generators, streams and decorated functions: whose span is current between two items."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import inspect
import logging
import sys

import pytest
from conftest import attributes, parents

import axonize

MONITORED = sys.version_info >= (3, 12)


def test_a_generator_does_not_leak_its_span_into_the_caller(sdk, caplog):
    def tokens():
        with axonize.llm_span("llm") as s:
            for token in "abc":
                with axonize.span(f"step-{token}"):
                    pass
                s.record_token()
                yield token

    with caplog.at_level(logging.WARNING, "axonize"), axonize.span("request") as request:
        for token in tokens():
            assert axonize.current() is request
            with axonize.span(f"caller-{token}"):
                pass
        assert axonize.current() is request
    got = parents(sdk)
    inner = "llm" if MONITORED else "request"
    assert got == {
        "request": None, "llm": "request",
        **{f"step-{t}": inner for t in "abc"}, **{f"caller-{t}": "request" for t in "abc"},
    }  # fmt: skip
    assert len(caplog.records) == (0 if MONITORED else 1)


def test_an_async_generator_does_not_leak_its_span_into_the_caller(sdk):
    async def tokens():
        with axonize.llm_span("llm"):
            for token in "ab":
                await asyncio.sleep(0)
                with axonize.span(f"step-{token}"):
                    await asyncio.sleep(0)
                yield token

    async def main():
        with axonize.span("request") as request:
            async for token in tokens():
                assert axonize.current() is request
                with axonize.span(f"caller-{token}"):
                    await asyncio.sleep(0)

    asyncio.run(main())
    inner = "llm" if MONITORED else "request"
    assert parents(sdk) == {
        "request": None, "llm": "request",
        **{f"step-{t}": inner for t in "ab"}, **{f"caller-{t}": "request" for t in "ab"},
    }  # fmt: skip


def test_a_generator_that_is_broken_off_or_thrown_into_ends_its_spans(sdk):
    def tokens(name):
        with axonize.span(name):
            with axonize.span(f"{name}-inner"):
                try:
                    yield 1
                except KeyError:
                    yield 2
                yield 3

    with axonize.span("request") as request:
        broken = tokens("broken")
        next(broken)
        del broken
        gc.collect()
        assert axonize.current() is request
        thrown = tokens("thrown")
        next(thrown)
        assert thrown.throw(KeyError("k")) == 2
        assert axonize.current() is request
        assert list(thrown) == [3]
        assert axonize.current() is request
    got = parents(sdk)
    assert set(got) == {"request", "broken", "broken-inner", "thrown", "thrown-inner"}
    assert got["broken"] == got["thrown"] == "request"


def test_interleaved_generators_in_one_frame_stay_apart(sdk):
    def tokens(name):
        with axonize.span(name):
            for step in range(3):
                with axonize.span(f"{name}{step}"):
                    yield step

    for _ in zip(tokens("a"), tokens("b")):
        assert axonize.current() is None
    got = parents(sdk)
    assert got["a"] is None and got["b"] is None
    if MONITORED:
        assert all(got[f"{n}{s}"] == n for n in "ab" for s in range(3))


def test_context_managers_made_of_generators_keep_their_span_current(sdk):
    @contextlib.contextmanager
    def managed(name):
        with axonize.span(name):
            yield

    @contextlib.asynccontextmanager
    async def managed_async(name):
        with axonize.span(name):
            yield

    async def main():
        async with managed_async("async"):
            with axonize.span("in-async"):
                pass

    with managed("sync"):
        with axonize.span("in-sync"):
            pass
    asyncio.run(main())
    assert parents(sdk) == {"sync": None, "in-sync": "sync", "async": None, "in-async": "async"}


def test_trace_keeps_the_kind_of_what_it_decorates(sdk):
    @axonize.trace
    def plain(a, *, b=2):
        """Doc."""
        return a + b

    @axonize.trace(name="custom-name", fixed=1)
    async def coroutine():
        await asyncio.sleep(0)
        return axonize.current().name

    @axonize.trace
    def generator():
        got = yield axonize.current().name
        yield got
        return "end"

    @axonize.trace
    async def async_generator():
        yield axonize.current().name
        await asyncio.sleep(0)
        yield 2

    class Model:
        @axonize.trace
        def method(self):
            return self

        @axonize.trace
        @staticmethod
        def fixed():
            return 1

        @axonize.trace
        @classmethod
        def made(cls):
            return cls

    assert plain(1, b=4) == 5 and plain.__doc__ == "Doc." and plain.__name__ == "plain"
    assert inspect.iscoroutinefunction(coroutine) and asyncio.run(coroutine()) == "custom-name"
    assert inspect.isgeneratorfunction(generator) and inspect.isasyncgenfunction(async_generator)

    def delegate():
        return (yield from generator())

    running = delegate()
    assert next(running).endswith("generator") and axonize.current() is None
    assert running.send("sent") == "sent"
    with pytest.raises(StopIteration) as stop:
        next(running)
    assert stop.value.value == "end"

    async def collect():
        items = []
        async for item in async_generator():
            assert axonize.current() is None
            items.append(item)
        return items

    assert asyncio.run(collect())[1] == 2
    model = Model()
    assert model.method() is model and Model.fixed() == 1 and Model.made() is Model
    assert axonize.trace(functools.partial(plain, 1))(b=1) == 2
    names = list(parents(sdk))
    assert "custom-name" in names and sum("async_generator" in name for name in names) == 1


def test_traced_generators_end_once_whatever_ends_them(sdk):
    @axonize.trace(name="raises")
    def raises():
        yield 1
        raise RuntimeError("broken")

    @axonize.trace(name="closed")
    def closed():
        try:
            yield 1
        finally:
            with axonize.span("cleanup"):
                pass

    @axonize.trace(name="caught")
    def caught():
        try:
            yield 1
        except ValueError:
            yield 2

    @axonize.trace(name="async-closed")
    async def async_closed():
        yield 1
        yield 2

    with pytest.raises(RuntimeError):
        list(raises())
    for _ in closed():
        break
    gc.collect()
    thrown = caught()
    next(thrown)
    assert thrown.throw(ValueError()) == 2 and list(thrown) == []

    async def main():
        generator = async_closed()
        async for _ in generator:
            break
        await generator.aclose()

    asyncio.run(main())
    got = parents(sdk)
    assert got == {"raises": None, "closed": None, "cleanup": "closed", "caught": None, "async-closed": None}
    codes = {span.name: span.status.code for span in sdk.spans()}
    assert codes["raises"] == 2 and codes["closed"] == codes["caught"] == codes["async-closed"] == 0


def test_stream_owns_its_span_and_counts(sdk):
    def source():
        for item in ([1, 2], [3], [4, 5, 6]):
            with axonize.span("engine-step"):
                pass
            yield item

    with axonize.span("request"):
        for _ in axonize.stream(source(), name="s", model="m", count=len, user="u"):
            assert axonize.current().name == "request"
    broken = axonize.stream(source(), name="broken")
    next(broken)
    del broken
    gc.collect()
    with axonize.stream(source(), name="managed") as managed:
        next(managed)
    got = parents(sdk)
    assert got["s"] == "request" and got["engine-step"] in ("s", "broken", "managed")
    spans = sdk.by_name()
    assert attributes(spans["s"])["gen_ai.usage.output_tokens"] == 6
    assert attributes(spans["s"])["user"] == "u"
    assert attributes(spans["broken"])["gen_ai.usage.output_tokens"] == 1


def test_async_streams_and_streams_of_a_span(sdk):
    async def source():
        for item in range(4):
            await asyncio.sleep(0)
            yield item

    async def main():
        got = [item async for item in axonize.stream(source(), name="own")]
        with axonize.llm_span("with") as s:
            got += [item async for item in s.stream(source())]
        async with axonize.stream(source(), name="managed") as managed:
            await managed.__anext__()
        return got

    assert asyncio.run(main()) == [0, 1, 2, 3] * 2
    with axonize.llm_span("sync") as s:
        assert list(s.stream("ab", count=lambda item: 3)) == ["a", "b"]
    assert axonize.flush()
    tokens = {s.name: attributes(s)["ai.llm.tokens.output"] for s in sdk.spans()}
    assert tokens == {"own": 4, "with": 4, "managed": 1, "sync": 6}
