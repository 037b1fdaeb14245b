"""Processes: threads, exit, signals, fork and multiprocessing, each in an interpreter of its own."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time

import pytest
from conftest import python, until

PRELUDE = """
import os, sys, time, threading, signal
import axonize
endpoint = sys.argv[1]
def init(**more):
    axonize.init(endpoint, "child", flush_interval_ms=3_600_000, **more)
"""


def names(received) -> list[str]:
    return sorted(span.name for span in received.spans())


def test_no_thread_before_the_first_span_and_one_after(grpc_server):
    python(PRELUDE + """
before = threading.active_count(), set(sys.modules)
init()
assert threading.active_count() == before[0] == 1
assert endpoint.startswith("http") or not {"ssl", "http.client", "asyncio", "email"} & set(sys.modules)
with axonize.span("first"): pass
assert threading.active_count() == 2
""", grpc_server.address)
    assert names(grpc_server) == ["first"]


@pytest.mark.parametrize("end", ["", "sys.exit(0)", "raise SystemExit", "threading.Thread(target=work).start()"])
def test_leaving_the_program_sends_what_is_finished(grpc_server, end):
    python(PRELUDE + f"""
def work():
    time.sleep(0.05)
    with axonize.span("late"): pass
init()
with axonize.span("finished"): pass
{end}
""", grpc_server.address)
    assert names(grpc_server) == ["finished"] + (["late"] if "Thread" in end else [])


def test_an_uncaught_exception_is_sent_too(grpc_server):
    result = python(PRELUDE + """
init()
with axonize.span("fatal"):
    raise RuntimeError("boom")
""", grpc_server.address, check=False)
    assert result.returncode == 1 and "boom" in result.stderr
    assert grpc_server.spans()[0].status.code == 2


@pytest.mark.parametrize("kind", ["refused", "deaf", "http-deaf"])
def test_leaving_with_an_absent_server_takes_two_seconds_at_most(kind):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        if kind == "refused":
            listener.close()
        scheme = "http://" if kind == "http-deaf" else ""
        result = python(PRELUDE + """
init()
with axonize.span("lost"): pass
ended = time.time()
sys.stdout.write(str(ended))
""", f"{scheme}127.0.0.1:{port}")
        waited = time.time() - float(result.stdout)
    assert waited < (1.9 if kind == "refused" else 4.0)
    assert len(result.stderr.splitlines()) <= 1, result.stderr


def test_spans_of_the_interpreters_last_moments_do_no_harm(grpc_server):
    python(PRELUDE + """
import atexit
def late():
    with axonize.span("atexit"): pass
    axonize.flush(1)
atexit.register(late)
class Holder:
    def __del__(self):
        with axonize.span("del") as s:
            s.set_attribute("a", [1]); s.add_event("e"); s.record_exception(ValueError())
holder = Holder()
init()
sys.holder = Holder()
gen = (axonize.span("never").__enter__() for _ in range(1))
next(gen)
""", grpc_server.address)
    assert "atexit" in names(grpc_server)


def test_sigterm_flushes_and_kills_as_before(grpc_server):
    process = subprocess.Popen(
        [sys.executable, "-c", PRELUDE + """
init()
with axonize.span("finished"): pass
print("ready", flush=True)
for _ in range(600): time.sleep(0.05)
""", grpc_server.address], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(5) == -signal.SIGTERM
    process.stdout.close()
    assert names(grpc_server) == ["finished"]


def test_a_programs_own_sigterm_handler_is_left_alone(grpc_server):
    python(PRELUDE + """
def mine(*_): print("mine"); sys.exit(7)
signal.signal(signal.SIGTERM, mine)
init()
assert signal.getsignal(signal.SIGTERM) is mine
signal.signal(signal.SIGTERM, signal.SIG_DFL)
axonize.init(endpoint, handle_signals=False)
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
""", grpc_server.address)


def test_a_forked_child_sends_its_own_and_only_its_own(grpc_server):
    python(PRELUDE + """
init()
with axonize.span("before"): pass
with axonize.span("around") as around:
    pid = os.fork()
    with axonize.span("child" if pid == 0 else "parent"): pass
if pid == 0:
    with axonize.span("child-root"): pass
    assert axonize.flush(5)
    os._exit(0)
os.waitpid(pid, 0)
""", grpc_server.address)
    assert names(grpc_server) == ["around", "before", "child", "child-root", "parent"]
    spans = grpc_server.by_name()
    assert spans["child"].parent_span_id == spans["parent"].parent_span_id == spans["around"].span_id
    assert spans["child"].span_id != spans["parent"].span_id
    instances = {
        attribute.value.string_value
        for request in grpc_server.requests
        for attribute in request.resource_spans[0].resource.attributes
        if attribute.key == "service.instance.id"
    }
    assert len(instances) == 2


def test_forking_from_busy_threads_neither_hangs_nor_mixes(grpc_server):
    python(PRELUDE + """
axonize.init(endpoint, flush_interval_ms=10, batch_size=16)
stop = False
def busy():
    while not stop:
        with axonize.span("busy", a=1): pass
        time.sleep(0.0002)
threads = [threading.Thread(target=busy) for _ in range(2)]
for t in threads: t.start()
pids = []
for number in range(12):
    pid = os.fork()
    if pid == 0:
        with axonize.span(f"child{number}"): pass
        import faulthandler
        faulthandler.dump_traceback_later(5)
        os._exit(0 if axonize.flush(10) else 1)
    pids.append(pid)
    time.sleep(0.005)
