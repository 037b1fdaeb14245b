"""openai, anthropic and ollama: the real clients against local servers, whole and streamed."""

from __future__ import annotations

import asyncio
import gc

import anthropic
import ollama
import openai
import pytest
from conftest import attributes
from model_server import model_server, unpatched  # noqa: F401 (fixtures)

import axonize

MESSAGES = [{"role": "user", "content": "a secret"}]


@pytest.fixture
def chat(sdk, model_server):
    """An openai client under a root span's observation; the value is (client, receiver, server)."""
    axonize.instrument("openai")
    yield openai.OpenAI(base_url=f"{model_server.url}/v1", api_key="k", max_retries=0), sdk, model_server


def one(received) -> dict:
    """The only span's attributes, with its name and status."""
    assert axonize.flush()
    (span,) = received.spans()
    assert "a secret" not in str(span), "content is never read"
    return {**attributes(span), ":name": span.name, ":status": span.status.code, ":kind": span.kind, ":id": span.span_id.hex()}


def hold_stream(got: dict, tokens: int, output: int) -> None:
    assert got["gen_ai.usage.output_tokens"] == output, "the server's count wins"
    assert 0 < got["ai.llm.ttft_ms"] < got["axonize.llm.last_token_ms"]
    assert sum(got["axonize.llm.timeline.tokens"]) == tokens
    assert got["ai.llm.tokens_per_second"] > 0 and got["gen_ai.request.stream"] is True


def test_a_whole_chat_completion(chat):
    client, received, server = chat
    answer = client.chat.completions.create(model="llama-3", messages=MESSAGES, temperature=0.5, max_tokens=64)
    assert answer.choices[0].message.content == "hi"
    got = one(received)
    assert got[":name"] == "chat llama-3" and got[":kind"] == 3
    assert got["gen_ai.operation.name"] == "chat" and got["gen_ai.provider.name"] == "openai"
    assert got["gen_ai.request.model"] == "llama-3" and got["gen_ai.response.model"] == "llama-3-70b-q4"
    assert got["gen_ai.request.temperature"] == 0.5 and got["gen_ai.request.max_tokens"] == 64
    assert got["gen_ai.usage.input_tokens"] == 11 and got["gen_ai.usage.output_tokens"] == 7
    assert got["gen_ai.usage.cache_read.input_tokens"] == 4 and got["gen_ai.usage.reasoning.output_tokens"] == 2
    assert got["gen_ai.response.finish_reasons"] == ["stop"] and got["server.address"] == "127.0.0.1"
    assert server.headers[0]["traceparent"].split("-")[2] == got[":id"], "the server's spans become children"


def test_a_streamed_chat_keeps_its_type_and_times_its_tokens(chat):
    client, received, _ = chat
    stream = client.chat.completions.create(model="llama-3", messages=MESSAGES, stream=True)
    assert isinstance(stream, openai.Stream)
    assert axonize.current() is None
    text = "".join(part.choices[0].delta.content or "" for part in stream if part.choices)
    assert text == "w0w1w2w3w4w5"
    hold_stream(one(received), tokens=6, output=7)


@pytest.mark.parametrize("how", ["close", "with", "drop"])
def test_a_stream_left_early_ends_its_span(chat, how):
    client, received, _ = chat
    stream = client.chat.completions.create(model="llama-3", messages=MESSAGES, stream=True)
    if how == "with":
        with stream:
            next(stream), next(stream), next(stream)
    else:
        next(stream), next(stream), next(stream)
        if how == "close":
            stream.close()
    del stream
    gc.collect()
    got = one(received)
    assert got["gen_ai.usage.output_tokens"] == 2 and got[":status"] == 0


