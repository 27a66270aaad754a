"""Masks out of the sampling run: the same pictures, the head's own answer, records, files, comparison."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import scenewright.flows.ground as page
from scenewright.backbone.features import extract
from scenewright.backbone.tap_layout import tap_layout
from scenewright.backbone.words import class_vectors
from scenewright.errors import InputError, ModelError
from scenewright.flows.generate import condition, generate, latents, render
from scenewright.flows.ground import Grounder
from scenewright.flows.ground_compare import Comparer
from scenewright.flows.ground_files import class_files, drawable, overlay_picture
from scenewright.flows.ground_masks import class_masks
from scenewright.flows.ground_words import with_classes
from scenewright.flows.jobs import Job
from scenewright.flows.model import Model
from scenewright.flows.options import GenerateOptions, GroundOptions
from scenewright.flows.write import write
from scenewright.models.load import load_bundle
from scenewright.scene import Box, Instance, Mask, Record, Scene
from scenewright.world import toybox

FAST = GenerateOptions(steps=3, guidance=3.0, batch=3)
SIZE = (64, 64)
CAT = Instance("a red cat", box=Box(0.1, 0.1, 0.5, 0.6))
DOG = Instance("a blue dog", box=Box(0.5, 0.2, 0.9, 0.9))
SCENES = [
    Scene("a red cat and a blue dog", SIZE, (CAT, DOG)),
    Scene("two cats", SIZE, (CAT, CAT.replace(box=DOG.box), Instance("a car"))),
    Scene("grass", SIZE),
    Scene("a cat", (64, 32), (CAT,)),
]
SEEDS = [5, 6, 7, 8]


@pytest.fixture(scope="module")
def bundle(tiny_model: str):
    return load_bundle(tiny_model, "cpu")


@pytest.fixture(scope="module")
def asked(tiny_head: Path) -> GroundOptions:
    return GroundOptions(head=str(tiny_head))


@pytest.fixture(scope="module")
def grounder(bundle, asked: GroundOptions) -> Grounder:
    return Grounder.load(bundle, asked)


@pytest.fixture(scope="module")
def grounded(bundle, grounder: Grounder) -> list[Record]:
    return list(generate(bundle, SCENES, SEEDS, FAST, ground=grounder))


@pytest.mark.parametrize("guidance", [3.0, 1.0])
@pytest.mark.parametrize("scheduler", ["ddim", "heun"])
def test_the_pictures_are_the_same_to_the_bit(bundle, grounder, guidance: float, scheduler: str) -> None:
    options = replace(FAST, guidance=guidance, scheduler=scheduler)
    plain = render(bundle, SCENES[:2], SEEDS[:2], options)
    masked = render(bundle, SCENES[:2], SEEDS[:2], options, ground=grounder)
    for one, other in zip(plain, masked, strict=True):
        assert np.array_equal(one.image, other.image) and one.scene == other.scene
        assert other.masks and not one.masks
    assert not any(module._forward_hooks for module in bundle.backbone.unet.modules())


def test_masks_are_kept_by_instance_and_never_overlap(grounded: list[Record]) -> None:
    for record in grounded:
        assert set(record.masks) == set(record.scene.ids)
        total = sum((mask.array().astype(int) for mask in record.masks.values()), start=np.zeros(1, int))
        assert total.max() <= 1 or not record.masks
        assert all(mask.size_hw == record.size_hw for mask in record.masks.values())
    assert any(0 < mask.area_px < 64 * 64 for record in grounded for mask in record.masks.values())
    told = grounded[1].scores["grounding"]["classes"]
    assert told["cat"]["instances"] == ["i1", "i2"] and told["car"]["instances"] == ["i3"]
    assert not told["car"]["in_prompt"] and told["cat"]["in_prompt"]
    assert not grounded[2].masks and "grounding" not in grounded[2].scores
    assert "grounding" not in grounded[2].provenance


@pytest.mark.parametrize("guidance", [3.0, 1.0])
@pytest.mark.parametrize("scheduler", ["ddim", "pndm", "heun", "euler-ancestral"])
def test_masks_are_what_the_head_says_of_the_last_step(bundle, grounder, guidance, scheduler) -> None:
    """The same features by another way: the latent of the last evaluation, and one more call."""
    options, seen = replace(FAST, guidance=guidance, scheduler=scheduler), []
    scenes, seeds = SCENES[:2], SEEDS[:2]
    records = render(bundle, scenes, seeds, options, ground=grounder)
    backbone, adapter, config = bundle.backbone, bundle.adapter, grounder.config
    latents(backbone, adapter, scenes, seeds, options, on_step=seen.append)
    cond, negative, _ = condition(backbone, adapter, scenes, options)
    last = seen[-1]
    from scenewright.backbone.noise import Noise
    from scenewright.backbone.schedulers import make_scheduler

    noise = Noise(make_scheduler(scheduler, backbone.scheduler), options.steps)
    with adapter.attach(backbone.unet):
        features = extract(
            backbone, noise.scale(last.z_RChw, last.t), last.t, cond, negative,
            tap_layout(backbone.unet, config.layout),
        )  # fmt: skip
    for b, (record, labels) in enumerate(zip(records, (["cat", "dog"], ["cat", "car"]), strict=True)):
        vectors_BKD, _ = class_vectors(backbone, [record.scene.prompt], [labels], "template")
        with torch.no_grad():
            logits_KHW = grounder.head.net(features.take([b]), vectors_BKD)[0]
        best_HW = torch.where(logits_KHW.amax(0) > 0, logits_KHW.argmax(0), -1).numpy()
        for k, mask in enumerate(class_masks(record).values()):
            assert (mask.array() == (best_HW == k)).mean() > 0.995


def test_heads_that_read_attention_get_it_from_the_same_run(bundle, tmp_path: Path) -> None:
    from scenewright.backbone.noise import Noise
    from scenewright.ground.attention import AttentionTaps, class_places
    from scenewright.ground.head import GroundingHead
    from scenewright.models.adapter import save_adapter

    backbone, adapter = bundle.backbone, bundle.adapter
    with AttentionTaps(backbone.unet) as taps:
        count = taps.count
    head = GroundingHead.for_unet(backbone.unet, stride=4, seed=1, attention=count)
    torch.nn.init.normal_(head.refinement.last.weight)
    file = save_adapter(tmp_path / "a.safetensors", head, head.config, "grounding", backbone.fingerprint)
    ground = Grounder.load(bundle, GroundOptions(head=str(file), rule="independent"))
    scenes, seeds, seen = SCENES[:2], SEEDS[:2], []
    records = render(bundle, scenes, seeds, FAST, ground=ground)
    latents(backbone, adapter, scenes, seeds, FAST, on_step=seen.append)
    cond, negative, _ = condition(backbone, adapter, scenes, FAST)
    z_BChw, t = Noise(backbone.scheduler, 3).scale(seen[-1].z_RChw, seen[-1].t), seen[-1].t
    layout = tap_layout(backbone.unet, head.config.layout)
    with adapter.attach(backbone.unet), AttentionTaps(backbone.unet) as taps:
        features = extract(backbone, z_BChw, t, cond, negative, layout, watchers=[taps])
    labels = [["cat", "dog"], ["cat", "car"]]
    maps = taps.maps([0, 1], class_places(backbone, [one.prompt for one in scenes], labels))
    assert float(maps[0].max()) > 0.9 and float(maps[1, 1].max()) == 0  # nobody speaks of a car
    vectors_BKD, used_BK = class_vectors(backbone, ["", ""], labels)
    with torch.no_grad():
        logits_BKHW = ground.head.net(features, vectors_BKD, used_BK, maps)
    for b, record in enumerate(records):
        for k, mask in enumerate(class_masks(record).values()):
            assert (mask.array() == (logits_BKHW[b, k] > 0).numpy()).mean() > 0.995


def test_a_mask_does_not_depend_on_its_neighbours(bundle, grounder, grounded) -> None:
    alone = render(bundle, SCENES[1:2], SEEDS[1:2], FAST, ground=grounder)[0]
    for id, mask in alone.masks.items():
        assert (mask.array() == grounded[1].masks[id].array()).mean() > 0.995


def test_classes_that_no_phrase_names(bundle, grounded, asked) -> None:
    options = replace(asked, classes=("cat", "zebra"))
    record = Model(bundle).generate(SCENES[:1], SEEDS[:1], FAST, ground=options)[0]
    assert np.array_equal(record.image, grounded[0].image)
    assert record.scene.instances[:2] == SCENES[0].instances
    assert [one.phrase for one in record.scene.instances[2:]] == ["zebra"]
    assert set(record.masks) == {"i1", "i3"} and list(class_masks(record)) == ["cat", "zebra"]
    assert record.scores["grounding"]["classes"]["zebra"]["in_prompt"] is False
    assert Model(bundle).generate([record.scene], options=FAST)[0].image.tobytes() == record.image.tobytes()


def test_rule_and_threshold(bundle, asked) -> None:
    areas = {}
    for threshold in (0.2, 0.8):
        options = replace(asked, rule="independent", threshold=threshold)
        record = Model(bundle).generate(SCENES[:1], SEEDS[:1], FAST, ground=options)[0]
        areas[threshold] = sum(mask.area_px for mask in record.masks.values())
        facts = record.provenance["grounding"]
        assert (facts["rule"], facts["threshold"], facts["classes"]) == (
            "independent",
            threshold,
            ["cat", "dog"],
        )
    assert areas[0.2] > areas[0.8]


def test_sides_that_the_coarsest_cells_do_not_divide(bundle, asked) -> None:
    odd = Scene("a cat", (72, 40), (CAT,))
    record = Model(bundle).generate([odd], [1], FAST, ground=asked)[0]
    assert record.masks["i1"].size_hw == (40, 72)


def test_fifty_classes_in_small_parts_are_the_same(bundle, asked, monkeypatch) -> None:
    names = tuple(f"thing number {k}" for k in range(50))
    options = replace(asked, classes=names, rule="independent")
    model = Model(bundle)
    whole = model.generate(SCENES[:2], SEEDS[:2], FAST, ground=options)
    monkeypatch.setattr(page, "MOST_LOGITS", 1)
    parts = model.generate(SCENES[:2], SEEDS[:2], FAST, ground=options)
    assert len(whole[0].masks) == 50 and len(whole[0].scene.instances) == 52
    for one, other in zip(whole, parts, strict=True):
        assert all((mask.array() == other.masks[id].array()).mean() > 0.995 for id, mask in one.masks.items())


def test_half_precision(bundle, asked, grounded) -> None:
    model = Model(load_bundle(bundle.name, "cpu", "bfloat16"))
    record = model.generate(SCENES[:1], SEEDS[:1], FAST, ground=asked)[0]
    assert model.grounder(asked).head.net.to_tokens.weight.dtype == torch.float32
    assert set(record.masks) == set(grounded[0].masks)


def test_numbers_that_are_no_picture_have_no_masks(bundle, grounder) -> None:
    wild = replace(FAST, guidance=1e38)
    assert not any(
        isinstance(one, Record) for one in render(bundle, SCENES[:2], SEEDS[:2], wild, ground=grounder)
    )


# --- heads -------------------------------------------------------------------------------------------------


def test_heads_that_do_not_fit(bundle, tiny_model: str, tiny_head: Path, tmp_path: Path) -> None:
    from scenewright.ground.head import GroundingHead
    from scenewright.models.adapter import save_adapter
    from scenewright.testing import tiny_backbone

    other = tiny_backbone(1)
    head = GroundingHead.for_unet(other.unet, stride=4)
    foreign = save_adapter(tmp_path / "a.safetensors", head, head.config, "grounding", other.fingerprint)
    wide = GroundingHead(replace(head.config, channels=tuple(2 * c for c in head.config.channels)))
    taps = save_adapter(
        tmp_path / "b.safetensors", wide, wide.config, "grounding", bundle.backbone.fingerprint
    )
    layout = tiny_model.partition("+gligen:")[2]
    for name, words in (
        (str(foreign), "was trained on"),
        (str(taps), "the head reads levels of"),
        (layout, "of the kind gligen, not a grounding head"),
        ("no/such/head.safetensors", "there is no grounding head at"),
        ("", "there is no grounding head for"),
        ("grounding-2", "no adapter 'grounding-2'"),
    ):
        with pytest.raises(ModelError, match=words) as caught:
            Grounder.load(bundle, GroundOptions(head=name))
        assert caught.value.hint
    assert Grounder.load(bundle, GroundOptions(head=str(foreign)), allow_other=True)
    with pytest.raises(ModelError, match="a grounding head finds things"):
        load_bundle(f"{tiny_model.partition('+')[0]}+grounding:{tiny_head}", "cpu")


def test_stop_words_are_refused_before_anything_is_drawn(bundle, grounder, tmp_path: Path) -> None:
    scene = Scene("a cat", SIZE, (Instance("of the", category="of the"),))
    with pytest.raises(InputError, match="names nothing that could be seen"):
        write(bundle, [Job("a", scene, 1)], FAST, tmp_path / "out", ground=grounder)
    assert not (tmp_path / "out").exists()


# --- files -------------------------------------------------------------------------------------------------

JOBS = [Job(f"p-{k}", scene, seed) for k, (scene, seed) in enumerate(zip(SCENES, SEEDS, strict=True))]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def cutting(bundle, asked) -> Grounder:
    return Grounder.load(bundle, replace(asked, cutouts=True))


@pytest.fixture(scope="module")
def folder(bundle, cutting, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("masked")
    write(bundle, JOBS, FAST, out, ground=cutting)
    return out


def test_masks_and_cutouts_as_files(folder: Path, grounded: list[Record]) -> None:
    names = {f"p-{k}{e}" for k in range(4) for e in (".png", ".scene.json", ".overlay.png")} | {"sheet.png"}
    classes = ("p-0.cat", "p-0.dog", "p-1.cat", "p-1.car", "p-3.cat")
    assert set(contents(folder)) == names | {one + e for one in classes for e in (".mask.png", ".cutout.png")}
    record = Record.load(folder / "p-1.png")
    assert record.masks == grounded[1].masks and record.scores == grounded[1].scores
    for label, mask in class_masks(record).items():
        assert Mask.from_png(folder / f"p-1.{label}.mask.png") == mask
        with Image.open(folder / f"p-1.{label}.cutout.png") as cutout:
            pixels_HW4 = np.asarray(cutout)
        inside_HW = mask.array()
        assert pixels_HW4.shape == (64, 64, 4) and ((pixels_HW4[..., 3] == 255) == inside_HW).all()
        assert (pixels_HW4[..., :3] == record.image * inside_HW[..., None]).all()


def test_an_interrupted_run_continues_to_the_same_bytes(
    bundle, cutting, folder: Path, tmp_path: Path
) -> None:
    def stop(one) -> None:
        if one.job.name == "p-1":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(bundle, JOBS, FAST, tmp_path, ground=cutting, on_done=stop)
    assert [one.state for one in write(bundle, JOBS, FAST, tmp_path, ground=cutting).outcomes].count(
        "kept"
    ) == 2
    assert contents(tmp_path) == contents(folder)
    (tmp_path / "p-1.cat.mask.png").unlink()
    states = [one.state for one in write(bundle, JOBS, FAST, tmp_path, ground=cutting).outcomes]
    assert states == ["kept", "made", "kept", "kept"]
    assert contents(tmp_path) == contents(folder)


def test_other_masks_are_another_picture(bundle, asked, folder: Path) -> None:
    before = contents(folder)
    for changes in ({"threshold": 0.7}, {"rule": "independent"}):
        with pytest.raises(InputError, match="made in another way: grounding"):
            write(bundle, JOBS, FAST, folder, ground=Grounder.load(bundle, replace(asked, **changes)))
    with pytest.raises(InputError, match="made in another way: grounding"):
        write(bundle, JOBS, FAST, folder)
    assert contents(folder) == before


def test_names_of_files_are_plain_and_distinct(tmp_path: Path) -> None:
    files = class_files(tmp_path, "p", ["hot dog", "hot-dog!", "Été", "猫", "../x"], ".mask.png")
    assert [path.name for path in files.values()] == [
        "p.hot-dog.mask.png", "p.hot-dog-2.mask.png", "p.t.mask.png", "p.class-4.mask.png", "p.x.mask.png",
    ]  # fmt: skip


def test_pictures_of_masks_are_no_samples(folder: Path) -> None:
    from scenewright.flows.samples import read_samples

    found = read_samples(folder)
    assert sorted(one.name for one in found.samples) == ["p-0", "p-1", "p-2", "p-3"] and not found.left_out


# --- comparison --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def comparer() -> Comparer:
    return Comparer.load("cpu")


def drawing(seed: int) -> Record:
    """A drawing whose record claims its exact masks."""
    record = toybox.draw(seed, count=(2, 2)).record()
    scene = record.scene
    labels = dict.fromkeys(one.category for one in scene.instances)
    told = {
        label: {"instances": [one.id for one in scene.instances if one.category == label]} for label in labels
    }
    masks = record.masks or {one.id: one.mask for one in scene.instances}
    return record.replace(masks=masks, scores={"grounding": {"classes": told}})


def test_the_detector_agrees_with_exact_masks(comparer: Comparer) -> None:
    done = comparer.compared([drawing(seed) for seed in (11, 12, 13)])
    entries = [entry for record in done for entry in record.scores["detector"]["classes"].values()]
    assert all(entry["class"] for entry in entries)
    assert np.median([entry["iou"] for entry in entries]) > 0.7
    assert all(record.scores["detector"]["judge"].startswith("detector@") for record in done)
    json.dumps(done[0].scores)


def test_what_the_detector_does_not_know_or_see(comparer: Comparer) -> None:
    empty = Mask.empty((128, 128))
    record = drawing(11)
    scene = with_classes(record.scene, ("zebra", "aeroplane"))
    extra = {one.phrase: one.id for one in scene.instances[len(record.scene.instances) :]}
    shown = [one.category for one in record.scene.instances]
    assert "aeroplane" not in shown
    told = {name: {"instances": [id]} for name, id in extra.items()}
    asked = record.replace(
        scene=scene, masks={id: empty for id in extra.values()}, scores={"grounding": {"classes": told}}
    )
    (done,) = comparer.compared([asked])
    classes = done.scores["detector"]["classes"]
    assert classes["zebra"] == {"class": None, "found": 0, "score": 0.0, "iou": None}
    assert classes["aeroplane"]["iou"] is None and classes["aeroplane"]["found"] == 0
    assert overlay_picture(done).shape[1] > overlay_picture(asked).shape[1]
    assert [one.phrase for one in drawable(asked).instances] == [one.phrase for one in record.scene.instances]


def test_compared_in_a_run(bundle, asked, tmp_path: Path) -> None:
    ground = Grounder.load(bundle, replace(asked, compare_detector=True))
    write(bundle, JOBS[:1], FAST, tmp_path, ground=ground)
    record = Record.load(tmp_path / "p-0.png")
    assert set(record.scores["detector"]["classes"]) == {"cat", "dog"}
    assert record.provenance["grounding"]["detector"] == record.scores["detector"]["judge"]
