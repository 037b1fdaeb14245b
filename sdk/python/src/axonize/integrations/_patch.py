"""The tools of every integration: replacing a function once, and observing without ever raising."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .._generators import current_span
from .._log import warn_once
from . import _state


def wrap(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Replaces `owner.name` by `make(original)`; does nothing where that was done before."""
    original = getattr(owner, name)
    if getattr(original, "__axonize__", False):
        return
    replacement = functools.update_wrapper(make(original), original)
    replacement.__axonize__ = True  # type: ignore[attr-defined]
    setattr(owner, name, replacement)
    _state.patched.append((owner, name, original))


def quietly(what: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Calls code that looks at foreign objects; None and one log line where that fails."""
    try:
        return function(*args, **kwargs)
    except Exception as error:
        # A library that has changed must cost attributes, never the user's call.
        warn_once(f"observe:{what}", f"cannot observe {what}: {type(error).__name__}: {error}")
        return None


@contextmanager
def inside(span: Any) -> Iterator[None]:
    """Makes a begun span current for a block, without ending it there."""
    before = current_span.get()
    current_span.set(span)
    try:
        yield
    finally:
        current_span.set(before)
