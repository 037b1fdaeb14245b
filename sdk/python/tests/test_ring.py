"""The ring in a shared file: what a killed process had finished is sent by the next one, and only once.

Only the C core has it; with the pure one the same option is told and ignored.
"""

from __future__ import annotations

import os
import random
import signal
import stat
import subprocess
import sys

import pytest
from conftest import attributes, python
from opentelemetry.proto.trace.v1 import trace_pb2

import axonize
from axonize import _ring

C = axonize.implementation == "c"
WRITER = """
import os, sys, axonize
axonize.init(sys.argv[1], "victim", api_key="axk_victim", span_ring=sys.argv[2], flush_interval_ms=3_600_000, batch_size=8192)
for number in range(1_000_000_000):
    with axonize.llm_span("s", number=number, text="x" * (number % 97 * 40)) as s:
        s.record_token()
        if number % 3 == 0:
            s.add_event("e", {"k": 1}); s.set_status(2, "why")
    os.write(1, b"%d\\n" % number)
    if number >= int(sys.argv[3]):
        os.kill(os.getpid(), 9)
"""


def files(folder) -> list[str]:
    return [name for name in os.listdir(folder) if name.endswith(_ring.SUFFIX)]


def kill_after(folder, number: int, address: str = "127.0.0.1:1") -> None:
    program = [sys.executable, "-c", WRITER, address, str(folder), str(number)]
    assert subprocess.run(program, stdout=subprocess.DEVNULL, timeout=60).returncode == -signal.SIGKILL


def left_in(folder) -> list:
    spans = []

    def take(owner, data, count):
        spans.extend(trace_pb2.ScopeSpans.FromString(data).spans)
        return True

    _ring.recover(str(folder), None, take)
    return spans


def recovering(address: str, folder, more: str = "") -> str:
    return python(f"""
import sys, time, axonize
from axonize import _runtime
axonize.init({address!r}, "next", api_key="axk_next", span_ring={str(folder)!r}, flush_interval_ms=20)
with axonize.span("own"): pass
{more}
deadline = time.monotonic() + 10
while _runtime._exporter._recover_from and time.monotonic() < deadline: time.sleep(0.005)
axonize.flush(5)
print(axonize.implementation)
""").stdout  # fmt: skip


if not C:

    def test_without_the_c_core_the_ring_is_told_and_left_out(grpc_server, tmp_path, caplog):
        axonize.init(grpc_server.address, span_ring=str(tmp_path))
        with axonize.span("s"):
            pass
        assert axonize.flush() and len(grpc_server.spans()) == 1 and files(tmp_path) == []
        assert sum("no span ring" in record.getMessage() for record in caplog.records) == 1

