"""One log line per cause, through the standard logger `axonize`.

A tracing library that logs per request is worse than none; a second line with the same cause says
nothing new. Causes are few and fixed, so the set of those already said cannot grow.
"""

from __future__ import annotations

_said: set[str] = set()


def warn_once(cause: str, message: str) -> None:
    """Logs `message` as a warning unless `cause` was logged before in this process."""
    if cause in _said:
        return
    _said.add(cause)
    try:
        import logging

        logging.getLogger("axonize").warning("axonize: %s", message)
    except Exception:
        # A broken logging set-up, or an interpreter that is going down: silence is right.
        return
