"""`axonize.instrument()`: spans for calls that other libraries make, without a change to the program.

Each integration patches a few functions of one library when that library is imported, or at once where
it already is; what is not imported is never touched. A patch observes: whatever goes wrong in it is
told once and the call goes on as if it were not there.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .._log import warn_once
from ._hooks import when_imported

# Name of the integration → the module whose import brings it in, and the function here that patches.
_TABLE: dict[str, tuple[tuple[str, str], ...]] = {
    "openai": (("openai._base_client", "._openai"),),
    "anthropic": (("anthropic._base_client", "._anthropic"),),
    "ollama": (("ollama._client", "._ollama"),),
    "transformers": (("transformers.generation.utils", "._transformers"),),
    "diffusers": (("diffusers.pipelines.pipeline_utils", "._diffusers"),),
    "vllm": (("vllm.v1.engine.async_llm", "._vllm"),),
    "sglang": (("sglang.srt.managers.tokenizer_manager", "._sglang"),),
    "langchain": (("langchain_core", "._langchain"),),
    "llamaindex": (("llama_index.core", "._llamaindex"),),
    "httpx": (("httpx._client", "._httpx"), ("httpx2._client", "._httpx")),
    "requests": (("requests.sessions", "._requests"),),
    "aiohttp": (("aiohttp.client", "._aiohttp"),),
    "grpc": (("grpc", "._grpc_calls"),),
    "asgi": (("starlette.applications", "._starlette"),),
    "wsgi": (("flask.app", "._flask"), ("django.core.handlers.wsgi", "._django")),
    "threading": (("threading", "._threads"),),
}
NAMES = tuple(_TABLE)
"""All integrations."""


def instrument(*names: str) -> None:
    """Turns integrations on: the named ones, or all. Twice is the same as once."""
    for name in names or NAMES:
        entries = _TABLE.get(name.strip().lower())
        if entries is None:
            warn_once(f"instrument:{name}", f"there is no integration named {name!r}; there are {', '.join(NAMES)}")
            continue
        for module, patcher in entries:
            when_imported(module, _patcher(name, patcher))


def _patcher(name: str, patcher: str) -> Any:
    def patch(module: Any) -> None:
        try:
            import_module(patcher, __name__).patch(module)
        except Exception as error:
            # Another version than those it was written for: the library goes on unobserved.
            warn_once(f"instrument:{name}", f"cannot observe {name}: {type(error).__name__}: {error}")

    return patch
