"""The pure-Python implementation's queue of finished spans, and what the exporter is told of it.

The counterpart of csrc/ring.c: bounded by size, drops the newest when full, and counts. Appending
and popping are atomic; the byte count may drift by a span when threads race and is set right
whenever the queue is empty.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import monotonic_ns, time_ns
from typing import Any

# A finished span holds roughly 600 bytes here (object, dict, strings): 20 MB of queue at most for
# small spans; large ones are counted by what they carry, see Queue.put.
BYTES_PER_SPAN = 600


class Queue:
    """Finished spans waiting for the exporter, bounded by their approximate size."""

    __slots__ = (
        "bytes", "bytes_max", "dropped", "enabled", "generation", "gpu_hook", "marking",
        "need_start", "offset", "recorded", "spans", "truncated", "wake", "wake_at",
    )  # fmt: skip

    def __init__(self) -> None:
        self.spans: deque[Any] = deque()
        self.bytes = 0
        self.bytes_max = 0
        self.enabled = False
        self.need_start = False
        self.marking = False
        self.gpu_hook: Callable[[], None] | None = None
        self.wake_at = 512
        self.wake: Callable[[], None] | None = None
        self.recorded = self.dropped = self.truncated = 0
        self.generation = 0
        self.offset = time_ns() - monotonic_ns()

    def put(self, span: Any) -> None:
        size = BYTES_PER_SPAN + span._heavy
        if self.bytes + size > self.bytes_max:
            self.dropped += 1
            return
        self.bytes += size
        self.recorded += 1
        self.spans.append(span)
        if self.need_start or len(self.spans) == self.wake_at:
            self.need_start = False
            if self.wake is not None:
                self.wake()
