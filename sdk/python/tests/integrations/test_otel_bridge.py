"""The OpenTelemetry bridge: real instrumentations of both families record into our ring unchanged."""

from __future__ import annotations

import asyncio

import openai
import opentelemetry.trace
import pytest
from conftest import attributes, parents
from langchain_core.language_models import FakeListChatModel
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from model_server import model_server, unpatched  # noqa: F401 (fixtures)
from openinference.instrumentation.langchain import LangChainInstrumentor
from openinference.instrumentation.llama_index import LlamaIndexInstrumentor
from openinference.instrumentation.openai import OpenAIInstrumentor as InferenceOpenAI
from opentelemetry import context as otel_context
from opentelemetry.instrumentation.langchain import LangchainInstrumentor
from opentelemetry.instrumentation.openai import OpenAIInstrumentor as LlmetryOpenAI
from opentelemetry.sdk.trace import TracerProvider as SdkProvider

import axonize
from axonize.otel import tracer_provider


@pytest.fixture
def tracer():
    return tracer_provider().get_tracer("tests", "1.0")


def test_parents_work_both_ways(sdk, tracer):
    with axonize.span("ours"):
        with tracer.start_as_current_span("theirs") as theirs:
            assert opentelemetry.trace.get_current_span() is theirs
            with axonize.span("ours below"):
                with tracer.start_as_current_span("theirs below"):
                    pass
                assert opentelemetry.trace.get_current_span().get_span_context().trace_id
        with axonize.span("beside"):
            pass
        detached = tracer.start_span("never current")
        with axonize.span("not its child"):
            detached.end()
        with opentelemetry.trace.use_span(tracer.start_span("used"), end_on_exit=True):
            with axonize.span("in used"):
                pass
        tracer.start_span("root of its own", context=otel_context.Context()).end()
    assert opentelemetry.trace.get_current_span() is opentelemetry.trace.INVALID_SPAN
    assert parents(sdk) == {
        "ours": None, "theirs": "ours", "ours below": "theirs", "theirs below": "ours below",
        "beside": "ours", "never current": "ours", "not its child": "ours", "used": "ours",
        "in used": "used", "root of its own": None,
    }  # fmt: skip


def test_everything_that_a_span_of_theirs_can_say_arrives(sdk, tracer):
    other = tracer.start_span("other")
    link = opentelemetry.trace.Link(other.get_span_context(), {"why": "because"})
    kind = opentelemetry.trace.SpanKind.SERVER
    begun = 1_700_000_000_000_000_000
    span = tracer.start_span("first name", kind=kind, attributes={"a": 1}, links=[link], start_time=begun)
    span.set_attributes({"b": [1, 2], "c": "x"})
    span.add_event("moment", {"k": 1}, timestamp=begun + 5)
    span.record_exception(ValueError("broken"))
    span.update_name("last name")
    span.set_status(opentelemetry.trace.Status(opentelemetry.trace.StatusCode.ERROR, "bad"))
    assert span.is_recording() and span.attributes["c"] == "x"
    span.end(begun + 10_000_000)
    span.set_attribute("late", 1)
    assert not span.is_recording()
    with pytest.raises(KeyError), tracer.start_as_current_span("raises"):
        raise KeyError("k")
    assert axonize.flush()
    got = sdk.by_name()["last name"]
    assert attributes(got) == {"a": 1, "b": [1, 2], "c": "x", "otel.scope.name": "tests"}
    assert got.kind == 2 and got.status.code == 2 and got.status.message == "bad"
    assert abs(got.start_time_unix_nano - begun) < 1_000_000
    assert got.end_time_unix_nano - got.start_time_unix_nano == 10_000_000
    assert [event.name for event in got.events] == ["moment", "exception"]
    assert got.events[0].time_unix_nano == begun + 5 and got.events[1].time_unix_nano > begun
    assert got.links[0].span_id.hex() == f"{other.get_span_context().span_id:016x}"
    assert attributes(got.links[0]) == {"why": "because"}
    raised = sdk.by_name()["raises"]
    assert raised.status.code == 2 and len(raised.events) == 1


