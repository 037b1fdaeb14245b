"""Lesson 5: image generation. A pipeline's call is one span with an event per denoising step.

    pip install ./sdk/python torch diffusers
    python examples/diffusers_integration.py

The pipeline is real and tiny: randomly initialised, nothing is downloaded, and its pictures are noise.
Put `DiffusionPipeline.from_pretrained("…")` in its place, and a prompt for the made-up embedding.
"""

import os

import axonize

axonize.init(service_name="diffusers-example")
axonize.instrument("diffusers")

import torch  # noqa: E402
from diffusers import (  # noqa: E402
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)

device = "cuda:0" if torch.cuda.is_available() else "cpu"
small = {"block_out_channels": (8, 16), "norm_num_groups": 4, "layers_per_block": 1}
unet = UNet2DConditionModel(
    sample_size=8,
    cross_attention_dim=8,
    attention_head_dim=2,
    down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
    up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    **small,
)
vae = AutoencoderKL(
    down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2, **small
)
scheduler = DDIMScheduler(clip_sample=False, steps_offset=1)
pipeline = StableDiffusionPipeline(
    vae, text_encoder=None, tokenizer=None, unet=unet, scheduler=scheduler,
    safety_checker=None, feature_extractor=None, requires_safety_checker=False,
).to(device)  # fmt: skip
pipeline.set_progress_bar_config(disable=True)

with axonize.span("POST /image") as request:
    if device != "cpu":
        request.set_gpus([device])
    prompt = torch.randn(1, 4, 8, device=device)
    made = pipeline(prompt_embeds=prompt, num_inference_steps=8, guidance_scale=1.0, height=16, width=16)
    print("an image of", made.images[0].size)

if not axonize.flush():
    raise SystemExit("Nothing was sent: is `npm start` running? AXONIZE_ENDPOINT says where.")
print(f"open {os.environ.get('AXONIZE_DASHBOARD', 'http://127.0.0.1:3000')}/requests/{request.trace_id}")
