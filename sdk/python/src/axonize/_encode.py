"""A finished span of the pure implementation as OTLP bytes; csrc/ring.c is its twin in C.

Fields are written in the order of their numbers where that matters to nobody; a test decodes both
with the official protobuf definitions.
"""

from __future__ import annotations

from typing import Any

from . import _values
from ._values import field, key_value, varint


def encode_span(span: Any, offset: int) -> bytes:
    """The bytes of an OTLP Span. `offset` is what makes its monotonic times ns since 1970."""
    parts = [
        b"\x0a\x10" + bytes.fromhex(span.trace_id),
        b"\x12\x08" + bytes.fromhex(span.span_id),
    ]
    if span._trace_state:
        parts.append(field(0x1A, span._trace_state.encode()))
    if span._parent:
        parts.append(b"\x22\x08" + bytes.fromhex(span._parent))
    parts.append(field(0x2A, _values.cut(span.name, _values.NAME_BYTES_MAX)))
    parts.append(bytes((0x30, span._kind, 0x39)) + (span._start + offset).to_bytes(8, "little"))
    parts.append(b"\x41" + (span._end + offset).to_bytes(8, "little"))
    for key, value in span._attributes.items():
        parts.append(field(0x4A, value if type(value) is bytes else key_value(key, value)))
    if span._dropped_attributes:
        parts.append(b"\x50" + varint(span._dropped_attributes))
    parts.extend(span._events)
    if span._dropped_events:
        parts.append(b"\x60" + varint(span._dropped_events))
    if span._status:
        message = _values.cut(span._message, _values.MESSAGE_BYTES_MAX)
        described = field(0x12, message) if message else b""
        parts.append(field(0x7A, described + bytes((0x18, span._status))))
    # Field 16, fixed32: sampled, and whether the parent is known to be remote.
    parts.append(b"\x85\x01" + (0x301 if span._remote else 0x101).to_bytes(4, "little"))
    return b"".join(parts)
