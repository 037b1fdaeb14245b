"""One run of `npm run bench -- sdk-vllm`: a real vLLM on the CPU under load, observed by nobody, by us, by OpenTelemetry.

One engine serves all; the three ways take turns in random order, round by round, with the same work each.
Ours is what `axonize.instrument("vllm")` does. OpenTelemetry's is a span a request with an event a chunk, as its
instrumentations of streaming clients do, over its batch processor and gRPC exporter. Prints one JSON object.

usage: python sdk-vllm.py MODEL ROUNDS SEED
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import subprocess
import sys
import time

CALLERS = 16
TOKENS = 64
SLICE_S = 4.0

SINK = """
import time, grpc
from concurrent import futures
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as g, trace_service_pb2 as m
class S(g.TraceServiceServicer):
    spans = 0
    def Export(self, request, context):
        S.spans += sum(len(s.spans) for r in request.resource_spans for s in r.scope_spans)
        return m.ExportTraceServiceResponse()
s = grpc.server(futures.ThreadPoolExecutor(2)); g.add_TraceServiceServicer_to_server(S(), s)
print(s.add_insecure_port("127.0.0.1:0"), flush=True); s.start()
input(); print(S.spans, flush=True)
"""


def main() -> None:
    sink = subprocess.Popen([sys.executable, "-c", SINK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        report = asyncio.run(measure(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sink.stdout.readline())))
        report["arrived"] = int(sink.communicate("\n", timeout=30)[0])
        print(json.dumps(report))
    finally:
        sink.kill()


async def measure(model: str, rounds: int, seed: int, port: int) -> dict:
    import axonize
    import vllm
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from vllm import SamplingParams
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.sampling_params import RequestOutputKind
    from vllm.v1.engine.async_llm import AsyncLLM

    engine = AsyncLLM.from_engine_args(AsyncEngineArgs(
        model=model, load_format="dummy", dtype="float32", max_model_len=256, enforce_eager=True,
        served_model_name="tiny", max_num_seqs=CALLERS, gpu_memory_utilization=0.3))  # fmt: skip
    plain = AsyncLLM.generate
    axonize.init(f"127.0.0.1:{port}", "bench", handle_signals=False)
    axonize.instrument("vllm")
    ours = AsyncLLM.generate
    assert ours is not plain
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"http://127.0.0.1:{port}", insecure=True)))
    tracer = provider.get_tracer("bench")

    async def theirs(engine, prompt, parameters, name):
        with tracer.start_as_current_span("text_completion tiny") as span:
            span.set_attribute("gen_ai.request.model", "tiny")
            span.set_attribute("gen_ai.request.max_tokens", parameters.max_tokens)
            count = 0
            async for output in plain(engine, prompt, parameters, name):
                span.add_event("llm.content.completion.chunk")
                count += len(output.outputs[0].token_ids)
                yield output
            span.set_attribute("gen_ai.usage.output_tokens", count)

    ways = {"none": plain, "axonize": ours, "otel": theirs}
    serial = 0

    async def caller(way, requests: int) -> int:
        nonlocal serial
        tokens = 0
        parameters = SamplingParams(max_tokens=TOKENS, ignore_eos=True, output_kind=RequestOutputKind.DELTA)
        for _ in range(requests):
            serial += 1
            async for output in ways[way](engine, "Why was this call slow?", parameters, f"r{serial}"):
                tokens += len(output.outputs[0].token_ids)
        return tokens

    async def work(way, requests: int) -> float:
        """Tokens per second of all callers; what is still to be sent is part of the time."""
        gc.collect()
        started = time.perf_counter()
        tokens = sum(await asyncio.gather(*(caller(way, requests) for _ in range(CALLERS))))
        assert tokens == CALLERS * requests * TOKENS
        if way == "axonize":
            assert await asyncio.to_thread(axonize.flush, 10)
        elif way == "otel":
            await asyncio.to_thread(provider.force_flush, 10_000)
        return tokens / (time.perf_counter() - started)

    rate = await work("none", 1)
    rate = await work("none", 2)
    requests = max(1, round(rate * SLICE_S / CALLERS / TOKENS))
    for way in ("axonize", "otel"):
        await work(way, 1)
    chance = random.Random(seed)
    told = []
    for _ in range(rounds):
        order = list(ways)
        chance.shuffle(order)
        told.append({way: round(await work(way, requests), 1) for way in order})
        print(told[-1], file=sys.stderr, flush=True)
    stats = axonize.stats()
    engine.shutdown()
    provider.shutdown()
    axonize.shutdown()
    assert stats["dropped"] == stats["lost"] == 0, stats
    return {
        "vllm": vllm.__version__, "python": sys.version.split()[0], "core": axonize.implementation,
        "callers": CALLERS, "tokensPerRequest": TOKENS, "requestsPerSlice": requests * CALLERS,
        "seed": seed, "spans": stats["recorded"], "rounds": told,
    }  # fmt: skip


if __name__ == "__main__":
    main()
