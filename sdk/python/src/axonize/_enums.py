"""The public numbers of a span: its outcome and its role.

Apart from the other types, because `enum` is half of what importing this package would take: who names neither
never imports it.
"""

from __future__ import annotations

from enum import IntEnum


class SpanStatus(IntEnum):
    """Outcome of a span. The numbers are OTLP's status codes."""

    UNSET = 0
    OK = 1
    ERROR = 2


class SpanKind(IntEnum):
    """Role of a span in a call. The numbers are OTLP's span kinds."""

    INTERNAL = 1
    SERVER = 2
    CLIENT = 3
    PRODUCER = 4
    CONSUMER = 5