def test_another_sdks_spans_are_parents_too_and_its_provider_stays(sdk):
    foreign = SdkProvider().get_tracer("foreign")
    tracer_provider()
    with foreign.start_as_current_span("foreign") as outer:
        with axonize.span("ours") as ours:
            assert axonize.current() is ours
        assert axonize.current() is None, "a foreign span is none of ours"
    assert axonize.flush()
    (span,) = sdk.spans()
    assert span.parent_span_id.hex() == f"{outer.get_span_context().span_id:016x}"
    assert not isinstance(opentelemetry.trace.get_tracer_provider(), type(tracer_provider()))


def test_tasks_and_tokens_detached_elsewhere_leak_nothing(sdk, tracer):
    async def one(number: int) -> None:
        with tracer.start_as_current_span(f"task {number}"):
            await asyncio.sleep(0.001)
            with axonize.span(f"inner {number}"):
                await asyncio.sleep(0.001)

    async def main() -> None:
        with axonize.span("root"):
            await asyncio.gather(*(one(number) for number in range(10)))
            token = otel_context.attach(otel_context.set_value("key", "value"))
            assert axonize.current().name == "root"
            await asyncio.create_task(detach_in_a_task(token))

    async def detach_in_a_task(token) -> None:
        otel_context.detach(token)

    asyncio.run(main())
    found = parents(sdk)
    assert all(found[f"task {n}"] == "root" and found[f"inner {n}"] == f"task {n}" for n in range(10))


@pytest.mark.parametrize("instrumentor", [InferenceOpenAI, LlmetryOpenAI], ids=["openinference", "openllmetry"])
def test_openai_through_an_instrumentation_of_theirs(sdk, model_server, instrumentor):
    made = instrumentor()
    made.instrument(tracer_provider=tracer_provider())
    try:
        client = openai.OpenAI(base_url=f"{model_server.url}/v1", api_key="k")
        messages = [{"role": "user", "content": "hello"}]
        with axonize.span("root"):
            client.chat.completions.create(model="m", messages=messages)
            for _ in client.chat.completions.create(model="m", messages=messages, stream=True):
                continue
    finally:
        made.uninstrument()
    found = parents(sdk)
    spans = [span for span in sdk.spans() if span.name != "root"]
    assert len(spans) == 2 and all(found[span.name] == "root" for span in spans)
    for span in spans:
        got = attributes(span)
        counts = {value for key, value in got.items() if "token" in key and isinstance(value, int)}
        assert 11 in counts and 7 in counts, got
        assert got["otel.scope.name"].startswith(("openinference.", "opentelemetry."))


@pytest.mark.parametrize("instrumentor", [LangChainInstrumentor, LangchainInstrumentor], ids=["openinference", "openllmetry"])
def test_langchain_through_an_instrumentation_of_theirs(sdk, instrumentor):
    made = instrumentor()
    made.instrument(tracer_provider=tracer_provider())
    try:
        run_chain()
    finally:
        made.uninstrument()
    hold_chain(sdk)


def test_instrument_finds_langchains_instrumentation(sdk):
    axonize.instrument("langchain")
    try:
        run_chain()
    finally:
        LangChainInstrumentor().uninstrument()
    hold_chain(sdk)


def run_chain() -> None:
    def tool(text):
        with axonize.span("tool"):
            return text

    model = FakeListChatModel(responses=["fine"])
    chain = ChatPromptTemplate.from_template("how are you, {name}?") | model | RunnableLambda(tool)
    with axonize.span("root"):
        assert chain.invoke({"name": "x"}).content == "fine"


def hold_chain(sdk) -> None:
    found = parents(sdk)
    sequence = next(name for name in found if "RunnableSequence" in name)
    assert found[sequence] == "root"
    model = next(name for name in found if "FakeListChatModel" in name)
    assert found[model] == sequence
    assert len({span.trace_id for span in sdk.spans()}) == 1, "what runs inside stays in the trace"


def test_llamaindex_through_instrument(sdk):
    from llama_index.core.llms import MockLLM

    axonize.instrument("llamaindex")
    try:
        with axonize.span("root"):
            assert MockLLM(max_tokens=4).complete("one two three four five").text
    finally:
        LlamaIndexInstrumentor().uninstrument()
    found = parents(sdk)
    assert [name for name, parent in found.items() if parent == "root"], found
