"""Clients that Stainless generates (openai, anthropic) are alike: one method sends every request.

`SyncAPIClient.request` and its async twin get method, path and body, and give back a model, a stream or
a raw response. A stream keeps its class and identity; only the iterator inside it is replaced.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from .._propagate import inject
from . import _calls, _content
from ._patch import inside, quietly, wrap


class Dialect(Protocol):
    """What differs between the libraries."""

    name: str

    def operation(self, path: str) -> str | None:
        """`chat` and so on, None for requests that are no model calls."""

    def take(self, span: Any, item: Any) -> int:
        """Observes one item of a stream; how many tokens it brings."""

    def result(self, span: Any, result: Any) -> None:
        """Observes a whole answer."""


class _Call(NamedTuple):
    span: Any
    stream: bool


def patch_clients(module: Any, dialect: Dialect) -> None:
    """Patches the base clients of `module`, the library's `_base_client`."""
    wrap(module.SyncAPIClient, "request", lambda original: _request(original, dialect))
    wrap(module.AsyncAPIClient, "request", lambda original: _async_request(original, dialect))


def _request(original: Any, dialect: Dialect) -> Any:
    def request(self: Any, cast_to: Any, options: Any, **more: Any) -> Any:
        call = quietly(dialect.name, _begin, dialect, self, options, more)
        if call is None:
            return original(self, cast_to, options, **more)
        try:
            with inside(call.span):
                result = original(self, cast_to, options, **more)
        except BaseException as error:
            call.span._finish(error)
            raise
        return _settle(dialect, call, result)

    return request


def _async_request(original: Any, dialect: Dialect) -> Any:
    async def request(self: Any, cast_to: Any, options: Any, **more: Any) -> Any:
        call = quietly(dialect.name, _begin, dialect, self, options, more)
        if call is None:
            return await original(self, cast_to, options, **more)
        try:
            with inside(call.span):
                result = await original(self, cast_to, options, **more)
        except BaseException as error:
            call.span._finish(error)
            raise
        return _settle(dialect, call, result)

    return request


def _begin(dialect: Dialect, client: Any, options: Any, more: dict[str, Any]) -> _Call | None:
    body = options.json_data
    operation = dialect.operation(str(options.url)) if str(options.method).lower() == "post" else None
    if operation is None or not isinstance(body, dict):
        return None
    stream = bool(more.get("stream"))
    span = _calls.begin(dialect.name, operation, body, client.base_url, stream)
    headers = dict(options.headers) if isinstance(options.headers, dict) else {}
    with inside(span):
        inject(headers)
    options.headers = headers
    return _Call(span, stream)


def _settle(dialect: Dialect, call: _Call, result: Any) -> Any:
    adopted = quietly(dialect.name, _adopt, dialect, call, result)
    if not adopted:
        call.span._finish()
    return result


def _adopt(dialect: Dialect, call: _Call, result: Any) -> bool:
    """Takes what it can from the result; True where the span goes on with it."""
    if hasattr(result, "_iterator"):
        _adopt_stream(dialect, call.span, result)
        return True
    if hasattr(result, "http_response") and hasattr(result, "parse"):
        # A raw response: what it parses to is known only if the caller asks.
        if call.stream:
            _adopt_raw(dialect, call.span, result)
            return True
        if type(result).__name__.startswith("Legacy"):
            _take_whole(dialect, call.span, result.parse())
        return False
    _take_whole(dialect, call.span, result)
    return False


def _take_whole(dialect: Dialect, span: Any, result: Any) -> None:
    dialect.result(span, result)
    if _content.wanted():
        _content.answered(span, result)


def _adopt_stream(dialect: Dialect, span: Any, stream: Any) -> None:
    stream._iterator = _calls.adopt(dialect.name, span, stream._iterator, dialect.take)
    close = stream.close

    if hasattr(stream, "__aiter__"):

        async def close_async() -> None:
            stream._iterator._end()
            await close()

        stream.close = close_async
        return

    def close_sync() -> None:
        stream._iterator._end()
        close()

    stream.close = close_sync


def _adopt_raw(dialect: Dialect, span: Any, raw: Any) -> None:
    parse = raw.parse

    def parse_observed(*args: Any, **kwargs: Any) -> Any:
        parsed = parse(*args, **kwargs)
        if hasattr(parsed, "_iterator") and not hasattr(parsed._iterator, "span"):
            quietly(dialect.name, _adopt_stream, dialect, span, parsed)
        return parsed

    raw.parse = parse_observed
