"""InstanceDiffusion: token network, fusers with and without instance-masked attention, ScaleU, and its PLMS
runs with and without the multi-instance sampler, against recordings of the original and through the public
converter and the one loop.

Tolerances are those of the recordings' README: token network 1e-5, UNet 1e-4, trajectories 1e-3.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recipes import instancediffusion_weights, sets
from torch import Tensor

from scenewright.backbone.branches import main_branch_from, merge_mean, merge_step, sample_branches
from scenewright.backbone.call import Call, Conditioning, Denoise, Grounding, Rows
from scenewright.backbone.guidance import gate_schedule, gated, guided
from scenewright.backbone.loop import sample
from scenewright.backbone.network import network
from scenewright.backbone.noise import Noise
from scenewright.condition.fuser import GatedFuser, fourier
from scenewright.condition.membership import allowed, cells_key, occupancy
from scenewright.condition.scaleu import ScaleU, scale_low_frequencies
from scenewright.condition.unifusion import UniFusionInputs
from scenewright.convert.instancediffusion import SD15, Numbers, from_original, original_state
from scenewright.convert.ldm import unet_config


@dataclass(frozen=True, eq=False)
class Recording:
    """One folder of recordings and the network it was made with."""

    folder: Path

    def json(self, name: str) -> Any:
        return json.loads((self.folder / f"{name}.json").read_text())

    def arrays(self, name: str) -> dict[str, Tensor]:
        stored = np.load(self.folder / f"{name}.npz")
        return {key: torch.from_numpy(stored[key]) for key in stored.files}

    @cached_property
    def config(self) -> dict[str, Any]:
        return self.json("config")

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        keys = self.json("keys")
        state = instancediffusion_weights(
            {key: one["shape"] for key, one in keys.items()}, self.config["seed"]
        )
        for key, one in keys.items():
            assert float(state[key].double().sum()) == pytest.approx(one["sum"], rel=1e-6, abs=1e-6), key
        return state

    @cached_property
    def network(self):
        return from_original(self.weights, Numbers(heads=(self.config["unet"]["num_heads"],), sample_size=8))

    def keep(self, name: str) -> Tensor:
        flags = self.config["format_flags"][name]
        kinds = ("drop_boxes", "drop_points", "drop_scribbles", "drop_masks_and_segs")
        return torch.tensor([[float(not flags[kind]) for kind in kinds]])

    def layout(self, name: str) -> UniFusionInputs:
        stored = self.arrays("inputs")
        return UniFusionInputs(
            boxes_BN4=stored["boxes"],
            masks_BN=stored["masks"],
            features_BND=stored["positive_embeddings"],
            points_BN2=stored["points"],
            scribbles_BNP=stored["scribbles"],
            polygons_BNP=stored["polygons"],
            segs_BNHW=stored["segs"].float(),
            keep_BK=self.keep(name),
        )


@pytest.fixture(scope="module")
def every(golden_dir: Path) -> list[Recording]:
    found = [Recording(path) for path in sets(golden_dir, "instancediffusion")]
    if not found:
        pytest.skip(f"no recordings under {golden_dir / 'instancediffusion'}")
    return found


def close(given: Tensor, expected: Tensor, tolerance: float) -> None:
    assert given.shape == expected.shape
    assert (given - expected).abs().max().item() <= tolerance


@torch.no_grad()
def test_tokens_of_every_format(every):
    for one in every:
        stored, adapter = one.arrays("unifusion"), one.network.adapter
        count = one.config["num_instances"]
        close(fourier(one.layout("box").boxes_BN4[0, :count], 16), stored["fourier_boxes"], 1e-5)
        for name in one.config["format_flags"]:
            tokens_MD = adapter.tokens(one.layout(name))[0]
            close(tokens_MD[:120], stored[f"inst_{name}"], 1e-5)
            kept = bool(one.keep(name)[0, 3])
            close(tokens_MD[120:], stored["seg_kept" if kept else "seg_dropped"], 1e-5)
        null = adapter.null_tokens(1)[0]
        close(null[[0, 30, 60, 90]], stored["inst_null_input"], 1e-5)
        close(null[120:], stored["seg_dropped"], 1e-5)


@torch.no_grad()
def test_formats_differ_within_a_batch(every):
    for one in every:
        adapter, names = one.network.adapter, ("box", "mask", "scribble_only")
        layouts = [one.layout(name) for name in names]
        both = {key: torch.cat([getattr(part, key) for part in layouts]) for key in vars(layouts[0])}
        together = adapter.tokens(UniFusionInputs(**both))
        for row, layout in enumerate(layouts):
            close(together[row], adapter.tokens(layout)[0], 1e-5)


@torch.no_grad()
def test_map_network(every):
    for one in every:
        adapter, stored = one.network.adapter, one.arrays("unifusion")
        net = adapter.position_net
        segs = torch.nn.functional.interpolate(one.layout("mask").segs_BNHW, size=(512, 512), mode="nearest")
        x_Cyx = net.convnext_tiny_backbone(net.in_conv(segs))[0]
        close(x_Cyx[::48].flatten(1)[:, ::4], stored["convnext_out_slice"], 1e-5)


@torch.no_grad()
def test_scaleu(every):
    for one in every:
        stored = one.arrays("scaleu")
        scale = ScaleU(len(stored["scaleu_b"]))
        scale.load_state_dict({"b": stored["scaleu_b"], "s": stored["scaleu_s"]})
        both = scale(torch.cat([stored["h"], stored["skip"]], dim=1))
        close(both, torch.cat([stored["h_out"], stored["skip_out"]], dim=1), 1e-5)
        factor = stored["scaleu_s"].tanh() + 1
        close(scale_low_frequencies(stored["skip_nonpow2"], factor), stored["skip_nonpow2_out"], 1e-5)


@torch.no_grad()
def test_gated_block(every):
    for one in every:
        stored, facts, seed = one.arrays("gated_block"), one.json("summary")["block"], one.config["seed"]
        width, heads = facts["query_dim"], facts["heads"]
        context = one.config["unet"]["context_dim"]
        fuser = GatedFuser(width, context, heads, width // heads)
        fuser.load_state_dict(instancediffusion_weights(facts["keys"], seed + 300))
        rng = np.random.RandomState(seed + 200)
        shapes = ((2, 64, width), (2, 184, context), (1, 4096, width), (1, 184, context))
        x, objs, x_big, objs_big = (
            torch.from_numpy(rng.standard_normal(shape).astype(np.float32)) for shape in shapes
        )
        assert float(x.double().sum()) == pytest.approx(facts["checksums"]["x"], rel=1e-4)
        close(fuser(x, Grounding(objs, torch.ones(2)))[:1], stored["out_scale1_b0"], 1e-5)
        close(fuser(x, Grounding(objs, torch.full((2,), 0.5)))[:, ::4], stored["out_scale05_s4"], 1e-5)
        close(fuser(x_big, Grounding(objs_big, torch.ones(1)))[:, ::128], stored["big_unmasked_s128"], 1e-5)
        cells = one.arrays("inputs")["att_masks"].bool()
        for name, masks in (("legacy", cells), ("rowmajor", cells.transpose(2, 3))):
            extra = {cells_key(4096): masks.flatten(2)}
            out = fuser(x_big, Grounding(objs_big, torch.ones(1), extra))
            close(out[:, ::128], stored[f"big_masked_{name}_s128"], 1e-5)


@torch.no_grad()
def test_unet_with_grounding_masked_attention_null_and_gate_zero(every):
    for one in every:
        stored, case, net = one.arrays("unet"), one.config["unet_case"], one.network
        rng = np.random.RandomState(one.config["seed"] + 150)
        z = torch.from_numpy(rng.standard_normal((1, 4, 64, 64)).astype(np.float32))
        inputs = one.arrays("inputs")
        close(z.flatten()[:8], inputs["x64_first8"], 1e-6)
        inputs_of = one.layout(case["format_flags"])
        layout = net.adapter.grounding(inputs_of)
        text, t = inputs["context"][:1], torch.tensor(case["timestep"])
        denoise = network(net.unet)
        base = denoise(z, Call.plain(t, Conditioning(text)))
        with net.adapter.attach(net.unet):
            for name, grounding in (
                ("unmasked", layout),
                ("masked_legacy", net.adapter.grounding(inputs_of, (64, 64), "legacy")),
                ("masked_rowmajor", net.adapter.grounding(inputs_of, (64, 64), "finest")),
                ("null_grounding", net.adapter.null_grounding(layout)),
                ("gate_zero", layout.scaled(0.0)),
            ):
                out = denoise(z, Call.plain(t, Conditioning(text, grounding)))
                close(out[..., ::2, ::2], stored[f"eps_{name}_s2"], 1e-4)
        assert torch.equal(denoise(z, Call.plain(t, Conditioning(text))), base)


def test_which_keys_a_query_may_see(every):
    for one in every:
        stored, layout = one.arrays("unet"), one.layout(one.config["unet_case"]["format_flags"])
        inputs = one.arrays("inputs")
        for name, transposed in (("legacy", True), ("rowmajor", False)):
            cells = occupancy(layout.boxes_BN4, layout.masks_BN, (64, 64), transposed=transposed)
            recorded = inputs["att_masks"].bool()
            recorded = recorded if transposed else recorded.transpose(2, 3)
            assert torch.equal(cells, recorded.flatten(2))
            counts = allowed(cells, slice(0, 4096), 184)[0].sum(1)
            assert torch.equal(counts, stored[f"mask_row_counts_{name}"][:4096].to(counts.dtype))
            part = allowed(cells, slice(1024, 1100), 184)[0].sum(1)
            assert torch.equal(part, counts[1024:1100])


@dataclass(frozen=True)
class Run:
    """A recorded PLMS run, ready to go: guided and gated denoiser, noise levels, start, conditionings."""

    denoise: Denoise
    noise: Noise
    z: Tensor
    cond: Conditioning
    alone: list[Conditioning]


def run_of(one: Recording, guidance: bool = True) -> Run:
    """Both samples share the layout; `alone` conditions the branch of each single instance."""
    from diffusers import PNDMScheduler

    scheduler = PNDMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
        skip_prk_steps=True, steps_offset=1, set_alpha_to_one=False,
    )  # fmt: skip
    case, net, inputs = one.config["plms_case"], one.network, one.arrays("inputs")
    layout = one.layout(case["format_flags"])
    with torch.no_grad():
        whole = net.adapter.grounding(layout).take([0, 0])
        null = net.adapter.null_grounding(whole)
        alone = []
        for i in range(one.config["num_instances"]):
            grounding = net.adapter.grounding(only(layout, i)).take([0, 0])
            alone.append(Conditioning(inputs["instance_contexts"][i], grounding))
    scale = case["guidance_scale"] if guidance else 1.0
    denoise = guided(network(net.unet), scale, Conditioning(inputs["uncond_context"], null))
    schedule = gate_schedule(case["steps"], tuple(case["alpha_type"]))
    assert schedule == one.json("summary")["plms"]["alphas"]
    return Run(
        gated(denoise, schedule),
        Noise(scheduler, case["steps"]),
        inputs["x8"],
        Conditioning(inputs["context"], whole),
        alone,
    )


def only(layout: UniFusionInputs, instance: int) -> UniFusionInputs:
    """The layout with one instance alone, in slot 0."""

    def first(values: Tensor) -> Tensor:
        out = torch.zeros_like(values)
        out[:, 0] = values[:, instance]
        return out

    moved = {name: first(value) for name, value in vars(layout).items() if name != "keep_BK"}
    return replace(layout, **moved)


def test_plms_with_guidance_and_gate_schedule(every):
    for one in every:
        run, stored = run_of(one), one.arrays("plms")
        states: dict[int, Tensor] = {}

        def watch(z: Tensor, call: Call, states: dict[int, Tensor] = states) -> Tensor:
            states[call.step] = z
            return z

        with one.network.adapter.attach(one.network.unet):
            z = sample(run.denoise, run.noise, run.z, run.cond, edits=[watch])
        close(z, stored["plms_final"], 1e-3)
        for step, expected in enumerate(stored["plms_steps"]):
            close(states[step + 1], expected, 1e-3)


def test_plms_without_guidance(every):
    for one in every:
        run = run_of(one, guidance=False)
        with one.network.adapter.attach(one.network.unet):
            z = sample(run.denoise, run.noise, run.z, run.cond)
        close(z, one.arrays("plms")["plms_final_noguidance"], 1e-3)


def branched(run: Run) -> tuple[Rows, Conditioning]:
    """All branches of both samples, sample by sample, branch 0 first."""
    samples, branches = len(run.z), [run.cond, *run.alone]
    parts = [branch.take([i]) for i in range(samples) for branch in branches]
    return Rows.branched([len(branches)] * samples), Conditioning.cat(parts)


def test_plms_with_the_multi_instance_sampler(every):
    for one in every:
        run, stored, fraction = run_of(one), one.arrays("plms"), one.config["plms_case"]["mis"]
        rows, cond = branched(run)
        with one.network.adapter.attach(one.network.unet):
            z = sample_branches(run.denoise, run.noise, run.z, cond, rows, fraction)
        close(z, stored["mis_final"], 1e-3)


def test_branches_before_and_after_the_merge(every):
    for one in every:
        run, stored = run_of(one), one.arrays("plms")
        step = merge_step(run.noise.steps, one.config["plms_case"]["mis"])
        rows, cond = branched(run)
        seen: dict[str, Tensor] = {}

        def watch(name: str, seen: dict[str, Tensor] = seen, step: int = step):
            def edit(z: Tensor, call: Call) -> Tensor:
                if call.step == step:
                    seen[name] = z
                return z

            return edit

        with one.network.adapter.attach(one.network.unet):
            edits = [watch("before"), merge_mean(step), watch("after")]
            start = run.z[list(rows.sample_R)]
            sample(main_branch_from(run.denoise, step), run.noise, start, cond, rows=rows, edits=edits)
        for row, (owner, branch) in enumerate(zip(rows.sample_R, rows.branch_R, strict=True)):
            close(seen["before"][row], stored["mis_branch_latents"][branch, owner], 1e-3)
            close(seen["after"][row], stored["mis_merged"][owner], 1e-3)


def test_names_come_back(every):
    for one in every:
        back = original_state(one.network.unet, one.network.adapter)
        assert back.keys() == one.weights.keys()
        assert all(torch.equal(back[key], one.weights[key]) for key in back)


def test_full_size_keys(golden_dir: Path):
    path = golden_dir / "instancediffusion" / "sd15_state_dict_shapes.json"
    if not path.is_file():
        pytest.skip(f"no full-size key list at {path}")
    shapes = json.loads(path.read_text())
    shapes = shapes.get("keys", shapes)
    state = {key: torch.empty(tuple(shape), device="meta") for key, shape in shapes.items()}
    assert len(state) == 1199 and sum(value.numel() for value in state.values()) == 1_228_333_437
    one = from_original(state, SD15)
    assert len(one.unet.state_dict()) == 686
    assert sum(value.numel() for value in one.unet.state_dict().values()) == 859_520_964
    assert len(one.adapter.fusers) == 16 and len(one.adapter.scales) == 12
    config = one.adapter.config
    assert (config.slots, config.fourier, config.map_px, config.polygon_points) == (30, 16, 512, 256)
    assert config.depths == (3, 3, 9, 3) and config.map_tokens == 64
    assert original_state(one.unet, one.adapter).keys() == state.keys()
    assert unet_config(state, heads=(8,), sample_size=64)["block_out_channels"] == (320, 640, 1280, 1280)
