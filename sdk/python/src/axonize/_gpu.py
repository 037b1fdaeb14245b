"""`gpu_profiling=True`: readings of the devices that spans name, attached to those spans.

A thread of its own, started by the first `set_gpus` of the process and never before: a driver that
takes seconds to answer delays neither the program nor the export. Utilisation and power every 100 ms,
memory and temperature every second. A span gets means over its own time from running sums, so that a
span of any length costs two look-ups.
"""

from __future__ import annotations

import os
import signal
import threading
from array import array
from bisect import bisect_left
from collections.abc import Callable
from time import time_ns
from typing import Any

from . import _cuda
from ._log import warn_once
from ._nvml import Nvml, NvmlError
from ._values import MARK, field, key_value, varint

TICK_NS = 100_000_000
SLOW_TICKS = 10
"""Every tenth tick reads memory and temperature, too."""
HISTORY_TICKS = 6000
"""Ten minutes at least. Four series of 24 bytes a tick, twice as many ticks before half of them go:
1.2 MB a device, 9 MB for a node of eight."""
GAP_TICKS = 3
"""A reading that is older says nothing about the time since."""
_TRIES_BEFORE_WARNING = 30


class Series:
    """One measured quantity over time as running sums: means of any stretch by two look-ups."""

    def __init__(self, tick_ns: int) -> None:
        self._gap_ns = GAP_TICKS * tick_ns
        self._times = array("q")
        self._area = array("d")
        self._covered = array("q")
        self._last: float | None = None

    def add(self, at_ns: int, value: float | None) -> None:
        """A reading holds for the time since the one before, if that is not too long ago."""
        times = self._times
        if times and at_ns <= times[-1]:
            # The clock was set back: what was before cannot be compared.
            del times[:], self._area[:], self._covered[:]
        step = at_ns - times[-1] if times else 0
        counts = value is not None and 0 < step <= self._gap_ns
        area, covered = (self._area[-1], self._covered[-1]) if times else (0.0, 0)
        times.append(at_ns)
        self._area.append(area + (value or 0.0) * step if counts else area)
        self._covered.append(covered + step if counts else covered)
        self._last = value
        if len(times) >= 2 * HISTORY_TICKS:
            del times[:HISTORY_TICKS], self._area[:HISTORY_TICKS], self._covered[:HISTORY_TICKS]

    def mean(self, start_ns: int, end_ns: int) -> float | None:
        """Mean over a stretch; the nearest reading where it lies between two; None = not measured."""
        if not self._times:
            return None
        (area, covered), (area_end, covered_end) = self._at(start_ns), self._at(end_ns)
        if covered_end > covered:
            return (area_end - area) / (covered_end - covered)
        fresh = abs(self._times[-1] - start_ns) <= self._gap_ns
        return self._last if fresh else None

    def _at(self, moment_ns: int) -> tuple[float, float]:
        times = self._times
        at = bisect_left(times, moment_ns)
        if at == 0:
            return self._area[0], self._covered[0]
        if at == len(times):
            return self._area[-1], self._covered[-1]
        share = (moment_ns - times[at - 1]) / (times[at] - times[at - 1])
        return (
            self._area[at - 1] + share * (self._area[at] - self._area[at - 1]),
            self._covered[at - 1] + share * (self._covered[at] - self._covered[at - 1]),
        )


class Device:
    """One device and what was read of it."""

    def __init__(self, uuid: str, handle: Any, name: str) -> None:
        self.uuid = uuid
        self.handle = handle
        self.name = name
        self.series = {key: Series(TICK_NS) for key in ("utilization", "power")}
        self.series |= {key: Series(TICK_NS * SLOW_TICKS) for key in ("used", "temperature")}
        self.total_bytes: int | None = None


