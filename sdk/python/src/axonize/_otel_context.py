"""Keeps OpenTelemetry's current span and ours in step.

OpenTelemetry's context is a value that code attaches and detaches; ours is one context variable. Every
attach sets ours to the span it brings, every detach puts back what was current before. So the innermost
span is always ours to find, whoever opened it.
"""

from __future__ import annotations

from typing import Any

from opentelemetry import context as context_api
from opentelemetry import trace as trace_api

from ._generators import current_span
from ._types import SpanContext

_KEY = context_api.create_key("axonize-attached")
_DEPTH_MAX = 256


def install() -> None:
    """Wraps the runtime context of OpenTelemetry, once."""
    # Loads the context that OTEL_PYTHON_CONTEXT names, so that there is one to wrap.
    context_api.get_current()
    if not isinstance(context_api._RUNTIME_CONTEXT, MirroredContext):
        context_api._RUNTIME_CONTEXT = MirroredContext(context_api._RUNTIME_CONTEXT)


class MirroredContext:
    """OpenTelemetry's runtime context, with ours behind it."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def get_current(self) -> Any:
        """Theirs; with our current span in it where ours is the inner one."""
        context = self._inner.get_current()
        span = current_span.get()
        known = trace_api.get_current_span(context)
        if span is None or not getattr(span, "span_id", ""):
            left = getattr(known, "inner", None) is not None and not known.is_recording()
            return trace_api.set_span_in_context(trace_api.INVALID_SPAN, context) if left else context
        if getattr(known, "inner", None) is span or known.get_span_context().span_id == int(span.span_id, 16):
            return context
        return trace_api.set_span_in_context(trace_api.NonRecordingSpan(_their_context(span)), context)

    def attach(self, context: Any) -> Any:
        before = current_span.get()
        parent = parent_in(context)
        here = self._inner.get_current()
        note = _Attached(before, here.get(_KEY))
        if parent is not None:
            brought = trace_api.get_current_span(context)
            if before is not parent and hasattr(brought, "below"):
                known = trace_api.get_current_span(here)
                brought.below = known if getattr(known, "inner", None) is before is not None else before
            current_span.set(parent)
        # The token must be the real one: instrumentations reset the variable with it by themselves.
        token = self._inner.attach(context_api.set_value(_KEY, note, context))
        note.old = getattr(token, "old_value", None)
        return token

    def detach(self, token: Any) -> None:
        note = self._inner.get_current().get(_KEY)
        # Raises where the token belongs to another context; ours stays as it is then, too.
        self._inner.detach(token)
        old = getattr(token, "old_value", None)
        while note is not None and note.old is not old:
            note = note.up
        if note is not None:
            current_span.set(note.before)


class _Attached:
    """What was current when a context was attached; kept inside that context."""

    __slots__ = ("before", "depth", "old", "up")

    def __init__(self, before: Any, up: Any) -> None:
        self.before = before
        self.old: Any = None
        self.depth = 0 if up is None else up.depth + 1
        # Code that attaches and never detaches must not grow a chain for ever.
        self.up = up if self.depth < _DEPTH_MAX else None
        if self.up is None:
            self.depth = 0


def still_open(below: Any) -> Any:
    """The nearest of what lay below a span that has not ended, as our current span."""
    for _ in range(64):
        if not hasattr(below, "inner"):
            return below
        if below.is_recording():
            return below.inner
        below = below.below
    return None


def parent_in(context: Any) -> Any:
    """Our span behind the one in an OpenTelemetry context, or its identity; None where there is none."""
    span = trace_api.get_current_span(context)
    inner = getattr(span, "inner", None)
    if inner is not None:
        return inner
    theirs = span.get_span_context()
    if not theirs.is_valid:
        return None
    current = current_span.get()
    if getattr(current, "span_id", "") == f"{theirs.span_id:016x}":
        # The stand-in that get_current made of ours.
        return current
    return SpanContext(f"{theirs.trace_id:032x}", f"{theirs.span_id:016x}", theirs.trace_state.to_header())


def _their_context(span: Any) -> trace_api.SpanContext:
    return trace_api.SpanContext(
        int(span.trace_id, 16), int(span.span_id, 16), is_remote=False,
        trace_flags=trace_api.TraceFlags(trace_api.TraceFlags.SAMPLED),
    )  # fmt: skip
