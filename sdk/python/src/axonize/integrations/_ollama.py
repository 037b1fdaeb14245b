"""ollama: chat, generate and embed of both clients, whole and streamed.

Ollama tells how long it read the prompt and how long it decoded: those become the call's phases.
"""

from __future__ import annotations

from typing import Any

from .._propagate import inject
from . import _calls, _content
from ._patch import inside, quietly, wrap

_OPERATIONS = {
    "/api/chat": "chat",
    "/api/generate": "text_completion",
    "/api/embed": "embeddings",
    "/api/embeddings": "embeddings",
}
_PHASES = (
    ("prompt_eval_duration", "gen_ai.latency.time_in_model_prefill"),
    ("eval_duration", "gen_ai.latency.time_in_model_decode"),
)


def patch(module: Any) -> None:
    """Called with `ollama._client`."""
    wrap(module.Client, "_request", _request)
    wrap(module.AsyncClient, "_request", _async_request)


def _request(original: Any) -> Any:
    def request(self: Any, cls: Any, *args: Any, stream: bool = False, **kwargs: Any) -> Any:
        span = quietly("ollama", _begin, self, args, stream, kwargs)
        if span is None:
            return original(self, cls, *args, stream=stream, **kwargs)
        try:
            with inside(span):
                result = original(self, cls, *args, stream=stream, **kwargs)
        except BaseException as error:
            span._finish(error)
            raise
        return _settle(span, result, stream)

    return request


def _async_request(original: Any) -> Any:
    async def request(self: Any, cls: Any, *args: Any, stream: bool = False, **kwargs: Any) -> Any:
        span = quietly("ollama", _begin, self, args, stream, kwargs)
        if span is None:
            return await original(self, cls, *args, stream=stream, **kwargs)
        try:
            with inside(span):
                result = await original(self, cls, *args, stream=stream, **kwargs)
        except BaseException as error:
            span._finish(error)
            raise
        return _settle(span, result, stream)

    return request


def _begin(client: Any, args: tuple[Any, ...], stream: bool, kwargs: dict[str, Any]) -> Any:
    body = kwargs.get("json")
    operation = _OPERATIONS.get(str(args[1])) if len(args) > 1 else None
    if operation is None or not isinstance(body, dict):
        return None
    options = body.get("options")
    known = {**(options if isinstance(options, dict) else {}), "model": body.get("model")}
    if "num_predict" in known:
        known["max_tokens"] = known["num_predict"]
    span = _calls.begin("ollama", operation, known, client._client.base_url, stream, body)
    headers = dict(kwargs.get("headers") or {})
    with inside(span):
        inject(headers)
    kwargs["headers"] = headers
    return span


def _settle(span: Any, result: Any, stream: bool) -> Any:
    if stream:
        return _calls.adopt("ollama", span, result, _take)
    quietly("ollama", _take, span, result)
    if _content.wanted():
        quietly("ollama", _content.answered, span, result)
    span._finish()
    return result


def _take(span: Any, part: Any) -> int:
    get = part.get
    if get("done") is not False:
        _calls.answered(span, get("model"), None, [get("done_reason")])
        _calls.used(span, get("prompt_eval_count"), get("eval_count"))
        for key, attribute in _PHASES:
            nanoseconds = get(key)
            if isinstance(nanoseconds, int):
                span.set_attribute(attribute, nanoseconds / 1e9)
    message = get("message")
    content = message.get("content") or message.get("thinking") or message.get("tool_calls") if message else None
    return 1 if content or get("response") or get("thinking") else 0
