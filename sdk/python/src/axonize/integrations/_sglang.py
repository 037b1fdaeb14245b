"""SGLang in process: `TokenizerManager.generate_request`, which `Engine`, its HTTP server and its
OpenAI-compatible one all go through, on either side of a stream.

An answer tells how many tokens there are so far, of each request of a batch; one span stands for the whole
call. What the engine says of its own times goes on the span where it keeps metrics.
"""

from __future__ import annotations

from typing import Any

from .._core_choice import core
from .._generators import current_span
from .._propagate import extract, inject
from ._engine_calls import follow
from ._patch import inside, wrap

_PARAMETERS = (("temperature", "temperature"), ("top_p", "top_p"), ("max_new_tokens", "max_tokens"), ("n", "n"))


def patch(module: Any) -> None:
    """Called with `sglang.srt.managers.tokenizer_manager`."""
    wrap(module.TokenizerManager, "generate_request", follow("sglang", _Call))


class _Call:
    def __init__(self, manager: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        obj: Any = args[0] if args else kwargs.get("obj")
        generates = type(obj).__name__ != "EmbeddingReqInput"
        operation = "text_completion" if generates else "embeddings"
        model = getattr(manager, "served_model_name", None) or getattr(manager, "model_path", None)
        label = f"{operation} {model}" if model else operation
        given = getattr(obj, "external_trace_header", None)
        parent = extract(given) if isinstance(given, dict) and current_span.get() is None else None
        self.span: Any = core.llm_span(label, model=model, parent=parent)
        self.complete = False
        self._streams = bool(getattr(obj, "stream", False))
        # Of each request of the batch: tokens so far, of the prompt, cached, and how it ended.
        self._seen: dict[Any, int] = {}
        self._prompt: dict[Any, int] = {}
        self._cached: dict[Any, int] = {}
        self._reasons: dict[Any, str] = {}
        self.span.set_attribute("gen_ai.operation.name", operation)
        self.span.set_attribute("gen_ai.provider.name", "sglang")
        parameters = getattr(obj, "sampling_params", None)
        for theirs, name in _PARAMETERS:
            value = parameters.get(theirs) if isinstance(parameters, dict) else None
            self.span.set_attribute(f"gen_ai.request.{name}", value if isinstance(value, (int, float)) else None)
        self.span._begin()
        if hasattr(obj, "external_trace_header"):
            headers = dict(given) if isinstance(given, dict) else {}
            with inside(self.span):
                inject(headers)
            # SGLang's own spans, where it records some, are children of ours.
            obj.external_trace_header = headers

    def take(self, answer: Any) -> None:
        """Counts an answer's new tokens: one request's, or those of a batch at once."""
        new = sum(self._count(part) for part in (answer if isinstance(answer, list) else (answer,)))
        if self._streams:
            if new > 0:
                self.span.record_token(new)
            return
        self._tell()
        self.complete = True

    def _count(self, part: Any) -> int:
        told = part["meta_info"]
        key = told.get("id", part.get("index"))
        if len(self._seen) == 0:
            self.span.set_attribute("gen_ai.request.id", key if isinstance(key, str) else None)
        have = told.get("completion_tokens") or 0
        new = have - self._seen.get(key, 0)
        self._seen[key] = have
        self._prompt[key] = told.get("prompt_tokens") or 0
        self._cached[key] = told.get("cached_tokens") or 0
        reason = told.get("finish_reason")
        if isinstance(reason, dict) and isinstance(reason.get("type"), str):
            self._reasons[key] = reason["type"]
            self._tell()
        latency = told.get("e2e_latency")
        if isinstance(latency, float):
            self.span.set_attribute("gen_ai.latency.e2e", latency)
        return max(new, 0)

    def _tell(self) -> None:
        self.span.set_tokens_input(sum(self._prompt.values()))
        if any(self._seen.values()):
            self.span.set_tokens_output(sum(self._seen.values()))
        self.span.set_attribute("gen_ai.usage.cache_read.input_tokens", sum(self._cached.values()) or None)
        self.span.set_attribute("gen_ai.response.finish_reasons", list(self._reasons.values()) or None)
