"""SGLang's plug-in entry point (`sglang.srt.plugins`): installing axonize and naming an endpoint is all.

SGLang calls `register` in every one of its processes. As with vLLM, without AXONIZE_ENDPOINT or AXONIZE_AUTO
nothing happens.
"""

from __future__ import annotations

from .vllm_plugin import start


def register() -> None:
    """Starts recording, unless the program did, and observes `TokenizerManager`."""
    start("sglang")
