"""What an export ends with, and the few protobuf messages that servers answer with.

A tolerant reader for three small messages (OTLP's ExportTraceServiceResponse, google.rpc.Status and
its RetryInfo): what it does not understand it skips, and it never reads past the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ._log import warn_once


class Outcome(NamedTuple):
    """Result of one attempt to send a batch."""

    ok: bool
    retry: bool = False
    delay_s: float | None = None
    """What the server asked for."""
    cause: str = ""
    """A short fixed word: log lines are one per cause."""
    message: str = ""
    rejected: int = 0


DELAY_S_MAX = 300.0
"""A server may ask for silence, but not for ever."""


def read_fields(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(field number, number value, bytes value) of a message; stops where it makes no sense."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if at < 0 or number == 0:
            return
        if wire == 0:
            value, at = _varint(data, at)
            if at < 0:
                return
            yield number, value, b""
        elif wire == 2:
            length, at = _varint(data, at)
            if at < 0 or at + length > len(data):
                return
            yield number, 0, data[at : at + length]
            at += length
        elif wire in (1, 5):
            at += 8 if wire == 1 else 4
            if at > len(data):
                return
        else:
            return


def read_response(body: bytes) -> int:
    """Spans that the server rejected, of an ExportTraceServiceResponse."""
    rejected = 0
    for number, _, partial in read_fields(body):
        if number != 1:
            continue
        reason = ""
        for inner, value, text in read_fields(partial):
            if inner == 1:
                rejected = value if value < 1 << 63 else 0
            elif inner == 2:
                reason = text.decode("utf-8", "replace")
        if rejected:
            warn_once("rejected", f"the server rejected {rejected} spans: {reason[:300]}")
    return rejected


def read_retry_delay(status: bytes) -> float | None:
    """Seconds of RetryInfo.retry_delay in a google.rpc.Status, None where there is none."""
    for number, _, detail in read_fields(status):
        if number != 3:
            continue
        parts = {inner: text for inner, _, text in read_fields(detail)}
        if not parts.get(1, b"").endswith(b"google.rpc.RetryInfo"):
            continue
        for inner, _, duration in read_fields(parts.get(2, b"")):
            if inner == 1:
                numbers = {key: value for key, value, _ in read_fields(duration)}
                return bounded_delay(numbers.get(1, 0) + numbers.get(2, 0) / 1e9)
    return None


def bounded_delay(seconds: float) -> float:
    """A delay that a server asked for, within reason. NaN and negative ones are none."""
    return min(seconds, DELAY_S_MAX) if seconds >= 0 else 0.0


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            return 0, -1
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
    return 0, -1
