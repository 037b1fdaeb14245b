"""Sends the end-to-end test's calls with OpenTelemetry's Python SDK and prints what it sent as JSON.

usage: python send_spans.py (grpc|http/protobuf) ENDPOINT SERVICE

The same calls as send-spans.ts makes in Node: an answered streaming chat inside an HTTP request, and
one that failed.
"""

import json
import sys
import time

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.trace import SpanKind, Status, StatusCode

MS = 1_000_000


def exporter(protocol: str, endpoint: str):
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter(endpoint=endpoint, insecure=True)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces")


class Checked:
    """Passes spans on and fails the process when the receiver did not take them."""

    def __init__(self, inner):
        self.inner = inner
        self.failed = False

    def export(self, spans):
        result = self.inner.export(spans)
        self.failed = self.failed or result != SpanExportResult.SUCCESS
        return result

    def __getattr__(self, name):
        return getattr(self.inner, name)


protocol, endpoint, service = sys.argv[1:4]
resource = Resource.create(
    {
        "service.name": service,
        "deployment.environment.name": "test",
        "k8s.pod.name": f"{service}-0",
        "k8s.namespace.name": "e2e",
    }
)
checked = Checked(exporter(protocol, endpoint))
provider = TracerProvider(resource=resource)
provider.add_span_processor(BatchSpanProcessor(checked))
tracer = provider.get_tracer("axonize.e2e", "1.0.0")
now = time.time_ns() - 3000 * MS


def call(start: int, failed: bool):
    root = tracer.start_span("POST /chat", kind=SpanKind.SERVER, start_time=start)
    inside = trace.set_span_in_context(root)
    chat = tracer.start_span(
        f"chat {service}-model",
        context=inside,
        kind=SpanKind.CLIENT,
        start_time=start + 10 * MS,
        attributes={
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": f"{service}-model",
            "gen_ai.request.stream": True,
            "session.id": f"{service}-session",
            "user.id": f"{service}-user",
        },
    )
    if failed:
        chat.record_exception(TimeoutError("the model did not answer"), timestamp=start + 900 * MS)
        chat.set_status(Status(StatusCode.ERROR, "the model did not answer"))
        chat.set_attribute("error.type", "TimeoutError")
        root.set_status(Status(StatusCode.ERROR))
    else:
        chat.add_event("first_token", {"index": 0, "text": "naïve ✓"}, timestamp=start + 260 * MS)
        chat.set_attribute("gen_ai.response.time_to_first_chunk", 0.25)
        chat.set_attribute("gen_ai.usage.input_tokens", 120)
        chat.set_attribute("gen_ai.usage.output_tokens", 45)
        chat.set_attribute("gen_ai.usage.cache_read.input_tokens", 16)
        chat.set_attribute("gen_ai.response.finish_reasons", ["stop"])
        chat.set_status(Status(StatusCode.OK))
    chat.end(end_time=start + 910 * MS)
    root.end(end_time=start + 1000 * MS)
    return {
        "traceId": trace.format_trace_id(root.get_span_context().trace_id),
        "rootId": trace.format_span_id(root.get_span_context().span_id),
        "chatId": trace.format_span_id(chat.get_span_context().span_id),
        "failed": failed,
    }


sent = [call(now, failed=False), call(now + 1500 * MS, failed=True)]
flushed = provider.force_flush()
provider.shutdown()
if checked.failed or not flushed:
    sys.exit("the receiver did not take the spans")
print(json.dumps(sent))
