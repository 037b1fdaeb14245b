"""Runs at the start of every interpreter under `axonize-run`: begins recording and turns integrations on.

Python imports the first `sitecustomize` that it finds. The one that this hides, if any, is run first.
"""

import os
import sys


def _run_hidden() -> None:
    """Imports the `sitecustomize` that comes after this folder in the path."""
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    here = os.path.dirname(os.path.abspath(__file__))
    rest = [entry for entry in sys.path if os.path.abspath(entry or ".") != here]
    spec = PathFinder.find_spec("sitecustomize", rest)
    if spec is None or spec.loader is None:
        return
    module = module_from_spec(spec)
    sys.modules["sitecustomize"] = module
    spec.loader.exec_module(module)


def _start() -> None:
    try:
        import axonize
    except ImportError:
        # An interpreter of another environment that a child process runs: not ours to touch.
        return
    axonize.init()
    axonize.instrument(*filter(None, os.environ.get("AXONIZE_INSTRUMENT", "").split(",")))


_run_hidden()
_start()
