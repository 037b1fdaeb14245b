"""A request to an engine in this process: an async generator of outputs, followed by a span of its own.

The engine's code runs inside the span, the caller's between two outputs does not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from .._generators import current_span
from ._patch import quietly


class EngineCall(Protocol):
    """What an integration knows of one request."""

    @property
    def span(self) -> Any:
        """Has begun."""

    complete: bool
    """All has been told: the span ends now, since whoever wants one answer asks once and drops the generator."""

    def take(self, output: Any) -> None:
        """Looks at one output."""


def follow(engine: str, begin: Callable[[Any, tuple[Any, ...], dict[str, Any]], EngineCall]) -> Callable[[Any], Any]:
    """For `wrap`: a method whose generator is followed. `begin(self, args, kwargs)` may change kwargs."""

    def around(original: Any) -> Any:
        async def generate(self: Any, *args: Any, **kwargs: Any) -> Any:
            call = quietly(engine, begin, self, args, kwargs)
            outputs = original(self, *args, **kwargs)
            if call is None:
                async for output in outputs:
                    yield output
                return
            failure: BaseException | None = None
            try:
                while True:
                    before = current_span.get()
                    current_span.set(call.span)
                    try:
                        output = await outputs.__anext__()
                    except StopAsyncIteration:
                        return
                    finally:
                        current_span.set(before)
                    quietly(engine, call.take, output)
                    if call.complete:
                        call.span._finish(None)
                    yield output
            except BaseException as error:
                failure = error
                raise
            finally:
                call.span._finish(failure)
                failure = None
                # Engines forget or abort a request when its generator is closed.
                await outputs.aclose()

        return generate

    return around
