"""vLLM's plug-in entry point (`vllm.general_plugins`): installing axonize and naming an endpoint is all.

vLLM calls `register` in every one of its processes, possibly more than once. Without AXONIZE_ENDPOINT or
AXONIZE_AUTO nothing happens: a package that is merely installed must not send anything anywhere.
"""

from __future__ import annotations

import os


def register() -> None:
    """Starts recording, unless the program did, and observes `AsyncLLM`."""
    start("vllm")


def start(engine: str) -> None:
    """What the plug-ins of all engines do."""
    if not (os.environ.get("AXONIZE_ENDPOINT") or os.environ.get("AXONIZE_AUTO", "") not in ("", "0")):
        return
    from .. import _runtime, init, instrument

    if not _runtime.recording():
        init()
    instrument(engine)
