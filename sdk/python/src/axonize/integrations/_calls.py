"""A model call that a client library makes: its span, and what request and answer say of it.

Attributes follow OpenTelemetry's conventions for generative AI. Prompts and answers are not read unless
the program asks for it (_content.py): what a call costs is in its counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .._core_choice import core
from .._stream import AsyncStream, Stream
from .._enums import SpanKind
from . import _content
from ._patch import quietly

_PARAMETERS = (
    ("temperature", "gen_ai.request.temperature"),
    ("top_p", "gen_ai.request.top_p"),
    ("top_k", "gen_ai.request.top_k"),
    ("max_tokens", "gen_ai.request.max_tokens"),
    ("max_completion_tokens", "gen_ai.request.max_tokens"),
    ("max_output_tokens", "gen_ai.request.max_tokens"),
    ("frequency_penalty", "gen_ai.request.frequency_penalty"),
    ("presence_penalty", "gen_ai.request.presence_penalty"),
    ("seed", "gen_ai.request.seed"),
    ("n", "gen_ai.request.choice.count"),
)


def begin(
    provider: str, operation: str, body: Mapping[str, Any], base_url: Any, stream: bool,
    content: Mapping[str, Any] | None = None,
) -> Any:  # fmt: skip
    """Begins the span of one call; it is not current yet. `content`: where messages are, if not in `body`."""
    model = body.get("model")
    model = model if isinstance(model, str) and model else None
    name = f"{operation} {model}" if model else operation
    span = core.llm_span(name, model=model, kind=SpanKind.CLIENT)
    span.set_attribute("gen_ai.operation.name", operation)
    span.set_attribute("gen_ai.provider.name", provider)
    for key, attribute in _PARAMETERS:
        value = body.get(key)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            span.set_attribute(attribute, value)
    if stream:
        span.set_attribute("gen_ai.request.stream", True)
    host, port = getattr(base_url, "host", None), getattr(base_url, "port", None)
    if host:
        span.set_attribute("server.address", str(host))
        span.set_attribute("server.port", port or (443 if getattr(base_url, "scheme", "") == "https" else 80))
    if _content.wanted() and operation != "embeddings":
        quietly(provider, _content.asked, span, body if content is None else content)
    span._begin()
    return span


def answered(span: Any, model: Any, identity: Any, finish_reasons: list[Any]) -> None:
    """What the answer says of itself."""
    if isinstance(model, str) and model:
        span.set_attribute("gen_ai.response.model", model)
    if isinstance(identity, str) and identity:
        span.set_attribute("gen_ai.response.id", identity)
    reasons = [str(reason) for reason in finish_reasons if reason]
    if reasons:
        span.set_attribute("gen_ai.response.finish_reasons", reasons)


def used(span: Any, tokens_in: Any, tokens_out: Any, cached: Any = None, reasoning: Any = None) -> None:
    """Token counts as the server told them; they win over what was counted here."""
    if isinstance(tokens_in, int):
        span.set_tokens_input(tokens_in)
    if isinstance(tokens_out, int):
        span.set_tokens_output(tokens_out)
    if isinstance(cached, int):
        span.set_attribute("gen_ai.usage.cache_read.input_tokens", cached)
    if isinstance(reasoning, int):
        span.set_attribute("gen_ai.usage.reasoning.output_tokens", reasoning)


def observed(what: str, span: Any, take: Callable[[Any, Any], int]) -> Callable[[Any], int]:
    """`count` for Stream: `take(span, item)` observes and says how many tokens the item brings."""

    def count(item: Any) -> int:
        tokens = quietly(what, take, span, item)
        return tokens if isinstance(tokens, int) else 0

    return count


def adopt(what: str, span: Any, source: Any, take: Callable[[Any, Any], int]) -> Any:
    """An iterator over `source` that ends the span with it."""
    asynchronous = hasattr(source, "__aiter__")
    if not _content.wanted():
        plain: Any = AsyncStream if asynchronous else Stream
        return plain(span, source, observed(what, span, take))
    said = _content.Said()

    def take_all(span: Any, item: Any) -> int:
        quietly(what, said.take, item)
        return take(span, item)

    keeping: Any = _KeepingAsyncStream if asynchronous else _KeepingStream
    stream = keeping(span, source, observed(what, span, take_all))
    stream.said = said
    return stream


class _Keeping:
    """Of a stream whose content is kept: told to the span before it ends."""

    span: Any
    said: _content.Said | None = None

    def _end(self, error: BaseException | None = None) -> None:
        said, self.said = self.said, None
        if said is not None:
            quietly("content", said.tell, self.span)
        self.span._finish(error)


class _KeepingStream(_Keeping, Stream[Any]):
    pass


class _KeepingAsyncStream(_Keeping, AsyncStream[Any]):
    pass
