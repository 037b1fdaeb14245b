"""The hot path in pure Python: spans, ids, the bounded queue of finished ones, their encoding.

Used where the C core (`_core`, csrc/) was not built or `AXONIZE_PURE=1` is set. Both have the same
behaviour and pass the same tests; this one costs about twice as much per span and encodes under the
interpreter's lock. It knows nothing of sockets or threads: `drain()` hands finished spans out as
OTLP bytes, `wake` is called when somebody should drain.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Iterable, Mapping
from time import monotonic_ns, time_ns
from types import TracebackType
from typing import Any, TypeVar

from . import _generators, _llm, _values
from ._encode import encode_span
from ._generators import GENERATOR_FLAGS, current_span
from ._queue import BYTES_PER_SPAN, Queue
from ._types import SpanContext
from ._values import field, key_value

IMPLEMENTATION = "pure"
_new, _open, _ended = 0, 1, 2
SpanType = TypeVar("SpanType", bound="Span")


_queue = Queue()
_random = random.Random(os.urandom(32))


class Span:
    """One timed operation. Use it as a context manager; every method is safe in any state."""

    __slots__ = (
        "_attributes", "_dropped_attributes", "_dropped_events", "_end", "_events", "_frame",
        "_generation", "_gpus", "_heavy", "_kind", "_message", "_parent", "_remote", "_restore",
        "_start", "_state", "_status", "_trace_state", "name", "span_id", "trace_id",
    )  # fmt: skip

    def __init__(
        self, name: str, parent: Any, kind: int, attributes: dict[str, Any]
    ) -> None:
        self.name = name if type(name) is str else _values.plain(name)
        self.trace_id = self.span_id = ""
        self._parent = parent
        self._remote = False
        self._trace_state = ""
        self._kind = int(kind) if isinstance(kind, int) and 0 <= kind <= 5 else 1
        self._attributes: dict[str, Any] = {}
        self._events: list[bytes] = []
        self._heavy = self._gpus = self._status = self._start = self._end = 0
        self._dropped_attributes = self._dropped_events = 0
        self._message = ""
        self._state = _new
        self._restore: Any = None
        self._frame: Any = None
        for key, value in attributes.items():
            self.set_attribute(key, value)

    def __enter__(self: SpanType) -> SpanType:
        if self._state != _new:
            return self
        self._begin()
        frame = sys._getframe(1)
        if frame.f_code.co_flags & GENERATOR_FLAGS:
            self._frame = _generators.enter(self, frame)
            if self._frame is not None:
                return self
        self._restore = current_span.get()
        current_span.set(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._state != _open:
            return
        if self._frame is not None:
            _generators.leave(self, self._frame)
            self._frame = None
        else:
            current = current_span.get()
            if current is self:
                current_span.set(self._restore)
            else:
                self._splice(current)
        self._restore = None
        self._finish(error)

    def _splice(self, current: Any) -> None:
        """Spans opened later in this context must not restore to a span that has ended."""
        for _ in range(64):
            if not isinstance(current, Span):
                return
            if current._restore is self:
                current._restore = self._restore
                return
            current = current._restore

    def _begin(self, start_unix_ns: int = 0) -> None:
        """Takes ids and the start time, without becoming current."""
        if self._state != _new:
            if self._state == _open:
                self._start = _moment(start_unix_ns) or self._start
            return
        parent = self._parent
        if parent is None:
            parent = current_span.get()
        if isinstance(parent, Span) and parent.span_id:
            self.trace_id = parent.trace_id
            self._parent = parent.span_id
            self._trace_state = parent._trace_state
        elif isinstance(parent, SpanContext) and parent.is_valid:
            self.trace_id = parent.trace_id
            self._parent = parent.span_id
            self._trace_state = parent.trace_state
            self._remote = True
        else:
            self.trace_id = f"{_random.getrandbits(128) or 1:032x}"
            self._parent = ""
        self.span_id = f"{_random.getrandbits(64) or 1:016x}"
        self._generation = _queue.generation
        self._state = _open
        self._start = _moment(start_unix_ns) or monotonic_ns()

    def _finish(self, error: BaseException | None = None, end_unix_ns: int = 0) -> None:
        """Ends the span and queues it, without touching what is current."""
        if self._state != _open:
            return
        self._end = max(_moment(end_unix_ns) or monotonic_ns(), self._start)
        if isinstance(error, Exception):
            self.record_exception(error)
            self._status = 2
            self._message = _values.exception_message(error)
            self.set_attribute("error.type", _values.type_name(error))
        self._derive()
        self._state = _ended
        # A span that a fork copied belongs to the process that began it.
        if _queue.enabled and self._generation == _queue.generation:
            _queue.put(self)

    def _derive(self) -> None:
        if self._gpus:
            self._default("axonize.gpu.ordinals", [i for i in range(64) if self._gpus >> i & 1])

    def _default(self, key: str, value: Any) -> None:
        if key not in self._attributes:
            self.set_attribute(key, value)

    def set_attribute(self, key: str, value: Any) -> None:
        """Sets one attribute; a second value for a key replaces the first. None is ignored."""
        if self._state == _ended or value is None:
            return
        attributes = self._attributes
        key = key if type(key) is str else _values.plain(key)
        if key not in attributes and len(attributes) >= _values.ATTRIBUTES_MAX:
            self._dropped_attributes += 1
            _queue.truncated += 1
            return
        kind = type(value)
        if kind is str:
            if len(value) > 256:
                self._carry(key, key_value(key, value))
                return
        elif kind is not int and kind is not float and kind is not bool:
            self._carry(key, key_value(key, value))
            return
        attributes[key] = value

    def _carry(self, key: str, encoded: bytes) -> None:
        """Stores a large or structured value as bytes, within the span's limit."""
        old = self._attributes.get(key)
        freed = len(old) if type(old) is bytes else 0
        if self._heavy - freed + len(encoded) > _values.ARENA_BYTES_MAX:
            self._dropped_attributes += 1
            _queue.truncated += 1
            return
        self._heavy += len(encoded) - freed
        self._attributes[key] = encoded

    def set_gpus(self, devices: Iterable[str | int]) -> None:
        """Names the devices that this span used, as `cuda:0` or 0: the process's own numbering."""
        ordinals = _values.ordinals(devices)
        if self._state == _ended:
            return
        for ordinal in ordinals:
            if 0 <= ordinal < 64:
                self._gpus |= 1 << ordinal
        if self._gpus and _queue.gpu_hook is not None and _queue.enabled:
            hook, _queue.gpu_hook = _queue.gpu_hook, None
            hook()

    def set_status(self, status: int, description: str | None = None) -> None:
        """Sets the outcome. An exception that leaves the span sets ERROR whatever was set."""
        if self._state == _ended or status not in (0, 1, 2):
            return
        self._status = int(status)
        self._message = "" if description is None else _values.plain(description)

    def record_exception(self, error: BaseException) -> None:
        """Adds an exception as an event; does not change the status."""
        if self._state != _ended:
            self._event(_values.exception_event(error, monotonic_ns() + _queue.offset))

    def add_event(self, name: str, attributes: Mapping[str, Any] | None = None) -> None:
        """Adds a named moment with attributes."""
        if self._state != _ended:
            self._event(_values.event_or_none(name, monotonic_ns() + _queue.offset, attributes))

    def _add(self, encoded: bytes) -> None:
        """Takes a finished event or link field: for the OpenTelemetry bridge."""
        if self._state != _ended:
            self._event(encoded)

    def _event(self, encoded: bytes) -> None:
        too_big = self._heavy + len(encoded) > _values.ARENA_BYTES_MAX
        if too_big or encoded[:1] not in (b"\x5a", b"\x6a") or len(self._events) >= _values.EVENTS_MAX:
            self._dropped_events += 1
            _queue.truncated += 1
            return
        self._heavy += len(encoded)
        self._events.append(encoded)

    @property
    def trace_state(self) -> str:
        """W3C tracestate of the trace, empty where there is none."""
        return self._trace_state

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} {self.trace_id}/{self.span_id}>"


