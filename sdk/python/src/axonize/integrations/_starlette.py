"""Starlette and FastAPI applications as ASGI servers: a span per request."""

from __future__ import annotations

from typing import Any

from ..middleware import call_asgi
from ._patch import wrap


def patch(module: Any) -> None:
    """Called with `starlette.applications`."""
    wrap(module.Starlette, "__call__", _call)


def _call(original: Any) -> Any:
    async def call(self: Any, scope: Any, receive: Any, send: Any) -> None:
        async def application(scope: Any, receive: Any, send: Any) -> None:
            await original(self, scope, receive, send)

        await call_asgi(application, scope, receive, send)

    return call
