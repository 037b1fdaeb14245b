"""Lesson 5: image generation. A pipeline's call is one span with an event per denoising step.

    pip install ./sdk/python torch diffusers
    python examples/diffusers_integration.py

The pipeline is real and tiny: randomly initialised, nothing is downloaded, and its pictures are noise.
Put `DiffusionPipeline.from_pretrained("…")` in its place.
"""

import os

import axonize

axonize.init(service_name="diffusers-example")
axonize.instrument("diffusers")

import torch  # noqa: E402
from diffusers import DDIMPipeline, DDIMScheduler, UNet2DModel  # noqa: E402

device = "cuda:0" if torch.cuda.is_available() else "cpu"
unet = UNet2DModel(
    sample_size=16,
    block_out_channels=(8, 16),
    norm_num_groups=4,
    layers_per_block=1,
    down_block_types=("DownBlock2D", "DownBlock2D"),
    up_block_types=("UpBlock2D", "UpBlock2D"),
)
pipeline = DDIMPipeline(unet=unet, scheduler=DDIMScheduler()).to(device)
pipeline.set_progress_bar_config(disable=True)

with axonize.span("POST /image") as request:
    if device != "cpu":
        request.set_gpus([device])
    image = pipeline(num_inference_steps=8).images[0]
    print("an image of", image.size)

if not axonize.flush():
    raise SystemExit("Nothing was sent: is `npm start` running? AXONIZE_ENDPOINT says where.")
print(f"open {os.environ.get('AXONIZE_DASHBOARD', 'http://127.0.0.1:3000')}/requests/{request.trace_id}")
