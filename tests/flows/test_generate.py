"""Scenes to pictures: heterogeneous batches, what must not change, records and their provenance."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scenewright.backbone.loop import Stopped
from scenewright.condition.gligen import Gligen
from scenewright.errors import InputError, SceneError
from scenewright.flows.generate import GenerateOptions, batches, generate, latents, pictures, render
from scenewright.flows.model import Model
from scenewright.flows.provenance import differences, without_folders
from scenewright.models.load import load_bundle
from scenewright.scene import Box, Instance, Scene

FAST = GenerateOptions(steps=3, guidance=3.0)
SIZE = (64, 64)


def cat(k: int) -> Instance:
    return Instance(f"a {('red', 'blue')[k % 2]} cat", box=Box(0.1 * k, 0.1, 0.1 * k + 0.3, 0.6))


SCENES = [
    Scene(
        f"picture number {k}", SIZE, tuple(cat(j) for j in range(k % 5)), negative="blue" if k == 3 else None
    )
    for k in range(8)
]
SEEDS = [11 * k for k in range(8)]


@pytest.fixture(scope="module")
def bundle(tiny_model: str):
    return load_bundle(tiny_model, "cpu")


@pytest.fixture(scope="module")
def together(bundle) -> torch.Tensor:
    return latents(bundle.backbone, bundle.adapter, SCENES, SEEDS, FAST)


@pytest.mark.parametrize("k", [0, 1, 3, 4])
def test_a_picture_does_not_depend_on_its_neighbours(bundle, together: torch.Tensor, k: int) -> None:
    alone = latents(bundle.backbone, bundle.adapter, [SCENES[k]], [SEEDS[k]], FAST)
    torch.testing.assert_close(alone[0], together[k], atol=1e-4, rtol=0)


def test_scenes_without_instances_are_the_base_in_any_batch(bundle, together: torch.Tensor) -> None:
    base = latents(bundle.backbone, None, SCENES, SEEDS, FAST)
    for k, scene in enumerate(SCENES):
        gap = float((base[k] - together[k]).abs().max())
        assert gap < 1e-4 if not scene.instances else gap > 1e-2


def test_afterwards_the_base_is_bit_equal_and_a_fresh_adapter_changes_nothing(bundle) -> None:
    before = latents(bundle.backbone, None, SCENES[:2], SEEDS[:2], FAST)
    fresh = Gligen.for_unet(bundle.backbone.unet)
    untrained = latents(bundle.backbone, fresh, SCENES[:2], SEEDS[:2], FAST)
    torch.testing.assert_close(untrained, before, atol=1e-5, rtol=0)
    latents(bundle.backbone, bundle.adapter, SCENES[:2], SEEDS[:2], FAST)
    assert torch.equal(latents(bundle.backbone, None, SCENES[:2], SEEDS[:2], FAST), before)


def test_gate_zero_and_no_layout_are_the_base(bundle) -> None:
    off = GenerateOptions(steps=3, guidance=3.0, gate=(0.0, 0.0, 1.0))
    without = GenerateOptions(steps=3, guidance=3.0, layout=False)
    base = next(generate(bundle, SCENES[2:3], [1], without))
    assert np.array_equal(next(generate(bundle, SCENES[2:3], [1], off)).image, base.image)
    assert base.provenance["adapter"] is None and base.provenance["gate"] is None
    full = next(generate(bundle, SCENES[2:3], [1], FAST))
    assert not np.array_equal(full.image, base.image)


@pytest.mark.parametrize(
    "scheduler", ["ddim", "pndm", "euler", "euler-ancestral", "heun", "dpm++", "unipc", "lms"]
)
def test_every_scheduler_draws_the_same_alone_and_together(bundle, scheduler: str) -> None:
    options = GenerateOptions(steps=4, guidance=2.0, scheduler=scheduler)
    two = latents(bundle.backbone, bundle.adapter, SCENES[1:3], [3, 4], options)
    one = latents(bundle.backbone, bundle.adapter, SCENES[2:3], [4], options)
    assert bool(torch.isfinite(two).all())
    torch.testing.assert_close(one[0], two[1], atol=2e-3, rtol=1e-3)


def test_batches_have_one_size_and_fixed_members() -> None:
    scenes = [Scene("a", (64, 64)), Scene("b", (96, 48)), Scene("c", (64, 64)), Scene("d", (64, 64))]
    assert batches(scenes, 2) == [(0, 2), (3,), (1,)]
    assert batches([], 2) == []


def test_records_come_in_order_whatever_their_sizes(bundle) -> None:
    scenes = [Scene("wide", (64, 32)), SCENES[1], Scene("wide too", (64, 32)), SCENES[2]]
    told: list[tuple[float, int]] = []
    options = GenerateOptions(steps=2, batch=2)
    found = list(generate(bundle, scenes, [1, 2, 3, 4], options, lambda *now: told.append(now)))
    assert [record.scene.prompt for record in found] == [scene.prompt for scene in scenes]
    assert [record.image.shape for record in found] == [(32, 64, 3), (64, 64, 3)] * 2
    assert told[-1] == (4.0, 4) and told == sorted(told)
    assert list(generate(bundle, [], [], FAST)) == []


def test_a_record_leads_to_the_same_picture(bundle) -> None:
    record = next(generate(bundle, SCENES[3:4], [123], FAST))
    assert record.scene == SCENES[3].replace(seed=123)
    again = Model(bundle).generate([record.scene], options=FAST)[0]
    assert again == record


def test_provenance_says_how_it_was_made(bundle) -> None:
    facts = next(generate(bundle, SCENES[3:4], [123], FAST)).provenance
    assert facts["backbone"] == {"name": "tiny", "fingerprint": bundle.backbone.fingerprint}
    assert facts["adapter"] == {"kind": "gligen", "fingerprint": bundle.adapter_fingerprint}
    assert len(bundle.adapter_fingerprint) == 16
    assert facts["model"] == "tiny+gligen:tiny.gligen.safetensors"
    assert (facts["steps"], facts["guidance"], facts["gate"], facts["seed"]) == (3, 3.0, [1, 0, 0], 123)
    assert facts["scheduler"] == "DDIMScheduler" and facts["dtype"] == "float32"
    assert facts["negative"] == "blue"
    assert set(facts["versions"]) == {"scenewright", "torch", "diffusers", "transformers"}
    assert "dropped" not in facts
    assert differences({**facts, "versions": {}}, facts) == []
    assert differences({**facts, "steps": 9}, facts) == ["steps 9, now 3"]


def test_names_of_models_lose_their_folders() -> None:
    assert without_folders("nano+gligen") == "nano+gligen"
    assert without_folders("org/model+gligen:/tmp/x/a.safetensors") == "org/model+gligen:a.safetensors"
    assert without_folders("/home/me/mine") == "mine"


def test_too_many_instances_are_refused_or_recorded(bundle) -> None:
    boxes = [Box(0.05 * k, 0.0, 0.05 * k + 0.05 + 0.01 * k, 0.5) for k in range(8)]
    crowd = Scene("cats", SIZE, tuple(Instance("a cat", id=f"c{k}", box=box) for k, box in enumerate(boxes)))
    with pytest.raises(SceneError, match="8 located instances"):
        next(generate(bundle, [crowd], [1], FAST))
    largest = GenerateOptions(steps=2, overflow="largest")
    records = render(bundle, [SCENES[1], crowd], [1, 1], largest)
    assert records[1].provenance["dropped"] == ["c1", "c0"]
    assert records[1].scene.ids == crowd.ids and "dropped" not in records[0].provenance


def test_numbers_that_are_no_picture_are_told(bundle) -> None:
    wild = GenerateOptions(steps=3, guidance=1e38)
    with pytest.raises(Exception, match="no picture") as caught:
        next(generate(bundle, SCENES[1:2], [1], wild))
    assert "--guidance" in caught.value.hint


def test_stopping_and_what_does_not_fit(bundle) -> None:
    asked = iter([False, False, True])
    with pytest.raises(Stopped, match="step 3 of 3"):
        next(generate(bundle, SCENES[:1], [1], FAST, should_stop=lambda: next(asked)))
    model = Model(bundle)
    with pytest.raises(InputError, match="1 seeds for 2 scenes"):
        model.generate(SCENES[:2], seeds=[1])
    with pytest.raises(InputError, match="expected a list"):
        model.generate(SCENES[0])
    with pytest.raises(InputError, match="negative"):
        model.generate(SCENES[:1], seeds=[-1])


def test_half_precision_and_pictures(bundle) -> None:
    from dataclasses import replace

    images = pictures(bundle.backbone, bundle.adapter, SCENES[:3], SEEDS[:3], replace(FAST, batch=2))
    assert [image.shape for image in images] == [(64, 64, 3)] * 3
    backbone = load_bundle(bundle.name, "cpu", "bfloat16")
    record = next(generate(backbone, SCENES[1:2], SEEDS[1:2], FAST))
    assert record.provenance["dtype"] == "bfloat16"
    assert np.abs(record.image.astype(int) - images[1].astype(int)).mean() < 12
