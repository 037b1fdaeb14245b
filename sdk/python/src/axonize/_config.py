"""Configuration: arguments of `init`, then AXONIZE_* variables, then OpenTelemetry's, then defaults.

Nothing here raises: a value that makes no sense is replaced by the default and named in one warning,
because a wrong variable in a pod's environment must not stop the program it observes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

from ._log import warn_once

DEFAULT_ENDPOINT = "localhost:4317"


class Endpoint(NamedTuple):
    """Where to send: host and port, whether TLS, gRPC or HTTP, and the HTTP path."""

    host: str
    port: int
    tls: bool
    grpc: bool
    path: str

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class Config(NamedTuple):
    """Everything the exporter needs, resolved."""

    endpoint: Endpoint
    headers: tuple[tuple[str, str], ...]
    resource: dict[str, Any]
    batch_size: int = 512
    """Finished spans that make a request."""
    request_spans: int = 4096
    """Most of them in one. Of a burst, four times as many a request cost a tenth less; whoever names a
    size has it kept."""
    flush_interval_s: float = 5.0
    timeout_s: float = 10.0
    compress: bool = False
    ca_file: str | None = None
    key_file: str | None = None
    buffer_bytes: int = 4 << 20
    disabled: bool = False
    gpu_profiling: bool = False
    nvml_library: str | None = None
    span_ring: str | None = None
    capture_content: bool = False


def resolve(given: Mapping[str, Any], env: Mapping[str, str] | None = None) -> Config:
    """Builds the configuration from the arguments of `init` (None = not given)."""
    env = os.environ if env is None else env
    endpoint = _endpoint(given.get("endpoint"), env)
    resource = _resource(given, env)
    size = _number(
        "batch_size", given.get("batch_size"), env,
        ("AXONIZE_BATCH_SIZE", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"), 0, 1, 8192,
    )
    return Config(
        endpoint=endpoint,
        headers=_headers(given, env),
        resource=resource,
        batch_size=size or 512,
        request_spans=size or 4096,
        flush_interval_s=_number(
            "flush_interval_ms", given.get("flush_interval_ms"), env,
            ("AXONIZE_FLUSH_INTERVAL_MS", "OTEL_BSP_SCHEDULE_DELAY"), 5000, 10, 3_600_000,
        ) / 1000,
        timeout_s=_number(
            "timeout_ms", given.get("timeout_ms"), env,
            ("AXONIZE_TIMEOUT_MS", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"),
            10_000, 100, 600_000,
        ) / 1000,
        compress=_text(
            given.get("compression"), env,
            ("AXONIZE_COMPRESSION", "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
             "OTEL_EXPORTER_OTLP_COMPRESSION"),
        ) == "gzip",
        ca_file=_text(
            None, env,
            ("AXONIZE_CERTIFICATE", "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
             "OTEL_EXPORTER_OTLP_CERTIFICATE"),
        ) or None,
        key_file=env.get("AXONIZE_API_KEY_FILE") or None,
        disabled=_flag(env, "AXONIZE_DISABLED") or _flag(env, "OTEL_SDK_DISABLED"),
        gpu_profiling=bool(given.get("gpu_profiling")) or _flag(env, "AXONIZE_GPU_PROFILING"),
        nvml_library=env.get("AXONIZE_NVML_LIBRARY") or None,
        span_ring=_text(given.get("span_ring"), env, ("AXONIZE_SPAN_RING",)) or None,
        capture_content=_capture_content(given.get("capture_content"), env),
    )  # fmt: skip


def _capture_content(given: Any, env: Mapping[str, str]) -> bool:
    """Only a clear yes: what users write is nobody's business by default."""
    if given is not None:
        return given is True
    if env.get("AXONIZE_CAPTURE_CONTENT"):
        return _flag(env, "AXONIZE_CAPTURE_CONTENT")
    # OpenTelemetry's older spelling, and its newer one, in which events are what this SDK has not.
    otel = env.get("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "").strip().lower()
    return otel in ("true", "1", "span_only", "span_and_event")


def parse_endpoint(text: str) -> Endpoint | None:
    """`host:port` and grpc:// are plaintext gRPC, grpcs:// with TLS, http(s):// is OTLP/HTTP."""
    scheme, separator, rest = text.strip().partition("://")
    if not separator:
        scheme, rest = "grpc", text.strip()
    scheme = scheme.lower()
    if scheme not in ("grpc", "grpcs", "http", "https"):
        return None
    authority, _, path = rest.partition("/")
    host, port = _host_port(authority.rpartition("@")[2])
    if host is None:
        return None
    grpc, tls = scheme.startswith("grpc"), scheme.endswith("s")
    if port is None:
        port = 4317 if grpc else 443 if tls else 4318
    path = "" if grpc else "/" + path.split("?")[0].split("#")[0].strip("/")
    if any(ord(letter) <= 0x20 or ord(letter) > 0x7E for letter in host + path):
        return None
    if not grpc and not path.endswith("/v1/traces"):
        path = path.rstrip("/") + "/v1/traces"
    return Endpoint(host, port, tls, grpc, path)


def _host_port(authority: str) -> tuple[str | None, int | None]:
    if authority.startswith("["):
        host, closed, tail = authority[1:].partition("]")
        if not closed:
            return None, None
        digits = tail[1:] if tail.startswith(":") else ""
    else:
        host, _, digits = authority.partition(":")
    if not host or (digits and not (digits.isascii() and digits.isdigit())):
        return None, None
    port = int(digits) if digits else None
    return (None, None) if port is not None and not 0 < port < 65536 else (host, port)


def _endpoint(given: Any, env: Mapping[str, str]) -> Endpoint:
    for name, text in (("endpoint", given), ("AXONIZE_ENDPOINT", env.get("AXONIZE_ENDPOINT"))):
        if text:
            parsed = parse_endpoint(str(text))
            if parsed is not None:
                return parsed
            warn_once("endpoint", f"{name}={text!r} is not an address; using {DEFAULT_ENDPOINT}")
    otel = env.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    base = otel or env.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    if base:
        protocol = (
            env.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
            or env.get("OTEL_EXPORTER_OTLP_PROTOCOL")
            or "grpc"
        )
        scheme, separator, rest = base.partition("://")
        if separator and protocol == "grpc":
            base = ("grpcs://" if scheme == "https" else "grpc://") + rest
        elif not separator and protocol != "grpc":
            base = "http://" + base
        parsed = parse_endpoint(base)
        if parsed is not None:
            return parsed
        warn_once("endpoint", f"OpenTelemetry's endpoint {base!r} is not an address")
    return Endpoint("localhost", 4317, False, True, "")


def _headers(given: Mapping[str, Any], env: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    headers: dict[str, str] = {}
    own_endpoint = bool(given.get("endpoint") or env.get("AXONIZE_ENDPOINT"))
    if not own_endpoint:
        # OTel's headers may hold another backend's key: they go only where OTel's endpoint says.
        listed = env.get("OTEL_EXPORTER_OTLP_TRACES_HEADERS") or env.get("OTEL_EXPORTER_OTLP_HEADERS")
        headers.update(_pairs(listed or "", lower=True))
    for name, value in (given.get("headers") or {}).items():
        headers[str(name).strip().lower()] = str(value)
    key = given.get("api_key") or env.get("AXONIZE_API_KEY")
    if key:
        headers["authorization"] = f"Bearer {str(key).strip()}"
    return tuple((name, value) for name, value in headers.items() if _sendable(name, value))


def _sendable(name: str, value: str) -> bool:
    token = name.replace("-", "").replace("_", "").replace(".", "")
    if token.isascii() and token.isalnum() and all(0x20 <= ord(letter) < 0x7F for letter in value):
        return True
    warn_once("headers", f"header {name!r} cannot be sent and is left out")
    return False


def _resource(given: Mapping[str, Any], env: Mapping[str, str]) -> dict[str, Any]:
    resource: dict[str, Any] = {}
    resource.update(_pairs(env.get("AXONIZE_RESOURCE_ATTRIBUTES", "")))
    for key, name in (
        ("k8s.pod.name", "AXONIZE_POD_NAME"),
        ("k8s.pod.uid", "AXONIZE_POD_UID"),
        ("k8s.namespace.name", "AXONIZE_POD_NAMESPACE"),
        ("k8s.node.name", "AXONIZE_POD_NODE"),
        ("k8s.container.name", "AXONIZE_CONTAINER"),
    ):
        if env.get(name):
            resource[key] = env[name]
    resource.update(_pairs(env.get("OTEL_RESOURCE_ATTRIBUTES", "")))
    resource.update(given.get("resource_attributes") or {})
    service = given.get("service_name") or env.get("AXONIZE_SERVICE_NAME") or env.get("OTEL_SERVICE_NAME")
    if service:
        resource["service.name"] = str(service)
    program = os.path.basename(sys.argv[0]) if sys.argv and sys.argv[0] else "python"
    resource.setdefault("service.name", f"unknown_service:{program}")
    environment = given.get("environment") or env.get("AXONIZE_ENVIRONMENT")
    if environment:
        resource["deployment.environment.name"] = str(environment)
    return resource


def _pairs(text: str, lower: bool = False) -> dict[str, str]:
    """`key=value,key=value` with percent-encoding, as OTel's variables have it."""
    if not text:
        return {}
    from urllib.parse import unquote

    pairs: dict[str, str] = {}
    for part in text.split(",")[:256]:
        name, separator, value = part.partition("=")
        name = unquote(name.strip())
        if separator and name:
            pairs[name.lower() if lower else name] = unquote(value.strip())
    return pairs


def _text(given: Any, env: Mapping[str, str], names: tuple[str, ...]) -> str:
    if given:
        return str(given)
    return next((env[name] for name in names if env.get(name)), "")


def _flag(env: Mapping[str, str], name: str) -> bool:
    return env.get(name, "").strip().lower() in ("1", "true", "yes", "on")


def _number(
    what: str, given: Any, env: Mapping[str, str], names: tuple[str, ...], default: int,
    least: int, most: int,
) -> int:  # fmt: skip
    for name, raw in ((what, given), *((name, env.get(name)) for name in names)):
        if raw is None or raw == "":
            continue
        try:
            return min(max(int(raw), least), most)
        except (TypeError, ValueError, OverflowError):
            warn_once(f"config:{name}", f"{name}={raw!r} is not a whole number; it is ignored")
    return default
