"""What layout generation is measured against: diffusers' deprecated GLIGEN pipeline, one layout at a time.

The pipeline takes one list of boxes for a whole batch, so different layouts mean one call each. It always
fills 30 slots and knows only latents of four channels (others it replaces by fresh noise in every step).
Where the model differs from that, `steps` does what the pipeline's loop does, with the pipeline's own parts:
its text encoding, the gated UNet with the token network in every forward pass, the same scheduler.

Letters: B pictures, C latent channels, h w latent cells, N slots.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from scenewright.backbone.latents import initial
from scenewright.backbone.model import Backbone
from scenewright.condition.gligen import Gligen
from scenewright.convert.gligen import gated_unet
from scenewright.flows.options import GenerateOptions
from scenewright.scene import Scene

PIPELINE_SLOTS = 30
PIPELINE_CHANNELS = 4


def build_pipeline(backbone: Backbone, adapter: Gligen) -> Any:
    """The pipeline around the exported gated UNet: the same weights, in diffusers' own classes."""
    from diffusers import StableDiffusionGLIGENPipeline

    pipeline: Any = StableDiffusionGLIGENPipeline(
        vae=backbone.vae,
        text_encoder=backbone.text_encoder,
        tokenizer=backbone.tokenizer,
        unet=gated_unet(backbone.unet, adapter),
        scheduler=copy.deepcopy(backbone.scheduler),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def fits_pipeline(backbone: Backbone, adapter: Gligen) -> bool:
    """Whether the pipeline itself can run this model."""
    return backbone.channels == PIPELINE_CHANNELS and adapter.config.slots == PIPELINE_SLOTS


@torch.no_grad()
def one_by_one(
    pipeline: Any, scenes: Sequence[Scene], seeds: Sequence[int], options: GenerateOptions, slots: int
) -> Tensor:
    """Latents z_BChw, each scene by a call of its own."""
    stock = pipeline.unet.config.in_channels == PIPELINE_CHANNELS and slots == PIPELINE_SLOTS
    found = []
    for scene, seed in zip(scenes, seeds, strict=True):
        width, height = scene.size_wh
        stride = pipeline.vae_scale_factor
        shape = (pipeline.unet.config.in_channels, height // stride, width // stride)
        z_1Chw = initial([seed], shape, pipeline.device, pipeline.unet.dtype)
        if not stock:
            found.append(steps(pipeline, scene, z_1Chw, options, slots))
            continue
        found.append(
            pipeline(
                prompt=scene.prompt,
                negative_prompt=scene.negative or options.negative,
                width=width,
                height=height,
                num_inference_steps=options.steps,
                guidance_scale=options.guidance,
                gligen_scheduled_sampling_beta=1.0,
                gligen_phrases=[one.phrase for one in scene.instances],
                gligen_boxes=[list(one.location_box.xyxy) for one in scene.instances],
                latents=z_1Chw,
                output_type="latent",
            ).images
        )
    return torch.cat(found)


@torch.no_grad()
def steps(pipeline: Any, scene: Scene, z_1Chw: Tensor, options: GenerateOptions, slots: int) -> Tensor:
    """The pipeline's loop for any number of slots and channels, guidance above 1 and the gate always open."""
    device, dtype = pipeline.device, pipeline.unet.dtype
    positive, negative = pipeline.encode_prompt(
        scene.prompt, device, 1, True, scene.negative or options.negative
    )
    text_RLD = torch.cat([negative, positive])
    pipeline.scheduler.set_timesteps(options.steps, device=device)
    z_1Chw = z_1Chw * pipeline.scheduler.init_noise_sigma
    objects = layout_arguments(pipeline, scene, slots, device, dtype)
    for t in pipeline.scheduler.timesteps:
        z_RChw = pipeline.scheduler.scale_model_input(torch.cat([z_1Chw] * 2), t)
        output_RChw = pipeline.unet(
            z_RChw, t, encoder_hidden_states=text_RLD, cross_attention_kwargs={"gligen": dict(objects)}
        ).sample
        uncond, cond = output_RChw.chunk(2)
        output = uncond + options.guidance * (cond - uncond)
        z_1Chw = pipeline.scheduler.step(output, t, z_1Chw).prev_sample
    return z_1Chw


def layout_arguments(
    pipeline: Any, scene: Scene, slots: int, device: torch.device, dtype: torch.dtype
) -> dict[str, Tensor]:
    """Boxes, masks and phrase embeddings of both guidance halves, as the gated UNet takes them."""
    boxes_2N4 = torch.zeros(2, slots, 4, device=device, dtype=dtype)
    masks_2N = torch.zeros(2, slots, device=device, dtype=dtype)
    width = pipeline.text_encoder.config.hidden_size
    features_2ND = torch.zeros(2, slots, width, device=device, dtype=dtype)
    count = len(scene.instances)
    if count:
        phrases = [one.phrase for one in scene.instances]
        tokens = pipeline.tokenizer(phrases, padding=True, return_tensors="pt").to(device)
        features_2ND[:, :count] = pipeline.text_encoder(**tokens).pooler_output
        boxes_2N4[:, :count] = torch.tensor([one.location_box.xyxy for one in scene.instances])
        masks_2N[1, :count] = 1
    return {"boxes": boxes_2N4, "masks": masks_2N, "positive_embeddings": features_2ND}


@torch.no_grad()
def decode_one_by_one(pipeline: Any, z_BChw: Tensor) -> list[Any]:
    """Pictures as the pipeline gives them (arrays HW3 in [0,1])."""
    pictures: list[Any] = []
    for z_1Chw in z_BChw.split(1):
        image = pipeline.vae.decode(z_1Chw / pipeline.vae.config.scaling_factor, return_dict=False)[0]
        pictures.extend(pipeline.image_processor.postprocess(image, output_type="np"))
    return pictures
