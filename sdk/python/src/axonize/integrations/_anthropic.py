"""anthropic: messages; sync, async, `stream=True` and the `messages.stream()` helper."""

from __future__ import annotations

from typing import Any

from . import _calls
from ._stainless import patch_clients


def patch(module: Any) -> None:
    """Called with `anthropic._base_client`."""
    patch_clients(module, _Anthropic())


class _Anthropic:
    name = "anthropic"

    def operation(self, path: str) -> str | None:
        return "chat" if path.partition("?")[0].rstrip("/").endswith("/v1/messages") else None

    def take(self, span: Any, item: Any) -> int:
        kind = getattr(item, "type", "")
        if kind == "message_start":
            self.result(span, item.message)
            # What the first event counts as output is not the whole; message_delta has it.
            span.set_tokens_output(-1)
        elif kind == "message_delta":
            _calls.answered(span, None, None, [getattr(item.delta, "stop_reason", None)])
            self._count(span, item.usage)
        return 1 if kind == "content_block_delta" else 0

    def result(self, span: Any, result: Any) -> None:
        reason = getattr(result, "stop_reason", None)
        _calls.answered(span, getattr(result, "model", None), getattr(result, "id", None), [reason])
        self._count(span, getattr(result, "usage", None))

    def _count(self, span: Any, usage: Any) -> None:
        if usage is None:
            return
        plain = getattr(usage, "input_tokens", None)
        read = getattr(usage, "cache_read_input_tokens", None)
        written = getattr(usage, "cache_creation_input_tokens", None)
        # Anthropic counts cached tokens beside the input; elsewhere they are a part of it.
        whole = plain + (read or 0) + (written or 0) if isinstance(plain, int) else None
        _calls.used(span, whole, getattr(usage, "output_tokens", None), read)
