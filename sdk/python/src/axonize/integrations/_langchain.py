"""LangChain and LangGraph through OpenInference's or OpenLLMetry's instrumentation, whichever is installed.

Their spans go into our ring by the OpenTelemetry bridge; OpenTelemetry's global provider stays alone.
"""

from __future__ import annotations

from typing import Any

from ._otel_instrumentors import instrument_first


def patch(module: Any) -> None:
    """Called with `langchain_core`."""
    instrument_first(
        "langchain",
        ("openinference.instrumentation.langchain", "LangChainInstrumentor"),
        ("opentelemetry.instrumentation.langchain", "LangchainInstrumentor"),
    )
