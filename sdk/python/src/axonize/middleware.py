"""Middleware for servers: `Asgi(app)` and `Wsgi(app)` make a span of every HTTP request.

The caller's trace goes on where it sent `traceparent`. A span lasts until the whole answer is out, so
a streamed one is as long as its stream. `instrument()` puts them around Starlette, FastAPI, Flask and
Django by itself; other servers wrap their application with these classes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

from ._core_choice import core
from ._generators import current_span
from ._propagate import extract
from ._enums import SpanKind

_SEEN = "axonize.span"


class Asgi:
    """`app = axonize.middleware.Asgi(app)`."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await call_asgi(self._app, scope, receive, send)


class Wsgi:
    """`app = axonize.middleware.Wsgi(app)`."""

    def __init__(self, app: Any) -> None:
        self._app = app

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        return call_wsgi(self._app, environ, start_response)


async def call_asgi(app: Any, scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
    """Calls an ASGI application under a span; websockets and lifespans pass through."""
    if scope.get("type") != "http" or _SEEN in scope:
        # Middleware inside middleware, or an application mounted in another: one request, one span.
        await app(scope, receive, send)
        return
    span = _request_span(scope.get("method"), scope.get("path"), extract(scope.get("headers") or ()))
    _tell_server(span, *(scope.get("server") or (None, None))[:2])
    scope[_SEEN] = span

    async def send_observed(message: Any) -> None:
        if message.get("type") == "http.response.start":
            _tell_status(span, message.get("status"))
        await send(message)

    with span:
        try:
            await app(scope, receive, send_observed)
        finally:
            route = getattr(scope.get("route"), "path", None)
            if isinstance(route, str):
                _tell_route(span, scope.get("method"), route)


def call_wsgi(app: Any, environ: Any, start_response: Any) -> Iterable[bytes]:
    """Calls a WSGI application under a span that ends when the answer's body is closed."""
    if _SEEN in environ:
        return app(environ, start_response)  # type: ignore[no-any-return]
    headers = ((key[5:].replace("_", "-"), value) for key, value in environ.items() if key.startswith("HTTP_"))
    method = environ.get("REQUEST_METHOD")
    span = _request_span(method, environ.get("PATH_INFO"), extract(headers))
    port = environ.get("SERVER_PORT", "")
    _tell_server(span, environ.get("SERVER_NAME"), int(port) if str(port).isdigit() else None)
    environ[_SEEN] = span

    def start_observed(status: Any, *args: Any, **kwargs: Any) -> Any:
        code = str(status).split(" ")[0]
        _tell_status(span, int(code) if code.isdigit() else None)
        return start_response(status, *args, **kwargs)

    span._begin()
    before = current_span.get()
    current_span.set(span)
    try:
        body = app(environ, start_observed)
    except BaseException as error:
        span._finish(error)
        raise
    finally:
        current_span.set(before)
    route = getattr(environ.get("werkzeug.request"), "url_rule", None)
    if route is not None:
        _tell_route(span, method, str(route))
    return _Body(span, body)


class _Body:
    """A WSGI answer: the span is current while the application makes a part, and ends at close()."""

    def __init__(self, span: Any, body: Any) -> None:
        self._span = span
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        parts = iter(self._body)
        while True:
            before = current_span.get()
            current_span.set(self._span)
            try:
                part = next(parts)
            except StopIteration:
                return
            except BaseException as error:
                self._span._finish(error)
                raise
            finally:
                current_span.set(before)
            yield part

    def close(self) -> None:
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            self._span._finish()

    def __del__(self) -> None:
        self._span._finish()


def _request_span(method: Any, path: Any, parent: Any) -> Any:
    method = str(method or "HTTP")
    span = core.span(method, parent=parent, kind=SpanKind.SERVER)
    span.set_attribute("http.request.method", method)
    if isinstance(path, str):
        span.set_attribute("url.path", path)
    return span


def _tell_route(span: Any, method: Any, route: str) -> None:
    span.set_attribute("http.route", route)
    span.name = f"{method} {route}"


def _tell_server(span: Any, host: Any, port: Any) -> None:
    if host:
        span.set_attribute("server.address", str(host))
    if isinstance(port, int):
        span.set_attribute("server.port", port)


def _tell_status(span: Any, status: Any) -> None:
    """5xx are the server's errors; 4xx are the client's and leave the status alone."""
    if isinstance(status, int):
        span.set_attribute("http.response.status_code", status)
        if status >= 500:
            span.set_status(2)
            span.set_attribute("error.type", str(status))
