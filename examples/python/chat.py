"""One streaming chat call as OpenTelemetry spans, sent to Axonize. No Axonize package is needed.

    pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http
    python chat.py

Sends to OTEL_EXPORTER_OTLP_ENDPOINT, or to http://localhost:4318. The model is a stand-in that
yields a few words, so that the example runs anywhere; put your own client in its place.
"""

import os
import time

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

os.environ.setdefault("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318")

provider = TracerProvider(resource=Resource.create({"service.name": "example-python"}))
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
tracer = provider.get_tracer("example")


def stand_in_model(prompt: str):
    """Streams an answer as a language model would: a pause, then word by word."""
    time.sleep(0.2)
    for word in f"You asked: {prompt}".split():
        time.sleep(0.02)
        yield word


def chat(prompt: str) -> str:
    with tracer.start_as_current_span("chat stand-in", kind=trace.SpanKind.CLIENT) as span:
        span.set_attribute("gen_ai.operation.name", "chat")
        span.set_attribute("gen_ai.provider.name", "example")
        span.set_attribute("gen_ai.request.model", "stand-in")
        span.set_attribute("gen_ai.request.stream", True)
        started = time.perf_counter()
        words = []
        for word in stand_in_model(prompt):
            if not words:
                first = time.perf_counter() - started
                span.set_attribute("gen_ai.response.time_to_first_chunk", first)
            words.append(word)
        span.set_attribute("gen_ai.usage.input_tokens", len(prompt.split()))
        span.set_attribute("gen_ai.usage.output_tokens", len(words))
        span.set_attribute("gen_ai.response.finish_reasons", ["stop"])
        return " ".join(words)


with tracer.start_as_current_span("POST /chat", kind=trace.SpanKind.SERVER) as root:
    print(chat("Why was this call slow?"))
    print("trace", trace.format_trace_id(root.get_span_context().trace_id))

provider.shutdown()
