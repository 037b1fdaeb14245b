"""Builds the C core where that works, else a pure-Python wheel; says which.

Whether a compiler and Python's headers are there is tried out before anything is built, so
that the wheel's tag tells the truth (`py3-none-any` or this Python's). AXONIZE_PURE=1 skips C.
"""

import os
import sys
import sysconfig
import tempfile
from pathlib import Path

from setuptools import Extension, setup

SOURCES = ["clock.c", "arena.c", "ring.c", "span.c", "llm.c", "methods.c", "type.c", "special.c", "module.c"]
FLAGS = ["-std=c11", "-O3", "-fvisibility=hidden", "-Wall", "-Wextra", "-Wno-missing-field-initializers"]
PROBE = "#include <Python.h>\n#include <sys/random.h>\nint main(void) { return Py_IsInitialized(); }\n"


def why_pure() -> str:
    """The reason to build without C, empty where it can be built."""
    if os.environ.get("AXONIZE_PURE", "") not in ("", "0"):
        return "AXONIZE_PURE is set"
    if sys.implementation.name != "cpython":
        return "not CPython"
    if sys.platform == "win32":
        return "Windows"
    from distutils.ccompiler import new_compiler
    from distutils.sysconfig import customize_compiler

    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.c")
        source.write_text(PROBE)
        try:
            compiler = new_compiler()
            customize_compiler(compiler)
            compiler.compile([str(source)], output_dir=folder, include_dirs=[sysconfig.get_path("include")])
        except Exception as error:
            return f"no working C compiler with Python's headers ({type(error).__name__})"
    return ""


reason = why_pure()
print(f"axonize: building {'pure Python: ' + reason if reason else 'with the C core'}", file=sys.stderr)
extra = os.environ.get("AXONIZE_CFLAGS", "").split()
core = Extension(
    "axonize._core",
    [f"csrc/{name}" for name in SOURCES],
    depends=[f"csrc/{name}" for name in ("arena.h", "clock.h", "free.h", "ring.h", "span.h", "wire.h")],
    extra_compile_args=FLAGS + extra,
    extra_link_args=extra,
    optional=True,
)
setup(ext_modules=[] if reason else [core])
