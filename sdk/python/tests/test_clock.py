"""The clock of spans agrees with the system's, never runs backwards, and can be told to be the system's."""

from __future__ import annotations

import time

from conftest import python

from axonize._core_choice import core

# The clock is tied to the system's anew every 10 ms; in between it may be off by the jitter of a reading.
SLACK_NS = 20_000


def check(clock, seconds: float) -> int:
    """Reads it for so long between two readings of the system's; how often."""
    last = reads = 0
    until = time.monotonic_ns() + int(seconds * 1e9)
    while (before := time.monotonic_ns()) < until:
        now = clock()
        after = time.monotonic_ns()
        assert before - SLACK_NS <= now <= after + SLACK_NS, f"{now - before} ns, {after - before} wide"
        assert now >= last, f"{last - now} ns backwards"
        last = now
        reads += 1
    return reads


def test_it_agrees_with_the_system_clock_all_the_time():
    assert check(core.clock, 0.6) > 1000


def test_it_agrees_after_pauses():
    for pause_s in (0.0005, 0.003, 0.02, 0.2):
        core.clock()
        # The pause is what is tested: a counter that nobody asked for a while.
        time.sleep(pause_s)
        assert check(core.clock, 0.01) > 0


def test_a_burst_of_readings_goes_forward():
    readings = [core.clock() for _ in range(200_000)]
    assert readings == sorted(readings)
    assert readings[-1] > readings[0]


def test_axonize_clock_system_keeps_the_system_clock():
    code = """
import time
from axonize._core_choice import core
for _ in range(20_000):
    before, now, after = time.monotonic_ns(), core.clock(), time.monotonic_ns()
    assert before <= now <= after, (before, now, after)
"""
    python(code, env={"AXONIZE_CLOCK": "system"})


def test_a_forked_child_goes_on_with_it():
    code = """
import os, time
from axonize._core_choice import core
for _ in range(50_000): core.clock()
child = os.fork()
for _ in range(20_000):
    before, now, after = time.monotonic_ns(), core.clock(), time.monotonic_ns()
    assert before - 20_000 <= now <= after + 20_000, (before, now, after)
if child:
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""
    python(code)