else:

    def test_every_finished_span_of_a_killed_process_is_there(tmp_path):
        """Killed at moments of chance; AXONIZE_KILLS says how many (6)."""
        seed = random.randrange(1 << 32)
        print(f"seed {seed}")
        chance = random.Random(seed)
        for _ in range(int(os.environ.get("AXONIZE_KILLS", "6"))):
            number = chance.randrange(400)
            kill_after(tmp_path, number)
            (name,) = files(tmp_path)
            assert stat.S_IMODE(os.stat(tmp_path / name).st_mode) == 0o600
            spans = left_in(tmp_path)
            assert [attributes(span)["number"] for span in spans] == list(range(number + 1))
            assert all(len(attributes(span)["text"]) == index % 97 * 40 for index, span in enumerate(spans))
            assert all(span.status.message == "why" and len(span.events) == 1 for span in spans[::3])
            assert files(tmp_path) == [], "what was taken is removed"

    def test_a_process_killed_from_outside_leaves_whole_spans(tmp_path):
        program = [sys.executable, "-c", WRITER, "127.0.0.1:1", str(tmp_path), "1000000"]
        # A small pipe holds the victim back: left alone, it fills its ring before it is killed.
        victim = subprocess.Popen(program, stdout=subprocess.PIPE, pipesize=4096)
        told = b""
        while told.count(b"\n") < 300:
            told += os.read(victim.stdout.fileno(), 65536)
        victim.kill()
        told += victim.stdout.read()
        victim.wait()
        numbers = [attributes(span)["number"] for span in left_in(tmp_path)]
        assert numbers == list(range(len(numbers)))
        # Told after the span had ended: at most the one that was being made may be more.
        assert 0 <= len(numbers) - told.count(b"\n") <= 1

    def test_the_next_process_sends_it_under_the_dead_ones_key_and_resource(grpc_server, tmp_path):
        kill_after(tmp_path, 700)
        recovering(grpc_server.address, tmp_path)
        by_service: dict[str, list] = {}
        for request, metadata in zip(grpc_server.requests, grpc_server.metadata):
            resource = attributes(request.resource_spans[0].resource)
            spans = request.resource_spans[0].scope_spans[0].spans
            by_service.setdefault(resource["service.name"], []).extend(spans)
            wanted = "axk_victim" if resource["service.name"] == "victim" else "axk_next"
            assert metadata["authorization"] == f"Bearer {wanted}"
        assert len(by_service["victim"]) == 701 and len(by_service["next"]) == 1
        assert files(tmp_path) == []

    def test_a_living_processs_ring_is_left_alone_and_goes_when_all_has_arrived(grpc_server, tmp_path):
        axonize.init(grpc_server.address, "alive", span_ring=str(tmp_path), flush_interval_ms=3_600_000)
        with axonize.span("mine"):
            pass
        assert len(files(tmp_path)) == 1
        assert left_in(tmp_path) == [] and len(files(tmp_path)) == 1
        recovering(grpc_server.address, tmp_path)
        assert sorted(span.name for span in grpc_server.spans()) == ["own"]
        assert axonize.shutdown() and files(tmp_path) == []
        assert sorted(span.name for span in grpc_server.spans()) == ["mine", "own"]

    def test_what_an_absent_server_did_not_take_waits_in_the_file(grpc_server, tmp_path):
        python(f"""
import axonize
axonize.init("127.0.0.1:1", "unlucky", span_ring={str(tmp_path)!r})
for number in range(5):
    with axonize.span(f"s{{number}}"): pass
axonize.shutdown(0.5)
""")  # fmt: skip
        assert len(files(tmp_path)) == 1
        recovering(grpc_server.address, tmp_path)
        names = sorted(span.name for span in grpc_server.spans())
        assert names == ["own", "s0", "s1", "s2", "s3", "s4"] and files(tmp_path) == []

    def test_a_forked_child_has_a_ring_of_its_own(grpc_server, tmp_path):
        python(f"""
import os, axonize
axonize.init({grpc_server.address!r}, "fork", span_ring={str(tmp_path)!r}, flush_interval_ms=3_600_000)
with axonize.span("parent"): pass
pid = os.fork()
if pid == 0:
    with axonize.span("child"): pass
    assert len(os.listdir({str(tmp_path)!r})) == 2
    os.kill(os.getpid(), 9)
os.waitpid(pid, 0)
assert axonize.shutdown()
""")  # fmt: skip
        # The parent may find its dead child's ring before it ends itself; somebody sends it, once.
        names = [span.name for span in [*grpc_server.spans(), *left_in(tmp_path)]]
        assert sorted(names) == ["child", "parent"] and files(tmp_path) == []

    @pytest.mark.parametrize("folder", ["/proc/nowhere", "a file"])
    def test_a_folder_that_cannot_be_had_costs_the_ring_and_nothing_else(grpc_server, tmp_path, caplog, folder):
        if folder == "a file":
            folder = str(tmp_path / "file")
            open(folder, "w").close()
        axonize.init(grpc_server.address, span_ring=folder)
        with axonize.span("s"):
            pass
        assert axonize.flush() and len(grpc_server.spans()) == 1
        assert sum("no span ring" in record.getMessage() for record in caplog.records) == 1

    def test_a_full_disk_is_found_before_anything_is_written(grpc_server, tmp_path):
        result = python(f"""
import resource, axonize
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
axonize.init({grpc_server.address!r}, span_ring={str(tmp_path)!r})
with axonize.span("s"): pass
assert axonize.flush()
""")  # fmt: skip
        assert "no span ring" in result.stderr and files(tmp_path) == []
        assert len(grpc_server.spans()) == 1

    def test_garbage_in_the_folder_is_read_by_nobody(tmp_path):
        seed = random.randrange(1 << 32)
        print(f"seed {seed}")
        chance = random.Random(seed)
        kill_after(tmp_path, 60)
        (name,) = files(tmp_path)
        good = (tmp_path / name).read_bytes()
        os.unlink(tmp_path / name)
        for _ in range(150):
            data = bytearray(good[: 16 * 1024 + 40_000])
            for _ in range(chance.randrange(1, 30)):
                data[chance.choice([chance.randrange(64), chance.randrange(len(data))])] = chance.randrange(256)
            if chance.random() < 0.2:
                del data[chance.randrange(len(data)) :]
            padded = bytes(data) if chance.random() < 0.3 else bytes(data) + bytes(len(good) - len(data))
            owner = _ring.read_owner(padded)
            if owner is not None:
                for span in _ring.read_spans(padded):
                    assert isinstance(span, bytes)

    def test_rings_that_nobody_sends_do_not_fill_the_disk(tmp_path):
        for _ in range(_ring.RINGS_MAX + 2):
            (tmp_path / f"1-{random.randrange(1 << 60)}{_ring.SUFFIX}").write_bytes(b"old")
        axonize.init("127.0.0.1:1", span_ring=str(tmp_path))
        assert len(files(tmp_path)) == _ring.RINGS_MAX
