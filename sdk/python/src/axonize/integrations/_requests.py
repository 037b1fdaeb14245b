"""requests: a span per request that a session sends, redirects each their own."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from . import _http_calls
from ._patch import inside, quietly, wrap


def patch(module: Any) -> None:
    """Called with `requests.sessions`."""
    wrap(module.Session, "send", _send)


def _begin(request: Any) -> Any:
    parts = urlsplit(request.url)
    return _http_calls.begin(request.method, parts.hostname, parts.port, parts.path, request.headers)


def _send(original: Any) -> Any:
    def send(self: Any, request: Any, **kwargs: Any) -> Any:
        span = quietly("requests", _begin, request)
        if span is None:
            return original(self, request, **kwargs)
        try:
            with inside(span):
                response = original(self, request, **kwargs)
        except BaseException as error:
            span._finish(error)
            raise
        _http_calls.end(span, getattr(response, "status_code", None))
        return response

    return send
