"""A program that uses every public name; the strict type checker reads it, nobody runs it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import axonize


@axonize.trace
def add(a: int, b: int = 2) -> int:
    return a + b


@axonize.trace(name="custom-name", team="vision")
async def answer(prompt: str) -> str:
    return prompt


def words() -> Iterator[str]:
    yield "a"


async def async_words() -> AsyncIterator[bytes]:
    yield b"a"


async def main() -> None:
    axonize.init(
        endpoint="localhost:4317", service_name="svc", environment="production", gpu_profiling=True,
        batch_size=512, flush_interval_ms=5000, api_key=None,
    )  # fmt: skip
    total: int = add(1, b=2)
    text: str = await answer("x")
    with axonize.span("image-generation") as s:
        s.set_attribute("ai.model.name", "stable-diffusion-xl")
        s.set_gpus(["cuda:0", "cuda:1"])
        s.set_status(axonize.SpanStatus.OK)
        s.add_event("step", {"total": total, "text": text})
        s.record_exception(ValueError())
    headers: dict[str, str] = {}
    with axonize.llm_span("generate", model="llama-3-70b", user="u") as llm:
        llm.set_tokens_input(128)
        llm.set_model("llama-3", "70b")
        llm.record_token()
        llm.record_token(n=3)
        axonize.inject(headers)
    context: axonize.SpanContext | None = axonize.extract(headers)
    with axonize.span("server", parent=context, kind=axonize.SpanKind.SERVER):
        current: axonize.Span | None = axonize.current()
    for word in axonize.stream(words(), model="m"):
        word.upper()
    async for piece in axonize.stream(async_words(), count=len):
        piece.hex()
    done: bool = axonize.flush() and axonize.shutdown()
    print(current, done, axonize.stats()["dropped"], axonize.implementation, axonize.__version__)
