"""`axonize-run`, import hooks and vLLM's entry point: programs without a line of ours in them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from importlib import import_module

import httpx
import pytest
from conftest import attributes, python, until
from model_server import model_server, unpatched  # noqa: F401 (fixtures)

import axonize
from axonize.integrations import _hooks, _state

RUN = [sys.executable, "-c", "from axonize._run import main; main()"]


def environment(received, **more: str) -> dict[str, str]:
    return {**os.environ, "AXONIZE_ENDPOINT": received.address, "AXONIZE_FLUSH_INTERVAL_MS": "50", **more}


def test_a_program_without_a_line_of_ours_is_observed(grpc_server, model_server, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent("""
        import sys, openai
        client = openai.OpenAI(base_url=sys.argv[1], api_key="k")
        list(client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}], stream=True))
        print("hidden" in sys.modules, "program's own output")
    """))
    # A sitecustomize of the user's own still runs.
    tmp_path.joinpath("sitecustomize.py").write_text("import sys; sys.modules['hidden'] = sys\n")
    result = subprocess.run(
        [*RUN, "--", sys.executable, str(program), f"{model_server.url}/v1"],
        env=environment(
            grpc_server, AXONIZE_SERVICE_NAME="run", AXONIZE_INSTRUMENT="openai,threading",
            PYTHONPATH=os.pathsep.join((str(tmp_path), os.environ["PYTHONPATH"])),
        ),
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert result.returncode == 0 and result.stderr == "", result.stderr
    assert result.stdout == "True program's own output\n"
    (span,) = grpc_server.spans()
    assert span.name == "chat m" and attributes(span)["gen_ai.usage.output_tokens"] == 7
    assert grpc_server.resource()["service.name"] == "run"


@pytest.mark.parametrize(
    "command", ["uvicorn application:app --workers 2", "gunicorn application:flask_app -w 2 --preload"]
)
def test_servers_with_workers_of_their_own_are_observed(grpc_server, tmp_path, command):
    tmp_path.joinpath("application.py").write_text(textwrap.dedent("""
        import os, flask
        from starlette.applications import Starlette
        from starlette.responses import PlainTextResponse
        from starlette.routing import Route
        async def pid(request): return PlainTextResponse(str(os.getpid()))
        app = Starlette(routes=[Route("/pid", pid)])
        flask_app = flask.Flask("x")
        flask_app.get("/pid")(lambda: str(os.getpid()))
    """))
    name, *rest = command.split()
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    listen = ["--port", str(port)] if name == "uvicorn" else ["-b", f"127.0.0.1:{port}"]
    server = subprocess.Popen(
        [*RUN, sys.executable, "-m", name, *rest, *listen], cwd=tmp_path, env=environment(grpc_server),
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    pids: set[str] = set()

    def both_answer() -> bool:
        try:
            with httpx.Client() as client:
                pids.add(client.get(f"http://127.0.0.1:{port}/pid").text)
        except httpx.TransportError:
            time.sleep(0.05)
        return len(pids) >= 2

    try:
        until(both_answer, 60)
        until(lambda: workers(grpc_server) >= pids, 30)
    finally:
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=30)
    assert workers(grpc_server) >= pids
    assert {span.name for span in grpc_server.spans()} <= {"GET", "GET /pid"}


def workers(received) -> set[str]:
    """Process ids that sent spans."""
    return {
        str(attributes(request.resource_spans[0].resource)["process.pid"]) for request in list(received.requests)
    }


def test_a_command_that_is_not_there_and_no_command_say_so():
    missing = subprocess.run([*RUN, "/no/such/command"], capture_output=True, text=True)
    assert missing.returncode == 127 and "cannot run /no/such/command" in missing.stderr
    nothing = subprocess.run(RUN, capture_output=True, text=True)
    assert nothing.returncode == 2 and nothing.stdout.startswith("usage: axonize-run")


def test_libraries_are_patched_when_they_are_imported_and_stay_themselves():
    python("""
import sys, axonize
axonize.instrument()
assert not {"openai", "httpx", "requests", "grpc", "transformers", "starlette"} & set(sys.modules)
import importlib.resources, requests, httpx
assert requests.Session.send.__axonize__ and httpx.Client.send.__axonize__
assert type(httpx._client.__spec__.loader).__module__ == "_frozen_importlib_external"
assert httpx._client.__loader__ is httpx._client.__spec__.loader
try:
    import openai.no_such_module
except ImportError:
    pass
import openai
assert openai._base_client.SyncAPIClient.request.__axonize__
""")


def test_a_module_that_fails_to_import_is_patched_when_it_succeeds(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    module = tmp_path / "flaky_module.py"
    module.write_text("raise RuntimeError('not yet')\n")
    seen: list = []
    _hooks.when_imported("flaky_module", seen.append)
    with pytest.raises(RuntimeError):
        import_module("flaky_module")
    module.write_text("value = 1  # now it works\n")
    import_module("flaky_module")
    import_module("flaky_module")
    assert [found.value for found in seen] == [1]


def test_a_library_that_has_changed_is_told_once_and_left_alone(caplog, monkeypatch):
    import requests.sessions

    monkeypatch.setattr("axonize.integrations._requests.patch", lambda module: module.no_such_thing)
    axonize.instrument("requests")
    assert not _state.patched and not hasattr(requests.Session.send, "__axonize__")
    assert sum("cannot observe requests" in record.getMessage() for record in caplog.records) == 1


def test_vllms_entry_point_does_nothing_without_an_endpoint_and_all_with_one(grpc_server):
    code = """
from importlib.metadata import entry_points
(found,) = [point for point in entry_points(group="vllm.general_plugins") if point.name == "axonize"]
register = found.load()
register(), register()
import axonize
from axonize import _runtime
with axonize.span("s"): pass
print(_runtime.recording(), axonize.flush())
"""
    bare = {key: value for key, value in os.environ.items() if not key.startswith("AXONIZE_ENDPOINT")}
    silent = subprocess.run([sys.executable, "-c", code], env=bare, capture_output=True, text=True)
    assert silent.stdout == "False True\n", silent.stderr
    loud = subprocess.run([sys.executable, "-c", code], env=environment(grpc_server), capture_output=True, text=True)
    assert loud.stdout == "True True\n", loud.stderr
    assert [span.name for span in grpc_server.spans()] == ["s"]
