"""SGLang, real and in process on the CPU, with the tiny model of the other engines' tests.

SGLang's own requirements are for CUDA; with torch's attention and the packages that its import needs it runs
on a CPU all the same. Run by test/engine/sdk-python.test.ts, which brings those packages.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from conftest import attributes, until

MAKE_MODEL = Path(__file__).parents[4] / "test/engine/make_model.py"

PROGRAM = """
import asyncio, os, sys
from sglang.srt.entrypoints.engine import Engine

def main():
    engine = Engine(
        model_path=sys.argv[1], served_model_name="tiny", device="cpu", load_format="dummy", dtype="float32",
        attention_backend="torch_native", sampling_backend="pytorch", grammar_backend="none",
        disable_cuda_graph=True, mem_fraction_static=0.05, max_total_tokens=2048, context_length=256,
        skip_server_warmup=True, log_level="error")
    tokens = lambda count: {"max_new_tokens": count, "ignore_eos": True, "temperature": 0.5}
    prompt = "Why was this call slow?"
    header = {"traceparent": "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"}
    parts = list(engine.generate(prompt, tokens(12), stream=True, external_trace_header=header))
    assert len(parts) > 1
    whole = engine.generate(prompt, tokens(5))
    assert whole["meta_info"]["completion_tokens"] == 5
    assert len(engine.generate([prompt, prompt + " And why"], [tokens(3), tokens(4)])) == 2

    async def stream():
        count = 0
        async for part in await engine.async_generate(prompt, tokens(20), stream=True):
            count += 1
            if count == 2:
                break
    engine.loop.run_until_complete(stream())
    try:
        engine.generate("x " * 4000, tokens(3))
    except Exception:
        print("refused")
    engine.shutdown()

if __name__ == "__main__":
    main()
"""


def calls(received) -> list:
    return [span for span in received.spans() if span.name == "text_completion tiny"]


def test_sglang_in_process_needs_no_line_of_ours(grpc_server, tmp_path):
    model = tmp_path / "model"
    subprocess.run([sys.executable, MAKE_MODEL, model], check=True)
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    quiet = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    result = subprocess.run(
        [sys.executable, str(program), str(model)],
        env={**os.environ, **quiet, "AXONIZE_ENDPOINT": grpc_server.address, "AXONIZE_SERVICE_NAME": "engine"},
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-3000:]
    assert "refused" in result.stdout, result.stdout
    until(lambda: len(calls(grpc_server)) == 5, 20)
    streamed, whole, batch, left, refused = [
        attributes(span) for span in sorted(calls(grpc_server), key=lambda span: span.start_time_unix_nano)
    ]
    assert streamed["gen_ai.provider.name"] == "sglang" and streamed["gen_ai.request.model"] == "tiny"
    assert streamed["gen_ai.request.temperature"] == 0.5 and streamed["gen_ai.request.max_tokens"] == 12
    assert streamed["gen_ai.usage.output_tokens"] == 12 and streamed["gen_ai.usage.input_tokens"] > 3
    assert 0 < streamed["ai.llm.ttft_ms"] < streamed["axonize.llm.last_token_ms"]
    assert streamed["gen_ai.response.finish_reasons"] == ["length"] and len(streamed["gen_ai.request.id"]) > 8
    assert whole["gen_ai.usage.output_tokens"] == 5 and "ai.llm.ttft_ms" not in whole
    assert batch["gen_ai.usage.output_tokens"] == 7
    assert batch["gen_ai.usage.input_tokens"] > 2 * whole["gen_ai.usage.input_tokens"]
    assert left["ai.llm.ttft_ms"] > 0 and left["gen_ai.usage.output_tokens"] < 20
    spans = sorted(calls(grpc_server), key=lambda span: span.start_time_unix_nano)
    assert spans[0].trace_id.hex() == "ab" * 16 and spans[0].parent_span_id.hex() == "cd" * 8
    assert spans[1].parent_span_id == b"" and spans[4].status.code == 2
    print(streamed, refused)
