"""HTTP clients and servers, gRPC and threads: one trace through all of them, with the real packages."""

from __future__ import annotations

import asyncio
import socket
import threading
import wsgiref.simple_server
from concurrent import futures
from concurrent.futures import ThreadPoolExecutor

import aiohttp
import flask
import grpc
import httpx
import pytest
import requests
import starlette.applications
import starlette.responses
import starlette.routing
import uvicorn
from conftest import attributes, parents, until
from model_server import model_server, unpatched  # noqa: F401 (fixtures)

import axonize
from axonize.middleware import Asgi, Wsgi


def sent_parent(server) -> str:
    return server.headers[-1]["traceparent"].split("-")[2]


@pytest.mark.parametrize("client", ["httpx", "httpx-async", "requests", "aiohttp"])
def test_a_request_has_a_span_and_carries_its_identity(sdk, model_server, client):
    axonize.instrument(client.partition("-")[0])
    url = f"{model_server.url}/some/path?token=secret"

    async def with_httpx() -> None:
        async with httpx.AsyncClient() as session:
            assert (await session.get(url)).status_code == model_server.status

    async def with_aiohttp() -> None:
        async with aiohttp.ClientSession(base_url=model_server.url, headers={"x-own": "1"}) as session:
            async with session.get("/some/path?token=secret", headers={"x-more": "2"}) as response:
                assert response.status == model_server.status

    def call() -> None:
        if client == "httpx":
            assert httpx.get(url).status_code == model_server.status
        elif client == "requests":
            assert requests.get(url, timeout=5).status_code == model_server.status
        else:
            asyncio.run(with_httpx() if client == "httpx-async" else with_aiohttp())

    with axonize.span("root"):
        call()
    assert axonize.flush()
    span = sdk.by_name()["GET"]
    got = attributes(span)
    assert span.kind == 3 and span.parent_span_id == sdk.by_name()["root"].span_id
    assert sent_parent(model_server) == span.span_id.hex()
    assert got["http.request.method"] == "GET" and got["http.response.status_code"] == 200
    assert got["server.address"] == "127.0.0.1" and got["url.path"] == "/some/path"
    assert "secret" not in str(span)
    if client == "aiohttp":
        assert model_server.headers[-1]["x-own"] == "1" and model_server.headers[-1]["x-more"] == "2"
    model_server.status = 503
    call()
    assert axonize.flush() and sdk.spans()[-1].status.code == 2


@pytest.mark.parametrize("client", ["httpx", "requests", "aiohttp"])
def test_a_server_that_is_not_there_is_an_error_for_the_program_and_the_span(sdk, client):
    axonize.instrument(client)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"

    async def with_aiohttp() -> None:
        async with aiohttp.ClientSession() as session:
            await session.get(url)

    failures = httpx.ConnectError, requests.ConnectionError, aiohttp.ClientConnectorError
    with pytest.raises(failures):
        if client == "aiohttp":
            asyncio.run(with_aiohttp())
        else:
            (httpx if client == "httpx" else requests).get(url)
    assert axonize.flush()
    (span,) = sdk.spans()
    assert span.status.code == 2 and "Connect" in attributes(span)["error.type"]


class Application:
    """A Starlette application on uvicorn, on a port of its own."""

    def __init__(self, app) -> None:
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)

    def __enter__(self) -> Application:
        self._thread.start()
        until(lambda: self._server.started)
        return self

    def __exit__(self, *args) -> None:
        self._server.should_exit = True
        self._thread.join(10)


def starlette_app():
    async def items(request):
        with axonize.span("inside"):
            return starlette.responses.JSONResponse({"id": request.path_params["id"]})

    async def streamed(request):
        async def body():
            for number in range(3):
                with axonize.span(f"part {number}"):
                    await asyncio.sleep(0.01)
                yield b"x"

        return starlette.responses.StreamingResponse(body())

    async def broken(request):
        raise ValueError("broken")

    route = starlette.routing.Route
    return starlette.applications.Starlette(
        routes=[route("/items/{id}", items), route("/streamed", streamed), route("/broken", broken)]
    )


@pytest.mark.parametrize("how", ["patched", "wrapped", "both"])
def test_an_asgi_server_continues_the_callers_trace(sdk, how):
    if how != "wrapped":
        axonize.instrument("asgi")
    app = starlette_app()
    with Application(app if how == "patched" else Asgi(app)) as served, axonize.span("caller") as caller:
        headers: dict[str, str] = {}
        axonize.inject(headers)
        assert httpx.get(f"{served.url}/items/7?q=secret", headers=headers).json() == {"id": "7"}
        assert httpx.get(f"{served.url}/streamed", headers=headers).text == "xxx"
        assert httpx.get(f"{served.url}/broken", headers=headers).status_code == 500
        assert httpx.get(f"{served.url}/nowhere").status_code == 404
    until(lambda: axonize.flush() and len(sdk.spans()) >= 9)
    spans = sdk.spans()
    servers = [span for span in spans if span.kind == 2]
    assert len(servers) == 4, "one request, one span, however many layers there are"
    by_path = {attributes(span)["url.path"]: span for span in servers}
    item = by_path["/items/7"]
    assert item.parent_span_id.hex() == caller.span_id and item.trace_id.hex() == caller.trace_id
    assert attributes(item)["http.response.status_code"] == 200 and "secret" not in str(item)
    assert sdk.by_name()["inside"].parent_span_id == item.span_id
    streamed = by_path["/streamed"]
    for number in range(3):
        part = sdk.by_name()[f"part {number}"]
        assert part.trace_id == streamed.trace_id and part.end_time_unix_nano <= streamed.end_time_unix_nano
    assert by_path["/broken"].status.code == 2 and attributes(by_path["/broken"])["http.response.status_code"] == 500
    assert by_path["/nowhere"].parent_span_id == b"" and by_path["/nowhere"].status.code == 0


