"""Windowed fusion trajectories of the original DGInStyle sampler, through the one loop.

The network is the closed-form stand-in of the fixtures' README. The original steps the scheduler once per
window and averages the next latents; here the outputs are averaged and the scheduler steps once, which is the
same for DDIM. The sets with "quirk" in their name record a defect of the original and are not a target.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from torch import Tensor

from scenewright.backbone.call import Call, Conditioning, Window
from scenewright.backbone.guidance import guided
from scenewright.backbone.loop import StepInfo, sample
from scenewright.backbone.noise import Noise
from scenewright.backbone.paste import drawn, paste
from scenewright.backbone.windows import cover, windowed
from scenewright.flows.fusion import corners, kept_cells
from scenewright.scene import Scene, SemanticMap
from scenewright.scene.segments import segments
from scenewright.testing.networks import STABLE_DIFFUSION_BETAS

TOLERANCE = 1e-4


def _cases(golden_dir: Path) -> list[tuple[dict, dict[str, np.ndarray]]]:
    found = []
    for listing in sorted(golden_dir.glob("dginstyle/*/fusion/cases.json")):
        for case in json.loads(listing.read_text())["fusion"]:
            if "quirk" not in case["name"]:
                with np.load(listing.parent / f"{case['name']}.npz") as arrays:
                    found.append(({**case, "set": listing.parent.parent.name}, dict(arrays)))
    return found


@pytest.fixture(scope="module")
def cases(golden_dir: Path) -> list[tuple[dict, dict[str, np.ndarray]]]:
    found = _cases(golden_dir)
    if not found:
        pytest.skip("no fusion cases under the golden folder")
    return found


def _onehot(label_HW: np.ndarray, rescale: int) -> Tensor:
    """Twenty channels (the last is 255), enlarged by repeating pixels: [20, H, W]."""
    index = np.where(label_HW == 255, 19, label_HW).astype(np.int64)
    index = index.repeat(rescale, 0).repeat(rescale, 1)
    return torch.nn.functional.one_hot(torch.from_numpy(index), 20).permute(2, 0, 1).float()


def _stub(onehot_20HW: Tensor, control_scale: float):
    """The stand-in network: item 3 and 4 of the recipe, for a batch of windows."""
    pooled = torch.nn.functional.avg_pool2d(onehot_20HW[None], 8)[0] * control_scale
    o, k = torch.arange(4.0), torch.arange(20.0)
    w_ok = torch.cos((o[:, None] + 1) * (k[None, :] + 1))

    def one(x: Tensor, t: float, window: Window, embedding: Tensor) -> Tensor:
        d = pooled[(slice(None), *window.slices)]
        i, j = torch.arange(float(x.shape[1])), torch.arange(float(x.shape[2]))
        wave = torch.sin(0.9 * i[None, :, None] + 0.5 * j[None, None, :] + o[:, None, None])
        text = 0.2 * embedding.mean() * torch.cos(0.7 * o + 1)
        local, overall = torch.einsum("ok,khw->ohw", w_ok, d), w_ok @ d.mean((1, 2))
        return (
            0.35 * x
            + 0.25 * torch.sin(2 * x.roll(-1, 0) + 0.001 * t)
            + (text + 0.15 * overall)[:, None, None]
            + 0.3 * local
            + 0.1 * wave
        )

    def denoise(z_RChw: Tensor, call: Call) -> Tensor:
        rows = zip(z_RChw, call.window_R, call.cond.text_RLD, strict=True)
        return torch.stack([one(x, float(call.t), window, text) for x, window, text in rows])

    return denoise


def _noise(steps: int) -> Noise:
    scheduler = diffusers.DDIMScheduler(
        **STABLE_DIFFUSION_BETAS, clip_sample=False, set_alpha_to_one=False, steps_offset=1
    )
    return Noise(scheduler, steps)


def _run(case: dict, arrays: dict[str, np.ndarray], order: str, max_rows: int) -> dict[int, Tensor]:
    """Latents at the start of each step, and the final ones under index `steps`."""
    noise = _noise(case["steps"])
    cond, uncond = (
        Conditioning(torch.from_numpy(arrays[name])[None].float()) for name in ("cond_emb", "uncond_emb")
    )
    stub = _stub(_onehot(arrays["label"], case["rescale"]), case["controlnet_scale"])
    window, stride = (case["window"],) * 2, (case["stride"],) * 2
    if order == "guidance outside":
        denoise = guided(windowed(stub, window, stride, max_rows=max_rows), case["guidance"], uncond)
    else:
        denoise = windowed(guided(stub, case["guidance"], uncond), window, stride, max_rows=max_rows)
    edits = [_blend(noise, arrays)] if case["inpaint"] else []
    trajectory: dict[int, Tensor] = {}

    def keep(info: StepInfo) -> None:
        trajectory[info.step] = info.z_RChw

    z = _latent(arrays["init_latents"])
    trajectory[case["steps"]] = sample(denoise, noise, z, cond, edits=edits, on_step=keep)
    return trajectory


def _blend(noise: Noise, arrays: dict[str, np.ndarray]):
    step_noise = torch.from_numpy(arrays["step_noise"]).float()
    mask = torch.from_numpy(arrays["inpaint_mask_latent"]).float()
    return paste(
        noise,
        _latent(arrays["ini_latents"]),
        mask.reshape(1, 1, *mask.shape[-2:]),
        lambda step: _latent(step_noise[step - 1].numpy()),
        level="lagging",
    )


def _latent(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array).float().reshape(1, 4, *array.shape[-2:])


@pytest.mark.parametrize(("order", "max_rows"), [("guidance outside", 7), ("guidance inside", 64)])
def test_fusion_trajectories_equal_the_originals(cases, order, max_rows):
    checked = 0
    for case, arrays in cases:
        ours = _run(case, arrays, order, max_rows)
        for index, expected in zip(arrays["traj_index"], arrays["traj"], strict=True):
            error = float((ours[int(index)] - _latent(expected)).abs().max())
            assert error < TOLERANCE, f"{case['set']}/{case['name']} step {index}: {error:.2e}"
            checked += 1
    assert checked >= 3


def test_the_kept_cells_are_those_of_the_original(cases):
    """Large segments of the label map, and the cell that each pixel's corner belongs to."""
    checked = 0
    for case, arrays in cases:
        if case["inpaint"]:
            label, threshold = arrays["label"], case["component_area_threshold"]
            large = segments(label, above_px=threshold) > 0
            assert np.array_equal(large, arrays["inpaint_mask_px"].reshape(label.shape) > 0)
            recorded = arrays["inpaint_mask_latent"].reshape(case["latent_hw"]) > 0
            assert np.array_equal(corners(large, tuple(case["latent_hw"])), recorded)
            scene = Scene("", label.shape[::-1], semantic_map=SemanticMap.from_labels(label, "cityscapes"))
            kept = kept_cells([scene], threshold / label.size, tuple(case["latent_hw"]))
            assert np.array_equal(kept[0, 0].numpy() > 0, recorded)
            checked += 1
    assert checked >= 1


