"""What must come out equal, whatever the model: batches, schedulers, adapters on and off, diffusers itself.

Tiny random models in the layouts of nano, Stable Diffusion 1 and 2, and the embedded model where it is.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from scenewright.backbone.latents import decode, initial
from scenewright.backbone.load import load_folder, save_folder
from scenewright.backbone.loop import StepInfo, Stopped
from scenewright.backbone.model import Backbone
from scenewright.condition.gligen import Gligen, GligenConfig, inputs_from_scenes
from scenewright.convert.gligen import export_gated
from scenewright.flows.generate import generate, latents
from scenewright.flows.options import GenerateOptions
from scenewright.models.bundle import Bundle
from scenewright.scene import Box, Instance, Scene
from scenewright.testing import tiny_backbone

LAYOUTS = ("nano", "sd1", "sd2")
SIDE_PX = 64
OPTIONS = GenerateOptions(steps=3, scheduler="ddim", negative="the grass")
SEEDS = tuple(range(11, 19))


def scene(k: int, count: int) -> Scene:
    """Scene number k with `count` boxes, none of them those of another scene."""
    phrases = ("a red car", "a blue cat", "the dog", "a sky")
    boxes = [Box(0.02 * k, 0.1 + 0.2 * n, 0.3 + 0.05 * k, 0.3 + 0.2 * n) for n in range(count)]
    instances = tuple(
        Instance(phrase=phrases[(k + n) % 4], box=box, id=f"i{n + 1}") for n, box in enumerate(boxes)
    )
    return Scene(prompt=f"{phrases[k % 4]} {k}", size_wh=(SIDE_PX, SIDE_PX), instances=instances)


SCENES = [scene(k, 1 + k % 3) for k in range(8)]


def opened(unet: Any) -> Gligen:
    """An adapter whose gates are open and whose null tokens are not zero, as after training."""
    adapter = Gligen.for_unet(unet, GligenConfig(slots=4)).requires_grad_(False)
    for fuser in adapter.fusers.values():
        fuser.alpha_attn.fill_(0.6)
        fuser.alpha_dense.fill_(0.4)
    generator = torch.Generator().manual_seed(3)
    adapter.position_net.null_positive_feature.normal_(generator=generator)
    adapter.position_net.null_position_feature.normal_(generator=generator)
    return adapter.eval()


def embedded() -> Bundle:
    import scenewright
    from scenewright.models.load import load_bundle

    folder = Path(scenewright.__file__).parent / "models" / "nano"
    if not (folder / "model_index.json").is_file() or not (folder / "gligen.safetensors").is_file():
        pytest.skip(f"no embedded weights in {folder}")
    return load_bundle("nano+gligen", "cpu", torch.float32)


@pytest.fixture(scope="module", params=[*LAYOUTS, "nano+gligen"])
def model(request: pytest.FixtureRequest) -> Iterator[tuple[Backbone, Gligen]]:
    if request.param == "nano+gligen":
        bundle = embedded()
        assert isinstance(bundle.adapter, Gligen)
        yield bundle.backbone, bundle.adapter
    else:
        backbone = tiny_backbone(5, request.param)
        yield backbone, opened(backbone.unet)


def close(one: torch.Tensor, other: torch.Tensor, tolerance: float = 1e-4) -> None:
    torch.testing.assert_close(one, other, atol=tolerance, rtol=0)


@pytest.mark.parametrize("scheduler", ["ddim", "pndm", "euler", "dpm++"])
def test_a_picture_does_not_depend_on_its_neighbours(model, scheduler):
    backbone, adapter = model
    options = GenerateOptions(steps=3, scheduler=scheduler)
    count = 8 if scheduler == "ddim" else 3
    together = latents(backbone, adapter, SCENES[:count], SEEDS[:count], options)
    for k in (0, count - 1):
        alone = latents(backbone, adapter, SCENES[k : k + 1], SEEDS[k : k + 1], options)
        close(together[k : k + 1], alone)
    assert (together[0] - together[-1]).abs().max() > 0.1


def test_the_base_is_bit_equal_after_the_adapter_was_there(model):
    backbone, adapter = model
    before = latents(backbone, None, SCENES[:2], SEEDS[:2], OPTIONS)
    laid_out = latents(backbone, adapter, SCENES[:2], SEEDS[:2], OPTIONS)
    after = latents(backbone, None, SCENES[:2], SEEDS[:2], OPTIONS)
    assert torch.equal(before, after)
    assert (laid_out - before).abs().max() > 1e-3
    assert not any("fuser" in key for key in backbone.unet.state_dict())


def test_an_untrained_adapter_changes_nothing(model):
    backbone, _ = model
    fresh = Gligen.for_unet(backbone.unet, GligenConfig(slots=4)).requires_grad_(False)
    base = latents(backbone, None, SCENES[:3], SEEDS[:3], OPTIONS)
    assert torch.equal(latents(backbone, fresh, SCENES[:3], SEEDS[:3], OPTIONS), base)


def test_scenes_without_instances_equal_the_base_beside_others(model):
    backbone, adapter = model
    mixed = [SCENES[0], SCENES[1].replace(instances=()), SCENES[2], SCENES[3].replace(instances=())]
    with_layout = latents(backbone, adapter, mixed, SEEDS[:4], OPTIONS)
    base = latents(backbone, None, mixed, SEEDS[:4], OPTIONS)
    close(with_layout[[1, 3]], base[[1, 3]], 1e-5)
    assert (with_layout[[0, 2]] - base[[0, 2]]).abs().amax((1, 2, 3)).min() > 1e-3


def test_the_gate_schedule_acts_in_its_share_of_the_steps(model):
    backbone, adapter = model
    closed = GenerateOptions(steps=3, gate=(0.0, 0.0, 1.0))
    half = GenerateOptions(steps=3, gate=(0.34, 0.0, 0.66))
    base = latents(backbone, None, SCENES[:2], SEEDS[:2], closed)
    assert torch.equal(latents(backbone, adapter, SCENES[:2], SEEDS[:2], closed), base)
    partly = latents(backbone, adapter, SCENES[:2], SEEDS[:2], half)
    wholly = latents(backbone, adapter, SCENES[:2], SEEDS[:2], GenerateOptions(steps=3))
    assert (partly - base).abs().max() > 1e-4 and (partly - wholly).abs().max() > 1e-4


def test_stable_diffusion_pipeline_gives_our_latents_without_layout(model, tmp_path):
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    backbone, _ = model
    folder = save_folder(backbone, tmp_path / "model", torch.float32)
    pipeline = StableDiffusionPipeline.from_pretrained(folder, torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = DDIMScheduler.from_config(
        pipeline.scheduler.config, clip_sample=False, set_alpha_to_one=False, steps_offset=1
    )
    cells = SIDE_PX // backbone.stride
    theirs = pipeline(
        prompt=[one.prompt for one in SCENES[:2]],
        negative_prompt=[OPTIONS.negative] * 2,
        num_inference_steps=OPTIONS.steps,
        guidance_scale=OPTIONS.guidance,
        latents=initial(SEEDS[:2], (backbone.channels, cells, cells)),
        width=SIDE_PX,
        height=SIDE_PX,
        output_type="latent",
    ).images
    close(latents(backbone, None, SCENES[:2], SEEDS[:2], OPTIONS), theirs)


def gligen_arguments(backbone: Backbone, adapter: Gligen, scenes: list[Scene]) -> dict[str, torch.Tensor]:
    """Both guidance halves as diffusers' gated UNet takes them; embeddings by transformers alone."""
    inputs = inputs_from_scenes(scenes, backbone, adapter.config)
    features = torch.zeros_like(inputs.features_BND)
    for b, one in enumerate(scenes):
        phrases = [instance.phrase for instance in one.instances]
        tokens = backbone.tokenizer(phrases, padding=True, return_tensors="pt")
        features[b, : len(phrases)] = backbone.text_encoder(**tokens).pooler_output
    null = torch.zeros_like(inputs.masks_BN)
    return {
        "boxes": torch.cat([inputs.boxes_BN4] * 2),
        "masks": torch.cat([null, inputs.masks_BN]),
        "positive_embeddings": torch.cat([features] * 2),
    }


