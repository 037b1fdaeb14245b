"""Keeps a span that is open across a `yield` from leaking into the code that drives the generator.

A generator shares its caller's context, so a plain `with span(): yield x` would leave the span
current in the caller between two items. CPython 3.12 can tell us when exactly that code object
yields and resumes (`sys.monitoring`, local events): there the span is current only while the
generator's own body runs, at no cost for any other code. On 3.10 and 3.11 such a span is recorded
but never made current, with one warning. A generator that `contextlib.contextmanager` drives is
meant to leave its span current, and does.
"""

from __future__ import annotations

import sys
from contextvars import ContextVar

from ._log import warn_once

TYPE_CHECKING = False  # true for type checkers; importing `typing` is dear
if TYPE_CHECKING:
    from typing import Any

GENERATOR_FLAGS = 0x20 | 0x200  # CO_GENERATOR | CO_ASYNC_GENERATOR
current_span: ContextVar[Any] = ContextVar("axonize.span", default=None)

_DOCS = "https://github.com/axonize/axonize/blob/main/sdk/python/README.md#generators"
# Frames with open spans, by id: a generator's frame object lives as long as the generator once it
# was looked at, and the entry goes when its last span ends.
_frames: dict[int, "FrameState"] = {}
_tool: int | None = None
_drivers: frozenset[Any] = frozenset()


class FrameState:
    """What is current inside and outside of one running generator."""

    __slots__ = ("inner", "key", "opened", "outer", "running")

    def __init__(self, key: int, outer: Any) -> None:
        self.key = key
        self.outer = outer
        self.inner: Any = None
        self.running = True
        self.opened: list[tuple[Any, Any]] = []


HIDDEN = FrameState(0, None)
"""State of a span that is never current (3.10 and 3.11)."""


def enter(span: Any, frame: Any) -> FrameState | None:
    """Called when a span is entered in a generator's frame. None: make it current as usual."""
    back = frame.f_back
    if back is not None and back.f_code in (_drivers or _find_drivers()):
        return None
    if not _watch(frame.f_code):
        warn_once(
            "generator",
            "a span is open across a yield; it is recorded but has no children on this Python. "
            f"Use axonize.stream() or @axonize.trace, see {_DOCS}",
        )
        return HIDDEN
    key = id(frame)
    state = _frames.get(key)
    previous = current_span.get()
    if state is None:
        state = _frames[key] = FrameState(key, previous)
    state.opened.append((span, previous))
    current_span.set(span)
    return state


def leave(span: Any, state: FrameState) -> None:
    """The counterpart of `enter` when the span ends."""
    if state is HIDDEN:
        return
    target = state.outer
    for index, (opened, previous) in enumerate(state.opened):
        if opened is span:
            target = previous if index > 0 else state.outer
            del state.opened[index]
            break
    if not state.opened:
        _frames.pop(state.key, None)
    if state.running:
        if current_span.get() is span:
            current_span.set(target)
    elif state.inner is span:
        # Ended by throw() or close(): those resume without an event, the caller's span is current.
        state.inner = target


def _on_yield(code: Any, offset: int, value: Any) -> None:
    state = _frames.get(id(sys._getframe(1)))
    if state is not None and state.running:
        state.running = False
        state.inner = current_span.get()
        current_span.set(state.outer)


def _on_resume(code: Any, offset: int) -> None:
    state = _frames.get(id(sys._getframe(1)))
    if state is not None and not state.running:
        state.running = True
        state.outer = current_span.get()
        current_span.set(state.inner)


def _watch(code: Any) -> bool:
    """Asks for yield and resume events of one code object. False where that cannot be had."""
    global _tool
    if sys.version_info < (3, 12):
        return False
    monitoring = sys.monitoring
    events = monitoring.events.PY_YIELD | monitoring.events.PY_RESUME
    try:
        if _tool is None:
            _tool = _take_tool(monitoring)
            if _tool is None:
                return False
            monitoring.register_callback(_tool, monitoring.events.PY_YIELD, _on_yield)
            monitoring.register_callback(_tool, monitoring.events.PY_RESUME, _on_resume)
        if monitoring.get_local_events(_tool, code) != events:
            monitoring.set_local_events(_tool, code, events)
    except ValueError:
        # Someone freed or took our tool id: treat it as an interpreter without monitoring.
        return False
    return True


def _take_tool(monitoring: Any) -> int | None:
    # 0, 1, 2 and 5 are by convention the debugger's, coverage's, the profiler's and the optimizer's.
    for tool in (4, 3):
        if monitoring.get_tool(tool) is None:
            monitoring.use_tool_id(tool, "axonize")
            return tool
    return None


def _find_drivers() -> frozenset[Any]:
    global _drivers
    # Only a program that has imported it can have such a generator.
    import contextlib

    _drivers = frozenset(
        (
            contextlib._GeneratorContextManager.__enter__.__code__,
            contextlib._AsyncGeneratorContextManager.__aenter__.__code__,
        )
    )
    return _drivers
