"""The public type of a parent in another process, which both implementations share."""

from __future__ import annotations

_HEX = frozenset("0123456789abcdef")


class SpanContext:
    """Identity of a span in another process, as `extract` reads it from headers.

    Give it to `span(..., parent=...)` or `llm_span(..., parent=...)`.
    """

    __slots__ = ("span_id", "trace_id", "trace_state")

    def __init__(self, trace_id: str, span_id: str, trace_state: str = "") -> None:
        self.trace_id = trace_id
        """32 lower-case hex digits."""
        self.span_id = span_id
        """16 lower-case hex digits."""
        self.trace_state = trace_state
        """W3C tracestate, passed on unread (at most 512 bytes)."""

    @property
    def is_valid(self) -> bool:
        """Whether both ids have the right form; a span ignores a parent that has not."""
        ids = (self.trace_id, 32), (self.span_id, 16)
        return all(len(text) == size and _HEX.issuperset(text) for text, size in ids)

    def __repr__(self) -> str:
        return f"SpanContext(trace_id={self.trace_id!r}, span_id={self.span_id!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SpanContext):
            return NotImplemented
        return (self.trace_id, self.span_id) == (other.trace_id, other.span_id)

    def __hash__(self) -> int:
        return hash((self.trace_id, self.span_id))