@torch.no_grad()
def test_the_exported_gated_unet_gives_our_latents_with_layout(model, tmp_path):
    from diffusers import DDIMScheduler, UNet2DConditionModel

    backbone, adapter = model
    export_gated(backbone, adapter, tmp_path / "gated")
    unet = UNet2DConditionModel.from_pretrained(tmp_path / "gated" / "unet")
    noise = DDIMScheduler.from_config(
        backbone.scheduler.config, clip_sample=False, set_alpha_to_one=False, steps_offset=1
    )
    noise.set_timesteps(OPTIONS.steps)
    prompts = [OPTIONS.negative] * len(SCENES) + [one.prompt for one in SCENES]
    ids = backbone.tokenizer(
        prompts, padding="max_length", max_length=backbone.window, return_tensors="pt"
    ).input_ids
    text = backbone.text_encoder(ids).last_hidden_state
    layout = gligen_arguments(backbone, adapter, SCENES)
    cells = SIDE_PX // backbone.stride
    z = initial(SEEDS, (backbone.channels, cells, cells))
    for t in noise.timesteps:
        given = {"gligen": dict(layout)}
        output = unet(torch.cat([z, z]), t, encoder_hidden_states=text, cross_attention_kwargs=given).sample
        uncond, cond = output.chunk(2)
        z = noise.step(uncond + OPTIONS.guidance * (cond - uncond), t, z).prev_sample
    close(latents(backbone, adapter, SCENES, SEEDS, OPTIONS), z)


