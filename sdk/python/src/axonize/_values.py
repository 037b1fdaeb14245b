"""Attribute values as OTLP bytes, and the limits of what one span may hold.

Both implementations of the hot path use it: the C core encodes str, bool, int and float itself and
asks here for everything else (lists, mappings, foreign objects, events). Nothing here raises for a
value it does not like: odd values become their text.
"""

from __future__ import annotations

import struct
from _collections_abc import Mapping  # the same one; that package imports much beside it

TYPE_CHECKING = False  # true for type checkers; importing `typing` is dear
if TYPE_CHECKING:
    from typing import Any

# Limits. A span costs at most ARENA_MAX of memory whatever the program puts in; 20 open spans at
# their limit are 1.3 MB. What does not fit is dropped or cut, and counted on the span itself
# (`dropped_attributes_count`, `dropped_events_count`) and in `stats()`.
ATTRIBUTES_MAX = 128
EVENTS_MAX = 128
KEY_BYTES_MAX = 256
NAME_BYTES_MAX = 1024
MESSAGE_BYTES_MAX = 1024
VALUE_BYTES_MAX = 32 * 1024
ARENA_BYTES_MAX = 64 * 1024
_DEPTH_MAX = 4
_ITEMS_MAX = 1024

_I64_MIN, _I64_MAX = -(1 << 63), (1 << 63) - 1
_pack_double = struct.Struct("<d").pack
_pack_u64 = struct.Struct("<Q").pack
MARK = struct.Struct("<IIIIqqQ")
"""Where a span that names devices lies among encoded ones: offset, bytes of tag and length, bytes of
Span, 0, start, end (ns since 1970), a bit per ordinal. The same as ax_mark in csrc/ring.h."""


def varint(value: int) -> bytes:
    """A non-negative integer as protobuf varint."""
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(tag: int, payload: bytes) -> bytes:
    """A length-delimited field; `tag` is the finished tag byte (field number << 3 | 2)."""
    return bytes((tag,)) + varint(len(payload)) + payload


def cut(text: str, most: int) -> bytes:
    """UTF-8 of at most `most` bytes, never ending inside a character. Lone surrogates become '?'."""
    try:
        data = text.encode()
    except UnicodeEncodeError:
        data = text.encode("utf-8", "replace")
    if len(data) <= most:
        return data
    while most > 0 and data[most] & 0xC0 == 0x80:
        most -= 1
    return data[:most]


