"""The grounding head against recordings of the three published mask modules, through the public converter.

Tolerances are those of the recordings' README: 1e-4 for logits, intermediates and buffers, 1e-4 relative for
losses, 1e-3 relative with a floor of 1e-6 for gradient norms. Every folder of that form is run.
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
from torch import Tensor

from scenewright.backbone.features import Features
from scenewright.convert.grounding import LEVELS, from_original, names, original_state, variant
from scenewright.ground.decide import decide
from scenewright.ground.head import GroundingHead
from scenewright.train.mask_losses import mask_loss

GOLDEN = 1e-4


@dataclass(frozen=True)
class Recording:
    """One published module at one seed."""

    folder: Path

    def _json(self, name: str) -> dict[str, Any]:
        return json.loads((self.folder / f"{name}.json").read_text())

    @cached_property
    def check(self) -> dict[str, Any]:
        return self._json("recipe_check")

    @cached_property
    def stats(self) -> dict[str, Any]:
        return self._json("stats")

    @cached_property
    def outputs(self) -> dict[str, Tensor]:
        stored = np.load(self.folder / "outputs.npz")
        return {key: torch.from_numpy(stored[key]) for key in stored.files}

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        shapes = self._json("keys_shapes")
        rng = np.random.RandomState(self.check["seed"])
        return {key: _weight(key, rng.standard_normal(shapes[key]["shape"])) for key in sorted(shapes)}

    @cached_property
    def features(self) -> Features:
        rng = np.random.RandomState(self.check["seed"] + 1000)
        shapes = self.check["features"]
        return Features(tuple(tuple(_normal(rng, one["shape"]) for one in shapes[level]) for level in LEVELS))

    @cached_property
    def text(self) -> Tensor:
        return _normal(np.random.RandomState(self.check["seed"] + 2000), self.check["text"]["shape"])

    @cached_property
    def targets(self) -> Tensor:
        shape = self.check["targets"]["shape"]
        rng = np.random.RandomState(self.check["seed"] + 3000)
        side = shape[-1]
        rows, columns = np.arange(side)[:, None], np.arange(side)[None]
        masks = []
        for _ in range(shape[1]):
            row, column = rng.uniform(side / 4, 3 * side / 4), rng.uniform(side / 4, 3 * side / 4)
            radius = rng.uniform(side / 8, 5 * side / 16)
            masks.append((rows - row) ** 2 + (columns - column) ** 2 <= radius**2)
        return torch.from_numpy(np.stack(masks)).float()[None]

    def head(self, **settings: str) -> GroundingHead:
        return from_original(self.weights, str(self.folder), **settings)


def _weight(key: str, draw: np.ndarray) -> Tensor:
    value = (draw * 0.02).astype(np.float32)
    last = key.split(".")[-1]
    if last in ("stored_var1", "stored_var2"):
        value = 1 + np.abs(value)
    elif last == "weight" and value.ndim == 1:
        value = 1 + value
    return torch.from_numpy(value)


def _normal(rng: np.random.RandomState, shape: list[int]) -> Tensor:
    return torch.from_numpy(rng.standard_normal(shape).astype(np.float32))


def folders(golden: Path) -> list[Path]:
    return sorted(path.parent for path in (golden / "grounding").glob("*/*/keys_shapes.json"))


@pytest.fixture(scope="module")
def every(golden_dir: Path) -> list[Recording]:
    found = [Recording(folder) for folder in folders(golden_dir)]
    if not found:
        pytest.skip(f"no recordings under {golden_dir / 'grounding'}")
    return found


def close(given: Tensor, expected: Tensor, tolerance: float = GOLDEN) -> None:
    assert given.shape == expected.shape
    assert (given - expected).abs().max().item() <= tolerance


def grid(logits_1KHW: Tensor) -> Tensor:
    """The recorded part of logits: 64 x 64 pixels from 3 on."""
    step = logits_1KHW.shape[-1] // 64
    return logits_1KHW[0, :, 3::step, 3::step].detach()


def agree(given: Tensor, expected: dict[str, Any]) -> None:
    """Statistics of a whole tensor."""
    assert given.numel() == int(np.prod(expected["shape"]))
    given = given.detach().double()
    found = {
        "mean": given.mean(),
        "std": given.std(correction=0),
        "min": given.min(),
        "max": given.max(),
        "abs_mean": given.abs().mean(),
        "frac_positive": (given > 0).double().mean(),
    }
    for name, value in found.items():
        assert value.item() == pytest.approx(expected[name], abs=GOLDEN), name


def test_the_recipes_draw_what_was_recorded(every: list[Recording]) -> None:
    for one in every:
        for key, told in one.check["weights"].items():
            first = one.weights[key].flatten()[: len(told["first"])]
            assert first.tolist() == pytest.approx(told["first"], abs=1e-7)
            assert one.weights[key].double().sum().item() == pytest.approx(told["sum"], rel=1e-5, abs=1e-5)
        for level, maps in zip(LEVELS, one.features.levels, strict=True):
            for told, drawn in zip(one.check["features"][level], maps, strict=True):
                assert drawn.double().sum().item() == pytest.approx(told["sum"], rel=1e-6, abs=1e-3)
        assert one.targets.flatten(2).sum(-1)[0].tolist() == one.check["targets"]["foreground_pixels"]


def test_names_are_a_bijection_and_variants_are_told_apart(every: list[Recording]) -> None:
    for one in every:
        table = names(one.weights)
        assert len(set(table.values())) == len(table) == 90
        head = one.head()
        assert set(table.values()) == set(head.state_dict())
        back = original_state(head)
        assert back.keys() == one.weights.keys()
        assert all(torch.equal(back[key], one.weights[key]) for key in back)
        assert variant(one.weights).replace("-", "_") == one.folder.name
        assert (
            sum(value.numel() for value in head.parameters())
            == {
                "original": 18_796_560,
                "port": 17_608_720,
                "port_sd2": 17_739_792,
            }[one.folder.name]
        )


@torch.no_grad()
def test_evaluation_mode(every: list[Recording]) -> None:
    for one in every:
        joint = one.head(query_mode="joint", bn_mode="running")
        fused = joint.fuse(one.features)
        agree(fused, one.stats["eval.fused"])
        close(fused[0, ::12, 1::4, 1::4], one.outputs["fused_features"])
        tokens = joint.tokens(fused)
        close(tokens[0, ::8, ::8], one.outputs["tokens"])
        queries = joint.to_queries(one.text)
        close(queries[0], one.outputs["projected_queries"])
        used = torch.ones(queries.shape[:2], dtype=torch.bool)
        decoded = joint.decode(queries, tokens, used)
        close(decoded[0], one.outputs["eval_joint_decoded"])
        close(joint.embed(decoded)[0], one.outputs["eval_joint_mask_embedding"])
        logits = joint(one.features, one.text)
        agree(logits, one.stats["eval_joint.logits"])
        close(grid(logits), one.outputs["eval_joint_logits"])
        before = {key: value.clone() for key, value in joint.state_dict().items()}
        assert all(torch.equal(before[key], value) for key, value in one.head().state_dict().items())

        single = one.head(query_mode="single", bn_mode="running")(one.features, one.text)
        agree(single, one.stats["eval_single.logits"])
        close(grid(single), one.outputs["eval_single_logits"])
        masks = decide(single, "independent")[0]
        target = one.targets[0].bool()
        iou = (masks & target).flatten(1).sum(1) / (masks | target).flatten(1).sum(1)
        assert iou.tolist() == pytest.approx(one.stats["eval_single.iou"], abs=1e-3)


RECORDED_LOSSES = {
    "bce": "bce",
    "dice": "dice",
    "bce_dice": "bce_dice",
    "log_cosh": "log_cosh_published",
    "log_cosh_corrected": "log_cosh",
}
"""Name in the recordings -> ours: the published log-cosh applies the sigmoid twice."""


def losses(z: Tensor, g: Tensor) -> dict[str, Tensor]:
    """The losses that heads are trained with, of one class's logits, by their recorded names."""
    return {told: mask_loss(kind, z[None], g[None])[0] for told, kind in RECORDED_LOSSES.items()}