def test_stable_diffusion_2_runs_through_the_whole_flow():
    backbone = tiny_backbone(5, "sd2")
    assert backbone.prediction == "v" and backbone.context_width == 1024
    bundle = Bundle(backbone, opened(backbone.unet), "tiny-sd2+gligen", "gligen")
    options = GenerateOptions(steps=2, batch=2)
    records = list(generate(bundle, SCENES[:3], SEEDS[:3], options))
    assert [record.image.shape for record in records] == [(SIDE_PX, SIDE_PX, 3)] * 3
    assert [record.scene.seed for record in records] == list(SEEDS[:3])


def test_stopping_ends_the_run_at_once_and_leaves_the_network_as_it_was(model):
    backbone, adapter = model
    asked: list[int] = []

    def stop() -> bool:
        asked.append(len(asked))
        return len(asked) == 2

    with pytest.raises(Stopped) as stopped:
        latents(backbone, adapter, SCENES[:1], SEEDS[:1], OPTIONS, should_stop=stop)
    assert (stopped.value.step, stopped.value.steps) == (1, OPTIONS.steps)
    assert asked == [0, 1] and getattr(backbone.unet, "position_net", None) is None


def test_every_step_shows_a_preview(model):
    backbone, adapter = model
    seen: list[StepInfo] = []
    last = latents(backbone, adapter, SCENES[:2], SEEDS[:2], OPTIONS, on_step=seen.append)
    assert [info.step for info in seen] == [0, 1, 2]
    for info in seen:
        assert decode(backbone, info.predicted_RChw).shape == (2, SIDE_PX, SIDE_PX, 3)
    gaps = [float((info.predicted_RChw - last).norm()) for info in seen]
    assert gaps[-1] < gaps[0] and gaps[-1] < 0.25 * float(last.norm())


def test_half_precision_stays_finite_and_near(model, tmp_path):
    backbone, adapter = model
    folder = save_folder(backbone, tmp_path / "model", torch.float32)
    half = load_folder(folder, dtype=torch.bfloat16)
    narrow = copy.deepcopy(adapter)
    for parameter in narrow.parameters():
        parameter.data = parameter.data.bfloat16()
    rough = latents(half, narrow, SCENES[:2], SEEDS[:2], OPTIONS)
    exact = latents(backbone, adapter, SCENES[:2], SEEDS[:2], OPTIONS)
    assert half.dtype == torch.bfloat16 and torch.isfinite(rough).all()
    assert (rough.float() - exact).norm() < 0.2 * exact.norm()
