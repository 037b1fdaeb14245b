"""Picks the hot path: the C core where it was built and works, else pure Python.

`AXONIZE_PURE=1` forces the latter: the way out if native code is ever suspected. `AXONIZE_CLOCK=system`
keeps the core from reading time by the processor's counter, which it does where the kernel does.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # true for type checkers; importing `typing` is dear
if TYPE_CHECKING:
    from typing import Any

core: Any


def _choose() -> Any:
    if os.environ.get("AXONIZE_PURE", "") not in ("", "0"):
        return _pure()
    try:
        from . import _core  # type: ignore[attr-defined]
    except ImportError:
        # Not built for this Python (no compiler, a subinterpreter).
        return _pure()
    from . import _generators, _llm, _types, _values

    _core.connect(
        _generators.current_span,
        _types.SpanContext,
        _values.key_value,
        _values.event,
        _values.exception_event,
        _values.exception_message,
        _values.type_name,
        _generators.enter,
        _generators.leave,
        _llm.counted,
        _llm.count,
    )
    if os.environ.get("AXONIZE_CLOCK", "") == "system":
        _core.system_clock()
    return _core


def _pure() -> Any:
    from . import _pure

    return _pure


core = _choose()
