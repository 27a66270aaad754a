"""Pictures with InstanceDiffusion's adapter: kinds, masked attention, ScaleU, batches; GLIGEN's refusal."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scenewright.condition.unifusion import UniFusion, UniFusionConfig
from scenewright.data import coco
from scenewright.errors import InputError, SceneError
from scenewright.flows.generate import generate, latents
from scenewright.flows.options import GenerateOptions
from scenewright.models.bundle import Bundle
from scenewright.models.load import load_bundle
from scenewright.scene import Box, Instance, Mask, Part, Point, Scene, Scribble, Transform
from scenewright.testing import tiny_backbone

OPTIONS = GenerateOptions(steps=2, guidance=2.0)
BITS = np.zeros((64, 64), bool)
BITS[20:50, 10:30] = True
CAR = Instance(phrase="a red car", id="car", box=Box(0.1, 0.3, 0.5, 0.8))
CAT = Instance(phrase="a blue cat", id="cat", mask=Mask.from_array(BITS))
DOG = Instance(phrase="a dog", id="dog", scribble=Scribble((Point(0.6, 0.2), Point(0.9, 0.4))))
SUN = Instance(phrase="the sky", id="sky", points=(Point(0.5, 0.1),))
SCENES = [
    Scene(prompt="a car", size_wh=(64, 64), instances=(CAR, SUN)),
    Scene(prompt="a cat and a dog", size_wh=(64, 64), instances=(CAT, DOG, CAR)),
    Scene(prompt="grass", size_wh=(64, 64)),
]


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    backbone = tiny_backbone(0)
    config = UniFusionConfig(
        slots=4, hidden=16, fourier=4, scribble_points=4, polygon_points=8, map_px=64,
        depths=(1, 1, 1, 1), widths=(4, 4, 8, 8), missing="null", outline="exact",
    )  # fmt: skip
    adapter = UniFusion.for_unet(backbone.unet, config).requires_grad_(False).eval()
    for fuser in adapter.fusers.values():
        fuser.alpha_attn.fill_(1.0)
    for scale in adapter.scales.values():
        scale.b.fill_(0.2)
    return Bundle(backbone, adapter, "tiny+instancediffusion", "instancediffusion")


def drawn(bundle, scenes, **changes):
    options = GenerateOptions(steps=2, guidance=2.0, **changes)
    return latents(bundle.backbone, bundle.adapter, scenes, range(len(scenes)), options)


def test_scenes_of_all_kinds_are_drawn_together_as_alone(bundle):
    together = drawn(bundle, SCENES)
    for k, scene in enumerate(SCENES):
        alone = latents(bundle.backbone, bundle.adapter, [scene], [k], OPTIONS)
        assert torch.allclose(together[k], alone[0], atol=1e-4)


@pytest.mark.parametrize(
    "changes",
    [
        {"use": "box"}, {"use": "published-point"}, {"use": "published-scribble"}, {"attention": "masked"},
        {"attention": "masked-all"}, {"attention": "legacy"}, {"missing": "zeros"}, {"scaleu": False},
    ],
    ids=str,
)  # fmt: skip
def test_every_option_acts(bundle, changes):
    scene = SCENES[1].replace(instances=(CAT, CAR))
    plain, other = drawn(bundle, [scene]), drawn(bundle, [scene], **changes)
    assert other.isfinite().all() and (plain - other).abs().max() > 1e-4


def test_marks_masks_and_parts_act(bundle):
    scene = SCENES[1].replace(instances=(CAT.replace(box=CAT.mask.box()), CAR))
    base = drawn(bundle, [scene])
    bare = scene.replace(instances=(scene.instances[0].replace(mask=None), CAR))
    pointed = scene.replace(instances=(scene.instances[0], CAR.replace(points=(Point(0.2, 0.7),))))
    lined = scene.replace(instances=(scene.instances[0], CAR.replace(scribble=DOG.scribble)))
    parted = scene.replace(
        instances=(scene.instances[0], CAR.replace(parts=(Part("wheel", Box(0.1, 0.7, 0.2, 0.8)),)))
    )
    for other in (bare, pointed, lined, parted):
        assert (drawn(bundle, [other]) - base).abs().max() > 1e-4


def test_masked_attention_on_a_wide_picture(bundle):
    wide = Scene(prompt="a car", size_wh=(96, 48), instances=(CAR, SUN))
    assert drawn(bundle, [wide], attention="masked").isfinite().all()
    with pytest.raises(InputError, match="needs square latents"):
        drawn(bundle, [wide], attention="legacy")


def test_records_say_how_the_layout_was_read(bundle):
    options = GenerateOptions(steps=1, use="published-point", attention="masked", scaleu=False)
    facts = next(generate(bundle, SCENES[:1], [0], options)).provenance
    assert facts["use"] == "published-point" and facts["attention"] == "masked" and facts["scaleu"] is False
    facts = next(generate(bundle, SCENES[:1], [0], GenerateOptions(steps=1))).provenance
    assert facts["use"] == "each its own" and facts["attention"] == "full" and "scaleu" not in facts


def test_too_many_instances_and_parts(bundle):
    many = SCENES[0].replace(instances=tuple(CAR.replace(id=f"c{k}") for k in range(200)))
    with pytest.raises(SceneError, match="200 located instances, the adapter has 4 slots"):
        drawn(bundle, [many])
    record = next(generate(bundle, [many], [0], GenerateOptions(steps=1, overflow="largest")))
    assert len(record.provenance["dropped"]) == 196


def test_real_annotations_in_one_batch(bundle, data_dir):
    """Boxes, masks, and points and scribbles sampled from them, of 16 photographs with different layouts."""
    scenes = coco.read(data_dir / "coco100" / "annotations" / "instances_train2017.json")
    rng, placed = np.random.default_rng(0), []
    for scene in [one for one in scenes if one.instances][:16]:
        small = Transform.fit(scene.size_wh, (64, 64)).scene(scene)
        small = small.replace(picture=None, prompt="a photograph")
        placed.append(small.replace(instances=tuple(sampled(one, rng) for one in small.instances)))
    assert len({scene.digest() for scene in placed}) == 16 and all(scene.instances for scene in placed)
    options = GenerateOptions(steps=1, batch=16, overflow="largest")
    records = list(generate(bundle, placed, range(16), options))
    for scene, record in zip(placed, records, strict=True):
        left = record.provenance.get("dropped", [])
        assert len(left) == max(0, len(scene.instances) - 4) and set(left) <= set(scene.ids)


@pytest.mark.filterwarnings("ignore::scenewright.backbone.text.PromptCut")
def test_real_annotations_on_the_embedded_model(weights_are_here: bool, data_dir) -> None:
    """The same on nano's own network, with an adapter whose gates are open."""
    if not weights_are_here:
        pytest.skip("the embedded model's weights are not in the package")
    backbone = load_bundle("nano", "cpu").backbone
    config = UniFusionConfig(
        slots=6, hidden=16, fourier=4, map_px=64, depths=(1, 1, 1, 1), widths=(4, 4, 8, 8), missing="null"
    )  # fmt: skip
    torch.manual_seed(0)
    adapter = UniFusion.for_unet(backbone.unet, config).requires_grad_(False).eval()
    for fuser in adapter.fusers.values():
        fuser.alpha_attn.fill_(0.1)
    scenes = coco.read(data_dir / "coco100" / "annotations" / "instances_train2017.json")
    rng, placed = np.random.default_rng(1), []
    for scene in [one for one in scenes if one.instances][16:32]:
        small = Transform.fit(scene.size_wh, backbone.native_wh).scene(scene)
        kept = tuple(sampled(one, rng) for one in small.instances)
        placed.append(small.replace(picture=None, prompt=scene.prompt, instances=kept))
    bundle = Bundle(backbone, adapter, "nano+instancediffusion", "instancediffusion")
    options = GenerateOptions(steps=1, batch=16, overflow="largest")
    records = list(generate(bundle, placed, range(16), options))
    assert len({scene.digest() for scene in placed}) == 16
    full = [record for record in records if record.provenance.get("dropped")]
    assert 0 < len(full) < 16 and all(record.image.std() > 0 for record in records)
    for scene, record in zip(placed, records, strict=True):
        assert len(record.provenance.get("dropped", [])) == max(0, len(scene.instances) - 6)


