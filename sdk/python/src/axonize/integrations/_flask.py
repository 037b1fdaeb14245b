"""Flask applications as WSGI servers: a span per request."""

from __future__ import annotations

from typing import Any

from ..middleware import call_wsgi
from ._patch import wrap


def patch(module: Any) -> None:
    """Called with `flask.app`."""
    wrap(module.Flask, "wsgi_app", _call)


def _call(original: Any) -> Any:
    def wsgi_app(self: Any, environ: Any, start_response: Any) -> Any:
        return call_wsgi(lambda *args: original(self, *args), environ, start_response)

    return wsgi_app
