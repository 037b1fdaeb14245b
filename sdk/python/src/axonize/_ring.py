"""The ring in a shared file (`AXONIZE_SPAN_RING`): spans that survive SIGKILL, an OOM kill, an abort.

The C core writes finished spans into a file of mode 0600 under the named folder, locked for as long as
its process lives. What the server has not acknowledged stays in it. Whoever finds an unlocked file
sends the rest under the key that the file carries: the next process with the same folder does so once
its own spans get through; the node's agent may. docs/span-ring.md describes the format.
"""

from __future__ import annotations

import fcntl
import json
import os
import struct
from collections.abc import Callable, Iterator
from time import time_ns
from typing import Any, NamedTuple

from ._config import Config
from ._log import warn_once
from ._resource import encode_resource
from ._values import field, varint

SUFFIX = ".axring"
RINGS_MAX = 16
"""Files that dead processes may leave in a folder: 16 x 4 MiB. Beyond that the oldest goes, spans and all."""
FILE_BYTES_MAX = 1 << 30
BATCH_SPANS = 512
_HEAD = struct.Struct("<8sIIQQQQqII")
_RECORD = struct.Struct("<IIIIII16s8s8sqqQIIBBBB4x")
_MAGIC = b"AXRING1\0"


class Owner(NamedTuple):
    """Who wrote a ring: under which headers to send it, and of which resource it is."""

    headers: tuple[tuple[str, str], ...]
    resource: bytes


def open_ring(core: Any, config: Config, headers: tuple[tuple[str, str], ...], known: dict[str, Any]) -> str | None:
    """Moves the core's ring into a new file; its path. None with one line why where that cannot be."""
    folder = config.span_ring
    if not folder:
        return None
    owner = {"headers": headers, "resource": encode_resource(known).hex()}
    path = os.path.join(folder, f"{os.getpid()}-{time_ns()}{SUFFIX}")
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        _make_room(folder)
        core.share(path, config.buffer_bytes, json.dumps(owner).encode())
        return path
    except OSError as error:
        warn_once("span-ring", f"no span ring, spans do not survive a kill: {error}")
        return None


def remove(path: str | None) -> None:
    """Unlinks a ring whose spans have all arrived."""
    if path is not None:
        try:
            os.unlink(path)
        except OSError:
            # The folder is gone, or somebody took the file: it is not there, as wished.
            return


def recover(folder: str, mine: str | None, send: Callable[[Owner, bytes, int], bool]) -> int:
    """Sends what dead processes left in the folder; how many spans. Stops where `send` fails."""
    sent = 0
    for path in _rings(folder):
        if path == mine:
            continue
        descriptor = _take(path)
        if descriptor is None:
            continue
        try:
            done, count = _send_ring(descriptor, send)
            sent += count
            if not done:
                return sent
            remove(path)
        finally:
            os.close(descriptor)
    return sent


def _send_ring(descriptor: int, send: Callable[[Owner, bytes, int], bool]) -> tuple[bool, int]:
    sent = 0
    size = os.fstat(descriptor).st_size
    data = b"" if size > FILE_BYTES_MAX else os.pread(descriptor, size, 0)
    owner = read_owner(data)
    if owner is None:
        # Never finished being made, or none of ours by its content: there is nothing to send.
        return True, 0
    parts: list[bytes] = []
    for span in read_spans(data):
        parts.append(field(0x12, span))
        if len(parts) == BATCH_SPANS:
            if not send(owner, b"".join(parts), len(parts)):
                return False, sent
            sent += len(parts)
            parts = []
    if parts:
        if not send(owner, b"".join(parts), len(parts)):
            return False, sent
        sent += len(parts)
    return True, sent


def read_owner(data: bytes) -> Owner | None:
    """Of a ring's bytes; None where they make no sense."""
    if len(data) < _HEAD.size or data[:8] != _MAGIC:
        return None
    size = _HEAD.unpack_from(data)[8]
    try:
        told = json.loads(data[_HEAD.size : _HEAD.size + size])
        headers = tuple((str(name), str(value)) for name, value in told["headers"])
        return Owner(headers, bytes.fromhex(told["resource"]))
    except (ValueError, KeyError, TypeError):
        # Cut short or written by a stranger.
        return None


def read_spans(data: bytes) -> Iterator[bytes]:
    """The spans between tail and head as OTLP Span messages, oldest first; ends where bytes make no sense."""
    _, version, header, capacity, head, tail, _, _, _, _ = _HEAD.unpack_from(data)
    whole = version == 1 and len(data) >= header + capacity and capacity > 0 and not capacity & (capacity - 1)
    if not whole or head < tail or head - tail > capacity:
        return
    while tail < head:
        at = tail & (capacity - 1)
        if at + 8 > capacity:
            return
        size, pad = struct.unpack_from("<II", data, header + at)
        if size < 8 or size > capacity - at or tail + size > head:
            return
        if not pad:
            span = _read_record(data[header + at : header + at + size])
            if span is None:
                return
            yield span
        tail += size


def _read_record(record: bytes) -> bytes | None:
    if len(record) < _RECORD.size:
        return None
    (_, _, name, state, message, arena, trace, own, parent, start, end, _, dropped_attributes,
     dropped_events, kind, status, has_parent, remote) = _RECORD.unpack_from(record)  # fmt: skip
    at = _RECORD.size
    if at + name + state + message + arena > len(record):
        return None
    texts = []
    for size in (name, state, message, arena):
        texts.append(record[at : at + size])
        at += size
    parts = [field(0x0A, trace), field(0x12, own)]
    if texts[1]:
        parts.append(field(0x1A, texts[1]))
    if has_parent:
        parts.append(field(0x22, parent))
    parts.append(field(0x2A, texts[0]) + bytes((0x30, kind & 7, 0x39)) + struct.pack("<q", start))
    parts.append(b"\x41" + struct.pack("<q", end) + texts[3])
    if dropped_attributes:
        parts.append(b"\x50" + varint(dropped_attributes))
    if dropped_events:
        parts.append(b"\x60" + varint(dropped_events))
    if status:
        parts.append(field(0x7A, (field(0x12, texts[2]) if texts[2] else b"") + bytes((0x18, status & 3))))
    parts.append(b"\x85\x01" + (0x301 if remote else 0x101).to_bytes(4, "little"))
    return b"".join(parts)


def _rings(folder: str) -> list[str]:
    """Rings of the folder, oldest first."""
    try:
        names = [name for name in os.listdir(folder) if name.endswith(SUFFIX)]
    except OSError:
        # The folder is not there (any more).
        return []
    return [os.path.join(folder, name) for name in sorted(names, key=lambda name: name.partition("-")[2])]


def _take(path: str) -> int | None:
    """An open file whose owner is dead, locked for us; None for all others."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        # Somebody else removed it, or it is not ours to read.
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return descriptor
    except OSError:
        os.close(descriptor)
        return None


def _make_room(folder: str) -> None:
    rings = _rings(folder)
    for path in rings[: max(0, len(rings) - RINGS_MAX + 1)]:
        descriptor = _take(path)
        if descriptor is not None:
            warn_once("span-rings", f"more than {RINGS_MAX} rings in {folder}: the oldest is removed")
            remove(path)
            os.close(descriptor)
