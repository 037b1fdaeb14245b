"""Calls a function when a module has been imported; at once where it already is.

A finder in front of the others that finds nothing by itself: it lets them find the module and wraps
the loader's `exec_module`. It is there only while something is waited for.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

_waiting: dict[str, Callable[[ModuleType], None]] = {}
_done: set[str] = set()


def when_imported(name: str, then: Callable[[ModuleType], None]) -> None:
    """Calls `then(module)` once, now or after the import of `name`."""
    if name in _done or name in _waiting:
        return
    module = sys.modules.get(name)
    if module is not None and not getattr(getattr(module, "__spec__", None), "_initializing", False):
        _done.add(name)
        then(module)
        return
    _waiting[name] = then
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder:
    """First in sys.meta_path while modules are waited for."""

    def __init__(self) -> None:
        self._inside: set[str] = set()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in _waiting or name in self._inside:
            return None
        self._inside.add(name)
        try:
            spec = find_spec(name)
        except (ImportError, ValueError, AttributeError):
            # Not there, or half there: the import itself will tell.
            return None
        finally:
            self._inside.discard(name)
        loader = getattr(spec, "loader", None)
        if spec is None or not hasattr(loader, "exec_module"):
            return None
        spec.loader = _Loader(loader, name)  # type: ignore[assignment]
        return spec


class _Loader:
    """The real loader, with one more step at the end."""

    def __init__(self, loader: Any, name: str) -> None:
        self._loader = loader
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._loader, attribute)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        made: ModuleType | None = self._loader.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        spec = module.__spec__
        if spec is not None and isinstance(spec.loader, _Loader):
            # What looks at its own loader later (importlib.resources does) sees the real one.
            spec.loader = self._loader
            module.__loader__ = self._loader
        then = _waiting.pop(self._name, None)
        _done.add(self._name)
        if then is not None:
            then(module)
