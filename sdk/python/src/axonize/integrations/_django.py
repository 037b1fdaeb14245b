"""Django's WSGI handler: a span per request."""

from __future__ import annotations

from typing import Any

from ..middleware import call_wsgi
from ._patch import wrap


def patch(module: Any) -> None:
    """Called with `django.core.handlers.wsgi`."""
    wrap(module.WSGIHandler, "__call__", _call)


def _call(original: Any) -> Any:
    def call(self: Any, environ: Any, start_response: Any) -> Any:
        return call_wsgi(lambda *args: original(self, *args), environ, start_response)

    return call
