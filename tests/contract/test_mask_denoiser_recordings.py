"""The mask denoiser against recordings of the released code (tiny networks, no trained weights).

Tolerances are those of the recordings' README: 2e-5 for the network and 1e-5 for the rest unless stated.
Every folder of that form is run.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recipes import sets
from torch import Tensor

from scenewright.backbone.call import Call, Conditioning
from scenewright.backbone.latents import decode_signal, encode
from scenewright.backbone.model import Backbone
from scenewright.backbone.network import network
from scenewright.backbone.noise import Noise
from scenewright.backbone.parts import build_text_encoder, build_unet, build_vae, fill
from scenewright.segment.denoise import DenoiseOptions, bicubic, denoised
from scenewright.segment.ensemble import combined, cost, ensemble, start
from scenewright.segment.mask_denoiser import (
    PUBLISHED_RULES,
    doubled,
    pooled,
    rescheduled,
    stretched,
    with_picture,
)
from scenewright.segment.pyramid import Pyramid, level_sizes, stacked

OFFSETS = {"unet": 0, "vae": 1000, "text": 2000}


@dataclass(frozen=True)
class Recording:
    """One folder of recordings."""

    folder: Path

    @cached_property
    def config(self) -> dict[str, Any]:
        return json.loads((self.folder / "config.json").read_text())

    def __getitem__(self, name: str) -> dict[str, Tensor]:
        stored = np.load(self.folder / f"{name}.npz")
        return {key: torch.from_numpy(stored[key]) for key in stored.files}

    def weights(self, name: str) -> dict[str, Tensor]:
        """Drawn again by the README's recipe: one legacy generator, keys in byte order."""
        shapes = json.loads((self.folder / f"{name}_keys.json").read_text())
        offset = self.config.get("weight_stream_offsets", OFFSETS)[name]
        rng = np.random.RandomState(self.config["seed"] + offset)
        state = {}
        for key in sorted(shapes, key=str.encode):
            value = (rng.standard_normal(shapes[key]) * 0.02).astype(np.float32)
            if value.ndim == 1 and key.endswith("weight"):
                value = value + np.float32(1)
            state[key] = torch.from_numpy(value)
        return state

    @cached_property
    def keys(self) -> list[str]:
        return sorted(json.loads((self.folder / "unet_keys.json").read_text()), key=str.encode)

    @cached_property
    def backbone(self) -> Backbone:
        """The three networks with the published scheduler; there is no tokenizer."""
        from diffusers import DDIMScheduler

        builders = {"unet": build_unet, "vae": build_vae, "text": build_text_encoder}
        configs = {**self.config, "text": self.config["text_encoder"]}
        parts = {
            name: fill(build(configs[name]), self.weights(name), "cpu", torch.float32, name)
            for name, build in builders.items()
        }
        return Backbone(
            "recorded", None, parts["text"], parts["unet"], parts["vae"],
            DDIMScheduler(**self.config["scheduler"]),
        )  # fmt: skip


@pytest.fixture(scope="module")
def every(golden_dir: Path) -> list[Recording]:
    found = [Recording(folder) for folder in sets(golden_dir, "segdiffusion")]
    if not found:
        pytest.skip(f"no recordings under {golden_dir / 'segdiffusion'}")
    return found


def close(given: Any, expected: Any, tolerance: float) -> None:
    given, expected = torch.as_tensor(given).float(), torch.as_tensor(expected).float()
    assert given.shape == expected.shape
    assert (given - expected).abs().max().item() <= tolerance


def test_network_and_its_cross_attention(every):
    for one in every:
        held, unet = one["unet_forward"], one.backbone.unet
        taps: dict[str, Tensor] = {}
        places = {
            "conv_in_out": unet.conv_in,
            "mid_block_out": unet.mid_block,
            "time_emb": unet.time_embedding,
        }
        blocks = {
            "down0": unet.down_blocks[0].attentions[0],
            "mid": unet.mid_block.attentions[0],
            "up1_0": unet.up_blocks[1].attentions[0],
            "up1_1": unet.up_blocks[1].attentions[1],
        }
        for name, module in blocks.items():
            places[f"{name}_transformer_out"] = module
            places[f"{name}_selfattn_out"] = module.transformer_blocks[0].attn1
            places[f"{name}_crossattn_out"] = module.transformer_blocks[0].attn2
        hooks = [
            module.register_forward_hook(
                lambda _m, _a, out, name=name, taps=taps: taps.__setitem__(
                    name, out if isinstance(out, Tensor) else out[0]
                )
            )
            for name, module in places.items()
        ]
        call = Call.plain(held["timesteps"], Conditioning(held["text"]))
        with torch.no_grad():
            out = with_picture(network(unet), held["rgb_latent"])(held["noisy_latent"], call)
        for hook in hooks:
            hook.remove()
        close(out, held["out"], 2e-5)
        for name, value in taps.items():
            close(value, held[name], 2e-5)


