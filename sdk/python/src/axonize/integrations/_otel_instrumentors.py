"""Turns on an OpenTelemetry instrumentation with our tracer provider."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from .._log import warn_once


def instrument_first(name: str, *candidates: tuple[str, str]) -> None:
    """Instruments with the first candidate (module, class) that is installed."""
    for module, instrumentor in candidates:
        if _installed(module):
            from ..otel import tracer_provider

            made = getattr(import_module(module), instrumentor)()
            if not made.is_instrumented_by_opentelemetry:
                made.instrument(tracer_provider=tracer_provider())
            return
    listed = " or ".join(module.replace(".", "-").replace("_", "-") for module, _ in candidates)
    warn_once(f"instrument:{name}", f"to observe {name}, install {listed}")


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        # A parent package that is not there.
        return False
