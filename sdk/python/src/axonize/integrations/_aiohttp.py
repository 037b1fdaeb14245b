"""aiohttp's client: a span per request, up to the answer's head."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from . import _http_calls
from ._patch import inside, quietly, wrap


def patch(module: Any) -> None:
    """Called with `aiohttp.client`."""
    wrap(module.ClientSession, "_request", _request)


def _begin(session: Any, method: Any, url: Any, kwargs: dict[str, Any]) -> Any:
    from multidict import CIMultiDict

    base = getattr(session, "_base_url", None)
    parts = urlsplit(str(url if base is None else base.join(type(base)(str(url)))))
    headers = CIMultiDict(kwargs.get("headers") or ())
    span = _http_calls.begin(method, parts.hostname, parts.port, parts.path, headers)
    kwargs["headers"] = headers
    return span


def _request(original: Any) -> Any:
    async def request(self: Any, method: Any, url: Any, **kwargs: Any) -> Any:
        span = quietly("aiohttp", _begin, self, method, url, kwargs)
        if span is None:
            return await original(self, method, url, **kwargs)
        try:
            with inside(span):
                response = await original(self, method, url, **kwargs)
        except BaseException as error:
            span._finish(error)
            raise
        _http_calls.end(span, getattr(response, "status", None))
        return response

    return request