def test_parse_stream_helper_raw_and_responses_are_seen(chat):
    client, received, _ = chat
    client.chat.completions.parse(model="parse", messages=MESSAGES)
    with client.chat.completions.stream(model="helper", messages=MESSAGES) as stream:
        stream.until_done()
    raw = client.chat.completions.with_raw_response.create(model="raw", messages=MESSAGES)
    assert raw.parse().id == "chatcmpl-1"
    raw_stream = client.chat.completions.with_raw_response.create(model="raw-stream", messages=MESSAGES, stream=True)
    assert len(list(raw_stream.parse())) == 9
    client.responses.create(model="responses", input="a secret")
    list(client.responses.create(model="responses-stream", input="a secret", stream=True))
    client.embeddings.create(model="e5", input="a secret")
    client.models.list
    assert axonize.flush()
    spans = {name.split(" ")[1]: attributes(span) for name, span in received.by_name().items()}
    assert list(spans) == ["parse", "helper", "raw", "raw-stream", "responses", "responses-stream", "e5"]
    assert spans["parse"]["gen_ai.usage.output_tokens"] == spans["raw"]["gen_ai.usage.output_tokens"] == 7
    hold_stream(spans["helper"], tokens=6, output=7)
    hold_stream(spans["raw-stream"], tokens=6, output=7)
    assert spans["responses"]["gen_ai.usage.input_tokens"] == 9
    assert spans["responses"]["gen_ai.usage.cache_read.input_tokens"] == 3
    hold_stream(spans["responses-stream"], tokens=5, output=5)
    assert spans["e5"]["gen_ai.operation.name"] == "embeddings" and spans["e5"]["gen_ai.usage.input_tokens"] == 3


def test_the_async_client_and_its_streams_side_by_side(sdk, model_server):
    axonize.instrument("openai")

    async def ask(client, model: str, stream: bool) -> None:
        with axonize.span(f"root {model}"):
            answer = await client.chat.completions.create(model=model, messages=MESSAGES, stream=stream)
            if stream:
                assert isinstance(answer, openai.AsyncStream)
                async for _ in answer:
                    assert axonize.current().name == f"root {model}"

    async def main() -> None:
        async with openai.AsyncOpenAI(base_url=f"{model_server.url}/v1", api_key="k") as client:
            await asyncio.gather(*(ask(client, f"m{index}", index % 2 == 0) for index in range(6)))
            stream = await client.chat.completions.create(model="left", messages=MESSAGES, stream=True)
            async with stream:
                await stream.__anext__()

    asyncio.run(main())
    assert axonize.flush()
    spans = sdk.by_name()
    assert len(spans) == 13
    for index in range(6):
        call, root = spans[f"chat m{index}"], spans[f"root m{index}"]
        assert call.parent_span_id == root.span_id and call.trace_id == root.trace_id
        assert attributes(call)["gen_ai.usage.output_tokens"] == 7


def test_a_refused_call_is_an_error_that_reaches_the_program(chat):
    client, received, server = chat
    server.status = 429
    with pytest.raises(openai.RateLimitError):
        client.chat.completions.create(model="llama-3", messages=MESSAGES)
    got = one(received)
    assert got[":status"] == 2 and got["error.type"] == "openai.RateLimitError"


def test_a_connection_that_breaks_off_mid_stream_is_an_error(chat):
    client, received, server = chat
    answer = server.answer
    server.answer = lambda path, body: answer(path, body)[:3] + [(None, object())]
    with pytest.raises(Exception, match="."):
        list(client.chat.completions.create(model="llama-3", messages=MESSAGES, stream=True))
    assert one(received)[":status"] == 2


def test_instrumenting_twice_makes_one_span_and_unknown_names_do_no_harm(sdk, model_server, caplog):
    for _ in range(3):
        axonize.instrument("openai")
        axonize.instrument()
    axonize.instrument("nonsense")
    client = openai.OpenAI(base_url=f"{model_server.url}/v1", api_key="k")
    client.chat.completions.create(model="m", messages=MESSAGES)
    assert axonize.flush()
    assert sorted(span.name for span in sdk.spans()) == ["POST", "chat m"], "the call, and its request below"
    assert sum("nonsense" in record.getMessage() for record in caplog.records) == 1