def sampled(one: Instance, rng: np.random.Generator) -> Instance:
    if one.mask is None or one.mask.area_px < 2:
        return one
    points = one.mask.points(rng, 6)
    return one.replace(points=points[:1], scribble=Scribble(points[1:]))


def test_gligen_refuses_what_it_cannot_read(tiny_model):
    gligen = load_bundle(tiny_model, "cpu")
    for changes in ({"use": "mask"}, {"attention": "masked"}, {"missing": "null"}, {"scaleu": False}):
        with pytest.raises(InputError, match="the adapter is GLIGEN's"):
            drawn(gligen, SCENES[:1], **changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"use": "boxes"}, "use is 'boxes'"),
        ({"attention": "mask"}, "attention is 'mask'"),
        ({"missing": "zero"}, "missing is 'zero'"),
    ],
)
def test_words_that_are_no_option(changes, words):
    with pytest.raises(InputError, match=words):
        GenerateOptions(**changes)


def test_marks_that_cannot_be():
    with pytest.raises(SceneError, match="at least 2 points"):
        Scribble((Point(0.1, 0.1),))
    with pytest.raises(SceneError, match="x"):
        Point(1.2, 0.5)
    with pytest.raises(SceneError, match="phrase"):
        Instance(phrase="  ", box=Box(0.1, 0.1, 0.2, 0.2))