def check_gradients(one: Recording, head: GroundingHead, loss: Tensor, expected: dict[str, float]) -> None:
    parameters = dict(head.named_parameters())
    found = torch.autograd.grad(loss, list(parameters.values()), retain_graph=True)
    norms = {key: value.norm().item() for key, value in zip(parameters, found, strict=True)}
    table = names(one.weights)
    for key, norm in expected.items():
        assert norms[table[key]] == pytest.approx(norm, rel=1e-3, abs=1e-6), key


def check_buffers(one: Recording, head: GroundingHead) -> None:
    state, table = head.state_dict(), names(one.weights)
    recorded = {key.removeprefix("after_train_"): value for key, value in one.outputs.items()}
    found = [key for key in recorded if key in one.weights]
    assert len(found) == 24
    for key in found:
        close(state[table[key]], recorded[key])


def in_training(one: Recording, **settings: str) -> GroundingHead:
    return one.head(**settings).requires_grad_(True).train()


def test_training_mode_of_the_paper_code(every: list[Recording]) -> None:
    """One joint call; the head's own settings normalise by the picture's statistics, in evaluation too."""
    for one in [one for one in every if one.folder.name == "original"]:
        head = in_training(one)
        logits = head(one.features, one.text)
        agree(logits, one.stats["train_joint.logits"])
        close(grid(logits), one.outputs["train_joint_logits"])
        bce = [losses(z, g)["bce"] for z, g in zip(logits[0], one.targets[0], strict=True)]
        assert [loss.item() for loss in bce] == pytest.approx(
            one.stats["train_joint.bce_per_class"], rel=GOLDEN
        )
        assert sum(bce).item() == pytest.approx(one.stats["train_joint.loss"], rel=GOLDEN)
        check_gradients(one, head, sum(bce), one.stats["train_joint.grad_l2"])
        check_buffers(one, head)
        with torch.no_grad():
            close(grid(one.head()(one.features, one.text)), one.outputs["train_joint_logits"])
            running = in_training(one, bn_mode="running")
            close(grid(running(one.features, one.text)), one.outputs["train_joint_logits"])


def test_training_mode_of_the_port(every: list[Recording]) -> None:
    """One call per class in turn, each moving the buffers; losses are summed."""
    for one in [one for one in every if one.folder.name != "original"]:
        head = in_training(one)
        calls = [head(one.features, one.text[:, k : k + 1]) for k in range(one.text.shape[1])]
        logits = torch.cat(calls, dim=1)
        agree(logits, one.stats["train_single.logits"])
        close(grid(logits), one.outputs["train_single_logits"])
        check_buffers(one, head)
        rows = [losses(z, g) for z, g in zip(logits[0], one.targets[0], strict=True)]
        for name in rows[0]:
            told = one.stats[f"train_single.loss_{name}_per_class"]
            assert [row[name].item() for row in rows] == pytest.approx(told, rel=GOLDEN), name
            total = one.stats.get(f"train_single.loss_{name}")
            assert total is None or sum(row[name] for row in rows).item() == pytest.approx(total, rel=GOLDEN)
        for name in ("bce", "log_cosh"):
            summed = sum(row[name] for row in rows)
            check_gradients(one, head, summed, one.stats[f"train_single.grad_l2_{name}"])
