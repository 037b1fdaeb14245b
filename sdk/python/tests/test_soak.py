"""A long life in short form: memory is flat over millions of spans of every kind, and all are accounted for.

Runs for a few seconds; AXONIZE_SOAK_SPANS=50000000 makes it that many spans, however long they take.
"""

from __future__ import annotations

import json
import os
from concurrent import futures

import grpc
import pytest
from conftest import python
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as service_grpc

SHORT_S = 6.0
SPANS = int(os.environ.get("AXONIZE_SOAK_SPANS", "0"))
# What the allocator keeps of bursts, batches in flight among it. A leak of one byte a span is 1 MB a million.
GROWTH_MAX = 8 << 20

PROGRAM = """
import asyncio, json, sys, time, axonize

address, wanted, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
axonize.init(address, "soak", flush_interval_ms=200, timeout_ms=5000)

def plain():
    with axonize.span("plain"):
        with axonize.span("child", a=1, b="text", c=0.5, d=True) as span:
            span.set_attribute("a", 2)

def call():
    with axonize.llm_span("call", model="m") as span:
        span.set_tokens_input(7)
        for _ in range(16):
            span.record_token()

def failing():
    try:
        with axonize.span("failing") as span:
            span.add_event("event", {"n": 1})
            raise ValueError("no")
    except ValueError:
        pass

def large():
    with axonize.span("large") as span:
        span.set_attribute("text", "x" * 2000)
        span.set_attribute("list", [1, 2, 3])

@axonize.trace
def stream():
    yield 1
    yield 2

def streaming():
    for _ in stream():
        with axonize.span("part"):
            pass
    iterator = stream()
    next(iterator)
    iterator.close()

async def tasks():
    await asyncio.gather(*(job() for _ in range(8)))

async def job():
    with axonize.span("job"):
        await asyncio.sleep(0)

def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096

loop = asyncio.new_event_loop()

def round_of_all():
    for _ in range(200):
        plain(); plain(); plain(); call(); failing(); large(); streaming()
    loop.run_until_complete(tasks())

def recorded():
    stats = axonize.stats()
    return stats["recorded"] + stats["dropped"]

started = time.monotonic()
for _ in range(10):
    round_of_all()
    axonize.flush(10)
before, samples = resident(), []
while recorded() < wanted if wanted else time.monotonic() - started < seconds:
    round_of_all()
    # What waits to be sent is memory, too, and on a busy machine it is much.
    axonize.flush(30)
    samples.append(resident())
done = axonize.flush(30)
told = axonize.stats()
axonize.shutdown()
print(json.dumps({"grown": max(samples) - before, "rounds": len(samples), "done": done, **told}))
"""


class Counting(service_grpc.TraceServiceServicer):
    """A server that keeps nothing but the number of spans."""

    def __init__(self) -> None:
        self.spans = 0
        self.address = ""

    def Export(self, request, context):
        self.spans += sum(len(scope.spans) for each in request.resource_spans for scope in each.scope_spans)
        return service_pb2.ExportTraceServiceResponse()


@pytest.fixture
def sink():
    counting = Counting()
    server = grpc.server(futures.ThreadPoolExecutor(1))
    service_grpc.add_TraceServiceServicer_to_server(counting, server)
    counting.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield counting
    server.stop(None)


def test_memory_is_flat_and_every_span_is_accounted_for(sink):
    told = json.loads(
        python(PROGRAM, sink.address, str(SPANS), str(SHORT_S), timeout=100 + SPANS / 20_000).stdout
    )
    print(told)
    assert told["rounds"] > 3 and told["done"]
    assert told["grown"] < GROWTH_MAX, told
    assert told["sent"] == told["recorded"] > 0 and told["lost"] == told["pending"] == 0, told
    # The server, for its part, was sent as many.
    assert sink.spans == told["sent"]