def any_value(value: object, depth: int = 0) -> bytes:
    """The bytes of an OTLP AnyValue (without a tag of its own)."""
    kind = type(value)
    if kind is str:
        return field(0x0A, cut(value, VALUE_BYTES_MAX))  # type: ignore[arg-type]
    if kind is bool:
        return b"\x10\x01" if value else b"\x10\x00"
    if kind is int:
        if _I64_MIN <= value <= _I64_MAX:  # type: ignore[operator]
            return b"\x18" + varint(value & 0xFFFFFFFFFFFFFFFF)  # type: ignore[operator]
        return field(0x0A, _text(value))
    if kind is float:
        return b"\x21" + _pack_double(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return field(0x3A, bytes(value)[:VALUE_BYTES_MAX])
    if depth < _DEPTH_MAX:
        if isinstance(value, (list, tuple, set, frozenset)):
            items = [field(0x0A, any_value(item, depth + 1)) for item in _first(value)]
            return field(0x2A, b"".join(items))
        if isinstance(value, Mapping):
            pairs = [
                field(0x0A, _key_value(_text(key, KEY_BYTES_MAX), any_value(item, depth + 1)))
                for key, item in _first(value.items())
            ]
            return field(0x32, b"".join(pairs))
    return _foreign(value, depth)


def key_value(key: str, value: object) -> bytes:
    """The bytes of an OTLP KeyValue."""
    return _key_value(cut(key, KEY_BYTES_MAX), any_value(value))


def event(name: str, time_unix_ns: int, attributes: Mapping[str, Any] | None) -> bytes:
    """The bytes of one OTLP span event as field 11 of Span, tag included."""
    parts = [b"\x09" + _pack_u64(time_unix_ns), field(0x12, cut(str(name), NAME_BYTES_MAX))]
    size = 0
    for key, value in _first((attributes or {}).items()):
        if value is None:
            continue
        part = field(0x1A, key_value(str(key), value))
        size += len(part)
        if size > ARENA_BYTES_MAX // 2:
            break
        parts.append(part)
    return field(0x5A, b"".join(parts))


def event_or_none(name: str, time_unix_ns: int, attributes: Mapping[str, Any] | None) -> bytes:
    """The same for whatever a program gives: no bytes where it makes no event."""
    try:
        return event(name, time_unix_ns, attributes)
    except Exception:
        # Not a mapping, or foreign code that fails: the span counts a dropped event.
        return b""


def plain(value: object) -> str:
    """The text of a value whose `str()` may fail."""
    try:
        return str(value)
    except Exception:
        # Foreign code; the program must not notice.
        return f"<{type(value).__name__}>"


def link(trace_id: int, span_id: int, attributes: Mapping[str, Any] | None) -> bytes:
    """The bytes of one OTLP span link as field 13 of Span, tag included."""
    parts = [b"\x0a\x10" + trace_id.to_bytes(16, "big"), b"\x12\x08" + span_id.to_bytes(8, "big")]
    for key, value in _first((attributes or {}).items())[:ATTRIBUTES_MAX]:
        parts.append(field(0x22, key_value(str(key), value)))
    return field(0x6A, b"".join(parts))


def exception_event(error: BaseException, time_unix_ns: int) -> bytes:
    """An exception as OTel's `exception` event: type, message and the innermost frames."""
    attributes = {"exception.type": type_name(error), "exception.message": _text(error).decode()}
    try:
        import traceback

        lines = traceback.format_exception(type(error), error, error.__traceback__, limit=-30)
        attributes["exception.stacktrace"] = "".join(lines)
    except Exception:
        # A broken __str__ or source file must not cost the program its own exception.
        attributes["exception.stacktrace"] = ""
    return event("exception", time_unix_ns, attributes)


def exception_message(error: BaseException) -> str:
    """`Type: message`, for the status of the span that it left."""
    text = _text(error, MESSAGE_BYTES_MAX).decode()
    return f"{type_name(error)}: {text}" if text else type_name(error)


def type_name(error: BaseException) -> str:
    """`module.Type`, without the module for builtins."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _key_value(key: bytes, value: bytes) -> bytes:
    return field(0x0A, key) + field(0x12, value)


def _first(items: Any) -> list[Any]:
    """The first _ITEMS_MAX items as a list: a snapshot, so that another thread's change is harmless."""
    return list(items)[:_ITEMS_MAX]


def _foreign(value: object, depth: int) -> bytes:
    """Enums, numpy scalars and subclasses of the plain types keep their value; all else is text."""
    if depth <= _DEPTH_MAX:
        for plain in (bool, int, float, str):
            if isinstance(value, plain):
                return any_value(plain(value), depth + 1)
        if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
            return any_value(value.tolist(), depth + 1)
    return field(0x0A, _text(value))


def _text(value: object, most: int = VALUE_BYTES_MAX) -> bytes:
    try:
        return cut(str(value), most)
    except Exception:
        # str() runs foreign code, and ints of > 4300 digits refuse it; the span goes on without.
        return b"<" + type(value).__name__.encode("utf-8", "replace")[:200] + b">"


def ordinals(devices: Any) -> list[int]:
    """Ordinals of one or several of `cuda:3`, "3" or 3; -1 for anything else."""
    try:
        if isinstance(devices, (str, int)):
            return [_ordinal(devices)]
        return [_ordinal(device) for device in devices]
    except Exception:
        # No iterable, or one whose iteration fails: it names no device.
        return []


def _ordinal(device: object) -> int:
    """Ordinal of `cuda:3`, "3" or 3; -1 for anything else."""
    if type(device) is int:
        return device
    if isinstance(device, str):
        digits = device[5:] if device.startswith("cuda:") else device
        if digits.isascii() and digits.isdigit() and len(digits) <= 3:
            return int(digits)
        return 0 if device == "cuda" else -1
    return -1
