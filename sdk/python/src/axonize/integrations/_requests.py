"""requests: a span per request that a session sends, redirects each their own."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from . import _http_calls
from ._patch import wrap


def patch(module: Any) -> None:
    """Called with `requests.sessions`."""
    wrap(module.Session, "send", _http_calls.sending("requests", _begin))


def _begin(request: Any) -> Any:
    parts = urlsplit(request.url)
    return _http_calls.begin(request.method, parts.hostname, parts.port, parts.path, request.headers)
