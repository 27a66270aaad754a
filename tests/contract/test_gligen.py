"""GLIGEN text boxes against recordings of the original network, through the public converter.

Tolerances are those of the recordings' README: modules 1e-5, UNet 5e-5, gradients 1e-3 relative.
"""

from __future__ import annotations

import dataclasses
import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recipes import gligen_shapes, gligen_weights, resolve, sets
from torch import Tensor

from scenewright.backbone.call import Call, Conditioning, Grounding
from scenewright.backbone.guidance import gate_schedule
from scenewright.backbone.network import network
from scenewright.condition.gligen import (
    GatedFuser,
    Gligen,
    GligenConfig,
    GligenInputs,
    TextBoxTokens,
    fourier,
)
from scenewright.convert.gligen import (
    SD14,
    Converted,
    Numbers,
    config_of_unet,
    from_original,
    gated_state,
    original_state,
    variant,
)
from scenewright.convert.ldm import to_diffusers, to_original
from scenewright.errors import ModelError
from scenewright.scene import Box, Transform


@dataclass(frozen=True)
class Recording:
    """One folder of recordings."""

    folder: Path
    config: dict[str, Any]

    def arrays(self, name: str) -> dict[str, Tensor]:
        stored = np.load(self.folder / f"{name}.npz")
        return {key: torch.from_numpy(stored[key]) for key in stored.files if stored[key].dtype.kind in "fiu"}

    def weights(self, name: str, mode: str = "live") -> dict[str, Tensor]:
        return gligen_weights(gligen_shapes(self.folder, name), self.config["seed"], mode)

    def converted(self, mode: str = "live") -> Converted:
        numbers = Numbers(
            heads=(self.config["unet"]["num_heads"],),
            slots=self.config["unet_N"],
            sample_size=self.config["latent_hw"][0],
        )
        return from_original(self.weights("unet_text", mode), numbers)


def recordings(golden: Path) -> list[Recording]:
    found = [
        Recording(path, json.loads((path / "config.json").read_text())) for path in sets(golden, "gligen")
    ]
    if not found:
        pytest.skip(f"no recordings under {golden / 'gligen'}")
    return found


@pytest.fixture(scope="module")
def every(golden_dir: Path) -> list[Recording]:
    return recordings(golden_dir)


def inputs_of(stored: dict[str, Tensor], prefix: str) -> GligenInputs:
    return GligenInputs(
        stored[f"{prefix}in.boxes"], stored[f"{prefix}in.masks"], stored[f"{prefix}in.text_embeddings"]
    )


def close(given: Tensor, expected: Tensor, tolerance: float) -> None:
    assert given.shape == expected.shape
    assert (given - expected).abs().max().item() <= tolerance


@torch.no_grad()
def test_fourier_codes(every):
    for one in every:
        stored = one.arrays("modules")
        for kind in ("boxes", "points"):
            code = fourier(stored[f"fourier.in.{kind}"], one.config["fourier_freqs"])
            close(code, stored[f"fourier.out.{kind}"], 1e-5)
            half = fourier(stored[f"fourier.in.{kind}"].bfloat16(), one.config["fourier_freqs"])
            assert half.dtype == torch.float32


@pytest.mark.parametrize("mode", ["live", "std002"])
@torch.no_grad()
def test_token_network(every, mode):
    for one in every:
        stored, config = one.arrays("modules"), one.config
        net = TextBoxTokens(
            GligenConfig(
                slots=config["N"],
                fourier=config["fourier_freqs"],
                feature_width=config["in_dim"],
                context_width=config["out_dim"],
            )
        )
        net.load_state_dict(one.weights("posnet_text", mode))
        inputs = inputs_of(stored, "text.")
        close(
            net(inputs.boxes_BN4, inputs.masks_BN, inputs.features_BND),
            stored[f"posnet_text.out.{mode}"],
            1e-5,
        )
        zeros = (torch.zeros_like(t) for t in (inputs.boxes_BN4, inputs.masks_BN, inputs.features_BND))
        close(net(*zeros), stored[f"posnet_text.out_null.{mode}"], 1e-5)


