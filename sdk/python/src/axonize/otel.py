"""The OpenTelemetry bridge: instrumentations written for OpenTelemetry record into Axonize unchanged.

    from axonize.otel import tracer_provider
    SomeInstrumentor().instrument(tracer_provider=tracer_provider())

Parents work both ways: an OpenTelemetry span is the parent of ours that begin inside it, and ours of
theirs. Needs the package `opentelemetry-api`; the global provider is never touched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from time import time_ns
from typing import Any

from opentelemetry import context as context_api
from opentelemetry import trace as trace_api
from opentelemetry.util._decorator import _agnosticcontextmanager

from . import _otel_context, _values
from ._core_choice import core
from ._generators import current_span

_provider: TracerProvider | None = None


def tracer_provider() -> TracerProvider:
    """The one provider of this process."""
    global _provider
    if _provider is None:
        _otel_context.install()
        _provider = TracerProvider()
    return _provider


class TracerProvider(trace_api.TracerProvider):
    """Hands out tracers whose spans are ours."""

    def get_tracer(
        self, instrumenting_module_name: str, instrumenting_library_version: str | None = None,
        schema_url: str | None = None, attributes: Mapping[str, Any] | None = None,
    ) -> Tracer:  # fmt: skip
        return Tracer(instrumenting_module_name)


class Tracer(trace_api.Tracer):
    """Starts spans under a scope's name."""

    def __init__(self, scope: str) -> None:
        self._scope = scope

    def start_span(
        self, name: str, context: context_api.Context | None = None,
        kind: trace_api.SpanKind = trace_api.SpanKind.INTERNAL,
        attributes: Mapping[str, Any] | None = None, links: Sequence[trace_api.Link] | None = None,
        start_time: int | None = None, record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> OtelSpan:  # fmt: skip
        parent = None if context is None else _otel_context.parent_in(context)
        inner = core.span(name, parent=parent, kind=kind.value + 1)
        inner.set_attribute("otel.scope.name", self._scope)
        if context is not None and parent is None:
            # A context without a span asks for a root, whatever is current.
            before = current_span.get()
            current_span.set(None)
            inner._begin(start_time or 0)
            current_span.set(before)
        else:
            inner._begin(start_time or 0)
        span = OtelSpan(inner, kind, start_time or time_ns(), record_exception, set_status_on_exception)
        span.set_attributes(attributes or {})
        for link in links or ():
            span.add_link(link.context, link.attributes)
        return span

    @_agnosticcontextmanager
    def start_as_current_span(
        self, name: str, context: context_api.Context | None = None,
        kind: trace_api.SpanKind = trace_api.SpanKind.INTERNAL,
        attributes: Mapping[str, Any] | None = None, links: Sequence[trace_api.Link] | None = None,
        start_time: int | None = None, record_exception: bool = True,
        set_status_on_exception: bool = True, end_on_exit: bool = True,
    ) -> Iterator[OtelSpan]:  # fmt: skip
        span = self.start_span(
            name, context, kind, attributes, links, start_time, record_exception, set_status_on_exception
        )
        with trace_api.use_span(
            span, end_on_exit=end_on_exit, record_exception=record_exception,
            set_status_on_exception=set_status_on_exception,
        ):  # fmt: skip
            yield span


class OtelSpan(trace_api.Span):
    """One of our spans with OpenTelemetry's methods.

    Also what the SDK's spans can be asked (attributes, times, kind, status): instrumentations do ask.
    """

    def __init__(
        self, inner: Any, kind: trace_api.SpanKind, start_time: int, record_exception: bool, set_status: bool
    ) -> None:
        self.inner = inner
        self.attributes: dict[str, Any] = {}
        self.kind = kind
        self.start_time = start_time
        self.end_time: int | None = None
        self.status = trace_api.Status(trace_api.StatusCode.UNSET)
        self.below: Any = None
        """What was current before this span was attached: it is again when this one has ended."""
        self._record_exception = record_exception
        self._set_status = set_status
        self.context = trace_api.SpanContext(
            int(inner.trace_id, 16), int(inner.span_id, 16), is_remote=False,
            trace_flags=trace_api.TraceFlags(trace_api.TraceFlags.SAMPLED),
            trace_state=trace_api.TraceState.from_header([inner.trace_state]),
        )  # fmt: skip

    @property
    def name(self) -> str:
        return str(self.inner.name)

    def get_span_context(self) -> trace_api.SpanContext:
        return self.context

    def is_recording(self) -> bool:
        return self.end_time is None

    def set_attribute(self, key: str, value: Any) -> None:
        if self.end_time is None:
            self.attributes[key] = value
            self.inner.set_attribute(key, value)

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        for key, value in attributes.items():
            self.set_attribute(key, value)

    def add_event(
        self, name: str, attributes: Mapping[str, Any] | None = None, timestamp: int | None = None
    ) -> None:
        self.inner._add(_values.event(name, timestamp or time_ns(), attributes))

    def add_link(self, context: trace_api.SpanContext, attributes: Mapping[str, Any] | None = None) -> None:
        if context.is_valid:
            self.inner._add(_values.link(context.trace_id, context.span_id, attributes))

    def update_name(self, name: str) -> None:
        self.inner.name = str(name)

    def set_status(self, status: Any, description: str | None = None) -> None:
        if isinstance(status, trace_api.Status):
            description, status = status.description, status.status_code
        self.status = trace_api.Status(status, description if status is trace_api.StatusCode.ERROR else None)
        self.inner.set_status(status.value, description)

    def record_exception(
        self, exception: BaseException, attributes: Mapping[str, Any] | None = None,
        timestamp: int | None = None, escaped: bool = False,
    ) -> None:  # fmt: skip
        self.inner._add(_values.exception_event(exception, timestamp or time_ns()))

    def end(self, end_time: int | None = None) -> None:
        if self.end_time is not None:
            return
        self.end_time = end_time or time_ns()
        self.inner._finish(None, end_time or 0)
        if current_span.get() is self.inner:
            # Attached and never detached, as some instrumentations do: it must not stay the parent of
            # all that follows.
            current_span.set(_otel_context.still_open(self.below))

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, Exception) and self.end_time is None:
            if self._record_exception:
                self.record_exception(error)
            if self._set_status:
                self.inner.set_status(2, _values.exception_message(error))
        super().__exit__(kind, error, trace)