def test_cross_attention_alone(every):
    for one in every:
        held, unet = one["cross_attention"], one.backbone.unet
        for name, block in (
            ("down0", unet.down_blocks[0].attentions[0]),
            ("mid", unet.mid_block.attentions[0]),
        ):
            attention = block.transformer_blocks[0].attn2
            x, context = held[f"{name}_x"], held[f"{name}_ctx"]
            with torch.no_grad():
                q, k, v = attention.to_q(x), attention.to_k(context), attention.to_v(context)
                close(attention(x, encoder_hidden_states=context), held[f"{name}_attn_out"], 2e-5)
                close(
                    block(held[f"{name}_feat"], context, return_dict=False)[0],
                    held[f"{name}_transformer_out"],
                    2e-5,
                )
            for key, value in (("q", q), ("k", k), ("v", v)):
                close(value, held[f"{name}_{key}"], 2e-5)
            assert attention.heads == int(held[f"{name}_heads"]) and attention.scale == float(
                held[f"{name}_scale"]
            )


def test_text_is_the_mean_over_the_prompts(every):
    for one in every:
        held = one["text_pool"]
        with torch.no_grad():
            states = one.backbone.text_encoder(held["input_ids"]).last_hidden_state
        close(states, held["last_hidden_state"], 1e-5)
        close(pooled(states), held["pooled"], 1e-5)


def test_vae(every):
    for one in every:
        held = one["vae"]
        close(encode(one.backbone, held["image"]), held["latent"], 1e-5)
        found = decode_signal(one.backbone, held["z"])
        close(found, held["decoded_rgb"], 1e-5)
        close(found.mean(1, keepdim=True), held["decoded_mean"], 1e-5)


def test_data_path(every):
    for one in every:
        held = one["data_path"]
        size = tuple(held["original"].shape[-2:][::-1])
        close(bicubic(held["image_u8"].numpy(), size) / 255.0, held["original"].permute(1, 2, 0), 1.01 / 255)
        close(stretched(held["gt"]), held["gt_normalized"], 1e-6)


@pytest.mark.parametrize("name", ["train_step", "train_step_multires"])
def test_training_step(every, name):
    for one in every:
        held, data, backbone = one[name], one["data_path"], one.backbone
        close(encode(backbone, data["original"][None]), held["rgb_latent"], 2e-5)
        close(encode(backbone, data["gt_normalized"][None]), held["mask_latent"], 2e-5)
        used = held["base_noise"]
        if "mr_level_0" in held:
            levels = [held[key] for key in sorted(held) if key.startswith("mr_level")]
            used = stacked(used, levels, 0.3)
        close(used, held["noise_used"], 2e-5)
        noise = Noise(backbone.scheduler, 10)
        noisy = noise.add(held["mask_latent"], used, held["timestep"])
        target = noise.target(held["mask_latent"], used, held["timestep"])
        close(noisy, held["noisy_mask_latent"], 2e-5)
        close(target, held["target"], 2e-5)
        unet = backbone.unet.requires_grad_(True)
        try:
            call = Call.plain(held["timestep"], Conditioning(held["text_embed"]))
            found = with_picture(network(unet), held["rgb_latent"])(noisy, call)
            loss = torch.nn.functional.mse_loss(found, target)
            loss.backward()
            close(found, held["pred"], 2e-5)
            close(loss, held["loss"], 2e-5)
            named = dict(unet.named_parameters())
            norms = torch.stack([named[key].grad.norm() for key in one.keys])
            expected = held["grad_norms_sorted"]
            assert ((norms - expected).abs() <= 1e-4 * expected.abs() + 1e-7).all()
            for grad, key in (
                (named["conv_in.weight"].grad, "grad_conv_in_weight"),
                (
                    named["mid_block.attentions.0.transformer_blocks.0.attn2.to_v.weight"].grad,
                    "grad_mid_attn2_to_v",
                ),
            ):
                close(grad, held[key], 1e-4 * float(held[key].abs().max()))
        finally:
            unet.requires_grad_(False).zero_grad(set_to_none=True)


def test_pyramid_noise(every):
    for one in every:
        held = one["multires_noise"]
        for name, discount in (
            ("seed", 0.3),
            ("mg_const", 0.9),
            ("mg_annealed", 0.9 * torch.tensor([250.0, 900.0]) / 1000),
        ):
            keys = sorted(key for key in held if key.startswith(f"{name}_level"))
            levels, base = [held[key] for key in keys], held[f"{name}_base"]
            before = base.clone()
            close(stacked(base, levels, discount), held[f"{name}_out"], 1e-5)
            assert torch.equal(base, before)
            ratios = iter(held[f"{name}_r"].tolist())
            sizes = level_sizes(
                tuple(base.shape[-2:]), Pyramid(levels=10), lambda ratios=ratios: next(ratios)
            )
            assert sizes == [tuple(level.shape[-2:]) for level in levels]