codes = [os.waitpid(pid, 0)[1] for pid in pids]
stop = True
for t in threads: t.join()
assert codes == [0] * 12, codes
assert axonize.flush(10)
print(axonize.stats()["recorded"])
""", grpc_server.address, timeout=60)
    got = names(grpc_server)
    assert [name for name in got if name != "busy"] == sorted(f"child{n}" for n in range(12))
    assert len({span.span_id for span in grpc_server.spans()}) == len(got)


@pytest.mark.parametrize("scheme", ["", "http://"])
def test_the_exporters_thread_imports_nothing(grpc_server, http_server, scheme, tmp_path):
    """A module that it imports while another thread forks stays locked in the child for ever."""
    tmp_path.joinpath("key").write_text("axk_key")
    python(PRELUDE + """
axonize.init(endpoint, flush_interval_ms=3_600_000)
before = set(sys.modules)
with axonize.llm_span("s", model="m") as s:
    s.record_token()
assert axonize.flush()
assert set(sys.modules) == before, set(sys.modules) - before
""", (http_server if scheme else grpc_server).address,
        env={"AXONIZE_API_KEY_FILE": str(tmp_path / "key"), "AXONIZE_SPAN_RING": str(tmp_path / "ring")})  # fmt: skip


MULTIPROCESSING = """
import os, sys, multiprocessing
import axonize

axonize.init(sys.argv[1], "mp", flush_interval_ms=3_600_000)

def work(number):
    with axonize.span(f"work{number}"): pass
    return number

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[2])
    with axonize.span("main"): pass
    processes = [context.Process(target=work, args=(n,), daemon=n == 2) for n in range(3)]
    for p in processes: p.start()
    for p in processes: p.join()
    assert [p.exitcode for p in processes] == [0, 0, 0]
    pool = context.Pool(1)
    assert pool.map(work, [3, 4]) == [3, 4]
    pool.close(); pool.join()
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_of_multiprocessing_send_their_spans(grpc_server, tmp_path, method):
    script = tmp_path / "program.py"
    script.write_text(MULTIPROCESSING)
    result = subprocess.run(
        [sys.executable, str(script), grpc_server.address, method], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
    until(lambda: len(grpc_server.spans()) >= 6, 5)
    assert names(grpc_server) == ["main", "work0", "work1", "work2", "work3", "work4"]


def test_a_terminated_worker_flushes_first(grpc_server, tmp_path):
    script = tmp_path / "program.py"
    script.write_text("""
import sys, time, multiprocessing, axonize
axonize.init(sys.argv[1], "mp", flush_interval_ms=3_600_000)
def work(ready):
    with axonize.span("worker"): pass
    ready.set()
    # Short sleeps: CPython runs a handler only between bytecodes, and a signal that comes just
    # before a long sleep begins waits for its end.
    for _ in range(600): time.sleep(0.05)
if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    p = context.Process(target=work, args=(ready,), daemon=True)
    p.start()
    assert ready.wait(10)
    p.terminate()
    p.join(5)
    assert p.exitcode == -15, p.exitcode
""")
    result = subprocess.run([sys.executable, str(script), grpc_server.address], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert names(grpc_server) == ["worker"]


def test_the_environment_alone_configures(grpc_server):
    python(
        "import axonize\naxonize.init()\nwith axonize.span('env'): pass\n",
        env={
            "AXONIZE_ENDPOINT": grpc_server.address, "AXONIZE_API_KEY": "k", "AXONIZE_SERVICE_NAME": "s",
            "AXONIZE_ENVIRONMENT": "e", "AXONIZE_POD_UID": "uid", "OTEL_RESOURCE_ATTRIBUTES": "a=b%20c,k8s.pod.uid=own",
            "AXONIZE_RESOURCE_ATTRIBUTES": "a=under,z=1", "OTEL_EXPORTER_OTLP_HEADERS": "authorization=other",
            "AXONIZE_BATCH_SIZE": "nonsense",
        },
    )  # fmt: skip
    resource = grpc_server.resource()
    assert resource["service.name"] == "s" and resource["deployment.environment.name"] == "e"
    assert resource["a"] == "b c" and resource["z"] == "1" and resource["k8s.pod.uid"] == "own"
    assert grpc_server.metadata[0]["authorization"] == "Bearer k"


def test_open_telemetrys_variables_are_the_fallback(http_server):
    python(
        "import axonize\naxonize.init()\nwith axonize.span('otel'): pass\n",
        env={
            "OTEL_EXPORTER_OTLP_ENDPOINT": http_server.address, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_HEADERS": "x-axonize-key=axk%5Fa", "OTEL_SERVICE_NAME": "otel-name",
        },
    )  # fmt: skip
    assert http_server.resource()["service.name"] == "otel-name"
    assert http_server.metadata[0]["x-axonize-key"] == "axk_a"


def test_disabled_by_the_environment_nothing_is_sent(grpc_server):
    python(PRELUDE + """
init()
with axonize.span("s"): pass
assert threading.active_count() == 1
""", grpc_server.address, env={"AXONIZE_DISABLED": "1"})
    assert grpc_server.calls == 0
