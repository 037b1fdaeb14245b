"""What was asked and what was answered, where the program wants it kept (`capture_content`, off by default).

`gen_ai.input.messages`, `gen_ai.output.messages` and `gen_ai.system_instructions` in OpenTelemetry's shape,
as JSON. Works on the plain data of requests and answers, which openai, anthropic and ollama spell nearly
alike. Media are named, never kept. What is too long is cut and marked: a span holds 64 KiB.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .. import _runtime

TEXT_MAX = 8 * 1024
"""Bytes of one part's text."""
JSON_BYTES_MAX = 24 * 1024
"""Of one attribute: questions and answers both fit into a span beside everything else."""
TRUNCATED = "axonize.content.truncated"


def wanted() -> bool:
    """Whether the running configuration keeps content."""
    config = _runtime._config
    return config is not None and config.capture_content


def asked(span: Any, body: Mapping[str, Any]) -> None:
    """Keeps a request's messages, and what the model was told to be."""
    messages = []
    for key in ("messages", "input", "prompt"):
        given = body.get(key)
        items = given if isinstance(given, list) and key != "prompt" else [given] if given else []
        messages += [_message(item, "user") for item in items if item]
    _keep(span, "gen_ai.input.messages", messages)
    told = body.get("system") or body.get("instructions")
    if told:
        _keep(span, "gen_ai.system_instructions", _parts(told))


def answered(span: Any, result: Any) -> None:
    """Keeps the messages of a whole answer."""
    _keep(span, "gen_ai.output.messages", _answers(_plain(result)))


class Said:
    """A streamed answer as it grows: text and tool calls, by choice."""

    def __init__(self) -> None:
        self._texts: dict[int, list[str]] = {}
        self._tools: dict[tuple[int, Any], dict[str, Any]] = {}
        self._reason = ""
        self._room = JSON_BYTES_MAX
        self._whole: Any = None

    def take(self, item: Any) -> None:
        """Adds one item of a stream."""
        part = _plain(item)
        kind = part.get("type")
        for choice in part.get("choices") or ():
            at = choice.get("index") or 0
            delta = choice.get("delta") or {}
            self._text(at, delta.get("content") or choice.get("text"))
            for call in delta.get("tool_calls") or ():
                function = call.get("function") or {}
                self._tool(at, call.get("index"), call.get("id"), function.get("name"), function.get("arguments"))
            self._reason = choice.get("finish_reason") or self._reason
        if kind in ("response.completed", "response.incomplete", "response.failed"):
            self._whole = part.get("response")
        elif kind == "content_block_start":
            block = part.get("content_block") or {}
            if block.get("type") == "tool_use":
                self._tool(0, part.get("index"), block.get("id"), block.get("name"), "")
        elif kind in ("content_block_delta", "response.output_text.delta"):
            delta = part.get("delta")
            if isinstance(delta, str):
                self._text(0, delta)
            elif isinstance(delta, dict):
                self._text(0, delta.get("text"))
                if delta.get("partial_json"):
                    self._tool(0, part.get("index"), None, None, delta["partial_json"])
        elif kind == "message_delta":
            self._reason = (part.get("delta") or {}).get("stop_reason") or self._reason
        self._ollama(part)

    def _ollama(self, part: dict[str, Any]) -> None:
        message = part.get("message")
        if "done" not in part:
            return
        if isinstance(message, dict):
            self._text(0, message.get("content"))
            for call in message.get("tool_calls") or ():
                function = call.get("function") or {}
                self._tool(0, len(self._tools), None, function.get("name"), function.get("arguments"))
        self._text(0, part.get("response"))
        self._reason = part.get("done_reason") or self._reason

    def _text(self, at: int, text: Any) -> None:
        # A little beyond the bound, so that what is kept is seen to be cut.
        if isinstance(text, str) and text and self._room > 0:
            self._room -= len(text)
            self._texts.setdefault(at, []).append(text)

    def _tool(self, at: int, key: Any, identity: Any, name: Any, arguments: Any) -> None:
        call = self._tools.setdefault((at, key), {"type": "tool_call", "arguments": ""})
        if identity:
            call["id"] = identity
        if name:
            call["name"] = name
        if isinstance(arguments, str):
            if self._room > 0:
                self._room -= len(arguments)
                call["arguments"] += arguments
        elif arguments is not None:
            call["arguments"] = arguments

    def tell(self, span: Any) -> None:
        """Keeps what was said until now; once, at the stream's end."""
        messages = _answers(self._whole) if isinstance(self._whole, dict) else []
        if not messages:
            for at in sorted({*self._texts, *(choice for choice, _ in self._tools)}):
                parts = _parts("".join(self._texts.get(at, ())))
                parts += [call for (choice, _), call in self._tools.items() if choice == at]
                messages.append({"role": "assistant", "parts": parts, "finish_reason": self._reason})
        _keep(span, "gen_ai.output.messages", messages)