def test_schedules(every):
    for one in every:
        held, t = one["scheduler"], one["scheduler"]["t"]
        for zero, ending in ((False, ""), (True, "_zsnr")):
            noise = Noise(rescheduled(one.backbone.scheduler, spacing="leading", zero_snr=zero), 10)
            every_t = torch.arange(1000)
            close(noise.levels(every_t)[0] ** 2, held[f"alphas_cumprod{ending}"], 1e-5)
            close(noise.add(held["x0"], held["eps"], t), held[f"add_noise{ending}"], 1e-5)
            close(noise.target(held["x0"], held["eps"], t), held[f"velocity{ending}"], 1e-5)


@pytest.mark.parametrize("spacing", ["leading", "trailing"])
def test_timesteps_and_steps(every, spacing):
    for one in every:
        held, checked = one["scheduler"], 0
        for steps in (1, 4, 10, 50):
            for zero in (False, True):
                scheduler = rescheduled(one.backbone.scheduler, spacing=spacing, zero_snr=zero)
                noise = Noise(scheduler, steps)
                expected = held[f"timesteps_{spacing}_{steps}"]
                assert noise.timesteps.tolist() == expected.tolist()
                for t in expected:
                    key = f"step_{spacing}_zsnr{int(zero)}_n{steps}_t{int(t)}"
                    if f"{key}_prev" not in held:
                        continue
                    output, z = held["eps"][:1], held["x0"][:1]
                    close(noise.step(output, t, z), held[f"{key}_prev"], 1e-5)
                    close(noise.predicted(z, output, t), held[f"{key}_x0"], 1e-5)
                    checked += 1
        assert checked


def options(**changes: Any) -> DenoiseOptions:
    return DenoiseOptions(**{"steps": 4, "size": 32, "align": "published", "rows": 1, **changes})


def test_inference(every):
    for one in every:
        held, text = one["infer_match"], one["text_pool"]["pooled"]
        found = denoised(
            one.backbone, PUBLISHED_RULES, held["image_u8"].numpy(), (), options(align="start"),
            text_MLD=text, unit_NChw=held["x_T"],
        )  # fmt: skip
        close(found.maps_KHW[0], held["semantic"], 1e-3)
        assert found.names == ("levels",) and found.uncertainty_KHW is not None
        grey = (255 * found.maps_KHW[0]).astype(np.uint8).astype(int)
        assert np.abs(grey - held["gray_u8"].numpy().astype(int)).max() <= 1
        for member, raw in zip(held["x_T"], held["raw"], strict=True):
            alone = denoised(
                one.backbone, PUBLISHED_RULES, held["image_u8"].numpy(), (),
                options(align="none", own_size=False), text_MLD=text, unit_NChw=member[None],
            )  # fmt: skip
            close(alone.maps_KHW[0], raw, 5e-5)
        small = denoised(
            one.backbone, PUBLISHED_RULES, held["image_u8"].numpy(), (),
            options(align="start", own_size=False), text_MLD=text, unit_NChw=held["x_T"],
        )  # fmt: skip
        close(small.uncertainty_KHW[0], held["uncertainty"], 1e-3)
        scale, shift = start(held["raw"])
        close(torch.cat([scale, shift]), held["x0"], 1e-4)


def test_inference_of_one_member_at_the_networks_size(every):
    for one in every:
        held, text = one["infer_nomatch_E1"], one["text_pool"]["pooled"]
        found = denoised(
            one.backbone, PUBLISHED_RULES, held["image_u8"].numpy(), (), options(own_size=False),
            text_MLD=text, unit_NChw=held["x_T"],
        )  # fmt: skip
        close(found.maps_KHW[0], held["semantic"], 1e-3)
        assert found.uncertainty_KHW is None


@pytest.mark.parametrize("reduce", ["median", "mean"])
def test_ensembling(every, reduce):
    for one in every:
        for path in sorted(one.folder.glob("ensemble_*.npz")):
            held = one[path.stem]
            members, count = held["masks"], len(held["masks"])
            x0 = torch.cat(start(members))
            close(x0, held[f"{reduce}_x0"], 1e-6)
            for at, expected, later in zip(
                held[f"{reduce}_probe_x"],
                held[f"{reduce}_probe_cost"],
                held[f"marigold_{reduce}_probe_cost"],
                strict=True,
            ):
                close(cost(members, at[:count], at[count:], reduce), expected, 1e-6)
                exact = (members.double(), at[:count].double(), at[count:].double())
                assert abs(float(cost(*exact, reduce, "sum")) - float(later)) <= 1e-6
            at = held[f"{reduce}_probe_x"][2]
            found = combined(members, at[:count], at[count:], reduce)
            close(found.map_HW, held[f"{reduce}_fixed_out"], 1e-5)
            close(found.uncertainty_HW, held[f"{reduce}_fixed_uncertainty"], 1e-5)
            still = ensemble(members, "start", reduce)
            close(still.map_HW, held[f"marigold_{reduce}_noalign_out"], 1e-5)
            close(still.uncertainty_HW, held[f"marigold_{reduce}_noalign_uncertainty"], 1e-5)


def test_input_layer(every):
    for one in every:
        held = one["conv_in_expand"]
        close(doubled(held["w4"]), held["w8"], 1e-7)
