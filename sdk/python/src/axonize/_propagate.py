"""W3C trace context: `inject` the current span into headers, `extract` a parent from them.

Header sizes are capped and everything malformed is ignored as the specification says: what arrives
here was written by strangers.
"""

from __future__ import annotations

from _collections_abc import Mapping  # the same one; that package imports much beside it

from ._generators import current_span
from ._types import SpanContext

TYPE_CHECKING = False  # true for type checkers; importing `typing` is dear
if TYPE_CHECKING:
    from collections.abc import Iterable, MutableMapping
    from typing import Any

TRACE_STATE_BYTES_MAX = 512
_HEADERS_MAX = 256
_HEX = frozenset("0123456789abcdef")


def inject(headers: MutableMapping[str, str]) -> None:
    """Adds `traceparent` (and `tracestate`) of the current span to `headers`; nothing without one."""
    span = current_span.get()
    if span is None or not span.span_id:
        return
    headers["traceparent"] = f"00-{span.trace_id}-{span.span_id}-01"
    if span.trace_state:
        headers["tracestate"] = span.trace_state


def extract(headers: Mapping[Any, Any] | Iterable[tuple[Any, Any]]) -> SpanContext | None:
    """Reads a parent from headers: a mapping or pairs, str or bytes, any case. None if there is none."""
    parent = state = ""
    try:
        pairs = headers.items() if isinstance(headers, Mapping) else headers
        for count, (name, value) in enumerate(pairs):
            if count >= _HEADERS_MAX:
                break
            key = _text(name).lower()
            if key == "traceparent":
                parent = _text(value)
            elif key == "tracestate":
                state = f"{state},{_text(value)}" if state else _text(value)
    except Exception:
        # Whatever object a framework calls headers, a request must not fail for tracing's sake.
        return None
    return _parse(parent.strip(), state.strip())


def _parse(parent: str, state: str) -> SpanContext | None:
    parts = parent.split("-", 4)
    if len(parent) > 512 or len(parts) < 4:
        return None
    version, trace_id, span_id, flags = parts[:4]
    if len(version) != 2 or version == "ff" or (version == "00" and len(parts) != 4):
        return None
    if len(trace_id) != 32 or len(span_id) != 16 or len(flags) != 2:
        return None
    if not _HEX.issuperset(version + trace_id + span_id + flags):
        return None
    if trace_id == "0" * 32 or span_id == "0" * 16:
        return None
    fits = len(state) <= TRACE_STATE_BYTES_MAX and state.isascii() and state.isprintable()
    return SpanContext(trace_id, span_id, state if fits else "")


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return value if isinstance(value, str) else ""
