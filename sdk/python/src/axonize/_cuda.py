"""Which device is `cuda:0` in this process: the driver's own answer, asked only when CUDA is up.

CUDA numbers what the process sees, in an order that no other process can know for certain, so this is
the one exact source. Nothing here loads libcuda or initialises it: a process that does so before it
forks has broken children. Where the program has not begun with CUDA the answer is "not yet".
"""

from __future__ import annotations

import os
import sys
from typing import Any

DEVICES_MAX = 64
"""As many ordinals as a span can name."""
_LIBRARY = "libcuda.so.1"
_NAME_BYTES = 128


def device_uuids() -> tuple[str, ...] | None:
    """UUIDs by ordinal, `GPU-…` or `MIG-…`; cut before the first unknown one. None = CUDA is not up."""
    # Whoever uses CUDA from Python has imported ctypes (numpy and torch do): others do not pay for it.
    ctypes = sys.modules.get("ctypes")
    noload = getattr(os, "RTLD_NOLOAD", None)
    if ctypes is None or noload is None:
        return None
    try:
        # RTLD_NOLOAD finds the library if the program has loaded it, and never loads it.
        driver = ctypes.CDLL(_LIBRARY, mode=noload | os.RTLD_LAZY)
        return _ask(ctypes, driver)
    except (OSError, AttributeError, TypeError):
        # Not loaded, the usual case; or ctypes half imported; or a library that is not the driver.
        return None


def _ask(ctypes: Any, driver: Any) -> tuple[str, ...] | None:
    count = ctypes.c_int(0)
    # Answers 3 (not initialized) before cuInit and in a forked child, 4 while the process ends.
    if driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return None
    uuids: list[str] = []
    for ordinal in range(min(max(count.value, 0), DEVICES_MAX)):
        uuid = _uuid(ctypes, driver, ordinal)
        if not uuid:
            break
        uuids.append(uuid)
    return tuple(uuids)


def _uuid(ctypes: Any, driver: Any, ordinal: int) -> str:
    device = ctypes.c_int(0)
    name = ctypes.create_string_buffer(_NAME_BYTES)
    raw = (ctypes.c_ubyte * 16)()
    if driver.cuDeviceGet(ctypes.byref(device), ordinal) != 0:
        return ""
    if driver.cuDeviceGetName(name, _NAME_BYTES - 1, device) != 0:
        return ""
    partition = b" MIG " in name.value + b" "
    ask = getattr(driver, "cuDeviceGetUuid_v2", None)
    if ask is None:
        # Drivers before 470: the old call names the whole GPU also for a partition of it.
        ask = None if partition else getattr(driver, "cuDeviceGetUuid", None)
    if ask is None or ask(ctypes.byref(raw), device) != 0:
        return ""
    digits = bytes(raw).hex()
    if not digits.strip("0"):
        return ""
    parts = digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]
    return ("MIG-" if partition else "GPU-") + "-".join(parts)
