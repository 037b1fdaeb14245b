"""httpx, and httpx2 of the same shape: a span per request, of both clients. A stream's span ends with its head."""

from __future__ import annotations

from typing import Any

from . import _http_calls
from ._patch import inside, quietly, wrap


def patch(module: Any) -> None:
    """Called with `httpx._client` or `httpx2._client`."""
    wrap(module.Client, "send", _http_calls.sending("httpx", _begin))
    wrap(module.AsyncClient, "send", _async_send)


def _begin(request: Any) -> Any:
    url = request.url
    return _http_calls.begin(request.method, url.host, url.port, url.path, request.headers)


def _async_send(original: Any) -> Any:
    async def send(self: Any, request: Any, **kwargs: Any) -> Any:
        span = quietly("httpx", _begin, request)
        if span is None:
            return await original(self, request, **kwargs)
        try:
            with inside(span):
                response = await original(self, request, **kwargs)
        except BaseException as error:
            span._finish(error)
            raise
        _http_calls.end(span, getattr(response, "status_code", None))
        return response

    return send
