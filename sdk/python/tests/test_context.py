"""Which span is current where: threads, asyncio, propagation."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import parents

import axonize

def test_a_child_task_that_runs_late_keeps_its_parent(sdk):
    async def child(name):
        await asyncio.sleep(0.01)
        with axonize.span(name):
            await asyncio.sleep(0)

    async def main():
        with axonize.span("request"):
            late = asyncio.create_task(child("late"))
            with axonize.span("other"):
                await asyncio.sleep(0)
        forgotten = asyncio.create_task(child("root"))
        await asyncio.gather(late, forgotten)

    asyncio.run(main())
    assert parents(sdk) == {"request": None, "other": "request", "late": "request", "root": None}


def test_a_child_that_changed_its_context_keeps_its_parent(sdk):
    variable = contextvars.ContextVar("v")

    async def child():
        variable.set(1)
        with axonize.span("child"):
            await asyncio.sleep(0.005)
            with axonize.span("grandchild"):
                pass

    async def main():
        with axonize.span("request"):
            task = asyncio.create_task(child())
            await asyncio.sleep(0)
            with axonize.span("sibling"):
                await task

    asyncio.run(main())
    assert parents(sdk) == {
        "request": None, "child": "request", "grandchild": "child", "sibling": "request",
    }  # fmt: skip


def test_fire_and_forget_stays_a_child_of_the_ended_parent(sdk):
    async def child():
        await asyncio.sleep(0.01)
        with axonize.span("first"):
            pass
        with axonize.span("second"):
            pass

    async def main():
        with axonize.span("request"):
            task = asyncio.create_task(child())
        await task

    asyncio.run(main())
    assert parents(sdk) == {"request": None, "first": "request", "second": "request"}


def test_ten_interleaved_tasks_do_not_mix(sdk):
    async def worker(number):
        with axonize.span(f"outer{number}"):
            for step in range(3):
                await asyncio.sleep(0.001 * ((number * 7 + step) % 4))
                with axonize.span(f"inner{number}.{step}"):
                    await asyncio.sleep(0)

    async def main():
        await asyncio.gather(*(worker(number) for number in range(10)))

    asyncio.run(main())
    for child, parent in parents(sdk).items():
        expected = f"outer{child[5:].split('.')[0]}" if child.startswith("inner") else None
        assert parent == expected


def test_threads_start_empty_and_a_copied_context_carries_the_span(sdk):
    def work(name):
        with axonize.span(name):
            pass

    with axonize.span("request"):
        plain = threading.Thread(target=work, args=("plain",))
        plain.start()
        plain.join()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(contextvars.copy_context().run, work, "copied").result()
    expected = "request" if getattr(sys.flags, "thread_inherit_context", 0) else None
    assert parents(sdk) == {"request": None, "plain": expected, "copied": "request"}


def test_many_threads_at_once_lose_nothing(sdk):
    before = axonize.stats()["dropped"]

    def work(number):
        for step in range(300):
            with axonize.span(f"{number}.{step}", n=step):
                with axonize.span("leaf"):
                    pass

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert axonize.flush(10)
    assert len(sdk.spans()) == 6 * 300 * 2 and axonize.stats()["dropped"] == before


def test_ending_out_of_order_leaves_nothing_behind(sdk):
    first, second = axonize.span("first"), axonize.span("second")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert axonize.current() is second
    second.__exit__(None, None, None)
    assert axonize.current() is None
    with axonize.span("below") as below:
        middle, above = axonize.span("middle"), axonize.span("above")
        middle.__enter__()
        above.__enter__()
        middle.__exit__(None, None, None)
        above.__exit__(None, None, None)
        assert axonize.current() is below
    assert axonize.current() is None


def test_a_span_may_end_in_a_copy_of_its_context(sdk):
    def end(span):
        span.__exit__(None, None, None)
        return axonize.current()

    def work():
        with axonize.span("outer") as outer:
            inner = axonize.span("inner")
            inner.__enter__()
            assert contextvars.copy_context().run(end, inner) is outer

    contextvars.Context().run(work)
    assert axonize.flush(10) and set(sdk.by_name()) == {"outer", "inner"}


def test_a_span_left_open_keeps_its_context_only_until_the_collector_comes(sdk):
    class Held:
        pass

    def abandon():
        held = Held()
        contextvars.ContextVar("held").set(held)
        axonize.span("first").__enter__()
        axonize.span("second").__enter__()
        return weakref.ref(held)

    held = contextvars.Context().run(abandon)
    gc.collect()
    assert held() is None


def test_enter_and_exit_are_called_in_any_way(sdk):
    with contextlib.ExitStack() as stack:
        span = stack.enter_context(axonize.span("stack"))
        assert axonize.current() is span
        call = stack.enter_context(axonize.llm_span("call"))
        assert axonize.current() is call
    span = axonize.span("bound")
    enter, leave = span.__enter__, span.__exit__
    assert enter() is span and "__enter__" in repr(enter)
    with pytest.raises(TypeError):
        enter(1)
    with pytest.raises(TypeError):
        leave()
    with pytest.raises(TypeError):
        type(span).__enter__()
    with pytest.raises(TypeError):
        type(span).__exit__(span, None)
    assert leave(None, None, None) is None and axonize.current() is None
    with pytest.raises(ZeroDivisionError):
        with axonize.span("raises"):
            1 / 0
    assert axonize.flush(10) and len(sdk.by_name()) == 4


def test_trace_context_goes_out_and_comes_in(sdk):
    headers = {}
    axonize.inject(headers)
    assert headers == {}
    with axonize.span("client") as s:
        axonize.inject(headers)
    assert headers == {"traceparent": f"00-{s.trace_id}-{s.span_id}-01"}
    asgi = [(b"TraceParent", headers["traceparent"].encode()), (b"tracestate", b"a=1,b=2")]
    for incoming in (headers, asgi):
        context = axonize.extract(incoming)
        assert (context.trace_id, context.span_id) == (s.trace_id, s.span_id)
    with axonize.span("server", parent=context) as server:
        with axonize.llm_span("call", parent=None):
            onward = {}
            axonize.inject(onward)
    assert onward["tracestate"] == "a=1,b=2" and server.trace_state == "a=1,b=2"
    assert parents(sdk)["server"] == "client" and parents(sdk)["call"] == "server"
    span = sdk.by_name()["server"]
    assert span.flags == 0x301 and span.trace_state == "a=1,b=2"


@pytest.mark.parametrize(
    "value",
    [
        "", "00", "00-" + "0" * 32 + "-" + "1" * 16 + "-01", "00-" + "1" * 32 + "-" + "0" * 16 + "-01",
        "ff-" + "1" * 32 + "-" + "1" * 16 + "-01", "00-" + "G" * 32 + "-" + "1" * 16 + "-01",
        "00-" + "1" * 32 + "-" + "1" * 16 + "-01-extra", "x" * 100_000, 5, None,
    ],
)  # fmt: skip
def test_malformed_parents_are_ignored(value):
    assert axonize.extract({"traceparent": value}) is None
    assert axonize.extract(value) is None
    assert axonize.extract({"traceparent": "00-" + "1" * 32 + "-" + "1" * 16 + "-01", "tracestate": "x" * 600}).trace_state == ""
    assert axonize.extract({"traceparent": "cc-" + "1" * 32 + "-" + "1" * 16 + "-01-more"}) is not None
    with axonize.span("s", parent=axonize.SpanContext("no", "hex")) as s:
        assert len(s.trace_id) == 32
