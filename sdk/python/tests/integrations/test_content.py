"""Prompts and answers are kept where the program says so, in OpenTelemetry's shape, and nowhere else."""

from __future__ import annotations

import asyncio
import json

import anthropic
import ollama
import openai
import pytest
from conftest import attributes
from model_server import model_server, unpatched  # noqa: F401 (fixtures)

import axonize
from axonize import _config
from axonize.integrations import _content

MESSAGES = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "a question"}]
ASKED = [
    {"role": "system", "parts": [{"type": "text", "content": "be brief"}]},
    {"role": "user", "parts": [{"type": "text", "content": "a question"}]},
]


def said(text: str, reason: str = "stop") -> list:
    return [{"role": "assistant", "parts": [{"type": "text", "content": text}], "finish_reason": reason}]


@pytest.fixture
def keeping(grpc_server):
    axonize.init(grpc_server.address, "tests", flush_interval_ms=50, capture_content=True)
    yield grpc_server
    axonize.shutdown()


def content(received) -> dict:
    """Of each span by the model's name: what was asked and answered."""
    assert axonize.flush()
    found = {}
    for span in received.spans():
        got = attributes(span)
        keys = ("gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system_instructions")
        found[span.name.split(" ")[1]] = [json.loads(got[key]) if key in got else None for key in keys]
    return found


def test_openai_whole_streamed_and_responses(keeping, model_server):
    axonize.instrument("openai")
    client = openai.OpenAI(base_url=f"{model_server.url}/v1", api_key="k", max_retries=0)
    client.chat.completions.create(model="whole", messages=MESSAGES)
    assert len(list(client.chat.completions.create(model="stream", messages=MESSAGES, stream=True))) == 9
    stream = client.chat.completions.create(model="left", messages=MESSAGES, stream=True)
    next(stream), next(stream), next(stream)
    stream.close()
    client.responses.create(model="responses", instructions="be brief", input="a question")
    list(client.responses.create(model="responses-stream", input=[{"role": "user", "content": "a question"}], stream=True))
    client.embeddings.create(model="e5", input="a question")

    async def main() -> None:
        async with openai.AsyncOpenAI(base_url=f"{model_server.url}/v1", api_key="k") as client:
            async for _ in await client.chat.completions.create(model="async", messages=MESSAGES, stream=True):
                continue

    asyncio.run(main())
    got = content(keeping)
    assert got["whole"] == [ASKED, said("hi"), None]
    assert got["stream"] == got["async"] == [ASKED, said("w0w1w2w3w4w5"), None]
    assert got["left"] == [ASKED, said("w0w1", ""), None]
    assert got["responses"] == [ASKED[1:], None, ASKED[0]["parts"]]
    assert got["responses-stream"] == [ASKED[1:], said("xxxxx", ""), None]
    assert got["e5"] == [None, None, None]


def test_anthropic_whole_and_streamed(keeping, model_server):
    axonize.instrument("anthropic")
    client = anthropic.Anthropic(base_url=model_server.url, api_key="k")
    call = {"max_tokens": 100, "messages": MESSAGES[1:], "system": "be brief"}
    client.messages.create(model="whole", **call)
    with client.messages.stream(model="stream", **call) as stream:
        stream.until_done()
    got = content(keeping)
    assert got["whole"] == [ASKED[1:], said("hello", "end_turn"), ASKED[0]["parts"]]
    assert got["stream"] == [ASKED[1:], said("xxxxxx", "end_turn"), ASKED[0]["parts"]]


def test_ollama_whole_and_streamed(keeping, model_server):
    axonize.instrument("ollama")
    client = ollama.Client(host=model_server.url)
    whole = client.chat(model="whole", messages=MESSAGES)
    streamed = [part.message.content for part in client.chat(model="stream", messages=MESSAGES, stream=True)]
    client.generate(model="generate", prompt="a question", system="be brief")
    got = content(keeping)
    assert got["whole"] == [ASKED, said(whole.message.content), None]
    assert got["stream"] == [ASKED, said("".join(part or "" for part in streamed)), None]
    assert got["generate"][0] == ASKED[1:] and got["generate"][2] == ASKED[0]["parts"]


def test_tools_and_media_are_told_by_their_kind(keeping, model_server):
    axonize.instrument("openai")
    client = openai.OpenAI(base_url=f"{model_server.url}/v1", api_key="k")
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,c2VjcmV0"}}
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "see"}, picture]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "rain"},
    ]
    parts = [
        {"index": 0, "id": "c2", "type": "function", "function": {"name": "f", "arguments": '{"a"'}},
        {"index": 0, "function": {"arguments": ": 1}"}},
    ]
    from model_server import chunk

    model_server.answer = lambda path, body: [(None, chunk({"tool_calls": [part]})) for part in parts]
    list(client.chat.completions.create(model="tools", messages=messages, stream=True))
    assert axonize.flush()
    (span,) = keeping.spans()
    assert "c2VjcmV0" not in str(span)
    asked, answered, _ = content(keeping)["tools"]
    assert asked[0]["parts"] == [{"type": "text", "content": "see"}, {"type": "image_url"}]
    assert asked[1]["parts"] == [{"type": "tool_call", "id": "c1", "name": "weather", "arguments": '{"city": "Oslo"}'}]
    assert asked[2]["parts"] == [{"type": "tool_call_response", "id": "c1", "response": "rain"}]
    assert answered[0]["parts"] == [{"type": "tool_call", "arguments": '{"a": 1}', "id": "c2", "name": "f"}]


def test_long_content_is_cut_and_stays_json(keeping, model_server):
    axonize.instrument("openai")
    client = openai.OpenAI(base_url=f"{model_server.url}/v1", api_key="k")
    messages = [{"role": "user", "content": f"{number} " + "ß" * 20_000} for number in range(20)]
    client.chat.completions.create(model="long", messages=messages)
    assert axonize.flush()
    got = attributes(keeping.spans()[0])
    kept = json.loads(got["gen_ai.input.messages"])
    assert [message["parts"][0]["content"].split(" ")[0] for message in kept] == ["18", "19"], "the last ones"
    assert len(got["gen_ai.input.messages"].encode()) <= _content.JSON_BYTES_MAX
    assert got[_content.TRUNCATED] is True and json.loads(got["gen_ai.output.messages"]) == said("hi")


def test_only_a_clear_yes_keeps_content():
    otel = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
    cases = [
        (None, {}, False), (True, {}, True), (False, {"AXONIZE_CAPTURE_CONTENT": "1"}, False), ("yes", {}, False),
        (None, {"AXONIZE_CAPTURE_CONTENT": "1"}, True), (None, {"AXONIZE_CAPTURE_CONTENT": "maybe"}, False),
        (None, {otel: "true"}, True), (None, {otel: "span_and_event"}, True), (None, {otel: "SPAN_ONLY"}, True),
        (None, {otel: "EVENT_ONLY"}, False), (None, {otel: "NO_CONTENT"}, False),
        (None, {otel: "true", "AXONIZE_CAPTURE_CONTENT": "0"}, False),
    ]  # fmt: skip
    for given, env, expected in cases:
        assert _config.resolve({"capture_content": given}, env).capture_content is expected, (given, env)
