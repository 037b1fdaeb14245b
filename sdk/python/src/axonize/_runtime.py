"""The SDK's life in a process: init, flush, shutdown, fork, exit and SIGTERM.

The only module with state of the process. No thread exists before the first finished span. A forked
child starts with an empty queue and its own exporter; at exit what is finished is sent within
EXIT_S, and SIGTERM (where the program left it at its default) first flushes and then kills as before.
"""

from __future__ import annotations

import atexit
import os
import sys

from ._core_choice import core
from ._log import warn_once

TYPE_CHECKING = False  # true for type checkers; importing `typing` is dear
if TYPE_CHECKING:
    from typing import Any

    from ._config import Config
    from ._export import Exporter

EXIT_S = 1.8
"""What the end of a process may wait for an absent server: with all else that ends then, under 2 s."""
SIGTERM_S = 1.0

_exporter: Exporter | None = None
_config: Config | None = None
_hooked = False
_lost_before = 0


def init(given: dict[str, Any], handle_signals: bool) -> None:
    """Starts (or restarts, with another configuration) the recording of spans."""
    global _config, _exporter
    from ._config import resolve

    config = resolve(given)
    if config.disabled:
        shutdown(EXIT_S)
        return
    if _exporter is not None:
        shutdown(EXIT_S)
    _config = config
    _exporter = _create_exporter(config)
    _enable(config, _exporter)
    _hook()
    if handle_signals:
        _hook_sigterm()


def recording() -> bool:
    """Whether `init` ran and `shutdown` did not."""
    return _exporter is not None


def flush(timeout_s: float) -> bool:
    """Sends what is finished. True if all of it was taken by the server."""
    return True if _exporter is None else _exporter.flush(timeout_s)


def shutdown(timeout_s: float) -> bool:
    """Flushes and stops recording. Another `init` starts again."""
    global _exporter, _lost_before
    exporter = _exporter
    if exporter is None:
        return True
    core.disable()
    done = exporter.stop(timeout_s)
    _lost_before += exporter.lost
    _exporter = None
    return done


def stats() -> dict[str, int]:
    """Counters of this process."""
    counted = dict(core.stats())
    counted["sent"] = 0 if _exporter is None else _exporter.sent
    counted["lost"] = _lost_before + (0 if _exporter is None else _exporter.lost)
    return counted


def _create_exporter(config: Config) -> Exporter:
    from ._export import Exporter

    exporter = Exporter(config, core)
    exporter.open_ring()
    exporter.on_start = _hook_multiprocessing
    return exporter


def _hook() -> None:
    global _hooked
    if _hooked:
        return
    _hooked = True
    atexit.register(_at_exit)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_after_fork)


def _at_exit() -> None:
    if flush(EXIT_S) and _exporter is not None:
        _exporter.remove_ring()


def _after_fork() -> None:
    global _exporter, _lost_before
    core.after_fork()
    parent = _exporter
    _lost_before = 0
    if parent is None or _config is None:
        return
    parent.abandon()
    _exporter = _create_exporter(_config)
    _enable(_config, _exporter)


def _enable(config: Config, exporter: Exporter) -> None:
    core.watch_gpus(None if exporter.gpus is None else exporter.gpus.start)
    core.enable(config.buffer_bytes, config.batch_size, exporter.wake)


def _hook_multiprocessing() -> None:
    """Children of multiprocessing end in os._exit and run its finalizers, on 3.11 no atexit."""
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        util.Finalize(None, _at_exit, exitpriority=0)


def _hook_sigterm() -> None:
    # Here and not at the top: it brings `enum`, and what only imports this package needs neither.
    import signal
    import threading

    if threading.current_thread() is not threading.main_thread():
        return
    try:
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _on_sigterm)
    except (ValueError, OSError) as error:
        # Not the main interpreter, or a platform without it: the program keeps its own ways.
        warn_once("sigterm", f"cannot watch for SIGTERM: {error}")


def _on_sigterm(number: int, frame: Any) -> None:
    import signal

    flush(SIGTERM_S)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
