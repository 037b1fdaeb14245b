"""The resource of this process, as OTLP bytes, and the frame around a batch of spans.

Built anew in every process (after a fork, too): pid and instance id differ there.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from typing import Any

from ._values import field, key_value, varint
from ._version import __version__

_SCOPE = field(0x0A, b"axonize") + field(0x12, __version__.encode())
_HEX = frozenset("0123456789abcdef")


def resource_attributes(configured: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of this process, under what the user configured."""
    own: dict[str, Any] = {
        "telemetry.sdk.name": "axonize",
        "telemetry.sdk.language": "python",
        "telemetry.sdk.version": __version__,
        "process.pid": os.getpid(),
        "process.runtime.name": sys.implementation.name,
        "process.runtime.version": ".".join(map(str, sys.version_info[:3])),
        "host.name": socket.gethostname(),
        "service.instance.id": _random_uuid(),
    }
    container = _container_id()
    if container:
        own["container.id"] = container
    # How this process sees the devices: the agent and ingest resolve `cuda:N` with it.
    for name in ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
        if name in os.environ:
            own[f"axonize.env.{name.lower()}"] = os.environ[name]
    return {**own, **configured}


def _container_id() -> str:
    """64 hex digits from the cgroup's path, or from the mounts where the namespace hides the path."""
    for path in ("/proc/self/cgroup", "/proc/self/mountinfo"):
        try:
            # As bytes: a text file would import a codec here, in the exporter's thread, and a fork in
            # that moment would leave the import locked in the child.
            with open(path, "rb") as opened:
                text = opened.read(1 << 20).decode("latin-1")
        except OSError:
            # Not Linux, or no right to look: the agent finds the container by other ways.
            continue
        if path.endswith("mountinfo"):
            # Only what the runtime mounts from the container's own folder names this container.
            text = "\n".join(line for line in text.splitlines() if "/hostname " in line)
        for part in reversed(text.replace("/", "\n").replace(":", "\n").splitlines()):
            found = part.removesuffix(".scope").rpartition("-")[2]
            if len(found) == 64 and _HEX.issuperset(found):
                return found
    return ""


def _random_uuid() -> str:
    """A UUID of version 4, without the import of a module for it."""
    digits = f"{int.from_bytes(os.urandom(16), 'big') & ~(0xF << 76 | 0x3 << 62) | 4 << 76 | 2 << 62:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def encode_resource(attributes: Mapping[str, Any]) -> bytes:
    """Field `resource` of ResourceSpans."""
    pairs = (field(0x0A, key_value(str(key), value)) for key, value in attributes.items())
    return field(0x0A, b"".join(pairs))


def encode_request(resource: bytes, spans: bytes | memoryview, dropped: int) -> list[bytes | memoryview]:
    """An ExportTraceServiceRequest around encoded spans, in two parts, so that spans are not copied.

    `dropped` is the count since the start.
    """
    scope = _SCOPE
    if dropped:
        scope += field(0x1A, key_value("axonize.sdk.dropped_spans", dropped))
    scope = field(0x0A, scope)
    inner = b"\x12" + varint(len(scope) + len(spans)) + scope
    head = b"\x0a" + varint(len(resource) + len(inner) + len(spans)) + resource + inner
    return [head, spans]
