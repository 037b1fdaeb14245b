"""threading: a thread, and work given to a thread pool, go on under the span that started them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .._generators import current_span
from ._patch import inside, wrap


def patch(module: Any) -> None:
    """Called with `threading`."""
    wrap(module.Thread, "start", _start)
    wrap(ThreadPoolExecutor, "submit", _submit)


def _start(original: Any) -> Any:
    def start(self: Any) -> None:
        span = current_span.get()
        if span is not None and not hasattr(self, "_axonize_run"):
            # On the instance: a subclass may have a `run` of its own.
            self._axonize_run = run = self.run

            def run_inside() -> None:
                # Taken apart again, so that thread and function do not hold each other.
                del self.run, self._axonize_run
                with inside(span):
                    run()

            self.run = run_inside
        original(self)

    return start


def _submit(original: Any) -> Any:
    def submit(self: Any, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        span = current_span.get()

        def call(*args: Any, **kwargs: Any) -> Any:
            with inside(span):
                return function(*args, **kwargs)

        # The pool may start a thread now; that thread outlives this span and must not keep it.
        with inside(None):
            return original(self, call, *args, **kwargs)

    return submit
