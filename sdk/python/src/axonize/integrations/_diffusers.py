"""diffusers: a pipeline's call as one span, with an event per denoising step.

Each pipeline class has a `__call__` of its own; it is found when the first object of it registers its
modules. Step times are when the step was launched, not when the device finished it.
"""

from __future__ import annotations

import inspect
from typing import Any

from .._core_choice import core
from ._patch import quietly, wrap


def patch(module: Any) -> None:
    """Called with `diffusers.pipelines.pipeline_utils`."""
    wrap(module.DiffusionPipeline, "register_modules", _register)


def _register(original: Any) -> Any:
    def register_modules(self: Any, **kwargs: Any) -> Any:
        quietly("diffusers", _observe_class, type(self))
        return original(self, **kwargs)

    return register_modules


def _observe_class(pipeline: Any) -> None:
    owner = next((kind for kind in pipeline.__mro__ if "__call__" in vars(kind)), None)
    if owner is not None:
        wrap(owner, "__call__", _call)


def _call(original: Any) -> Any:
    parameters = inspect.signature(original).parameters

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        with core.span("image_generation") as span:
            quietly("diffusers", _describe, span, self, args, kwargs, parameters)
            return original(self, *args, **kwargs)

    return call


def _describe(span: Any, pipeline: Any, args: Any, kwargs: dict[str, Any], parameters: Any) -> None:
    name = getattr(getattr(pipeline, "config", None), "_name_or_path", "") or type(pipeline).__name__
    span.name = f"image_generation {name}"
    span.set_attribute("gen_ai.operation.name", "image_generation")
    span.set_attribute("gen_ai.provider.name", "diffusers")
    span.set_attribute("gen_ai.request.model", name)
    span.set_attribute("ai.model.name", name)
    for key in ("num_inference_steps", "height", "width", "guidance_scale"):
        if isinstance(kwargs.get(key), (int, float)):
            span.set_attribute(f"axonize.diffusion.{key}", kwargs[key])
    device = str(getattr(pipeline, "device", ""))
    if device.startswith("cuda"):
        span.set_gpus([device])
    theirs = kwargs.get("callback_on_step_end")
    # A callback object of diffusers' own says which tensors it wants: it must stay what it is.
    if "callback_on_step_end" in parameters and (theirs is None or inspect.isfunction(theirs)):
        kwargs["callback_on_step_end"] = _with_event(span, theirs)


def _with_event(span: Any, theirs: Any) -> Any:
    def on_step_end(pipeline: Any, step: Any, timestep: Any, values: dict[str, Any]) -> Any:
        quietly("diffusers", span.add_event, "step", {"index": int(step)})
        return values if theirs is None else theirs(pipeline, step, timestep, values)

    return on_step_end
