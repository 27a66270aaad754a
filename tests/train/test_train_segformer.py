"""Training of segmenters: real, synthetic and mixed pictures, hidden classes, the folder that comes out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_family import CPU, generator, loop, records

from scenewright.errors import InputError, ModelError
from scenewright.evaluate.semantic import semantic_score
from scenewright.models.segformer import SegformerSize, full_size, load_segmenter
from scenewright.scene import IGNORE, Vocabulary
from scenewright.scene.label_space import LabelSpace
from scenewright.train import Recipe, override, run
from scenewright.train.annotated import REAL_SEED, AnnotatedSource
from scenewright.train.closed_set import figures, groups
from scenewright.train.recipes import find
from scenewright.train.segformer import SegformerTraining
from scenewright.world import town

TINY = SegformerSize(channels=(8, 8, 16, 16), depths=(1, 1, 1, 1), heads=(1, 1, 2, 2), decoder=16)
TOYS = AnnotatedSource(count=6, size_wh=(64, 64), first_seed=REAL_SEED)
SPACE = LabelSpace.of("toybox", things=True)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return records(tmp_path_factory.mktemp("records"), count=4, size_px=64)


@pytest.fixture
def training(cache, folder):
    def made(**changes):
        wanted = {"renders": TOYS, "synthetic": (folder,), "size_wh": (64, 64), "checked": 3, **changes}
        return SegformerTraining(net=TINY, cache=cache, **wanted)

    return made


def prepared(config):
    torch.manual_seed(0)
    task = config.build(loop(batch_size=4))
    task.prepare(CPU, torch.float32)
    return task


@pytest.mark.parametrize(
    ("mix", "counts"),
    [((0, 1), {"real": 6}), ((1, 0), {"synthetic": 3}), ((2, 1), {"synthetic": 3, "real": 6})],
)
def test_what_is_trained_on(training, mix, counts):
    task = prepared(training(mix=mix, synthetic_count=3))
    assert task.counts == counts and task.odds == tuple(value for value in mix if value)
    batch, again = task.batch(3, 0, 1), task.batch(3, 0, 1)
    assert all(torch.equal(batch[key], again[key]) for key in batch)
    assert batch["images"].shape == (4, 64, 64, 3) and batch["labels"].shape == (4, 64, 64)
    known = batch["labels"][batch["labels"] != IGNORE]
    assert int(known.max()) < 39 and len(task.weight_K) == 39


def test_everything_that_is_trained_gets_a_gradient(training):
    task = prepared(training(mix=(1, 1)))
    task.net.train()
    loss, numbers = task.loss(task.batch(0, 0, 1), generator())
    loss.backward()
    assert all(p.grad is not None for p in task.net.parameters())
    assert 0 <= float(numbers["right"]) <= 1 and float(numbers["entropy"]) > 0


def test_pixels_of_which_nothing_is_known_do_not_count(training):
    task = prepared(training(class_weights="none"))
    task.net.eval()
    batch = task.batch(0, 0, 1)
    half = {**batch, "labels": batch["labels"].clone()}
    half["labels"][:, :, 32:] = IGNORE
    other = {**half, "labels": half["labels"].clone()}
    with torch.no_grad():
        losses = [float(task.loss(one, generator())[0]) for one in (half, other, batch)]
        other["labels"][:] = IGNORE
        nothing, numbers = task.loss(other, generator())
    assert losses[0] == losses[1] != losses[2]
    assert float(nothing) == 0.0 and float(numbers["right"]) == 0.0


def test_entropy_is_that_of_transformers_without_weights(training):
    from scenewright.train.augment import Disturbance

    none = Disturbance(blur=0.0, coarse=0.0, noise=0.0, tint=0.0, contrast=0.0)
    task = prepared(training(class_weights="none", jaccard_weight=0.0, disturbance=none, sparse=1))
    task.net.eval()
    batch = task.batch(0, 0, 1)
    values = (batch["images"].permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5
    with torch.no_grad():
        theirs = task.net(pixel_values=values, labels=batch["labels"].long()).loss
        ours, _ = task.loss(batch, generator())
    assert float(ours) == pytest.approx(float(theirs), rel=1e-4)


def test_losses_at_some_pixels_are_those_of_all_on_the_average(training):
    losses = {}
    for sparse in (1, 2):
        task = prepared(training(class_weights="none", jaccard_weight=0.0, sparse=sparse))
        task.net.eval()
        batch = task.batch(0, 0, 1)
        image = task.prepared(batch["images"].permute(0, 3, 1, 2).float() / 127.5 - 1)
        with torch.no_grad():
            logits = full_size(task.net(pixel_values=image).logits, (64, 64))
        parts = [task._thinned(logits, batch["labels"].long(), generator(seed)) for seed in range(40)]
        rows = {labels.numpy().tobytes(): (part, labels) for part, labels in parts}
        assert len(rows) == sparse**2 and {labels.shape[1] for _, labels in rows.values()} == {64 // sparse}
        known = [int((labels != IGNORE).sum()) for _, labels in rows.values()]
        sums = [
            float(torch.nn.functional.cross_entropy(part, labels, ignore_index=IGNORE, reduction="sum"))
            for part, labels in rows.values()
        ]
        losses[sparse] = sum(sums) / sum(known)
    assert losses[1] == pytest.approx(losses[2], rel=1e-4)


def test_hidden_classes_are_hidden_in_real_pictures_only(training, folder):
    task = prepared(training(mix=(1, 1), hidden=tuple(SPACE.classes)))
    synthetic, real = task.sets
    assert all(set(np.unique(real.item(k)[1])) <= {0, IGNORE} for k in range(len(real)))
    assert any(synthetic.item(k)[1].max() > 0 for k in range(len(synthetic)))


def test_a_run_ends_in_a_folder_of_transformers(training, tmp_path):
    seen, unseen = ("car", "dog", "person"), ("sofa", "tv")
    config = training(mix=(1, 1), seen=seen, unseen=unseen)
    steps = loop(steps=3, optimiser="muon", validate_every=3, log_every=1)
    run(Recipe(name="segformer", task=config, loop=steps), tmp_path)
    found = load_segmenter(tmp_path / "export")
    assert found.space == SPACE and found.prepare.size_wh is None
    notes = found.about["notes"]
    assert notes["pictures"] == {"synthetic": 4, "real": 6} and notes["mix"] == [1, 1]
    assert notes["samples"] == 12 and set(found.about["scores"]) <= {
        "miou",
        "seen",
        "unseen",
        "other",
        "pixels",
    }
    assert {"miou", "pixels"} <= set(found.about["scores"])
    folder = tmp_path / "validation" / "step-00000003"
    assert (folder / "labels.png").is_file()
    assert [line.split(" ")[0] for line in (folder / "classes.txt").read_text().splitlines()][:2] == [
        "background", "aeroplane"
    ]  # fmt: skip


def test_a_resumed_run_equals_an_uninterrupted_one(training, tmp_path):
    recipe = Recipe(name="segformer", task=training(), loop=loop(steps=4, save_every=2, log_every=1))
    run(recipe, tmp_path / "whole")
    run(replace(recipe, loop=replace(recipe.loop, steps=2, decay_steps=4)), tmp_path / "part")
    run(replace(recipe, loop=replace(recipe.loop, decay_steps=4)), tmp_path / "part", resume=True)
    files = [tmp_path / name / "export" / "model.safetensors" for name in ("whole", "part")]
    whole, part = (load_file(file) for file in files)
    assert whole.keys() == part.keys() and all(torch.equal(whole[key], part[key]) for key in whole)


def test_training_goes_on_from_a_folder(training, tmp_path):
    task = prepared(training())
    task.net.eval()
    task.export(tmp_path)
    more = prepared(training(start=str(tmp_path)))
    ours, theirs = task.net.state_dict(), more.net.state_dict()
    assert all(torch.allclose(ours[key].float(), theirs[key].float(), atol=1e-3) for key in ours)
    with pytest.raises(ModelError):
        prepared(training(start=str(tmp_path / "nothing")))


def test_streets_of_the_town(cache, tmp_path):
    for seed in range(2):
        town.draw(seed, size_wh=(96, 48)).record().save(tmp_path, f"s{seed}")
    streets = AnnotatedSource(world="town", count=3, size_wh=(96, 48), first_seed=REAL_SEED)
    config = SegformerTraining(
        net=TINY, vocabulary="town", things=False, renders=streets, synthetic=(tmp_path,), mix=(1, 1),
        size_wh=(96, 48), cache=cache, checked=2,
    )  # fmt: skip
    task = prepared(config)
    assert task.space.names == town.CLASSES and task.counts == {"synthetic": 2, "real": 3}
    task.net.eval()
    assert set(task.validate(0, tmp_path)) == {"miou", "pixels"}
    own = prepared(replace(config, renders=None, real=(tmp_path,), check=(tmp_path,), mix=(0, 1)))
    assert own.counts == {"real": 2} and len(own.checks) == 2


def test_groups_and_their_figures_by_hand():
    space = LabelSpace.of("toybox", things=True)
    found = groups(space, ("car", "dog"), ("TV",))
    assert found["seen"] == ("car", "dog") and found["unseen"] == ("tvmonitor",) and len(found["other"]) == 35
    assert groups(space, (), ()) == {}
    with pytest.raises(InputError, match="both seen and unseen"):
        groups(space, ("car",), ("car",))
    scored = Vocabulary.from_json({"name": "few", "classes": ["car", "dog", "tv"]}, "few", "few")
    truth, said = np.array([[0, 1, 1, 2]]), np.array([[0, 1, 2, 2]])
    values = figures(semantic_score([(truth, said)], scored), {"seen": ("car",), "unseen": ("tv",)})
    assert values["miou"] == 0.5 and values["seen"] == 0.5 and values["pixels"] == 0.75
    assert np.isnan(values["unseen"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mix": (0, 0)}, "expected one above 0"),
        ({"mix": (-1, 1)}, "expected one above 0"),
        ({"mix": (1, 1), "synthetic": ()}, "wants synthetic pictures"),
        ({"renders": None}, "wants real pictures"),
        ({"zoom": (2.0, 1.0)}, "zoom is"),
        ({"sparse": 0}, "sparse is 0"),
        ({"hidden": ("carr",)}, "carr"),
        ({"vocabulary": "cityscapes"}, "has no background"),
        ({"vocabulary": "voc", "mix": (1, 0), "things": False}, "nothing to validate"),
    ],
)
def test_bad_configurations(training, changes, words):
    with pytest.raises(InputError, match=words):
        prepared(training(**changes))


def test_the_recipes():
    recipe = find("nano-segformer")
    assert recipe.task.renders.first_seed == REAL_SEED and len(recipe.task.unseen) == 5
    changed = override(recipe, ["task.synthetic=a,b", "task.mix=2,1", "task.renders.count=50"])
    assert changed.task.mix == (2.0, 1.0) and [str(path) for path in changed.task.synthetic] == ["a", "b"]
    net = recipe.task.build(recipe.loop).net
    assert 1_000_000 < sum(p.numel() for p in net.parameters()) < 2_000_000
    with pytest.raises(InputError, match="wants real pictures"):
        find("segformer-b0").task.build(recipe.loop)