def fuser_of(one: Recording) -> GatedFuser:
    width, heads = one.config["fuser_dim"], one.config["fuser_heads"]
    fuser = GatedFuser(width, one.config["out_dim"], heads, width // heads)
    fuser.load_state_dict(one.weights("fuser_gatedSA"))
    return fuser


@torch.no_grad()
def test_gated_self_attention_at_every_gate(every):
    for one in every:
        stored, fuser = one.arrays("modules"), fuser_of(one)
        x, tokens = stored["fuser.in.x"], stored["fuser.in.objs"]
        rows = len(x)
        for gate in (1.0, 0.35):
            out = fuser(x, Grounding(tokens, torch.full((rows,), gate)))
            close(out, stored[f"fuser_gatedSA.out.live.scale{gate}"], 1e-5)
        assert fuser(x, Grounding(tokens, torch.zeros(rows))) is x
        mixed = fuser(x, Grounding(tokens, torch.tensor([0.0] + [0.35] * (rows - 1))))
        assert torch.equal(mixed[0], x[0])
        close(mixed[1:], stored["fuser_gatedSA.out.live.scale0.35"][1:], 1e-5)


@torch.no_grad()
def test_whole_transformer_block(every):
    from diffusers.models.attention import BasicTransformerBlock

    for one in every:
        stored, config = one.arrays("modules"), one.config
        width, heads = config["fuser_dim"], config["fuser_heads"]
        block = BasicTransformerBlock(width, heads, width // heads, cross_attention_dim=config["out_dim"])
        block.fuser = GatedFuser(width, config["out_dim"], heads, width // heads)
        block.load_state_dict(one.weights("transformer_block"))
        grounding = Grounding(stored["fuser.in.objs"], torch.ones(len(stored["fuser.in.objs"])))
        out = block.eval()(
            stored["fuser.in.x"],
            encoder_hidden_states=stored["block.in.context"],
            cross_attention_kwargs={"gligen": {"objs": grounding}},
        )
        close(out, stored["block.out.live"], 1e-5)


def outputs(one: Converted, stored: dict[str, Tensor], grounding: Grounding | None) -> Tensor:
    cond = Conditioning(stored["in.context"], grounding)
    return network(one.unet)(stored["in.x"], Call.plain(stored["in.timesteps"], cond))


@pytest.mark.parametrize("mode", ["live", "std002"])
@torch.no_grad()
def test_unet_with_null_and_scaled_grounding(every, mode):
    for recording in every:
        stored, one = recording.arrays("unet"), recording.converted(mode)
        base = outputs(one, stored, None)
        grounding = one.adapter.grounding(inputs_of(stored, ""))
        assert grounding.gate_R.tolist() == [1.0] * len(stored["in.x"])
        handle = one.adapter.attach(one.unet)
        try:
            close(outputs(one, stored, grounding), stored[f"text.on.{mode}"], 5e-5)
            close(
                outputs(one, stored, one.adapter.null_grounding(grounding)), stored[f"text.null.{mode}"], 5e-5
            )
            close(outputs(one, stored, grounding.scaled(0.4)), stored[f"text.scale0.4.{mode}"], 5e-5)
            for off in (grounding.scaled(0.0), None):
                out = outputs(one, stored, off)
                close(out, stored[f"text.off.{mode}"], 5e-5)
                assert torch.equal(out, base)
        finally:
            handle.close()
        assert torch.equal(outputs(one, stored, None), base)


def test_training_step(every):
    for recording in every:
        stored, one = recording.arrays("unet"), recording.converted()
        sampler = recording.arrays("sampler")
        recorded = json.loads((recording.folder / "train_step.json").read_text())
        one.adapter.requires_grad_(True)
        alphas = sampler["alphas_cumprod"][stored["in.timesteps"]].view(-1, 1, 1, 1)
        noise = sampler["train.noise"]
        noisy = {**stored, "in.x": alphas.sqrt() * stored["in.x"] + (1 - alphas).sqrt() * noise}
        handle = one.adapter.attach(one.unet)
        try:
            loss = ((outputs(one, noisy, one.adapter.grounding(inputs_of(stored, ""))) - noise) ** 2).mean()
            loss.backward()
        finally:
            handle.close()
        assert loss.item() == pytest.approx(recorded["loss"], rel=1e-5)
        trained = dict(one.adapter.named_parameters())
        assert len(trained) == recorded["n_trainable_tensors"]
        assert sum(value.numel() for value in trained.values()) == recorded["n_trainable_params"]
        names = to_diffusers(gligen_shapes(recording.folder, "unet_text"))
        for key, expected in recorded["grad_l2"].items():
            gradient = trained[names[key]].grad
            assert gradient is not None and gradient.norm().item() == pytest.approx(
                expected, rel=1e-3, abs=1e-7
            )


def test_null_tokens_differ_from_gate_zero_and_tokens_ignore_their_neighbours(every):
    for recording in every:
        stored, one = recording.arrays("unet"), recording.converted()
        inputs = inputs_of(stored, "")
        alone = GligenInputs(inputs.boxes_BN4[:1], inputs.masks_BN[:1], inputs.features_BND[:1])
        with torch.no_grad():
            close(one.adapter.tokens(alone), one.adapter.tokens(inputs)[:1], 1e-6)
            none = dataclasses.replace(inputs, masks_BN=torch.zeros_like(inputs.masks_BN))
            empty = one.adapter.grounding(none)
        assert empty.gate_R.tolist() == [0.0] * len(stored["in.x"])
        close(empty.tokens_RMD, one.adapter.null_tokens(len(stored["in.x"])), 1e-6)


def test_names_are_a_bijection(every):
    for one in every:
        table = json.loads(gzip.decompress((one.folder / "converter_map.json.gz").read_bytes()))
        names = to_diffusers(gligen_shapes(one.folder, "unet_text"))
        assert names == table["text"]["map"]
        assert to_original(list(names.values())) == {new: old for old, new in names.items()}
        converted = one.converted()
        expected = table["text"]["diffusers_config"]
        given = {key: converted.unet.config[key] for key in expected if key != "attention_type"}
        for key, value in given.items():
            as_list = list(value) if isinstance(value, tuple) else value
            assert key == "sample_size" or as_list == expected[key], key
        assert set(gated_state(converted.unet, converted.adapter)) == set(names.values())
        back, weights = original_state(converted.unet, converted.adapter), one.weights("unet_text")
        assert back.keys() == weights.keys()
        assert all(torch.equal(back[key], weights[key]) for key in weights)


def test_every_other_variant_is_refused_by_name(every):
    expected = {
        "unet_text_image": "text and image box",
        "unet_keypoint": "keypoint",
        "unet_canny": "canny or depth map",
        "unet_text_inpaint": "text box inpainting",
        "unet_text_gatedCA": "gated cross-attention",
    }
    for one in every:
        for name, kind in expected.items():
            shapes = gligen_shapes(one.folder, name)
            state = {key: torch.empty(tuple(shape), device="meta") for key, shape in shapes.items()}
            assert variant(state) == kind
            with pytest.raises(ModelError, match=kind) as caught:
                from_original(state, SD14)
            assert "generation from text boxes" in caught.value.hint


def full_size(every: list[Recording]) -> list[dict[str, Any]]:
    files = [one.folder / "full_sd14_keys.json.gz" for one in every]
    found = [json.loads(gzip.decompress(path.read_bytes())) for path in files if path.is_file()]
    if not found:
        pytest.skip("no full-size key list among the recordings")
    return found


def meta_state(shapes: dict[str, list[int]]) -> dict[str, Tensor]:
    return {key: torch.empty(tuple(shape), device="meta") for key, shape in shapes.items()}


def test_full_size_keys(every):
    from scenewright.backbone.parts import build_unet

    for table in full_size(every):
        original = resolve(table, "original_text")
        one = from_original(meta_state(original), SD14)
        given = {key: list(value.shape) for key, value in gated_state(one.unet, one.adapter).items()}
        assert given == resolve(table, "diffusers_gated") and len(given) == 966
        assert to_diffusers(original) == table["map_text_to_gated"]
        assert {k: list(v.shape) for k, v in one.unet.state_dict().items()} == table["diffusers_default"]
        assert sum(v.numel() for v in one.adapter.parameters()) == 208_018_272 + 1_083_968
        assert (one.adapter.config.slots, one.adapter.config.fourier) == (30, 8)
        gated = build_unet(config_of_unet(one.unet) | {"attention_type": "gated-text-image"})
        names = to_diffusers(resolve(table, "original_text_image"))
        assert set(names.values()) == set(gated.state_dict()) and len(names) == 973
        fresh = Gligen.for_unet(one.unet)
        assert {k: v.shape for k, v in fresh.state_dict().items()} == {
            k: v.shape for k, v in one.adapter.state_dict().items()
        }


def test_gate_schedules(every):
    refused_by_the_original = {
        (50, (0.7, 0.2, 0.1)): [1.0] * 35 + [i / 10 for i in range(9, -1, -1)] + [0.0] * 5,
        (50, (0.6, 0.3, 0.1)): [1.0] * 30 + [i / 15 for i in range(14, -1, -1)] + [0.0] * 5,
        (100, (0.29, 0.0, 0.71)): [1.0] * 29 + [0.0] * 71,  # the original truncates 0.29 * 100 to 28
    }
    for one in every:
        for case in json.loads((one.folder / "alpha_schedules.json").read_text()):
            fractions = tuple(float(part) for part in case["type"] or (1, 0, 0))
            expected = refused_by_the_original.get((case["length"], fractions), case.get("alphas"))
            if expected is not None:
                assert gate_schedule(case["length"], fractions) == pytest.approx(expected, abs=1e-9)
            assert len(gate_schedule(case["length"], fractions)) == case["length"]


def test_boxes_under_crop_and_flip_to_one_pixel(every):
    """The scene transform crops whole source pixels, the original whole pixels of the resized picture."""
    for one in every:
        for case in json.loads((one.folder / "geometry.json").read_text())["boxes"]:
            (width, height), size, (x, y, w, h) = case["image"], case["size"], case["xywh"]
            transform = Transform.fit((width, height), (size, size), mode="crop")
            transform = transform.flip() if case["flip"] else transform
            box, _ = Box.clip_from_xyxy_px(x, y, x + w, y + h, (width, height))
            moved = None if box is None else transform.box(box)
            if case["valid"]:
                assert moved is not None
                assert moved.to_xyxy_px((size, size)) == pytest.approx(case["xyxy"], abs=1.0)
            elif moved is not None:  # refused by the original: less than a hundredth of the crop
                x0, y0, x1, y1 = moved.to_xyxy_px((size, size))
                assert max(0, x1 - x0 - 1) * max(0, y1 - y0 - 1) < 0.01 * size * size
