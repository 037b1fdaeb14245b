"""grpc.aio: the interceptors of its channels and servers; _grpc_calls.py says what spans carry.

A server's method may be a coroutine, an asynchronous generator, or a plain function that grpc runs in a
thread: grpc looks at the kind, so what observes a method is of the same one.
"""

from __future__ import annotations

import inspect
from typing import Any

from . import _grpc_calls as calls
from ._patch import inside, quietly


def client_interceptors(aio: Any) -> tuple[Any, ...]:
    """One for each of the four kinds of method."""

    async def one_answer(continuation: Any, details: Any, request: Any) -> Any:
        begun = quietly("grpc", calls.begin, details.method, details.metadata)
        if begun is None:
            return await continuation(details, request)
        span, metadata = begun
        try:
            with inside(span):
                call = await continuation(details._replace(metadata=aio.Metadata(*metadata)), request)
                code = await call.code()
        except BaseException as error:
            span._finish(error)
            raise
        calls.end(span, code)
        return call

    async def many_answers(continuation: Any, details: Any, request: Any) -> Any:
        begun = quietly("grpc", calls.begin, details.method, details.metadata)
        if begun is None:
            return await continuation(details, request)
        span, metadata = begun
        try:
            with inside(span):
                call = await continuation(details._replace(metadata=aio.Metadata(*metadata)), request)
        except BaseException as error:
            span._finish(error)
            raise
        return _items(span, call)

    # grpc asks each interceptor what it is, and takes one that is several for the first of them.
    kinds = (
        (aio.UnaryUnaryClientInterceptor, "intercept_unary_unary", one_answer),
        (aio.UnaryStreamClientInterceptor, "intercept_unary_stream", many_answers),
        (aio.StreamUnaryClientInterceptor, "intercept_stream_unary", one_answer),
        (aio.StreamStreamClientInterceptor, "intercept_stream_stream", many_answers),
    )
    return tuple(
        type("Interceptor", (base,), {method: staticmethod(observe)})() for base, method, observe in kinds
    )


async def _items(span: Any, call: Any) -> Any:
    failure: BaseException | None = None
    try:
        async for item in call:
            yield item
        calls.end(span, await call.code())
    except BaseException as error:
        failure = error
        raise
    finally:
        span._finish(failure)
        failure = None


def server_interceptor(grpc: Any, aio: Any) -> Any:
    """For `grpc.aio.server`."""

    class Interceptor(aio.ServerInterceptor):
        async def intercept_service(self, continuation: Any, details: Any) -> Any:
            handler = await continuation(details)
            if handler is None or str(details.method).startswith(calls.OWN):
                return handler
            observed = quietly("grpc", calls.observed_handler, grpc, handler, details, _serve_one, _serve_stream)
            return observed or handler

    return Interceptor()


def _serve_one(behaviour: Any, details: Any) -> Any:
    if not inspect.iscoroutinefunction(behaviour):
        return calls.serve_one(behaviour, details)

    async def serve(request: Any, context: Any) -> Any:
        with calls.server_span(details) as span:
            try:
                return await behaviour(request, context)
            finally:
                calls.server_code(span, context)

    return serve


def _serve_stream(behaviour: Any, details: Any) -> Any:
    if inspect.iscoroutinefunction(behaviour):
        # Answers by `context.write`.
        return _serve_one(behaviour, details)
    if not inspect.isasyncgenfunction(behaviour):
        return calls.serve_stream(behaviour, details)

    async def serve(request: Any, context: Any) -> Any:
        span = calls.server_span(details)
        span._begin()
        failure: BaseException | None = None
        items = behaviour(request, context)
        try:
            while True:
                with inside(span):
                    try:
                        item = await items.__anext__()
                    except StopAsyncIteration:
                        return
                yield item
        except BaseException as error:
            failure = error
            raise
        finally:
            await items.aclose()
            calls.server_code(span, context)
            span._finish(failure)
            failure = None

    return serve
