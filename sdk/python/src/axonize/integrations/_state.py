"""What was patched, so that tests can take it back."""

from __future__ import annotations

from typing import Any

patched: list[tuple[Any, str, Any]] = []