def test_anthropic_whole_and_streamed_both_ways(sdk, model_server):
    axonize.instrument("anthropic")
    client = anthropic.Anthropic(base_url=model_server.url, api_key="k")
    call = {"max_tokens": 100, "messages": MESSAGES}
    assert client.messages.create(model="whole", **call).content[0].text == "hello"
    for _ in client.messages.create(model="stream", stream=True, **call):
        continue
    with client.messages.stream(model="helper", **call) as stream:
        assert "".join(stream.text_stream) == "xxxxxx"

    async def main() -> None:
        async with anthropic.AsyncAnthropic(base_url=model_server.url, api_key="k") as client:
            async with client.messages.stream(model="async", **call) as stream:
                assert (await stream.get_final_message()).usage.output_tokens == 6

    asyncio.run(main())
    assert axonize.flush()
    spans = {name.split(" ")[1]: attributes(span) for name, span in sdk.by_name().items()}
    assert list(spans) == ["whole", "stream", "helper", "async"]
    for name, got in spans.items():
        # Anthropic's input leaves out what was cached; ours has it in.
        assert got["gen_ai.usage.input_tokens"] == 17 and got["gen_ai.usage.cache_read.input_tokens"] == 5
        assert got["gen_ai.usage.output_tokens"] == 6 and got["gen_ai.response.finish_reasons"] == ["end_turn"]
        assert got["gen_ai.provider.name"] == "anthropic"
        if name != "whole":
            hold_stream(got, tokens=6, output=6)


def test_ollama_whole_and_streamed_both_ways(sdk, model_server):
    axonize.instrument("ollama")
    client = ollama.Client(host=model_server.url)
    client.chat(model="whole", messages=MESSAGES, options={"temperature": 0.1, "num_predict": 9})
    assert len(list(client.chat(model="stream", messages=MESSAGES, stream=True))) == 5
    assert len(list(client.generate(model="generate", prompt="a secret", stream=True))) == 5
    client.embed(model="e5", input="a secret")

    async def main() -> None:
        client = ollama.AsyncClient(host=model_server.url)
        async for _ in await client.chat(model="async", messages=MESSAGES, stream=True):
            continue
        async for _ in await client.chat(model="async-left", messages=MESSAGES, stream=True):
            break

    asyncio.run(main())
    gc.collect()
    assert axonize.flush()
    spans = {name.split(" ")[1]: attributes(span) for name, span in sdk.by_name().items()}
    assert list(spans) == ["whole", "stream", "generate", "e5", "async", "async-left"]
    assert spans["whole"]["gen_ai.request.max_tokens"] == 9 and spans["whole"]["gen_ai.request.temperature"] == 0.1
    for name in ("whole", "stream", "generate", "async"):
        got = spans[name]
        assert got["gen_ai.usage.input_tokens"] == 8 and got["gen_ai.usage.output_tokens"] == 4
        assert got["gen_ai.latency.time_in_model_prefill"] == 0.03
        assert got["gen_ai.latency.time_in_model_decode"] == 0.06
        assert got["gen_ai.response.finish_reasons"] == ["stop"]
        if name != "whole":
            hold_stream(got, tokens=4, output=4)
    assert spans["async-left"]["gen_ai.usage.output_tokens"] == 1


def test_a_library_that_changed_costs_attributes_and_not_the_call(chat, caplog, monkeypatch):
    client, received, _ = chat
    from axonize.integrations import _calls, _openai

    monkeypatch.setattr(_openai._OpenAI, "take", lambda *args: 1 / 0)
    monkeypatch.setattr(_openai._OpenAI, "result", lambda *args: 1 / 0)
    assert len(list(client.chat.completions.create(model="m", messages=MESSAGES, stream=True))) == 9
    assert client.chat.completions.create(model="m", messages=MESSAGES).id == "chatcmpl-1"
    monkeypatch.setattr(_calls, "begin", lambda *args: 1 / 0)
    assert client.chat.completions.create(model="m", messages=MESSAGES).id == "chatcmpl-1"
    assert axonize.flush() and len(received.spans()) == 2
    assert sum("cannot observe openai" in record.getMessage() for record in caplog.records) == 1