def _plain(value: Any) -> dict[str, Any]:
    """An answer's object (pydantic's, in all three libraries) as data."""
    dump = getattr(value, "model_dump", None)
    data = dump() if dump is not None else value
    return data if isinstance(data, dict) else {}


def _answers(result: dict[str, Any]) -> list[dict[str, Any]]:
    if result.get("choices"):
        return [
            {**_message(choice.get("message") or choice.get("text") or "", "assistant"),
             "finish_reason": choice.get("finish_reason") or ""}
            for choice in result["choices"]
        ]  # fmt: skip
    reason = result.get("stop_reason") or result.get("done_reason") or ""
    for content in (result.get("output"), result.get("content"), result.get("message"), result.get("response")):
        if content and isinstance(content, list):
            parts = [part for item in content for part in _message(item, "assistant")["parts"]]
            return [{"role": "assistant", "parts": parts, "finish_reason": reason}]
        if content and isinstance(content, (dict, str)):
            return [{**_message(content, "assistant"), "finish_reason": reason}]
    return []


def _message(item: Any, role: str) -> dict[str, Any]:
    if not isinstance(item, Mapping):
        return {"role": role, "parts": _parts(item)}
    role = str(item.get("role") or role)
    if role == "tool":
        part = {"type": "tool_call_response", "id": item.get("tool_call_id"), "response": item.get("content")}
        return {"role": role, "parts": [part]}
    content = item.get("content") if "content" in item else [item]
    parts = _parts(content)
    for call in item.get("tool_calls") or ():
        function = (call.get("function") or {}) if isinstance(call, Mapping) else {}
        told = {"type": "tool_call", "id": call.get("id"), "name": function.get("name")}
        parts.append({**told, "arguments": function.get("arguments")})
    return {"role": role, "parts": parts}


def _parts(content: Any) -> list[dict[str, Any]]:
    """Content as the libraries allow it: text, or a list of parts of many types."""
    if isinstance(content, str):
        return [{"type": "text", "content": content}] if content else []
    return [_part(part) for part in content if part] if isinstance(content, (list, tuple)) else []


def _part(part: Any) -> dict[str, Any]:
    if not isinstance(part, Mapping):
        return {"type": "text", "content": str(part)}
    kind = str(part.get("type") or "text")
    if isinstance(part.get("text"), str):
        return {"type": "text", "content": part["text"]}
    if kind in ("tool_use", "function_call"):
        told = {"type": "tool_call", "id": part.get("call_id") or part.get("id"), "name": part.get("name")}
        return {**told, "arguments": part.get("input", part.get("arguments"))}
    if kind in ("tool_result", "function_call_output"):
        answer = part.get("content", part.get("output"))
        return {"type": "tool_call_response", "id": part.get("tool_use_id") or part.get("call_id"), "response": answer}
    # Pictures, sound, files: that they were there, and no more.
    return {"type": kind}


def _keep(span: Any, key: str, items: list[dict[str, Any]]) -> None:
    """As JSON; of many messages the last ones, since they are what the call was about."""
    if not items:
        return
    kept: list[str] = []
    size, cut = 2, False
    for item in reversed(items):
        shortened = _shortened(item)
        text = json.dumps(shortened, ensure_ascii=False, default=str)
        cut = cut or shortened != item
        size += len(text.encode("utf-8", "replace")) + 2
        if size > JSON_BYTES_MAX:
            cut = True
            break
        kept.append(text)
    if kept:
        span.set_attribute(key, "[" + ", ".join(reversed(kept)) + "]")
    if cut:
        span.set_attribute(TRUNCATED, True)


def _shortened(value: Any) -> Any:
    if isinstance(value, str):
        data = value.encode("utf-8", "replace")
        return value if len(data) <= TEXT_MAX else data[:TEXT_MAX].decode("utf-8", "ignore")
    if isinstance(value, Mapping):
        return {key: _shortened(inner) for key, inner in value.items()}
    return [_shortened(inner) for inner in value] if isinstance(value, (list, tuple)) else value
