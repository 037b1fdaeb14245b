"""One interpreter's share of `npm run bench -- sdk-python`: our SDK and OpenTelemetry's, side by side.

Rounds alternate between the two and report medians, so that a slow phase of the machine hits both.
Prints one JSON object. Run by bench/sdk-python.ts in an environment that has both installed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from statistics import median

ROUNDS = 15
perf, cpu = time.perf_counter_ns, time.process_time_ns
# The caller's thread alone, so that a busy machine does not count: it is medians of CPU time.
thread = time.thread_time_ns


def alternate(ours, theirs, ours_n: int, theirs_n: int, clock=thread, loop: float = 0.0) -> dict:
    """ns per operation less the loop's own cost, medians over ROUNDS."""
    ours(ours_n // 4), theirs(max(theirs_n // 4, 1))
    mine, other = [], []
    for _ in range(ROUNDS):
        for run, count, into in ((ours, ours_n, mine), (theirs, theirs_n, other)):
            started = clock()
            run(count)
            into.append((clock() - started) / count)
    a, b = median(mine) - loop, median(other) - loop
    return {"axonizeNs": round(a, 1), "otelNs": round(b, 1), "ratio": round(b / a, 1)}


def loop_cost() -> float:
    def empty(count):
        for _ in range(count):
            pass

    costs = []
    for _ in range(ROUNDS):
        started = thread()
        empty(100_000)
        costs.append((thread() - started) / 100_000)
    return median(costs)


def start_sink() -> subprocess.Popen:
    code = """
import sys, time, grpc
from concurrent import futures
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as g, trace_service_pb2 as m
class S(g.TraceServiceServicer):
    def Export(self, request, context): return m.ExportTraceServiceResponse()
s = grpc.server(futures.ThreadPoolExecutor(2)); g.add_TraceServiceServicer_to_server(S(), s)
print(s.add_insecure_port("127.0.0.1:0"), flush=True); s.start(); time.sleep(600)
"""
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def main() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[-1]})
    sink = start_sink()
    port = int(sink.stdout.readline())
    try:
        print(json.dumps(measure(port)))
    finally:
        sink.kill()


def measure(port: int) -> dict:
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import (
        BatchSpanProcessor,
        SpanExporter,
        SpanExportResult,
    )
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    import axonize
    from axonize import _runtime

    class Null(SpanExporter):
        def export(self, spans):
            return SpanExportResult.SUCCESS

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Null()))
    tracer = provider.get_tracer("bench")
    axonize.init(f"127.0.0.1:{port}", "bench", handle_signals=False)
    core = _runtime.core
    span, llm_span, start = axonize.span, axonize.llm_span, tracer.start_as_current_span

    def ours_empty(count):
        for _ in range(count):
            with span("bench"):
                pass

    def otel_empty(count):
        for _ in range(count):
            with start("bench"):
                pass

    def ours_five(count):
        for _ in range(count):
            with span("bench") as s:
                s.set_attribute("model", "llama-3-70b")
                s.set_attribute("user", "u-123456")
                s.set_attribute("tokens", 128)
                s.set_attribute("temperature", 0.7)
                s.set_attribute("stream", True)

    def otel_five(count):
        for _ in range(count):
            with start("bench") as s:
                s.set_attribute("model", "llama-3-70b")
                s.set_attribute("user", "u-123456")
                s.set_attribute("tokens", 128)
                s.set_attribute("temperature", 0.7)
                s.set_attribute("stream", True)

    def ours_tokens(count):
        with llm_span("bench") as s:
            for _ in range(count):
                s.record_token()

    def otel_tokens(count):
        with start("bench") as s:
            for _ in range(count):
                s.add_event("llm.content.completion.chunk")

    def ours_request(count):
        for _ in range(count):
            with llm_span("bench", model="m") as s:
                for _ in range(256):
                    s.record_token()
        # Encoded and not sent, on both sides.
        core.drain(10_000, 1 << 24)

    request_memory = InMemorySpanExporter()
    request_provider = TracerProvider()
    request_provider.add_span_processor(SimpleSpanProcessor(request_memory))
    request_tracer = request_provider.get_tracer("bench")

    def otel_request(count):
        for _ in range(count):
            with request_tracer.start_as_current_span("bench") as s:
                for _ in range(256):
                    s.add_event("llm.content.completion.chunk")
        encode_spans(request_memory.get_finished_spans()).SerializeToString()
        request_memory.clear()

    rows: dict = {}
    loop = loop_cost()
    rows["empty span"] = alternate(ours_empty, otel_empty, 10_000, 1_000, loop=loop)
    rows["span with 5 attributes"] = alternate(ours_five, otel_five, 8_000, 1_000, loop=loop)
    rows["record_token / add_event"] = alternate(ours_tokens, otel_tokens, 100_000, 4_000, loop=loop)
    axonize.flush(10)
    rows["encode a 5-attribute span"] = encode_row(ours_five, encode_spans)
    core.enable(4 << 20, 1 << 40, lambda: None)
    rows["256-token request, CPU"] = alternate(ours_request, otel_request, 200, 10, cpu)
    core.enable(4 << 20, 512, _runtime._exporter.wake)

    sending = TracerProvider()
    sending.add_span_processor(
        BatchSpanProcessor(
            OTLPSpanExporter(f"http://127.0.0.1:{port}", insecure=True), max_queue_size=20_000
        )
    )
    sending_tracer = sending.get_tracer("bench")

    rows["create + encode + send, CPU"] = sent_row(port)
    tails = tail_row(ours_five, lambda count: otel_sent_one(sending_tracer), lambda count: None)
    provider.shutdown(), sending.shutdown()
    stats = axonize.stats()
    axonize.shutdown()
    return {
        "python": sys.version.split()[0],
        "implementation": axonize.implementation,
        "rows": rows,
        "tail": tails,
        "sdk": footprint(),
        "exitUnreachableMs": exit_times(),
        "dropped": stats["dropped"],
        "core": str(getattr(_runtime.core, "__file__", "")).rsplit("/", 1)[-1],
    }