class Sampler:
    """Owner of the reading thread of one process."""

    def __init__(self, library: str | None) -> None:
        self._library = library
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._devices: dict[int, Device] = {}
        self._tries = 0

    def start(self) -> None:
        """Called by the core in the user's thread when the first span names a device."""
        thread = threading.Thread(target=self._run, name="axonize-gpu", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # The interpreter is going down: there is nothing to read any more.
            return
        self._thread = thread

    def stop(self) -> None:
        """Ends the thread; waits for a reading under way, but not for a driver that hangs."""
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(0.5)

    def _run(self) -> None:
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            nvml = Nvml(self._library)
        except NvmlError as error:
            warn_once("nvml", f"gpu_profiling: {error}; spans have no GPU readings")
            return
        try:
            tick = 0
            while not self._stop.is_set():
                if not self._devices and tick % SLOW_TICKS == 0:
                    self._find(nvml)
                self._read(nvml, tick % SLOW_TICKS == 0)
                tick += 1
                self._stop.wait(TICK_NS / 1e9)
        except Exception as error:
            # A bug of ours must cost readings, never the user's program.
            warn_once("nvml", f"gpu_profiling stops: {type(error).__name__}: {error}")
        finally:
            nvml.close()

    def _find(self, nvml: Nvml) -> None:
        uuids = _uuids(nvml)
        if not uuids:
            self._tries += 1
            if self._tries == _TRIES_BEFORE_WARNING:
                warn_once("gpu-identity", "gpu_profiling: this process does not tell which device cuda:0 is")
            return
        found: dict[int, Device] = {}
        for ordinal, uuid in enumerate(uuids):
            handle = nvml.handle(uuid)
            if handle is not None:
                found[ordinal] = Device(uuid, handle, nvml.name(handle))
        with self._lock:
            self._devices = found

    def _read(self, nvml: Nvml, slow: bool) -> None:
        for device in list(self._devices.values()):
            values = [
                ("utilization", nvml.utilization(device.handle)),
                ("power", nvml.power_watts(device.handle)),
            ]
            if slow:
                memory = nvml.memory(device.handle)
                device.total_bytes = memory.total if memory else None
                values.append(("used", float(memory.used) if memory else None))
                values.append(("temperature", nvml.temperature_celsius(device.handle)))
            now = time_ns()
            with self._lock:
                for key, value in values:
                    device.series[key].add(now, value)

    def attach(self, spans: bytes | memoryview, marks: bytes) -> bytes:
        """Adds readings to the marked spans of a batch (see _values.MARK)."""
        spans = bytes(spans)
        parts: list[bytes] = []
        done = 0
        for at, lead, size, _, start, end, gpus in MARK.iter_unpack(marks):
            more = self._readings(start, end, gpus)
            if not more:
                continue
            parts.append(spans[done:at])
            parts.append(b"\x12" + varint(size + len(more)) + spans[at + lead : at + lead + size] + more)
            done = at + lead + size
        parts.append(spans[done:])
        return b"".join(parts)

    def _readings(self, start_ns: int, end_ns: int, gpus: int) -> bytes:
        with self._lock:
            used = [(ordinal, device) for ordinal, device in self._devices.items() if gpus >> ordinal & 1]
            if len(used) != gpus.bit_count():
                # A sum over some of the devices would look like one over all.
                return b""
            pairs = list(_attributes(used, start_ns, end_ns))
        return b"".join(field(0x4A, key_value(key, value)) for key, value in pairs)


def _attributes(used: list[tuple[int, Device]], start_ns: int, end_ns: int) -> Any:
    """Over several devices: mean utilisation, summed power and memory, the highest temperature."""
    if len(used) == 1:
        ordinal, device = used[0]
        yield "gpu.index", ordinal
        yield "gpu.uuid", device.uuid
        if device.name:
            yield "gpu.name", device.name
    combine: tuple[tuple[str, str, Callable[[list[float]], float]], ...] = (
        ("gpu.utilization", "utilization", lambda values: sum(values) / len(values)),
        ("gpu.power_watts", "power", sum),
        ("gpu.memory_used_bytes", "used", sum),
        ("gpu.temperature_celsius", "temperature", max),
    )
    for key, name, together in combine:
        values = [device.series[name].mean(start_ns, end_ns) for _, device in used]
        known = [value for value in values if value is not None]
        if len(known) == len(used):
            total = together(known)
            yield key, round(total) if name == "used" else round(total, 4)
            if len(used) > 1 and name != "used":
                yield f"axonize.{key}", [round(value, 4) for value in known]
    totals = [device.total_bytes for _, device in used if device.total_bytes is not None]
    if len(totals) == len(used):
        yield "gpu.memory_total_bytes", sum(totals)


def _uuids(nvml: Nvml) -> tuple[str, ...]:
    """By ordinal: CUDA's own answer; else what is certain without it; else nothing."""
    own = _cuda.device_uuids()
    if own:
        return own
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").strip()
    entries = [entry.strip() for entry in visible.split(",")]
    if visible and all(entry.startswith(("GPU-", "MIG-")) for entry in entries):
        return tuple(entries)
    only = nvml.only_uuid() if visible in ("", "0") else None
    return (only,) if only else ()
