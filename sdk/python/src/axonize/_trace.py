"""The `@trace` decorator: functions, coroutines, generators and async generators.

Each keeps its kind (`inspect.iscoroutinefunction` and friends stay true). For generators the span
lasts from the first item to the end, and is current only while the generator's own body runs, so
that the caller's spans between two items are not its children.
"""

from __future__ import annotations

from ._core_choice import core
from ._generators import current_span

TYPE_CHECKING = False  # true for type checkers; importing `typing` is dear
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_GENERATOR, _COROUTINE, _ASYNC_GENERATOR = 0x20, 0x80 | 0x100, 0x200


def traced(function: Any, name: str | None, attributes: dict[str, Any]) -> Any:
    """`function` with a span around every call."""
    import functools  # where it is needed: most of what importing this package took

    if isinstance(function, (staticmethod, classmethod)):
        return type(function)(traced(function.__func__, name, attributes))
    if not callable(function) or isinstance(function, type):
        raise TypeError("axonize.trace decorates functions and methods")
    label: str = name or getattr(function, "__qualname__", None) or type(function).__name__
    flags = _flags(function)
    if flags & _ASYNC_GENERATOR:
        wrapper = _trace_async_generator(function, label, attributes)
    elif flags & _COROUTINE:
        wrapper = _trace_coroutine(function, label, attributes)
    elif flags & _GENERATOR:
        wrapper = _trace_generator(function, label, attributes)
    else:
        wrapper = _trace_function(function, label, attributes)
    return functools.update_wrapper(wrapper, function)


def _flags(function: Any) -> int:
    import functools

    while isinstance(function, functools.partial):
        function = function.func
    function = getattr(function, "__func__", function)
    code = getattr(function, "__code__", None)
    if code is None:
        code = getattr(getattr(type(function), "__call__", None), "__code__", None)
    return getattr(code, "co_flags", 0)


def _trace_function(function: Any, name: str, attributes: dict[str, Any]) -> Callable[..., Any]:
    make = core.span

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with make(name, **attributes):
            return function(*args, **kwargs)

    return wrapper


def _trace_coroutine(function: Any, name: str, attributes: dict[str, Any]) -> Callable[..., Any]:
    make = core.span

    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        with make(name, **attributes):
            return await function(*args, **kwargs)

    return wrapper


def _trace_generator(function: Any, name: str, attributes: dict[str, Any]) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        span = core.span(name, **attributes)
        span._begin()
        failure: BaseException | None = None
        inner = _inside(span, function, *args, **kwargs)
        step: Any = inner.__next__
        value: tuple[Any, ...] = ()
        try:
            while True:
                try:
                    item = _inside(span, step, *value)
                except StopIteration as stop:
                    return stop.value
                try:
                    sent = yield item
                except GeneratorExit:
                    _inside(span, inner.close)
                    raise
                except BaseException as error:
                    step, value = inner.throw, (error,)
                else:
                    step, value = (inner.__next__, ()) if sent is None else (inner.send, (sent,))
        except BaseException as error:
            failure = error
            raise
        finally:
            span._finish(failure)
            failure = None

    return wrapper


def _inside(span: Any, call: Any, *args: Any, **kwargs: Any) -> Any:
    """Calls with the span current, and puts back what was current before."""
    before = current_span.get()
    current_span.set(span)
    try:
        return call(*args, **kwargs)
    finally:
        current_span.set(before)


def _trace_async_generator(
    function: Any, name: str, attributes: dict[str, Any]
) -> Callable[..., Any]:
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        span = core.span(name, **attributes)
        span._begin()
        failure: BaseException | None = None
        inner = _inside(span, function, *args, **kwargs)
        step: Any = inner.asend
        value: tuple[Any, ...] = (None,)
        try:
            while True:
                before = current_span.get()
                current_span.set(span)
                try:
                    item = await step(*value)
                except StopAsyncIteration:
                    return
                finally:
                    current_span.set(before)
                try:
                    sent = yield item
                except GeneratorExit:
                    await inner.aclose()
                    raise
                except BaseException as error:
                    step, value = inner.athrow, (error,)
                else:
                    step, value = inner.asend, (sent,)
        except BaseException as error:
            failure = error
            raise
        finally:
            span._finish(failure)
            failure = None

    return wrapper
