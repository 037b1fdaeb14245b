"""transformers, diffusers and vLLM, each real and on the CPU, with tiny random models made on the spot.

Run by test/engine/sdk-python.test.ts in vLLM's environment; a GPU needs nothing else.
"""

from __future__ import annotations


import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import attributes, until

import axonize

MAKE_MODEL = Path(__file__).parents[4] / "test/engine/make_model.py"


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    subprocess.run([sys.executable, MAKE_MODEL, folder], check=True)
    return str(folder)


def test_transformers_generate_times_every_step(sdk):
    axonize.instrument("transformers")
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, StoppingCriteria

    config = LlamaConfig(
        vocab_size=50, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=64,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    prompt = torch.tensor([[1, 2, 3, 4, 5]])
    seen: list[int] = []

    class Own(StoppingCriteria):
        def __call__(self, input_ids, scores, **kwargs):
            seen.append(input_ids.shape[1])
            return torch.zeros(input_ids.shape[0], dtype=torch.bool)

    options = {"max_new_tokens": 8, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    with axonize.span("root"):
        out = model.generate(prompt, stopping_criteria=[Own()], **options)
        model.generate(input_ids=prompt.repeat(3, 1), num_beams=2, **options)
    assert out.shape == (1, 13) and len(seen) == 8, "the program's own criteria still run"
    with pytest.raises(Exception, match="."):
        model.generate(prompt, max_new_tokens=-5)
    assert axonize.flush()
    one, batch, failed = [span for span in sdk.spans() if span.name.startswith("text_completion")]
    got = attributes(one)
    assert got["gen_ai.usage.input_tokens"] == 5 and got["gen_ai.usage.output_tokens"] == 8
    assert got["gen_ai.request.model"] == "LlamaForCausalLM" and got["gen_ai.provider.name"] == "transformers"
    assert 0 < got["ai.llm.ttft_ms"] < got["axonize.llm.last_token_ms"]
    assert sum(got["axonize.llm.timeline.tokens"]) == 8
    assert attributes(batch)["gen_ai.usage.input_tokens"] == 15
    assert failed.status.code == 2
    assert one.parent_span_id == sdk.by_name()["root"].span_id


def test_a_diffusion_pipeline_has_its_steps(sdk):
    axonize.instrument("diffusers")
    import torch
    from diffusers import DDIMScheduler, DiTPipeline, DiTTransformer2DModel, AutoencoderKL

    torch.manual_seed(0)
    transformer = DiTTransformer2DModel(
        sample_size=4, num_layers=1, patch_size=2, attention_head_dim=4, num_attention_heads=2, in_channels=4,
        out_channels=8, norm_type="ada_norm_zero", num_embeds_ada_norm=1000, norm_elementwise_affine=False,
    )  # fmt: skip
    pipeline = DiTPipeline(transformer=transformer, vae=AutoencoderKL(), scheduler=DDIMScheduler())
    pipeline.set_progress_bar_config(disable=True)
    with axonize.span("root"):
        images = pipeline(class_labels=[1], num_inference_steps=3, output_type="np").images
    assert images.shape[0] == 1
    with pytest.raises(Exception, match="."):
        pipeline(class_labels="nonsense", num_inference_steps=0)
    assert axonize.flush()
    run, failed = [span for span in sdk.spans() if span.name.startswith("image_generation")]
    got = attributes(run)
    assert got["gen_ai.operation.name"] == "image_generation" and got["axonize.diffusion.num_inference_steps"] == 3
    assert run.parent_span_id == sdk.by_name()["root"].span_id and failed.status.code == 2


def test_steps_are_events_and_the_programs_own_callback_runs(sdk):
    from axonize.integrations import _diffusers

    class Pipeline:
        device = "cuda:1"

        def __call__(self, prompt, num_inference_steps=2, callback_on_step_end=None):
            values = {"latents": 1}
            for step in range(num_inference_steps):
                values = callback_on_step_end(self, step, 1000 - step, values)
            return values

    _diffusers._observe_class(Pipeline)
    told: list[int] = []

    def own(pipeline, step, timestep, values):
        told.append(step)
        return {"latents": values["latents"] + 1}

    assert Pipeline()("x", num_inference_steps=3, callback_on_step_end=own) == {"latents": 4}
    assert Pipeline()("x") == {"latents": 1} and told == [0, 1, 2]
    assert axonize.flush()
    first, second = sdk.spans()
    assert [event.name for event in first.events] == ["step"] * 3 and len(second.events) == 2
    assert attributes(first)["axonize.gpu.ordinals"] == [1]


def test_vllm_in_process_needs_no_line_of_ours(grpc_server, model_folder, tmp_path):
    program = tmp_path / "program.py"
    program.write_text("""
import asyncio, sys
from vllm import SamplingParams
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine.async_llm import AsyncLLM

async def call(engine, name, kind, tokens):
    parameters = SamplingParams(max_tokens=tokens, ignore_eos=True, output_kind=kind)
    async for output in engine.generate("Why was this call slow?", parameters, name):
        last = output
    return last

async def main():
    engine = AsyncLLM.from_engine_args(AsyncEngineArgs(
        model=sys.argv[1], load_format="dummy", dtype="float32", max_model_len=128, enforce_eager=True,
        served_model_name="tiny", max_num_seqs=4))
    kinds = RequestOutputKind.DELTA, RequestOutputKind.CUMULATIVE, RequestOutputKind.FINAL_ONLY
    await asyncio.gather(*(call(engine, f"r{i}", kind, 12) for i, kind in enumerate(kinds)))
    stream = engine.generate("Why?", SamplingParams(max_tokens=40, ignore_eos=True), "left")
    async for _ in stream:
        break
    await stream.aclose()
    engine.shutdown()

if __name__ == "__main__":
    asyncio.run(main())
""")
    quiet = {
        "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_LOGGING_LEVEL": "WARNING",
    }  # fmt: skip
    result = subprocess.run(
        [sys.executable, str(program), model_folder],
        env={**os.environ, **quiet, "AXONIZE_ENDPOINT": grpc_server.address, "AXONIZE_SERVICE_NAME": "engine"},
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-3000:]
    until(lambda: len(calls(grpc_server)) == 4, 20)
    spans = {attributes(span)["gen_ai.request.id"].split("-")[0]: attributes(span) for span in calls(grpc_server)}
    for name in ("r0", "r1", "r2"):
        got = spans[name]
        assert got["gen_ai.request.model"] == "tiny" and got["gen_ai.usage.output_tokens"] == 12
        assert got["gen_ai.usage.input_tokens"] > 3 and got["gen_ai.response.finish_reasons"] == ["length"]
        if name != "r2":
            assert 0 < got["ai.llm.ttft_ms"] < got["axonize.llm.last_token_ms"]
    assert spans["left"]["ai.llm.ttft_ms"] > 0
    print(spans["r0"])


def calls(received) -> list:
    return [span for span in received.spans() if span.name == "text_completion tiny"]
