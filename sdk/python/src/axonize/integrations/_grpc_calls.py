"""grpc: interceptors on every channel and server, of `grpc` and `grpc.aio`.

Calls of OpenTelemetry's collector services are left alone: an exporter must not trace itself.
"""

from __future__ import annotations

import sys
from typing import Any

from .._core_choice import core
from .._propagate import extract, inject
from .._enums import SpanKind
from ._patch import inside, quietly, wrap

OWN = "/opentelemetry.proto.collector."


def patch(grpc: Any) -> None:
    """Called with `grpc`."""
    interceptor = _client_interceptor(grpc)
    for name in ("insecure_channel", "secure_channel"):
        wrap(grpc, name, lambda original: lambda *args, **kwargs: grpc.intercept_channel(original(*args, **kwargs), interceptor))
    wrap(grpc, "server", lambda original: _with_interceptor(original, _server_interceptor(grpc), 2))
    aio = sys.modules.get("grpc.aio")
    if aio is not None:
        from . import _grpc_aio

        mine = _grpc_aio.client_interceptors(aio)
        wrap(aio, "insecure_channel", lambda original: _with_interceptors(original, mine, 3))
        wrap(aio, "secure_channel", lambda original: _with_interceptors(original, mine, 4))
        wrap(aio, "server", lambda original: _with_interceptor(original, _grpc_aio.server_interceptor(grpc, aio), 2))


def _with_interceptor(original: Any, interceptor: Any, position: int) -> Any:
    return _with_interceptors(original, (interceptor,), position)


def _with_interceptors(original: Any, mine: Any, position: int) -> Any:
    """The factory with our interceptors in front of the program's; `position` of that argument."""

    def create(*args: Any, **kwargs: Any) -> Any:
        if len(args) > position:
            args = (*args[:position], (*mine, *(args[position] or ())), *args[position + 1 :])
        else:
            kwargs["interceptors"] = (*mine, *(kwargs.get("interceptors") or ()))
        return original(*args, **kwargs)

    return create


def begin(method: Any, metadata: Any) -> tuple[Any, list[tuple[Any, Any]]] | None:
    """A client call's span and the metadata to send; None for what is not to be traced."""
    path = method.decode() if isinstance(method, bytes) else str(method)
    if path.startswith(OWN):
        return None
    span = core.span(path.lstrip("/"), kind=SpanKind.CLIENT)
    _tell(span, path)
    span._begin()
    headers: dict[str, str] = {}
    with inside(span):
        inject(headers)
    return span, [*(metadata or ()), *headers.items()]


def _tell(span: Any, path: str) -> None:
    service, _, method = path.lstrip("/").partition("/")
    span.set_attribute("rpc.system", "grpc")
    span.set_attribute("rpc.service", service)
    span.set_attribute("rpc.method", method)


def end(span: Any, code: Any) -> None:
    number, name = getattr(code, "value", (0,))[0], getattr(code, "name", "")
    span.set_attribute("rpc.grpc.status_code", number)
    if number:
        span.set_status(2)
        span.set_attribute("error.type", name)
    span._finish()


def _client_interceptor(grpc: Any) -> Any:
    class Interceptor(
        grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor,
        grpc.StreamUnaryClientInterceptor, grpc.StreamStreamClientInterceptor,
    ):  # fmt: skip
        def _intercept(self, continuation: Any, details: Any, request: Any) -> Any:
            begun = quietly("grpc", begin, details.method, details.metadata)
            if begun is None:
                return continuation(details, request)
            span, metadata = begun
            try:
                with inside(span):
                    call = continuation(_with_metadata(details, metadata), request)
            except BaseException as error:
                span._finish(error)
                raise
            try:
                running = call.add_callback(lambda: end(span, call.code()))
            except NotImplementedError:
                # A unary call that has failed is an error object that knows no callbacks.
                running = False
            if not running:
                end(span, call.code())
            return call

        intercept_unary_unary = intercept_unary_stream = _intercept
        intercept_stream_unary = intercept_stream_stream = _intercept

    return Interceptor()


def _with_metadata(details: Any, metadata: Any) -> Any:
    """The call's details with other metadata: grpc's own are tuples in one version and objects in another."""
    if hasattr(details, "_replace"):
        return details._replace(metadata=metadata)
    return _Details(details, metadata)


class _Details:
    def __init__(self, details: Any, metadata: Any) -> None:
        self._details = details
        self.metadata = metadata

    def __getattr__(self, name: str) -> Any:
        return getattr(self._details, name)


def _server_interceptor(grpc: Any) -> Any:
    class Interceptor(grpc.ServerInterceptor):
        def intercept_service(self, continuation: Any, details: Any) -> Any:
            handler = continuation(details)
            if handler is None or str(details.method).startswith(OWN):
                return handler
            return quietly("grpc", observed_handler, grpc, handler, details) or handler

    return Interceptor()


def observed_handler(
    grpc: Any, handler: Any, details: Any, one: Any = None, stream: Any = None
) -> Any:
    """The handler with its behaviour observed: `one(behaviour, details)` where the answer is one message."""
    kinds = (
        (handler.unary_unary, grpc.unary_unary_rpc_method_handler, False),
        (handler.unary_stream, grpc.unary_stream_rpc_method_handler, True),
        (handler.stream_unary, grpc.stream_unary_rpc_method_handler, False),
        (handler.stream_stream, grpc.stream_stream_rpc_method_handler, True),
    )
    for behaviour, make, streams in kinds:
        if behaviour is not None:
            observe = (stream or serve_stream) if streams else (one or serve_one)
            return make(observe(behaviour, details), handler.request_deserializer, handler.response_serializer)
    return handler


def server_span(details: Any) -> Any:
    path = str(details.method)
    span = core.span(path.lstrip("/"), parent=extract(details.invocation_metadata or ()), kind=SpanKind.SERVER)
    _tell(span, path)
    return span


def serve_one(behaviour: Any, details: Any) -> Any:
    def serve(request: Any, context: Any) -> Any:
        with server_span(details) as span:
            try:
                return behaviour(request, context)
            finally:
                server_code(span, context)

    return serve


def serve_stream(behaviour: Any, details: Any) -> Any:
    def serve(request: Any, context: Any) -> Any:
        span = server_span(details)
        span._begin()
        failure: BaseException | None = None
        try:
            with inside(span):
                items = iter(behaviour(request, context))
            while True:
                with inside(span):
                    try:
                        item = next(items)
                    except StopIteration:
                        return
                yield item
        except BaseException as error:
            failure = error
            raise
        finally:
            server_code(span, context)
            span._finish(failure)
            failure = None

    return serve


def server_code(span: Any, context: Any) -> None:
    code = context.code() if hasattr(context, "code") else None
    # grpc.aio tells the number, grpc its own kind of enumeration.
    number = code if isinstance(code, int) else getattr(code, "value", (0,))[0]
    span.set_attribute("rpc.grpc.status_code", number)
    if number:
        span.set_status(2)
        span.set_attribute("error.type", getattr(code, "name", None) or str(number))