class QuietHandler(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, *args):
        return


@pytest.mark.parametrize("how", ["patched", "wrapped"])
def test_a_wsgi_server_continues_the_callers_trace(sdk, how):
    app = flask.Flask("tests")

    @app.get("/items/<number>")
    def items(number):
        with axonize.span("inside"):
            return {"id": number}

    @app.get("/streamed")
    def streamed():
        def body():
            for number in range(3):
                with axonize.llm_span(f"part {number}"):
                    part = "x"
                yield part

        return flask.Response(body())

    @app.get("/broken")
    def broken():
        raise ValueError("broken")

    if how == "patched":
        axonize.instrument("wsgi")
    server = wsgiref.simple_server.make_server(
        "127.0.0.1", 0, app if how == "patched" else Wsgi(app), handler_class=QuietHandler
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    with axonize.span("caller") as caller:
        headers: dict[str, str] = {}
        axonize.inject(headers)
        assert httpx.get(f"{url}/items/7", headers=headers).json() == {"id": "7"}
        assert httpx.get(f"{url}/streamed", headers=headers).text == "xxx"
        assert httpx.get(f"{url}/broken", headers=headers).status_code == 500
    until(lambda: axonize.flush() and len(sdk.spans()) >= 8)
    server.shutdown()
    server.server_close()
    spans = {attributes(span)["url.path"]: span for span in sdk.spans() if span.kind == 2}
    assert list(spans) == ["/items/7", "/streamed", "/broken"]
    assert spans["/items/7"].parent_span_id.hex() == caller.span_id
    assert sdk.by_name()["inside"].parent_span_id == spans["/items/7"].span_id
    for number in range(3):
        assert sdk.by_name()[f"part {number}"].parent_span_id == spans["/streamed"].span_id
    assert spans["/broken"].status.code == 2


def echo_server(interceptors=()):
    def unary(request, context):
        with axonize.span("inside"):
            if request == b"fail":
                context.abort(grpc.StatusCode.NOT_FOUND, "no")
            return request

    def stream(request, context):
        for number in range(3):
            with axonize.span(f"part {number}"):
                part = b"%d" % number
            yield part

    handlers = grpc.method_handlers_generic_handler(
        "test.Echo",
        {
            "Unary": grpc.unary_unary_rpc_method_handler(unary),
            "Stream": grpc.unary_stream_rpc_method_handler(stream),
        },
    )
    server = grpc.server(futures.ThreadPoolExecutor(2), interceptors=interceptors)
    server.add_generic_rpc_handlers((handlers,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, f"127.0.0.1:{port}"


def hold_grpc(sdk, names: dict) -> None:
    until(lambda: axonize.flush() and len(sdk.spans()) >= 12)
    spans = {(span.name, span.kind, span.status.code): span for span in sdk.spans()}
    for name, code in (("test.Echo/Unary", 0), ("test.Echo/Stream", 0), ("test.Echo/Unary", 2)):
        client, server = spans[name, 3, code], spans[name, 2, code]
        assert server.parent_span_id == client.span_id and client.parent_span_id == names["root"]
        assert attributes(client)["rpc.grpc.status_code"] == (5 if code else 0)
        assert attributes(client)["rpc.service"] == "test.Echo"
    assert sdk.by_name()["part 2"].parent_span_id == spans["test.Echo/Stream", 2, 0].span_id


def test_grpc_clients_and_servers_share_a_trace(sdk):
    axonize.instrument("grpc")
    server, address = echo_server()
    with grpc.insecure_channel(address) as channel, axonize.span("root") as root:
        call = channel.unary_unary("/test.Echo/Unary")
        assert call(b"hello", metadata=(("x-own", "1"),)) == b"hello"
        assert list(channel.unary_stream("/test.Echo/Stream")(b"go")) == [b"0", b"1", b"2"]
        with pytest.raises(grpc.RpcError):
            call(b"fail")
    server.stop(None).wait()
    hold_grpc(sdk, {"root": bytes.fromhex(root.span_id)})


def test_the_asynchronous_grpc_client_too(sdk):
    axonize.instrument("grpc")
    server, address = echo_server()

    async def main() -> str:
        async with grpc.aio.insecure_channel(address) as channel:
            with axonize.span("root") as root:
                assert await channel.unary_unary("/test.Echo/Unary")(b"hello") == b"hello"
                parts = [part async for part in channel.unary_stream("/test.Echo/Stream")(b"go")]
                assert parts == [b"0", b"1", b"2"]
                with pytest.raises(grpc.RpcError):
                    await channel.unary_unary("/test.Echo/Unary")(b"fail")
            return root.span_id

    root = asyncio.run(main())
    server.stop(None).wait()
    hold_grpc(sdk, {"root": bytes.fromhex(root)})


def aio_echo_server():
    """The methods of echo_server as grpc.aio's users write them; `Written` answers by `context.write`."""

    async def unary(request, context):
        with axonize.span("work"):
            await asyncio.sleep(0)
            if request == b"fail":
                await context.abort(grpc.StatusCode.NOT_FOUND, "no")
            return request

    async def stream(request, context):
        for number in range(3):
            with axonize.span(f"part {number}"):
                await asyncio.sleep(0)
                part = b"%d" % number
            yield part

    async def written(requests, context):
        async for request in requests:
            with axonize.span(f"written {request.decode()}"):
                await context.write(request)

    async def joined(requests, context):
        return b"".join([request async for request in requests])

    def plain(request, context):
        with axonize.span("in a thread"):
            return request

    handlers = grpc.method_handlers_generic_handler(
        "test.Echo",
        {
            "Unary": grpc.unary_unary_rpc_method_handler(unary),
            "Stream": grpc.unary_stream_rpc_method_handler(stream),
            "Written": grpc.stream_stream_rpc_method_handler(written),
            "Joined": grpc.stream_unary_rpc_method_handler(joined),
            "Plain": grpc.unary_unary_rpc_method_handler(plain),
        },
    )
    server = grpc.aio.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers((handlers,))
    return server, f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"


def test_the_asynchronous_grpc_server_and_every_kind_of_method(sdk):
    axonize.instrument("grpc")

    async def main() -> str:
        server, address = aio_echo_server()
        await server.start()
        async with grpc.aio.insecure_channel(address) as channel:
            with axonize.span("root") as root:
                unary = channel.unary_unary("/test.Echo/Unary")
                assert await asyncio.gather(*(unary(b"%d" % number) for number in range(4))) == [b"0", b"1", b"2", b"3"]
                parts = [part async for part in channel.unary_stream("/test.Echo/Stream")(b"go")]
                assert parts == [b"0", b"1", b"2"]
                with pytest.raises(grpc.RpcError):
                    await unary(b"fail")
                words = [b"a", b"b"]
                assert [part async for part in channel.stream_stream("/test.Echo/Written")(iter(words))] == words
                assert await channel.stream_unary("/test.Echo/Joined")(iter(words)) == b"ab"
                assert await channel.unary_unary("/test.Echo/Plain")(b"p") == b"p"
        await server.stop(None)
        return root.span_id

    root = bytes.fromhex(asyncio.run(main()))
    # 9 calls of two spans, root, 5 of work, 3 parts, 2 written, 1 in a thread.
    until(lambda: axonize.flush() and len(sdk.spans()) == 30)
    hold_grpc(sdk, {"root": root})
    spans = {span.span_id: span for span in sdk.spans()}
    inner = {"work": "Unary", "part": "Stream", "written": "Written", "in": "Plain"}
    for span in spans.values():
        method = inner.get(span.name.split(" ")[0])
        if method is not None:
            assert (spans[span.parent_span_id].name, spans[span.parent_span_id].kind) == (f"test.Echo/{method}", 2)
        if span.kind == 2:
            assert spans[span.parent_span_id].kind == 3 and spans[span.parent_span_id].parent_span_id == root
    refused = [span for span in spans.values() if span.kind == 2 and span.status.code == 2]
    assert [attributes(span)["rpc.method"] for span in refused] == ["Unary"]


def test_threads_and_pools_go_on_under_the_span_that_started_them(sdk):
    class Own(threading.Thread):
        def run(self) -> None:
            with axonize.span("subclass"):
                return

    def work(name: str) -> None:
        with axonize.span(name):
            return

    pool = ThreadPoolExecutor(1)
    with axonize.span("before"):
        pool.submit(work, "unseen").result()
    axonize.instrument("threading")
    with axonize.span("root"):
        threads = [Own(), threading.Thread(target=work, args=("thread",)), threading.Timer(0.01, work, ("timer",))]
        for thread in threads:
            thread.start()
        pool.submit(work, "pooled").result()
        assert list(ThreadPoolExecutor(1).map(work, ["mapped"])) == [None]
        asyncio.run(run_in_executor(work))
    pool.submit(work, "alone").result()
    for thread in threads:
        thread.join()
        assert "run" not in vars(thread)
    assert parents(sdk) == {
        "before": None, "unseen": None, "root": None, "subclass": "root", "thread": "root", "timer": "root",
        "not current any more": "root", "pooled": "root", "mapped": "root", "executor": "root", "alone": None,
    }  # fmt: skip


async def run_in_executor(work) -> None:
    with axonize.span("not current any more"):
        pass
    await asyncio.get_running_loop().run_in_executor(None, work, "executor")
