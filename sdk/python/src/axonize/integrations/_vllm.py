"""vLLM in process: `AsyncLLM.generate`, which its own API server uses, too.

One output may hold several tokens, and holds all so far or only the new ones, as the caller asked.
Where vLLM kept statistics of the request, its queue, prefill and decode times go on the span.
"""

from __future__ import annotations

from typing import Any

from .._core_choice import core
from .._propagate import inject
from ._engine_calls import follow
from ._patch import inside, wrap

_CUMULATIVE, _DELTA, _FINAL_ONLY = 0, 1, 2


def patch(module: Any) -> None:
    """Called with `vllm.v1.engine.async_llm`."""
    wrap(module.AsyncLLM, "generate", follow("vllm", _Call))


class _Call:
    complete = False

    def __init__(self, engine: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        config = getattr(engine, "model_config", None)
        served = getattr(config, "served_model_name", None)
        model = served[0] if isinstance(served, list) and served else served or getattr(config, "model", None)
        parameters = kwargs.get("sampling_params", args[1] if len(args) > 1 else None)
        self._kind = getattr(getattr(parameters, "output_kind", None), "value", _CUMULATIVE)
        self._seen: dict[int, int] = {}
        self.span: Any = core.llm_span(f"text_completion {model}" if model else "text_completion", model=model)
        self.span.set_attribute("gen_ai.operation.name", "text_completion")
        self.span.set_attribute("gen_ai.provider.name", "vllm")
        request = kwargs.get("request_id", args[2] if len(args) > 2 else None)
        self.span.set_attribute("gen_ai.request.id", request if isinstance(request, str) else None)
        for name in ("temperature", "top_p", "max_tokens", "n"):
            value = getattr(parameters, name, None)
            if isinstance(value, (int, float)):
                self.span.set_attribute(f"gen_ai.request.{name}", value)
        self.span._begin()
        if kwargs.get("trace_headers") is None:
            headers: dict[str, str] = {}
            with inside(self.span):
                inject(headers)
            kwargs["trace_headers"] = headers

    def take(self, output: Any) -> None:
        """Counts an output's new tokens; the last one tells the rest."""
        new = 0
        for index, part in enumerate(output.outputs):
            have = len(part.token_ids)
            if self._kind == _DELTA:
                new += have
                self._seen[index] = self._seen.get(index, 0) + have
            else:
                new += have - self._seen.get(index, 0)
                self._seen[index] = have
        if self._kind != _FINAL_ONLY:
            self.span.record_token(new)
        if output.finished:
            self._tell(output)

    def _tell(self, output: Any) -> None:
        span = self.span
        if output.prompt_token_ids is not None:
            span.set_tokens_input(len(output.prompt_token_ids))
        span.set_tokens_output(sum(self._seen.values()))
        cached = getattr(output, "num_cached_tokens", None)
        if isinstance(cached, int):
            span.set_attribute("gen_ai.usage.cache_read.input_tokens", cached)
        reasons = [part.finish_reason for part in output.outputs if part.finish_reason]
        span.set_attribute("gen_ai.response.finish_reasons", reasons or None)
        stats = getattr(output, "metrics", None)
        moments = [getattr(stats, f"{name}_ts", 0) for name in ("queued", "scheduled", "first_token", "last_token")]
        if all(isinstance(moment, float) and moment > 0 for moment in moments):
            queued, scheduled, first, last = moments
            span.set_attribute("gen_ai.latency.time_in_queue", scheduled - queued)
            span.set_attribute("gen_ai.latency.time_in_model_prefill", first - scheduled)
            span.set_attribute("gen_ai.latency.time_in_model_decode", last - first)
            latency = getattr(stats, "first_token_latency", 0)
            if latency > 0:
                span.set_attribute("gen_ai.latency.time_to_first_token", latency)
