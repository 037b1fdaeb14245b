"""Axonize for Python: what every inference call did, at less than a microsecond a span.

    import axonize
    axonize.init(service_name="my-service")

    with axonize.llm_span("generate", model="llama-3-70b") as s:
        for token in model.generate(prompt):
            s.record_token()

Nothing here raises into your program, blocks it, or logs more than one line per cause. Before
`init` (and after `shutdown`) spans work but are not recorded.
"""

from __future__ import annotations

from . import _runtime
from ._core_choice import core as _core
from ._generators import current_span as _current_span
from ._log import warn_once as _warn_once
from ._propagate import extract, inject
from ._stream import AsyncStream, Stream
from ._trace import traced as _traced
from ._types import SpanContext
from ._version import __version__

# Type checkers take this name for true. `typing` itself, with `re` behind it, would be half of the
# time that importing this package takes.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable, Iterable, Mapping
    from typing import Any, ParamSpec, TypeVar, overload

    from ._enums import SpanKind, SpanStatus
    from ._pure import LlmSpan, Span

    P = ParamSpec("P")
    R = TypeVar("R")
    T = TypeVar("T")
else:
    Span = _core.Span
    LlmSpan = _core.LlmSpan

    def overload(function):
        return function

    def __getattr__(name):
        if name not in ("SpanKind", "SpanStatus"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from . import _enums

        found = globals()[name] = getattr(_enums, name)
        return found

    def __dir__():
        return sorted({*globals(), *__all__})

__all__ = [
    "AsyncStream",
    "LlmSpan",
    "Span",
    "SpanContext",
    "SpanKind",
    "SpanStatus",
    "Stream",
    "__version__",
    "current",
    "extract",
    "flush",
    "implementation",
    "init",
    "inject",
    "instrument",
    "llm_span",
    "shutdown",
    "span",
    "stats",
    "stream",
    "trace",
]

implementation: str = _core.IMPLEMENTATION
"""`c` or `pure`: which hot path this process runs."""


def init(
    endpoint: str | None = None,
    service_name: str | None = None,
    environment: str | None = None,
    gpu_profiling: bool | None = None,
    batch_size: int | None = None,
    flush_interval_ms: int | None = None,
    api_key: str | None = None,
    *,
    headers: Mapping[str, str] | None = None,
    resource_attributes: Mapping[str, Any] | None = None,
    compression: str | None = None,
    timeout_ms: int | None = None,
    handle_signals: bool = True,
    span_ring: str | None = None,
    capture_content: bool | None = None,
) -> None:
    """Starts recording. Every argument that is left out comes from its AXONIZE_* variable.

    endpoint: `host:port` is gRPC in plain text (default localhost:4317), `grpcs://` gRPC over TLS,
        `http(s)://` OTLP/HTTP.
    service_name, environment: names of this program and of where it runs.
    gpu_profiling: reads the devices that spans name (`set_gpus`) through NVML in this process, and
        attaches utilisation, power, memory and temperature to those spans. For hosts without an agent.
    batch_size: spans per request (512; at the default, up to 4096 where more wait already).
    flush_interval_ms: longest wait of a finished span (5000).
    api_key: sent as `authorization: Bearer …`.
    headers, resource_attributes: added to every request. compression: "gzip" or none.
    timeout_ms: of one request (10000). handle_signals: flush on SIGTERM where it is at its default.
    span_ring: a folder for the ring of finished spans, which then survive a kill of this process.
    capture_content: keeps prompts and answers of the instrumented model clients (off).
    """
    given = {
        "endpoint": endpoint,
        "service_name": service_name,
        "environment": environment,
        "gpu_profiling": gpu_profiling,
        "batch_size": batch_size,
        "flush_interval_ms": flush_interval_ms,
        "api_key": api_key,
        "headers": headers,
        "resource_attributes": resource_attributes,
        "compression": compression,
        "timeout_ms": timeout_ms,
        "span_ring": span_ring,
        "capture_content": capture_content,
    }
    try:
        _runtime.init(given, handle_signals)
    except Exception as error:
        # A wrong argument must not stop the program that it was to observe.
        _warn_once("init", f"not recording: {type(error).__name__}: {error}")


if TYPE_CHECKING:

    def span(
        name: str,
        *,
        parent: Span | SpanContext | None = None,
        kind: SpanKind | int = SpanKind.INTERNAL,
        **attributes: Any,
    ) -> Span:
        """A span for a `with` block; a child of the current one. Keywords become attributes."""
        ...

    def llm_span(
        name: str,
        *,
        model: str | None = None,
        parent: Span | SpanContext | None = None,
        kind: SpanKind | int = SpanKind.INTERNAL,
        **attributes: Any,
    ) -> LlmSpan:
        """A span of one model call, with tokens, TTFT and tokens per second."""
        ...

else:
    span = _core.span
    llm_span = _core.llm_span


@overload
def trace(function: Callable[P, R], /) -> Callable[P, R]: ...
@overload
def trace(
    *, name: str | None = None, **attributes: Any
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...
def trace(function: Any = None, /, *, name: str | None = None, **attributes: Any) -> Any:
    """Decorator: a span around every call of a function, coroutine, generator or async generator.

    The span is named after the function, or `name`. Keywords become attributes.
    """
    if function is not None:
        return _traced(function, name, attributes)
    return lambda decorated: _traced(decorated, name, attributes)


@overload
def stream(
    source: AsyncIterable[T], /, *, name: str = ..., model: str | None = ...,
    count: Callable[[T], int] | None = ..., **attributes: Any,
) -> AsyncStream[T]: ...  # fmt: skip
@overload
def stream(
    source: Iterable[T], /, *, name: str = ..., model: str | None = ...,
    count: Callable[[T], int] | None = ..., **attributes: Any,
) -> Stream[T]: ...  # fmt: skip
def stream(
    source: Any, /, *, name: str = "stream", model: str | None = None, count: Any = None,
    **attributes: Any,
) -> Any:  # fmt: skip
    """Wraps a model's stream: `for token in axonize.stream(call(), model="llama-3"): ...`.

    A span lasts as long as the stream and records one token per item, or `count(item)` of them.
    Works for iterables and asynchronous iterables.
    """
    made = _core.llm_span(name, model=model, **attributes)
    made._begin()
    kind = AsyncStream if hasattr(source, "__aiter__") else Stream
    return kind(made, source, count)


def current() -> Span | None:
    """The span that is current here, or None."""
    found = _current_span.get()
    return found if isinstance(found, Span) else None


def instrument(*names: str) -> None:
    """Observes libraries without a change to the program: those named, or all that there is one for.

    openai, anthropic, ollama, transformers, diffusers, vllm, sglang, langchain, llamaindex, httpx, requests,
    aiohttp, grpc, asgi (Starlette, FastAPI), wsgi (Flask, Django), threading. What the program does not
    import is not touched.
    """
    from .integrations import instrument as turn_on

    turn_on(*names)


def flush(timeout: float = 2.0) -> bool:
    """Sends every finished span; waits at most `timeout` seconds. True if the server took them all."""
    return _runtime.flush(timeout)


def shutdown(timeout: float = 2.0) -> bool:
    """Flushes and stops recording. Runs by itself when the program ends."""
    return _runtime.shutdown(timeout)


def stats() -> dict[str, int]:
    """Counters of this process: recorded, pending, sent, dropped (buffer full), lost (refused), truncated."""
    return _runtime.stats()
