"""Devices: whose UUIDs a process tells, and what gpu_profiling reads, against stand-ins for both drivers.

`fake_cuda.c` is libcuda.so.1, the agent's fake NVML is libnvidia-ml.so.1. Each program runs in an
interpreter of its own, as both libraries keep state of the process.
"""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pytest
from conftest import attributes, python

from axonize import _gpu

HERE = Path(__file__).parent
GPU0, GPU1 = "GPU-11111111-2222-3333-4444-555555555555", "GPU-aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
MIG0 = "MIG-99999999-8888-7777-6666-555555555555"
PRELUDE = """
import ctypes, os, sys, time
import axonize
cuda = os.environ["FAKE_CUDA"]
"""


@pytest.fixture(scope="module")
def fake_cuda(tmp_path_factory):
    """Builds the stand-in once, as a current driver and as one of before 470."""
    folder = tmp_path_factory.mktemp("cuda")
    for name, flags in (("new", []), ("old", ["-DOLD"])):
        folder.joinpath(name).mkdir()
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", *flags,
             "-Wl,-soname,libcuda.so.1", "-o", folder / name / "libcuda.so.1", HERE / "fake_cuda.c"],
            check=True,
        )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def fake_nvml(tmp_path_factory):
    """The agent's fake driver: built by the caller (AXONIZE_TEST_FAKE_NVML) or here."""
    built = os.environ.get("AXONIZE_TEST_FAKE_NVML")
    if not built:
        built = str(tmp_path_factory.mktemp("nvml"))
        source = HERE.parent.parent.parent / "agent/testing/fake-nvml"
        subprocess.run(["make", "-s", f"OUT={built}"], cwd=source, check=True)
    return f"{built}/default/libnvidia-ml.so.1"


def devices(*pairs: tuple[str, str]) -> str:
    return ";".join(f"{uuid[4:].replace('-', '')}|{name}" for uuid, name in pairs)


def run(fake_cuda, code: str, *args: str, generation: str = "new", **env: str):
    values = {"FAKE_CUDA": f"{fake_cuda}/{generation}/libcuda.so.1", "CUDA_VISIBLE_DEVICES": "", **env}
    return python(PRELUDE + code, *args, env=values)


def test_the_process_tells_its_own_uuids_once_cuda_is_up(fake_cuda, grpc_server, tmp_path):
    run(fake_cuda, """
axonize.init(sys.argv[1], "gpu", flush_interval_ms=3_600_000)
with axonize.span("before anything"): pass
assert axonize.flush()
driver = ctypes.CDLL(cuda)
with axonize.span("loaded, not up"): pass
assert axonize.flush()
assert not os.path.exists(os.environ["FAKE_CUDA_INITS"]), "the SDK initialised CUDA"
driver.cuInit(0)
with axonize.span("up") as s: s.set_gpus(["cuda:1"])
assert axonize.flush()
with axonize.span("later"): pass
assert axonize.flush()
assert open(os.environ["FAKE_CUDA_INITS"]).read() == "i"
""", grpc_server.address, FAKE_CUDA_INITS=str(tmp_path / "inits"),
        FAKE_CUDA_DEVICES=devices((GPU1, "NVIDIA H100"), (GPU0, "NVIDIA H100")))  # fmt: skip
    told = [attributes(request.resource_spans[0].resource) for request in grpc_server.requests]
    assert [resource.get("axonize.gpu.uuids") for resource in told] == [None, None, [GPU1, GPU0], [GPU1, GPU0]]
    assert len({resource["service.instance.id"] for resource in told}) == 1
    assert attributes(grpc_server.by_name()["up"])["axonize.gpu.ordinals"] == [1]


def test_a_partition_has_its_own_uuid_and_an_old_driver_names_none(fake_cuda, grpc_server):
    listed = devices((MIG0, "NVIDIA A100-SXM4-40GB MIG 1g.5gb"), (GPU0, "NVIDIA A100"))
    for generation in ("new", "old"):
        run(fake_cuda, """
axonize.init(sys.argv[1], "gpu")
ctypes.CDLL(cuda).cuInit(0)
with axonize.span("s"): pass
""", grpc_server.address, generation=generation, FAKE_CUDA_DEVICES=listed)  # fmt: skip
    new, old = [attributes(request.resource_spans[0].resource) for request in grpc_server.requests]
    assert new["axonize.gpu.uuids"] == [MIG0, GPU0]
    # The list ends before the first device that cannot be told: its index is the ordinal.
    assert "axonize.gpu.uuids" not in old


def test_a_forked_child_without_cuda_tells_nothing(fake_cuda, grpc_server):
    run(fake_cuda, """
axonize.init(sys.argv[1], "gpu")
ctypes.CDLL(cuda).cuInit(0)
with axonize.span("parent"): pass
assert axonize.flush()
if os.fork() == 0:
    with axonize.span("child"): pass
    os._exit(0 if axonize.flush() else 1)
assert os.wait()[1] == 0
""", grpc_server.address, FAKE_CUDA_DEVICES=devices((GPU0, "NVIDIA H100")))  # fmt: skip
    by_span = {
        request.resource_spans[0].scope_spans[0].spans[0].name: attributes(request.resource_spans[0].resource)
        for request in grpc_server.requests
    }
    assert by_span["parent"]["axonize.gpu.uuids"] == [GPU0]
    assert "axonize.gpu.uuids" not in by_span["child"]


