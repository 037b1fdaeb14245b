"""How an engine's generator is followed, whatever its caller does with it; real engines: tests/engine."""

from __future__ import annotations

import asyncio

import pytest

import axonize
from axonize._core_choice import core
from axonize.integrations._engine_calls import follow


class Engine:
    """An engine of three outputs that can fail, and that sees in which span it runs and whether it was closed."""

    def __init__(self, fails=False):
        self.fails, self.inside, self.closed = fails, [], False

    async def generate(self, prompt, hint=None):
        try:
            for number in range(3):
                self.inside.append((axonize.current().name, hint))
                await asyncio.sleep(0)
                if self.fails and number == 1:
                    raise ValueError("out of memory")
                yield number
        finally:
            self.closed = True


class Call:
    complete = False

    def __init__(self, engine, args, kwargs):
        self.span = core.llm_span("generate")
        self.span._begin()
        self.taken = 0
        kwargs["hint"] = "from the call"

    def take(self, output):
        self.taken += 1
        self.span.record_token()


class OneAnswer(Call):
    def take(self, output):
        self.complete = True


class Broken(Call):
    def take(self, output):
        raise RuntimeError("the engine's outputs have changed")


def followed(call):
    return follow("engine", call)(Engine.generate)


def run(engine, call, most=3):
    async def main():
        outputs, caller = [], []
        generator = followed(call)(engine, "prompt")
        try:
            async for output in generator:
                outputs.append(output)
                caller.append(axonize.current())
                if len(outputs) == most:
                    break
        finally:
            await generator.aclose()
        return outputs, caller

    return asyncio.run(main())


def ended(sdk):
    assert axonize.flush(10)
    return sdk.by_name()["generate"]


def test_the_engine_runs_inside_the_span_and_the_caller_outside(sdk):
    engine = Engine()
    assert run(engine, Call, most=4) == ([0, 1, 2], [None] * 3)
    assert engine.inside == [("generate", "from the call")] * 3 and engine.closed
    assert ended(sdk).status.code == 0


def test_a_caller_that_leaves_ends_the_span_and_closes_the_engine(sdk):
    engine = Engine()
    assert run(engine, Call, most=1)[0] == [0] and engine.closed
    assert ended(sdk).status.code == 0


def test_an_engines_failure_is_the_spans_and_reaches_the_caller(sdk):
    engine = Engine(fails=True)
    with pytest.raises(ValueError, match="out of memory"):
        run(engine, Call)
    span = ended(sdk)
    assert engine.closed and span.status.code == 2 and span.status.message == "ValueError: out of memory"


def test_a_call_that_is_complete_ends_before_its_generator(sdk):
    async def main():
        generator = followed(OneAnswer)(Engine(), "prompt")
        await generator.__anext__()
        assert ended(sdk).name == "generate"
        await generator.aclose()

    asyncio.run(main())
    assert ended(sdk).status.code == 0


def test_what_cannot_be_observed_costs_the_caller_nothing(sdk, caplog):
    def refuses(engine, args, kwargs):
        raise AttributeError("no such engine")

    assert run(Engine(), Broken)[0] == [0, 1, 2]
    with axonize.span("caller"):
        assert run(Engine(), refuses)[0] == [0, 1, 2]
    assert "cannot observe engine" in caplog.text
