"""Threads that share everything: spans, the ring, init and shutdown. On a free-threaded Python they truly run
at once, and the C core must not bring the interpreter's lock back.

AXONIZE_THREADS_S lengthens each of them. scripts/sanitize.sh runs the same under the thread sanitizer
where it is given an interpreter that was built with it.
"""

from __future__ import annotations

import contextvars
import os
import sys
import sysconfig
import threading
import time

from conftest import attributes, python
from opentelemetry.proto.trace.v1 import trace_pb2

import axonize
from axonize._core_choice import core

SECONDS = float(os.environ.get("AXONIZE_THREADS_S", "0.7"))
THREADS = 6
FREE = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def run(*works) -> None:
    """Each work in a thread of its own, begun at once; an exception of any is raised here."""
    ready = threading.Barrier(len(works))
    failed: list[BaseException] = []

    def guarded(work) -> None:
        try:
            ready.wait()
            work()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def for_a_while(step):
    def work() -> None:
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            for _ in range(50):
                step()

    return work


def test_the_core_leaves_a_free_threaded_python_free():
    """`-W error` makes a module that brings the lock back fail at its import."""
    told = python("import sys, axonize; print(axonize.implementation, getattr(sys, '_is_gil_enabled', lambda: True)())")
    free = FREE and os.environ.get("PYTHON_GIL") != "1"
    assert told.stdout.split() == [axonize.implementation, str(not free)]
    assert "GIL" not in told.stderr


def test_one_span_in_the_hands_of_many_threads(sdk):
    spans = []
    for number in range(60):
        with axonize.llm_span("shared", number=number) as span:
            spans.append(span)

            def use(which: int, span=span) -> None:
                for step in range(20):
                    span.set_attribute(f"key.{which}", step)
                    span.set_attribute("text", "x" * (step * 40))
                    span.set_attribute("object", [step, {"a": step}])
                    span.record_token()
                    span.set_gpus([which])
                    span.set_model(f"m{which}")
                    span.set_status(2, f"why {which}")
                    span.name = f"shared {which}"
                    assert len(span.trace_id) == 32 and "LlmSpan" in repr(span)
                    if step % 7 == 0:
                        span.add_event("event", {"which": which})

            run(*(lambda which=which: use(which) for which in range(THREADS)))
    assert axonize.flush(10)
    got = sdk.spans()
    assert len(got) == 60
    for span in got:
        found = attributes(span)
        assert [found[f"key.{which}"] for which in range(THREADS)] == [19] * THREADS
        assert found["gen_ai.usage.output_tokens"] == sum(found["axonize.llm.timeline.tokens"]) == 20 * THREADS
        assert found["axonize.gpu.ordinals"] == list(range(THREADS)) and len(span.events) == 3 * THREADS
        assert found["object"] == [19, {"a": 19}] and len(found["text"]) == 19 * 40
        assert span.name.startswith("shared ") and span.status.message.startswith("why ")


def test_a_span_begun_and_ended_by_many_is_recorded_once(sdk):
    for _ in range(100):
        span = axonize.span("once")

        def use(span=span) -> None:
            with span:
                span.set_attribute("a", 1)

        # In contexts of their own: whoever loses must not leave it current.
        run(*(lambda: contextvars.copy_context().run(use) for _ in range(4)))
    assert axonize.flush(10)
    got = sdk.spans()
    assert len(got) == 100 and len({span.span_id for span in got}) == 100
    assert all(span.trace_id != bytes(16) and span.span_id != bytes(8) for span in got)


def test_children_of_one_parent_in_many_threads(sdk):
    with axonize.span("parent") as parent:

        def children() -> None:
            for _ in range(200):
                with axonize.span("child", parent=parent):
                    with axonize.span("leaf"):
                        pass

        run(*[children] * THREADS)
    assert axonize.flush(10)
    got = sdk.spans()
    assert len(got) == 1 + 2 * 200 * THREADS
    assert {span.trace_id.hex() for span in got} == {parent.trace_id}
    assert len({span.span_id for span in got}) == len(got)
    children_ids = {span.span_id for span in got if span.name == "child"}
    assert all(span.parent_span_id in children_ids for span in got if span.name == "leaf")
    assert all(span.parent_span_id.hex() == parent.span_id for span in got if span.name == "child")


