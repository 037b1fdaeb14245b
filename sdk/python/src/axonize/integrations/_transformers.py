"""transformers: `model.generate` as one call, each step's tokens timed.

Steps are seen through a stopping criterion that never stops: unlike a streamer it works for batches and
beams and copies nothing from the device.
"""

from __future__ import annotations

from typing import Any

from .._core_choice import core
from ._patch import inside, quietly, wrap


def patch(module: Any) -> None:
    """Called with `transformers.generation.utils`."""
    wrap(module.GenerationMixin, "generate", _generate)


def _generate(original: Any) -> Any:
    def generate(self: Any, *args: Any, **kwargs: Any) -> Any:
        span = quietly("transformers", _begin, self, args, kwargs)
        if span is None:
            return original(self, *args, **kwargs)
        try:
            with inside(span):
                result = original(self, *args, **kwargs)
        except BaseException as error:
            span._finish(error)
            raise
        span._finish()
        return result

    return generate


def _begin(model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    from transformers import StoppingCriteriaList

    config = getattr(model, "config", None)
    name = getattr(config, "_name_or_path", "") or type(model).__name__
    span = core.llm_span(f"text_completion {name}", model=name)
    span.set_attribute("gen_ai.operation.name", "text_completion")
    span.set_attribute("gen_ai.provider.name", "transformers")
    inputs: Any = kwargs.get("input_ids", kwargs.get("inputs", args[0] if args else None))
    if getattr(inputs, "ndim", 0) == 2 and not inputs.is_floating_point():
        span.set_tokens_input(int(inputs.shape[0] * inputs.shape[1]))
    span.set_gpus(_devices(model))
    span._begin()
    criteria = kwargs.get("stopping_criteria") or ()
    kwargs["stopping_criteria"] = StoppingCriteriaList([*criteria, _step_counter(span)])
    return span


def _devices(model: Any) -> list[str]:
    placed = getattr(model, "hf_device_map", None)
    devices = set(placed.values()) if isinstance(placed, dict) else {getattr(model, "device", "")}
    names = {f"cuda:{device}" if isinstance(device, int) else str(device) for device in devices}
    return [name for name in names if name.startswith("cuda")]


def _step_counter(span: Any) -> Any:
    import torch
    from transformers import StoppingCriteria

    class StepCounter(StoppingCriteria):
        def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
            rows = input_ids.shape[0]
            span.record_token(rows)
            return torch.zeros(rows, dtype=torch.bool, device=input_ids.device)

    return StepCounter()
