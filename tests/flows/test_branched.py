"""Every instance with a latent of its own at first: what the pictures are, alone and in mixed batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scenewright.errors import InputError
from scenewright.flows.branched import branch_scenes, check_branches, cover, merge_weights
from scenewright.flows.generate import generate, latents, render
from scenewright.flows.options import GenerateOptions
from scenewright.models.load import load_bundle
from scenewright.scene import Box, Instance, Mask, Point, Scene

SIZE = (64, 64)
BOXES = (Box(0.0, 0.0, 0.5, 0.5), Box(0.5, 0.25, 1.0, 1.0), Box(0.1, 0.6, 0.4, 0.9))
NAMES = ("a red cat", "a blue dog", "a green car")
SCENES = [
    Scene(f"a picture of {k} things", SIZE, tuple(Instance(NAMES[j], box=BOXES[j]) for j in range(k)))
    for k in (3, 0, 1)
]
SEEDS = [5, 6, 7]


def options(**changes) -> GenerateOptions:
    return GenerateOptions(**{"steps": 4, "guidance": 3.0, "mis": 0.5, **changes})


@pytest.fixture(scope="module")
def bundle(tiny_model: str):
    return load_bundle(tiny_model, "cpu")


def drawn(bundle, scenes, seeds, chosen) -> torch.Tensor:
    return latents(bundle.backbone, bundle.adapter, scenes, seeds, chosen)


def test_a_picture_does_not_depend_on_its_neighbours_nor_their_branches(bundle) -> None:
    together = drawn(bundle, SCENES, SEEDS, options())
    for k in range(3):
        alone = drawn(bundle, [SCENES[k]], [SEEDS[k]], options())
        torch.testing.assert_close(alone[0], together[k], atol=1e-4, rtol=0)
    plain = drawn(bundle, SCENES, SEEDS, options(mis=0.0))
    gaps = (plain - together).abs().amax((1, 2, 3))
    assert gaps[0] > 1e-2 and gaps[2] > 1e-2 and gaps[1] < 1e-5


def test_all_of_the_steps_is_the_mean_of_pictures_drawn_apart(bundle) -> None:
    """With mis 1 the latents meet after the last step: each is a run of its own."""
    scene, chosen = SCENES[0], options(mis=1.0, negative="dark")
    whole = drawn(bundle, [scene], [9], chosen)
    apart = [scene, *branch_scenes([scene], [()])[0]]
    assert [one.prompt for one in apart[1:]] == list(NAMES) and all(
        len(one.instances) == 1 for one in apart[1:]
    )
    each = drawn(bundle, apart, [9] * 4, options(mis=0.0, negative="dark"))
    torch.testing.assert_close(whole[0], each.mean(0), atol=1e-4, rtol=0)


@pytest.mark.parametrize("scheduler", ["pndm", "euler-ancestral", "unipc"])
def test_any_scheduler(bundle, scheduler: str) -> None:
    chosen = options(scheduler=scheduler)
    both = drawn(bundle, SCENES[::2], SEEDS[::2], chosen)
    assert bool(torch.isfinite(both).all())
    one = drawn(bundle, SCENES[2:], SEEDS[2:], chosen)
    torch.testing.assert_close(one[0], both[1], atol=2e-3, rtol=1e-3)


def test_weights_keep_the_whole_picture_beside_the_instances() -> None:
    mask = np.zeros((64, 64), dtype=bool)
    mask[:16, :16] = True
    first = Instance("a cat", box=BOXES[0], mask=Mask.from_array(mask))
    scenes = [Scene("x", SIZE, (first, Instance("a dot", points=(Point(0.9, 0.1),)))), SCENES[1]]
    branches = branch_scenes(scenes, [(), ()])
    assert merge_weights(branches, "mean", (8, 8)) is None
    box, cut = (merge_weights(branches, rule, (8, 8)) for rule in ("box", "mask"))
    assert box.shape == cut.shape == (4, 1, 8, 8)
    assert bool((box[0] == 1).all()) and bool((box[3] == 1).all())
    assert float(box[1].sum()) == 16 and float(cut[1].sum()) == 4
    assert float(box[2].sum()) > 0 and torch.equal(box[2], cut[2])  # no mask: its place
    half = cover(np.tile(np.arange(64) < 4, (64, 1)), (8, 8))
    assert torch.equal(half[0, :, 0], torch.full((8,), 0.5)) and float(half[..., 1:].sum()) == 0


def test_merge_rules_differ_and_stand_in_the_record(bundle) -> None:
    made = {rule: next(generate(bundle, SCENES[:1], [3], options(merge=rule))) for rule in ("mean", "box")}
    assert made["mean"].provenance["mis"] == 0.5 and made["box"].provenance["merge"] == "box"
    assert not np.array_equal(made["mean"].image, made["box"].image)
    plain = render(bundle, SCENES[:1], [3], options(mis=0.0))[0]
    assert "mis" not in plain.provenance


def test_instances_without_a_slot_have_no_branch(bundle) -> None:
    many = tuple(
        Instance(f"a cat {k}", box=Box(0.1 * k, 0.1, 0.1 * k + 0.1 + 0.01 * k, 0.4)) for k in range(8)
    )
    scene = Scene("many", SIZE, many)
    record = render(bundle, [scene], [1], options(overflow="largest"))[0]
    assert len(record.provenance["dropped"]) == 2
    assert len(branch_scenes([scene], [record.provenance["dropped"]])[0]) == 6


def test_what_cannot_be(bundle) -> None:
    with pytest.raises(InputError, match="no adapter"):
        check_branches(None, options())
    with pytest.raises(InputError, match="without a layout"):
        options(layout=False)
    with pytest.raises(InputError, match=r"mis is 1\.5"):
        options(mis=1.5)
    with pytest.raises(InputError, match="merge is 'boxes'"):
        options(merge="boxes")
