"""openai: chat completions, Responses, completions and embeddings; sync, async, streams, raw, parse."""

from __future__ import annotations

from typing import Any

from . import _calls
from ._stainless import patch_clients

_OPERATIONS = {
    "/chat/completions": "chat",
    "/responses": "chat",
    "/completions": "text_completion",
    "/embeddings": "embeddings",
}
_DELTAS = ("response.output_text.delta", "response.reasoning_text.delta", "response.refusal.delta",
           "response.reasoning_summary_text.delta", "response.function_call_arguments.delta")  # fmt: skip
_ENDS = ("response.completed", "response.incomplete", "response.failed")


def patch(module: Any) -> None:
    """Called with `openai._base_client`."""
    patch_clients(module, _OpenAI())


class _OpenAI:
    name = "openai"

    def operation(self, path: str) -> str | None:
        return _OPERATIONS.get("/" + path.strip("/"))

    def take(self, span: Any, item: Any) -> int:
        kind = getattr(item, "type", None)
        if isinstance(kind, str):
            if kind in _ENDS:
                self.result(span, item.response)
            return 1 if kind in _DELTAS else 0
        choices = getattr(item, "choices", None) or ()
        self._tell(span, item, choices)
        return 1 if any(_brings_token(choice) for choice in choices) else 0

    def result(self, span: Any, result: Any) -> None:
        self._tell(span, result, getattr(result, "choices", None) or ())
        status = getattr(result, "status", None)
        if isinstance(status, str):
            detail = getattr(getattr(result, "incomplete_details", None), "reason", None)
            _calls.answered(span, None, None, [detail or status])
            error = getattr(result, "error", None)
            if status == "failed":
                span.set_status(2, getattr(error, "message", None))

    def _tell(self, span: Any, answer: Any, choices: Any) -> None:
        reasons = [getattr(choice, "finish_reason", None) for choice in choices]
        _calls.answered(span, getattr(answer, "model", None), getattr(answer, "id", None), reasons)
        usage = getattr(answer, "usage", None)
        if usage is None:
            return
        # Chat counts prompt and completion, Responses input and output.
        tokens_in = _first(usage, "prompt_tokens", "input_tokens")
        tokens_out = _first(usage, "completion_tokens", "output_tokens")
        cached = _first(_first(usage, "prompt_tokens_details", "input_tokens_details"), "cached_tokens")
        thought = _first(_first(usage, "completion_tokens_details", "output_tokens_details"), "reasoning_tokens")
        _calls.used(span, tokens_in, tokens_out, cached, thought)


def _brings_token(choice: Any) -> bool:
    delta = getattr(choice, "delta", None)
    if delta is None:
        return bool(getattr(choice, "text", None))
    # vLLM, SGLang and DeepSeek stream their reasoning under these names.
    names = ("content", "tool_calls", "refusal", "reasoning_content", "reasoning", "function_call")
    return any(getattr(delta, name, None) for name in names)


def _first(holder: Any, *names: str) -> Any:
    return next((value for name in names if (value := getattr(holder, name, None)) is not None), None)
