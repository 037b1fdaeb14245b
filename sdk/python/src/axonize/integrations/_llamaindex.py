"""LlamaIndex through OpenInference's or OpenLLMetry's instrumentation, whichever is installed."""

from __future__ import annotations

from typing import Any

from ._otel_instrumentors import instrument_first


def patch(module: Any) -> None:
    """Called with `llama_index.core`."""
    instrument_first(
        "llamaindex",
        ("openinference.instrumentation.llama_index", "LlamaIndexInstrumentor"),
        ("opentelemetry.instrumentation.llamaindex", "LlamaIndexInstrumentor"),
    )