class LlmSpan(Span):
    """A span of one model call: counts tokens, and derives TTFT and tokens per second."""

    __slots__ = ("_buckets", "_first", "_input", "_last", "_output", "_recorded", "_timeline")

    def __init__(
        self, name: str, parent: Any, kind: int, attributes: dict[str, Any]
    ) -> None:
        self._buckets: dict[int, int] = {}
        self._timeline = _llm.Timeline()
        self._first = self._last = self._recorded = 0
        self._input = self._output = -1
        super().__init__(name, parent, kind, attributes)

    def set_model(self, name: str, version: str | None = None) -> None:
        """Names the model, and its version where there is one."""
        self.set_attribute("gen_ai.request.model", name)
        self.set_attribute("ai.model.name", name)
        self.set_attribute("ai.model.version", version)

    def set_tokens_input(self, count: int) -> None:
        """Tokens of the prompt, cached ones included."""
        if self._state != _ended:
            self._input = _llm.count(count)

    def set_tokens_output(self, count: int) -> None:
        """Output tokens as the engine counted them; overrides what `record_token` counted."""
        if self._state != _ended:
            self._output = _llm.count(count)

    def record_token(self, n: int = 1) -> None:
        """Notes that `n` output tokens arrived now. The first call sets the time to first token."""
        if n != 1:
            n = _llm.count(n)
        if self._state != _open or n < 1:
            return
        now = monotonic_ns()
        if self._recorded == 0:
            self._first = now
            self._timeline.bins[0] = n
        else:
            index = _llm.bucket((now - self._last) // n)
            self._buckets[index] = self._buckets.get(index, 0) + n
            self._timeline.add(now - self._first, n)
        self._last = now
        self._recorded += n

    def stream(self, source: Any, count: Callable[[Any], int] | None = None) -> Any:
        """Passes a (sync or async) stream through and records a token, or `count(item)`, per item."""
        return _llm.counted(self, source, count)

    def _derive(self) -> None:
        super()._derive()
        for key, value in _llm.derived(
            self._start, self._end, self._first, self._last, self._recorded, self._input,
            self._output, self._buckets, self._timeline,
        ):  # fmt: skip
            self._default(key, value)


clock = monotonic_ns  # what spans are timed by


def span(name: str, *, parent: Any = None, kind: int = 1, **attributes: Any) -> Span:
    return Span(name, parent, kind, attributes)


def llm_span(
    name: str, *, model: str | None = None, parent: Any = None, kind: int = 1, **attributes: Any
) -> LlmSpan:
    made = LlmSpan(name, parent, kind, attributes)
    if model is not None:
        made.set_model(model)
    return made


def _moment(unix_ns: Any) -> int:
    """A time in ns since 1970 on the monotonic clock; 0 = now, or what makes no sense."""
    return unix_ns - _queue.offset if type(unix_ns) is int and 0 < unix_ns < 1 << 63 else 0


def enable(bytes_max: int, wake_at: int, wake: Callable[[], None]) -> None:
    """Starts queueing finished spans. `wake` is called for the first one and every `wake_at`."""
    _queue.bytes_max = bytes_max * 5
    _queue.wake_at = wake_at
    _queue.wake = wake
    _queue.need_start = _queue.enabled = True


def share(path: str, bytes_max: int, owner: bytes) -> None:
    """Only the C core can keep its ring in a file."""
    raise OSError("it needs the C core")


def unshare() -> bool:
    """Leaves the file; whether there was one."""
    return False


def commit() -> None:
    """What was drained needs to be kept no longer: nothing is kept here."""


def disable() -> None:
    """Stops queueing; what is queued can still be drained."""
    _queue.enabled = False


def watch_gpus(hook: Callable[[], None] | None) -> None:
    """Marks spans that name devices in what `drain` returns; calls once when the first one does."""
    _queue.gpu_hook = hook
    _queue.marking = hook is not None


def drain(spans_max: int, bytes_max: int) -> tuple[bytes, int, bytes]:
    """Takes finished spans out, oldest first, as fields of an OTLP ScopeSpans, and their number.

    Third, where `watch_gpus` asked for it, a MARK for each span that names devices.
    """
    offset = time_ns() - monotonic_ns()
    if abs(offset - _queue.offset) > 1_000_000:
        _queue.offset = offset
    parts: list[bytes] = []
    marks: list[bytes] = []
    size = 0
    while len(parts) < spans_max and size < bytes_max:
        try:
            finished = _queue.spans.popleft()
        except IndexError:
            _queue.bytes = 0
            break
        _queue.bytes -= BYTES_PER_SPAN + finished._heavy
        span = encode_span(finished, _queue.offset)
        parts.append(field(0x12, span))
        if finished._gpus and _queue.marking:
            lead = len(parts[-1]) - len(span)
            start, end = finished._start + _queue.offset, finished._end + _queue.offset
            marks.append(_values.MARK.pack(size, lead, len(span), 0, start, end, finished._gpus))
        size += len(parts[-1])
    return b"".join(parts), len(parts), b"".join(marks)


def stats() -> dict[str, int]:
    """Counters since the process began: recorded, dropped (queue full), truncated, pending."""
    return {
        "recorded": _queue.recorded,
        "dropped": _queue.dropped,
        "truncated": _queue.truncated,
        "pending": len(_queue.spans),
    }


def after_fork() -> None:
    """In a forked child: nothing queued (the parent sends it), other ids, no exporter yet."""
    global _random
    _random = random.Random(os.urandom(32))
    _queue.spans.clear()
    _queue.bytes = 0
    _queue.recorded = _queue.dropped = _queue.truncated = 0
    _queue.generation += 1
    _queue.need_start = True
