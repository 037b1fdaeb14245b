"""What this SDK says of itself: spans sent, dropped and refused, as an OTLP metrics request.

Sent only once something was lost: a service whose spans all arrive needs no second signal. Names and
attributes are OpenTelemetry's for SDKs (semantic conventions, `otel.sdk.*`).
"""

from __future__ import annotations

import struct

from ._values import field, key_value
from ._version import __version__

_CUMULATIVE = b"\x10\x02"
_MONOTONIC = b"\x18\x01"
_fixed64 = struct.Struct("<q").pack


def encode_losses(
    resource: bytes, since_ns: int, now_ns: int, sent: int, dropped: int, lost: int
) -> bytes:
    """An ExportMetricsServiceRequest with the counts since `since_ns`."""
    processed = _sum(
        "otel.sdk.processor.span.processed",
        _point({"otel.component.type": "batching_span_processor", "error.type": "queue_full"}, since_ns, now_ns, dropped),
    )
    exported = _sum(
        "otel.sdk.exporter.span.exported",
        _point({"otel.component.type": "otlp_exporter"}, since_ns, now_ns, sent)
        + _point({"otel.component.type": "otlp_exporter", "error.type": "rejected"}, since_ns, now_ns, lost),
    )
    scope = field(0x0A, b"axonize") + field(0x12, __version__.encode())
    scope_metrics = field(0x0A, scope) + field(0x12, processed) + field(0x12, exported)
    return field(0x0A, resource + field(0x12, scope_metrics))


def _sum(name: str, points: bytes) -> bytes:
    return (
        field(0x0A, name.encode())
        + field(0x1A, b"{span}")
        + field(0x3A, points + _CUMULATIVE + _MONOTONIC)
    )


def _point(attributes: dict[str, str], since_ns: int, now_ns: int, value: int) -> bytes:
    pairs = b"".join(field(0x3A, key_value(key, text)) for key, text in attributes.items())
    times = b"\x11" + _fixed64(since_ns) + b"\x19" + _fixed64(now_ns)
    return field(0x0A, times + b"\x31" + _fixed64(value) + pairs)