def test_gpu_profiling_attaches_readings_to_spans_that_name_devices(fake_cuda, fake_nvml, grpc_server, tmp_path):
    control = tmp_path / "node"
    control.write_text(f"gpu 0 h100 uuid={GPU0}\ngpu 1 h100 uuid={GPU1}\nload steady 0.5\n")
    run(fake_cuda, """
import threading
axonize.init(sys.argv[1], "gpu", gpu_profiling=True, flush_interval_ms=3_600_000)
ctypes.CDLL(cuda).cuInit(0)
with axonize.span("none"): pass
assert not [t for t in threading.enumerate() if t.name == "axonize-gpu"], "a thread before the first device"
with axonize.span("one") as s:
    s.set_gpus(["cuda:0"])
    assert [t for t in threading.enumerate() if t.name == "axonize-gpu"]
    time.sleep(0.5)
with axonize.span("both", text="x" * 300) as s:
    s.set_gpus(["cuda:0", "cuda:1"])
    time.sleep(0.3)
with axonize.span("foreign") as s:
    s.set_gpus(["cuda:5"])
with axonize.span("none again"): pass
assert axonize.flush() and axonize.shutdown()
assert not [t for t in threading.enumerate() if t.name == "axonize-gpu"]
""", grpc_server.address, AXONIZE_NVML_LIBRARY=fake_nvml, AXONIZE_FAKE_NVML_CONTROL=str(control),
        FAKE_CUDA_DEVICES=devices((GPU1, "NVIDIA H100"), (GPU0, "NVIDIA H100")))  # fmt: skip
    spans = grpc_server.by_name()
    assert list(spans) == ["none", "one", "both", "foreign", "none again"]
    one = attributes(spans["one"])
    # cuda:0 is NVML's device 1 here: the UUID decides, not the index.
    assert one["gpu.uuid"] == GPU1 and one["gpu.index"] == 0 and "H100" in one["gpu.name"]
    assert 0 < one["gpu.utilization"] <= 1
    assert 50 < one["gpu.power_watts"] < 1000 and 20 < one["gpu.temperature_celsius"] < 100
    assert 0 < one["gpu.memory_used_bytes"] < one["gpu.memory_total_bytes"] < 200e9
    both = attributes(spans["both"])
    assert "gpu.uuid" not in both and both["text"] == "x" * 300
    assert len(both["axonize.gpu.utilization"]) == 2 and len(both["axonize.gpu.power_watts"]) == 2
    assert both["gpu.memory_total_bytes"] == 2 * one["gpu.memory_total_bytes"]
    assert both["gpu.power_watts"] == pytest.approx(sum(both["axonize.gpu.power_watts"]), rel=0.01)
    for name in ("none", "foreign", "none again"):
        assert not [key for key in attributes(spans[name]) if key.startswith("gpu.")]


@pytest.mark.parametrize("broken", ["fail * nvmlDeviceGetPowerUsage 3", "lost 0", "loaded 0", "missing"])
def test_a_driver_that_cannot_tell_costs_readings_and_nothing_else(fake_cuda, fake_nvml, grpc_server, tmp_path, broken):
    control = tmp_path / "node"
    control.write_text(f"gpu 0 h100 uuid={GPU0}\nload steady 0.5\n{broken if broken != 'missing' else ''}\n")
    result = run(fake_cuda, """
axonize.init(sys.argv[1], "gpu", gpu_profiling=True)
ctypes.CDLL(cuda).cuInit(0)
with axonize.span("s") as s:
    s.set_gpus(["cuda:0"])
    time.sleep(0.25)
""", grpc_server.address, AXONIZE_FAKE_NVML_CONTROL=str(control), FAKE_CUDA_DEVICES=devices((GPU0, "H100")),
        AXONIZE_NVML_LIBRARY="/nowhere.so" if broken == "missing" else fake_nvml)  # fmt: skip
    got = attributes(grpc_server.by_name()["s"])
    assert "gpu.power_watts" not in got, "what a device cannot tell is absent, never 0"
    assert ("gpu.utilization" in got) == broken.startswith("fail")
    assert len(result.stderr.splitlines()) <= 1, result.stderr


def test_means_are_those_of_a_plain_sum():
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    series = _gpu.Series(100)
    at, steps = 0, []
    for _ in range(500):
        step = chance.choice([80, 100, 120, 120, 900])
        value = chance.choice([None, chance.random(), chance.random()])
        series.add(at + step, value)
        steps.append((at, at + step, value if step <= 300 and at > 0 else None))
        at += step
    for _ in range(300):
        start = chance.randrange(0, at)
        end = start + chance.randrange(1, 3000)
        parts = [
            (min(end, b) - max(start, a), value)
            for a, b, value in steps
            if value is not None and min(end, b) > max(start, a)
        ]
        weight = sum(length for length, _ in parts)
        got = series.mean(start, end)
        if weight:
            assert got == pytest.approx(sum(length * value for length, value in parts) / weight, rel=1e-6)


def test_a_clock_set_back_forgets_what_was_before_and_history_is_bounded():
    series = _gpu.Series(_gpu.TICK_NS)
    for tick in range(3 * _gpu.HISTORY_TICKS):
        series.add(tick * _gpu.TICK_NS, 0.5)
    assert _gpu.HISTORY_TICKS <= len(series._times) <= 2 * _gpu.HISTORY_TICKS
    series.add(0, 1.0)
    series.add(_gpu.TICK_NS, 1.0)
    assert series.mean(0, _gpu.TICK_NS) == 1.0 and len(series._times) == 2
