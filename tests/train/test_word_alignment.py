"""The loss on attention to words: which words name a thing, where it is zero, that training follows it."""

from __future__ import annotations

import pytest
import torch
from tiny_family import denoiser, generator, model_folder

from scenewright.backbone.words import offsets_of
from scenewright.train.renders import Item
from scenewright.train.word_alignment import WordAlignment, _unread, named, told

LEFT, RIGHT = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return model_folder(tmp_path_factory.mktemp("models") / "eps")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.mark.parametrize(
    ("caption", "phrases", "expected"),
    [
        ("a red car on the grass", ["a red metallic car"], [["red car"]]),
        ("a car on the grass", ["a red metallic car"], [["car"]]),
        ("a red car and a blue car", ["a red car", "a blue car"], [["red car"], ["blue car"]]),
        ("a hot dog beside a dog", ["a dog", "a hot dog"], [["dog"], ["hot dog"]]),
        ("in the snow", ["a red car"], [[]]),
        ("", ["a red car"], [[]]),
        ("a red car on the red grass", ["a red car"], [["red car"]]),
    ],
)
def test_words_of_things(caption, phrases, expected):
    assert [[caption[slice(*span)] for span in spans] for spans in named(caption, phrases)] == expected


def test_told_marks_the_tokens_of_each_thing(folder, cache):
    backbone = denoiser(folder, cache).backbone
    caption = "a red car and a blue house"
    item = Item(caption, ("a red car", "a blue house"), (LEFT, RIGHT))
    boxes_RM4, words_RML = told(backbone, [item, Item("", (), ())], [caption, ""])
    assert boxes_RM4.shape == (2, 2, 4) and words_RML.shape == (2, 2, backbone.window)
    offsets = offsets_of(backbone, [caption])[0]
    for thing, words in enumerate(("red car", "blue house")):
        places = words_RML[0, thing].nonzero().flatten().tolist()
        assert caption[offsets[places[0]][0] : offsets[places[-1]][1]] == words
    assert not words_RML[1].any()


def test_caption_left_out_names_nothing(folder, cache):
    backbone = denoiser(folder, cache).backbone
    _, words_RML = told(backbone, [Item("a red car", ("a red car",), (LEFT,))], [""])
    assert not words_RML.any()


def test_right_and_wrong_words():
    within_RNM = torch.tensor([[[True, False], [False, True], [False, False]]])
    words_RML = torch.tensor([[[True, False, False], [False, True, False]]])
    right = torch.tensor([[[0.5, 0.0, 0.5], [0.0, 0.5, 0.5], [0.9, 0.1, 0.0]]])
    assert float(_unread(right, within_RNM, words_RML)) == pytest.approx(0.0, abs=1e-6)
    swapped = right[:, [1, 0, 2]]
    assert float(_unread(swapped, within_RNM, words_RML)) > 5.0
    nothing = torch.zeros_like(words_RML)
    assert float(_unread(right, within_RNM & False, nothing)) == 0.0


def test_training_reads_the_words(folder, cache):
    task = denoiser(folder, cache, train=("base",), word_weight=1.0)
    task.backbone.unet.train()
    batch = task.batch(0, 0, 1)
    optimiser = torch.optim.Adam(task.backbone.unet.parameters(), 3e-3)
    losses = []
    for _ in range(25):
        loss, logged = task.loss(batch, generator())
        losses.append(logged["words"])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert losses[-1] < 0.7 * losses[0]


def test_weight_zero_watches_nothing(folder, cache):
    plain = denoiser(folder, cache, train=("base",))
    told_words = denoiser(folder, cache, train=("base",), word_weight=0.5)
    assert plain.words is None
    told_words.backbone.unet.train()
    batch = plain.batch(0, 0, 1)
    without, (loss, logged) = plain.loss(batch, generator())[0], told_words.loss(batch, generator())
    assert logged["words"] > 0.1
    assert loss.item() == pytest.approx(without.item() + 0.5 * logged["words"], rel=1e-5)


def test_closed_it_sees_nothing(folder, cache):
    task = denoiser(folder, cache)
    words = WordAlignment(task.backbone)
    words.close()
    task.backbone.unet.train()
    task.loss(task.batch(0, 0, 1), generator())
    assert not words._seen and float(words.loss([Item("a", (), ())], ["a"], (8, 8))) == 0.0