def test_spans_that_end_in_other_threads_and_out_of_order(sdk):
    """Each thread ends what another opened, while contexts still hold it as current."""
    count = 0

    def step() -> None:
        nonlocal count
        first, second, third = axonize.span("a"), axonize.span("b"), axonize.span("c")

        def nest() -> None:
            for span in (first, second, third):
                span.__enter__()
            other = contextvars.copy_context()
            run(
                lambda: second.__exit__(None, None, None),
                lambda: other.run(first.__exit__, None, None, None),
                lambda: contextvars.copy_context().run(axonize.current),
            )
            third.__exit__(None, None, None)
            axonize.current()

        contextvars.Context().run(nest)
        count += 1

    for _ in range(150):
        step()
    assert axonize.flush(10)
    assert len(sdk.spans()) == 3 * count


def test_a_ring_that_is_full_all_the_time_counts_every_span(grpc_server):
    """Writers, one reader, counters: whatever is made is sent or counted as dropped."""
    core.enable(256 << 10, 1 << 40, lambda: None)
    before = core.stats()
    made, taken = [0] * THREADS, 0
    stop = threading.Event()

    def write(which: int) -> None:
        while not stop.is_set():
            with axonize.span("s", text="x" * 200, which=which):
                made[which] += 1

    def read() -> None:
        nonlocal taken
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            data, count, _ = core.drain(2000, 1 << 20)
            spans = trace_pb2.ScopeSpans.FromString(bytes(data)).spans
            assert len(spans) == count and all(len(attributes(span)["text"]) == 200 for span in spans)
            taken += count
        stop.set()

    run(read, *(lambda which=which: write(which) for which in range(THREADS)))
    while (left := core.drain(100_000, 1 << 24)[1]) > 0:
        taken += left
    after = core.stats()
    core.disable()
    dropped = after["dropped"] - before["dropped"]
    assert taken > 0 and after["pending"] == 0
    if axonize.implementation == "c" or not FREE:
        assert taken + dropped == sum(made)


def test_init_and_shutdown_among_threads_that_record(grpc_server):
    """An exporter that comes and goes costs spans that were made without one, and nothing else."""
    stop = threading.Event()

    def record() -> None:
        while not stop.wait(0.0002):
            with axonize.llm_span("s", a=1) as span:
                span.record_token()
                span.set_gpus("cuda:0")

    def restart() -> None:
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            axonize.init(grpc_server.address, flush_interval_ms=10, batch_size=64)
            with axonize.span("own"):
                axonize.stats()
            axonize.flush(60)
            axonize.shutdown(60)
        stop.set()

    run(restart, *[record] * 3)
    got = grpc_server.spans()
    assert any(span.name == "own" for span in got) and len({span.span_id for span in got}) == len(got)


def test_forks_among_threads_that_record(grpc_server):
    if sys.platform == "win32":
        return
    result = python("""
import os, sys, threading, time, axonize
axonize.init(sys.argv[1], flush_interval_ms=10, batch_size=64)
stop = False
def busy():
    while not stop:
        with axonize.span("busy", text="x" * 300): pass
        # Tens of thousands of spans would only keep the receiver busy.
        time.sleep(0.0002)
threads = [threading.Thread(target=busy) for _ in range(4)]
for thread in threads: thread.start()
codes = []
for number in range(25):
    pid = os.fork()
    if pid == 0:
        with axonize.span(f"child{number}"): pass
        os._exit(0 if axonize.flush(10) else 1)
    codes.append(os.waitpid(pid, 0)[1])
stop = True
for thread in threads: thread.join()
assert codes == [0] * 25, codes
axonize.shutdown(20)
""", grpc_server.address, timeout=100)
    assert "Error" not in result.stderr
    got = grpc_server.spans()
    children = sorted(span.name for span in got if span.name.startswith("child"))
    assert children == sorted(f"child{number}" for number in range(25))
    assert len({span.span_id for span in got}) == len(got)


def test_a_flush_ends_while_others_go_on_recording(sdk):
    """It sends what was finished when it began; without that, a busy program's flush went on to its deadline."""
    stop = threading.Event()

    def record() -> None:
        # The receiver is in this process, too: it needs its turn.
        while not stop.wait(0.0002):
            with axonize.span("busy"):
                pass

    def flush() -> None:
        try:
            for number in range(3):
                with axonize.span(f"mark{number}"):
                    pass
                started = time.monotonic()
                assert axonize.flush(60)
                assert time.monotonic() - started < 9, "the exporter gives a whole flush 10 s"
                assert sdk.holds(f"mark{number}")
        finally:
            stop.set()

    run(flush, record, record)