def sent_row(port: int) -> dict:
    """CPU of a whole process per span, sending included, in rounds that alternate.

    A process for each: the peer's gRPC library has threads of its own, which would be counted as ours.
    """
    sides = []
    for which in ("axonize", "otel"):
        command = [sys.executable, __file__, which, str(port)]
        sides.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))

    def ask(side) -> float:
        side.stdin.write("\n")
        side.stdin.flush()
        return float(side.stdout.readline())

    for _ in range(2):
        [ask(side) for side in sides]
    told = [[ask(side) for side in sides] for _ in range(ROUNDS)]
    for side in sides:
        side.communicate()
    a, b = (median(each[which] for each in told) for which in (0, 1))
    return {"axonizeNs": round(a, 1), "otelNs": round(b, 1), "ratio": round(b / a, 1)}


def send_when_asked(which: str, port: str) -> None:
    """One side of `sent_row`: for each line a round of spans, and their CPU."""
    if which == "axonize":
        import axonize

        axonize.init(f"127.0.0.1:{port}", "bench", handle_signals=False)
        begin, finish, count = axonize.span, lambda: axonize.flush(30), 10_000
    else:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        exporter = OTLPSpanExporter(f"http://127.0.0.1:{port}", insecure=True)
        provider = TracerProvider()
        provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=20_000))
        begin = provider.get_tracer("bench").start_as_current_span
        finish, count = (lambda: provider.force_flush(30_000)), 1_000
    for _ in sys.stdin:
        started = cpu()
        for _ in range(count):
            with begin("bench") as s:
                s.set_attribute("model", "llama-3-70b")
                s.set_attribute("user", "u-123456")
                s.set_attribute("tokens", 128)
                s.set_attribute("temperature", 0.7)
                s.set_attribute("stream", True)
        assert finish()
        print((cpu() - started) / count, flush=True)


def otel_sent_one(tracer) -> None:
    with tracer.start_as_current_span("bench") as s:
        s.set_attribute("model", "llama-3-70b")
        s.set_attribute("user", "u-123456")
        s.set_attribute("tokens", 128)
        s.set_attribute("temperature", 0.7)
        s.set_attribute("stream", True)


def encode_row(ours_five, encode_spans) -> dict:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from axonize import _runtime

    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    for _ in range(512):
        otel_sent_one(provider.get_tracer("bench"))
    spans = memory.get_finished_spans()
    core = _runtime.core
    core.enable(4 << 20, 1 << 40, lambda: None)
    mine, other = [], []
    for _ in range(ROUNDS):
        # In batches as the exporter takes them.
        took = 0
        for _ in range(10):
            ours_five(512)
            started = thread()
            assert core.drain(512, 1 << 20)[1] == 512
            took += thread() - started
        mine.append(took / 5120)
        started = thread()
        encode_spans(spans).SerializeToString()
        other.append((thread() - started) / 512)
    core.enable(4 << 20, 512, _runtime._exporter.wake)
    a, b = median(mine), median(other)
    return {"axonizeNs": round(a, 1), "otelNs": round(b, 1), "ratio": round(b / a, 1)}


def tail_row(ours, theirs, none, seconds: float = 1.5, rounds: int = 5) -> dict:
    """Steps of about 70 us of Python and one 5-attribute span: p99.9 of a step, in us, medians of rounds in turn."""

    def steps(trace) -> tuple[float, float]:
        took = []
        until = perf() + int(seconds * 1e9)
        while (started := perf()) < until:
            total = 0
            for number in range(1200):
                total += number & 3
            trace(1)
            took.append(perf() - started)
        took.sort()
        return took[len(took) // 2] / 1e3, took[int(len(took) * 0.999)] / 1e3

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
    result = {}
    ways = (("none", none), ("axonize", ours), ("otel", theirs))
    told = [[steps(trace) for _, trace in ways] for _ in range(rounds)]
    for at, (name, _) in enumerate(ways):
        middle, tail = (median(each[at][which] for each in told) for which in (0, 1))
        result[name] = {"p50Us": round(middle, 1), "p999Us": round(tail, 1)}
    return result


def footprint() -> dict:
    import axonize

    folder = os.path.dirname(axonize.__file__)
    size = sum(os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder) if not name.startswith("__py"))
    code = "import time,sys;a=time.perf_counter();import axonize;b=time.perf_counter();axonize.init();import threading;print((b-a)*1e3,threading.active_count()-1)"
    told = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split() for _ in range(9)]
    return {
        "installedBytes": size,
        "importMs": round(median(float(line[0]) for line in told), 2),
        "threadsAfterInit": int(told[0][1]),
    }


def exit_times() -> dict:
    """From the last line of a program to its end, with nobody listening and with a deaf listener."""
    import socket

    code = "import sys,time,axonize\naxonize.init(sys.argv[1])\nwith axonize.span('x'): pass\nprint(time.time())"
    out = {}
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        port = deaf.getsockname()[1]
        for name, address in (("refused", "127.0.0.1:1"), ("deaf", f"127.0.0.1:{port}")):
            done = subprocess.run([sys.executable, "-c", code, address], capture_output=True, text=True)
            out[name] = round((time.time() - float(done.stdout)) * 1e3)
    return out


if __name__ == "__main__":
    if len(sys.argv) > 2:
        send_when_asked(sys.argv[1], sys.argv[2])
    else:
        main()
