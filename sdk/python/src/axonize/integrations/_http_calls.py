"""What the HTTP client integrations share: one span per request, trace context in its headers.

Neither query nor body is read: they may hold secrets.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any

from .._core_choice import core
from .._propagate import inject
from .._enums import SpanKind
from ._patch import inside, quietly


def begin(method: Any, host: Any, port: Any, path: Any, headers: MutableMapping[str, str]) -> Any:
    """Begins a request's span and puts its identity into `headers`."""
    method = str(method).upper()
    span = core.span(method, kind=SpanKind.CLIENT)
    span.set_attribute("http.request.method", method)
    span.set_attribute("server.address", str(host or ""))
    if isinstance(port, int):
        span.set_attribute("server.port", port)
    if path:
        span.set_attribute("url.path", path if isinstance(path, str) else str(path))
    span._begin()
    with inside(span):
        inject(headers)
    return span


def sending(name: str, begin_of: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Wraps a client's `send(self, request, **kwargs)`; `begin_of(request)` begins the span."""

    def patched(original: Any) -> Any:
        def send(self: Any, request: Any, **kwargs: Any) -> Any:
            span = quietly(name, begin_of, request)
            if span is None:
                return original(self, request, **kwargs)
            try:
                with inside(span):
                    response = original(self, request, **kwargs)
            except BaseException as error:
                span._finish(error)
                raise
            end(span, getattr(response, "status_code", None))
            return response

        return send

    return patched


def end(span: Any, status: Any) -> None:
    """Ends it with the answer's status code; 4xx and 5xx are errors of a client's span."""
    if isinstance(status, int):
        span.set_attribute("http.response.status_code", status)
        if status >= 400:
            span.set_status(2)
            span.set_attribute("error.type", str(status))
    span._finish()
