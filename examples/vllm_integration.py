"""Lesson 4: vLLM in your own process. `instrument` once; every request of the engine is recorded, with the
engine's own queue, prefill and decode times. (A vLLM server needs no code: give it --otlp-traces-endpoint.)

    pip install ./sdk/python vllm
    python examples/vllm_integration.py --model facebook/opt-125m    # and any other flag of vLLM's

On a machine without a GPU install vllm's CPU build.
"""

import asyncio
import os

import axonize

axonize.init(service_name="vllm-example")
axonize.instrument("vllm")

from vllm import SamplingParams  # noqa: E402  (after instrument, or before: both work)
from vllm.engine.arg_utils import AsyncEngineArgs  # noqa: E402
from vllm.sampling_params import RequestOutputKind  # noqa: E402
from vllm.utils.argparse_utils import FlexibleArgumentParser  # noqa: E402
from vllm.v1.engine.async_llm import AsyncLLM  # noqa: E402


async def main(arguments):
    engine = AsyncLLM.from_engine_args(AsyncEngineArgs.from_cli_args(arguments))
    wanted = SamplingParams(max_tokens=16, temperature=0.8, output_kind=RequestOutputKind.DELTA)
    try:
        with axonize.span("POST /generate") as request:
            async for output in engine.generate("Why was this call slow?", wanted, "request-1"):
                print(output.outputs[0].text, end="", flush=True)
        return request.trace_id
    finally:
        engine.shutdown()


if __name__ == "__main__":  # vLLM's engine is a process of its own, which imports this file again
    flags = AsyncEngineArgs.add_cli_args(FlexibleArgumentParser())
    trace_id = asyncio.run(main(flags.parse_args()))
    if not axonize.flush():
        raise SystemExit("\nNothing was sent: is `npm start` running? AXONIZE_ENDPOINT says where.")
    print(f"\nopen {os.environ.get('AXONIZE_DASHBOARD', 'http://127.0.0.1:3000')}/requests/{trace_id}")
