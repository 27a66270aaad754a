"""The judge CLIP's training: true and wrong texts, exact batches, figures, a file that loads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_family import CPU, generator, loop

from scenewright.models.judges.store import load_judge
from scenewright.train import Recipe, run
from scenewright.train.annotated import AnnotatedSource, open_annotated
from scenewright.train.augment import disturbed
from scenewright.train.clip_ceilings import clip_ceilings
from scenewright.train.clip_pairs import (
    COLOUR_NAMES,
    Crops,
    also_true,
    bare,
    choices,
    toy_phrase,
    wrong_caption,
)
from scenewright.train.judge_clip import JudgeClipConfig
from scenewright.world.classes import THINGS
from scenewright.world.palette import TEXTURES

TOYS = AnnotatedSource(count=16, size_wh=(64, 64))
CROWD = AnnotatedSource(count=6, size_wh=(64, 64), first_seed=2_500_000, things=(3, 8))
STREETS = AnnotatedSource(world="town", count=8, size_wh=(64, 32))
KINDS = tuple(thing.name for thing in THINGS)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def config(cache, **changes):
    small = {"side_px": 16, "image_width": 32, "image_layers": 1, "text_width": 32, "text_layers": 1}
    data = {
        "toybox": TOYS,
        "crowded": CROWD,
        "town": STREETS,
        "probe": 8,
        "held_out": 3,
        "groups": 2,
        "each": 3,
        "cache": cache,
    }
    return JudgeClipConfig(**{**small, "vocabulary": 700, **data, **changes})


def prepared(cache, **changes):
    torch.manual_seed(0)
    task = config(cache, **changes).build(loop(batch_size=8))
    task.prepare(CPU, torch.float32)
    return task


def rng(seed=0):
    return np.random.default_rng(seed)


def test_a_phrase_tells_what_it_says():
    facts = np.array([KINDS.index("car"), COLOUR_NAMES.index("red"), TEXTURES.index("metallic")])
    for seed in range(60):
        text, (kind, colour, texture) = toy_phrase(rng(seed), facts)
        words = text.split()
        assert (colour >= 0) == ("red" in words) and (texture >= 0) == ("metallic" in words)
        assert (kind >= 0) == ("car" in words)
        assert max(kind, colour, texture) >= 0


def test_plain_toys_have_no_texture_in_words():
    facts = np.array([0, 1, -1])
    texts = [toy_phrase(rng(seed), facts)[0] for seed in range(40)]
    assert not any(texture in text for text in texts for texture in TEXTURES)


def test_texts_that_are_also_true_are_known():
    facts = np.array([[0, 1, 2], [0, 1, -1], [3, 1, 2]])
    told = np.array([[0, 1, 2], [0, -1, -1], [-1, 1, -1], [-1, -1, 2]])
    assert also_true(facts, told).tolist() == [
        [True, True, True, True],
        [False, True, True, False],
        [False, False, True, True],
    ]


def test_articles_are_left_out_sometimes():
    found = {bare("a red car", rng(seed)) for seed in range(20)}
    assert found == {"a red car", "red car"}


def test_answers_name_what_is_so():
    facts = np.array([[0, 2, 3], [0, 4, -1], [5, 1, 1]])
    asked = choices(rng(), facts, groups=1, each=2)
    colour, texture, kind, own = asked
    assert colour.rows.tolist() == [0, 1, 2] and texture.rows.tolist() == [0, 2]
    assert all(
        COLOUR_NAMES[facts[row, 1]] in colour.texts[k]
        for row, k in zip(colour.rows, colour.answers, strict=True)
    )
    assert all(
        TEXTURES[facts[row, 2]] in texture.texts[k]
        for row, k in zip(texture.rows, texture.answers, strict=True)
    )
    assert len(kind.texts) == len(THINGS) and kind.answers.tolist() == [0, 0, 5]
    assert all(THINGS[0].words[0] in text for text in own.texts) and set(own.rows) <= {0, 1}


@pytest.mark.parametrize(
    "caption",
    ["a red car on the left", "a foggy street with a person", "a cat above a green mug in a kitchen"],
)
def test_wrong_captions_differ_in_one_word(caption):
    for seed in range(20):
        wrong = wrong_caption(rng(seed), caption)
        pairs = list(zip(caption.split(), wrong.split(), strict=True))
        assert sum(a != b for a, b in pairs) == 1


def test_a_caption_without_known_words_stays():
    assert wrong_caption(rng(), "nothing at all") == "nothing at all"


def test_crops_are_large_enough_and_in_groups(cache):
    pictures = open_annotated([TOYS], cache)
    crops = Crops.of(pictures, TOYS.size_wh, 8.0)
    assert len(crops) > 0 and len(Crops.of(pictures, TOYS.size_wh, 1000.0)) == 0
    for p, n in zip(crops.picture, crops.instance, strict=True):
        x0, y0, x1, y1 = pictures.items[p].boxes[n]
        assert min(x1 - x0, y1 - y0) * 64 >= 8
    rows = crops.groups(rng(), 2, 3)
    kinds = crops.facts_K3[rows, 0].reshape(2, 3)
    assert (kinds == kinds[:, :1]).all() and kinds[0, 0] != kinds[1, 0]
    chosen = crops.some(rng(), 10)
    assert len(chosen) == 10 and (crops.facts_K3[chosen[:5], 2] >= 0).all()


def test_streets_have_crops_without_textures(cache):
    crops = Crops.of(open_annotated([STREETS], cache), STREETS.size_wh, 4.0)
    assert len(crops.some(rng(), 6)) == 6 and (crops.facts_K3[:, 2] == -1).all()


def test_batches_are_functions_of_the_step(cache):
    task = prepared(cache)
    for step in range(6):
        first, again = task.batch(step, 0, 1), task.batch(step, 0, 1)
        assert torch.equal(first["images"], again["images"]) and torch.equal(first["ids"], again["ids"])
        assert first["images"].shape == (8, 3, 16, 16)


@pytest.mark.parametrize("kind", range(4))
def test_every_kind_of_batch_teaches(kind, cache):
    rates = tuple(float(k == kind) for k in range(4))
    task = prepared(cache, rates=rates)
    batch = task.batch(0, 0, 1)
    own = torch.arange(8)
    assert not batch["ignored"][own, own].any()
    assert (len(batch["questions"]) > 0) == (kind == 0)
    assert batch["ignored"].shape == ((8, 16) if kind % 2 else (8, 8))
    loss, numbers = task.loss(batch, generator())
    loss.backward()
    assert torch.isfinite(loss) and 0 <= numbers["right"] <= 1
    assert all(p.grad is not None for p in task.net.parameters())


def test_the_loss_by_hand(cache):
    """Own texts against all others that are not also true, in both directions."""
    task = prepared(cache, rates=(0.0, 0.0, 1.0, 0.0))
    batch = task.batch(0, 0, 1)
    loss, _ = task.loss(batch, generator())
    image = disturbed(batch["images"], task.config.disturbance, generator())
    logits = (
        task.net.scale() * task.net.image_vectors(image) @ task.net.text_vectors(batch["ids"]).T
    ).double()
    kept = (~batch["ignored"]).double()
    forth = [-(logits[k, k] - (kept[k] * logits[k].exp()).sum().log()) for k in range(8)]
    back = [-(logits[k, k] - (kept[:, k] * logits[:, k].exp()).sum().log()) for k in range(8)]
    wanted = (torch.stack(forth).sum() + torch.stack(back).sum()) / 16
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-4)


def test_every_weight_is_in_one_group(cache):
    task = prepared(cache)
    groups = task.groups()
    assert sum(len(group["params"]) for group in groups) == len(list(task.net.parameters()))
    plain = {id(p) for p in groups[1]["params"]}
    assert id(task.net.clip.text_model.embeddings.token_embedding.weight) in plain
    assert id(task.net.clip.logit_scale) in plain


def test_whole_pictures_are_not_crowded(cache):
    task = prepared(cache)
    assert len(task.worlds[0]) == 22 and task.whole == (16, 8)
    assert len(prepared(cache, crowded=replace(CROWD, count=0)).worlds[0]) == 16


def test_training_goes_on_from_an_export(cache, tmp_path):
    task = prepared(cache)
    task.export(tmp_path)
    more = prepared(cache, start=tmp_path / "clip.safetensors")
    assert more.net.config == task.net.config and more.before == 4 * 8
    assert all(p.requires_grad for p in more.net.parameters())
    texts = ["a red car", "a green house in a field"]
    assert np.allclose(more.net.embed_texts(texts), task.net.embed_texts(texts), atol=1e-2)


def test_a_run_ends_in_a_judge(cache, tmp_path):
    training = loop(steps=3, batch_size=8, optimiser="muon", validate_every=3, log_every=1)
    run(Recipe(name="clip", task=config(cache), loop=training), tmp_path)
    judge = load_judge(tmp_path / "export" / "clip.safetensors", kind="clip")
    assert {"class", "colour", "local", "caption", "picture", "town.caption"} <= set(judge.header.ceilings)
    assert judge.header.notes["samples"] == 24
    assert list((tmp_path / "validation").glob("*/crops.png"))


def test_figures_of_a_network_that_knows(cache):
    """An oracle in the network's place: vectors that say which texts are true."""
    pictures = open_annotated([TOYS], cache)
    drawn = list(zip(pictures.images(np.arange(6)), pictures.items[:6], strict=True))

    class Oracle:
        def embed_images(self, images):
            self.calls = getattr(self, "calls", 0) + 1
            return np.stack([self._vector(text) for text in self._truths(len(images))])

        def _truths(self, number):
            whole = [item.caption for _, item in drawn]
            return whole if self.calls == 1 else [p for _, item in drawn for p in item.phrases][:number]

        def embed_texts(self, texts):
            return np.stack([self._vector(text) for text in texts])

        def _vector(self, text):
            row = np.zeros(512, np.float32)
            for word in text.replace(",", "").split()[1:]:
                row[sum(map(ord, word)) % 512] += 1
            return row / max(1e-6, float(np.linalg.norm(row)))

    found = clip_ceilings(Oracle(), drawn)
    assert found["caption"] == found["picture"] == 1.0 and found["local"] == pytest.approx(1.0)
    assert found["colour"] == 1.0
    assert found.get("texture", 1.0) == 1.0
