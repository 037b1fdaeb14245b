"""`python -m axonize`: says which version and which hot path this Python would run."""

from __future__ import annotations

from . import __version__, implementation
from ._core_choice import core

print(f"axonize {__version__}, {'C core' if implementation == 'c' else 'pure Python'}: {core.__file__}")