def test_timesteps_and_noise_levels_are_the_recorded_ones(cases):
    for case, arrays in cases:
        noise = _noise(case["steps"])
        assert noise.timesteps.tolist() == arrays["timesteps"].tolist()
        a, _ = noise.levels(noise.timesteps)
        assert np.allclose(a.numpy() ** 2, arrays["alpha_t"], atol=1e-6)


def test_windows_are_the_recorded_ones_where_those_cover_the_latent(golden_dir):
    compared = 0
    for path in sorted(golden_dir.glob("dginstyle/*/views.json")):
        for case in json.loads(path.read_text()):
            size = (case["pixel_h"] // 8, case["pixel_w"] // 8)
            ours = cover(size, (case["window"],) * 2, (case["stride"],) * 2)
            covered = np.zeros(size, int)
            for view in ours:
                covered[view.slices] += 1
            assert covered.min() >= 1, case
            recorded = [(y0, x0, y1, x1) for x0, y0, x1, y1 in case["views"]]
            if case["covered_all"]:
                assert [(v.y0, v.x0, v.y1, v.x1) for v in ours] == recorded
                assert covered.max() == case["max_count"]
                compared += 1
    assert compared >= 1


def test_the_paste_of_the_clean_option_ends_on_the_known_latents(cases):
    """The option the package uses: the level of the step itself, and the known latents at the end."""
    for case, arrays in cases:
        if case["inpaint"]:
            noise = _noise(case["steps"])
            keep = torch.from_numpy(arrays["inpaint_mask_latent"]).float().reshape(1, 1, *case["latent_hw"])
            known = _latent(arrays["ini_latents"])
            edit = paste(noise, known, keep, drawn(tuple(known.shape[1:]), [torch.Generator()]))
            cond = Conditioning(torch.zeros(1, 4, 8))
            end = sample(lambda z, call: 0.1 * z, noise, torch.ones_like(known), cond, edits=[edit])
            assert torch.equal(end * keep, known * keep)
            assert math.isfinite(float(end.sum()))
