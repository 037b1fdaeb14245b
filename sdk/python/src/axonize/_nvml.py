"""NVML by ctypes, as little of it as readings of a device need. No package, no headers.

Handles come from UUIDs: NVML's own numbering is not CUDA's. What a device cannot tell is None, never 0;
a partition (MIG) has no utilisation and power of its own here, so those stay None for it.
"""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

_LIBRARY = "libnvidia-ml.so.1"
_MEMORY_V2 = 0x02000028
_UNKNOWN = 0xFFFFFFFFFFFFFFFF


class NvmlError(Exception):
    """The library is not there or does not answer."""


class Memory(NamedTuple):
    """Bytes of device memory."""

    used: int
    total: int


class _MemoryV1(ctypes.Structure):
    _fields_ = [(name, ctypes.c_ulonglong) for name in ("total", "free", "used")]


class _MemoryV2(ctypes.Structure):
    _fields_ = [
        ("version", ctypes.c_uint),
        *((name, ctypes.c_ulonglong) for name in ("total", "reserved", "free", "used")),
    ]


class Nvml:
    """An initialised library. `close` when done."""

    def __init__(self, path: str | None) -> None:
        try:
            self._library: Any = ctypes.CDLL(path or _LIBRARY)
        except OSError as error:
            raise NvmlError(f"cannot load {path or _LIBRARY}: {error}") from error
        code = self._call("nvmlInit_v2")
        if code != 0:
            raise NvmlError(f"nvmlInit_v2 answers {code}")

    def _call(self, name: str, *arguments: Any) -> int:
        """The function's code; -1 where the driver has no such function."""
        function = getattr(self._library, name, None)
        return -1 if function is None else int(function(*arguments))

    def handle(self, uuid: str) -> ctypes.c_void_p | None:
        """The device or partition of this UUID."""
        found = ctypes.c_void_p()
        code = self._call("nvmlDeviceGetHandleByUUID", uuid.encode("ascii", "replace"), ctypes.byref(found))
        return found if code == 0 and found.value else None

    def only_uuid(self) -> str | None:
        """The UUID of the only device, where there is exactly one and it is not partitioned."""
        count, current, pending = ctypes.c_uint(), ctypes.c_uint(), ctypes.c_uint()
        device = ctypes.c_void_p()
        text = ctypes.create_string_buffer(96)
        if self._call("nvmlDeviceGetCount_v2", ctypes.byref(count)) != 0 or count.value != 1:
            return None
        if self._call("nvmlDeviceGetHandleByIndex_v2", ctypes.c_uint(0), ctypes.byref(device)) != 0:
            return None
        mode = self._call("nvmlDeviceGetMigMode", device, ctypes.byref(current), ctypes.byref(pending))
        if mode == 0 and current.value:
            return None
        if self._call("nvmlDeviceGetUUID", device, text, ctypes.c_uint(96)) != 0:
            return None
        return text.value.decode("ascii", "replace")

    def name(self, handle: ctypes.c_void_p) -> str:
        """The product's name."""
        text = ctypes.create_string_buffer(96)
        code = self._call("nvmlDeviceGetName", handle, text, ctypes.c_uint(96))
        return text.value.decode("utf-8", "replace") if code == 0 else ""

    def utilization(self, handle: ctypes.c_void_p) -> float | None:
        """Share of the last sampling period in which a kernel ran, 0 to 1."""
        rates = (ctypes.c_uint * 2)()
        code = self._call("nvmlDeviceGetUtilizationRates", handle, rates)
        return min(rates[0], 100) / 100 if code == 0 else None

    def power_watts(self, handle: ctypes.c_void_p) -> float | None:
        """Draw of the whole board."""
        milliwatts = ctypes.c_uint()
        code = self._call("nvmlDeviceGetPowerUsage", handle, ctypes.byref(milliwatts))
        return milliwatts.value / 1000 if code == 0 else None

    def temperature_celsius(self, handle: ctypes.c_void_p) -> float | None:
        """Of the GPU's core."""
        celsius = ctypes.c_uint()
        code = self._call("nvmlDeviceGetTemperature", handle, ctypes.c_uint(0), ctypes.byref(celsius))
        return float(celsius.value) if code == 0 else None

    def memory(self, handle: ctypes.c_void_p) -> Memory | None:
        """Used and total; what the driver reserves for itself is in neither where it tells it apart."""
        newer = _MemoryV2(version=_MEMORY_V2)
        if self._call("nvmlDeviceGetMemoryInfo_v2", handle, ctypes.byref(newer)) == 0:
            return None if newer.used == _UNKNOWN else Memory(newer.used, newer.total)
        older = _MemoryV1()
        if self._call("nvmlDeviceGetMemoryInfo", handle, ctypes.byref(older)) == 0:
            return None if older.used == _UNKNOWN else Memory(older.used, older.total)
        return None

    def close(self) -> None:
        """Gives the library back."""
        self._call("nvmlShutdown")
