"""Label maps as channels, counts, words and colours; numbers that are no class are refused."""

from __future__ import annotations

import numpy as np
import pytest

from scenewright.errors import InputError
from scenewright.scene import IGNORE, Vocabulary
from scenewright.scene.label_maps import (
    channels,
    class_caption,
    class_pixels,
    from_colours,
    outputs,
    weather_prompt,
)
from scenewright.scene.label_space import LabelSpace
from scenewright.scene.street_ids import MAPILLARY, train_ids

STREETS = LabelSpace.of("cityscapes")
MAP = np.array([[0, 6, 6], [255, IGNORE, 18]], np.uint16)


def test_ignored_pixels_have_a_channel_of_their_own():
    found = channels(MAP, STREETS)
    assert found.shape == (20, 2, 3) and found.dtype == np.float32
    assert np.array_equal(found.sum(0), np.ones((2, 3)))
    assert found[19].tolist() == [[0, 0, 0], [1, 1, 0]] and found[6].tolist() == [[0, 1, 1], [0, 0, 0]]
    assert MAP[1, 0] == 255  # the argument is as it was


def test_other_vocabularies_have_other_channels():
    toys = LabelSpace.of("toybox", things=True)
    assert channels(np.zeros((1, 2), np.uint8), toys).shape == (40, 1, 2)


def test_counts_and_words():
    assert class_pixels(MAP, STREETS) == {0: 1, 6: 2, 18: 1}
    assert class_caption(MAP, STREETS) == "road traffic light bicycle"
    assert class_caption(np.full((2, 2), 255), STREETS) == ""


@pytest.mark.parametrize("label", [19, 34, 254])
def test_numbers_that_are_no_class_are_refused(label):
    labels = np.array([[0, label]], np.uint8)
    with pytest.raises(InputError, match=f"frame.png holds the label {label}, which is no class") as caught:
        outputs(labels, STREETS, "frame.png")
    assert ("published generator" in caught.value.hint) == (label == 19)


def test_weather_words():
    assert weather_prompt("road sky") == "road sky"
    assert weather_prompt("road", "night", "{classes} at {weather}") == "road at night"
    with pytest.raises(InputError, match="unknown weather 'snwy'") as caught:
        weather_prompt("road", "snwy")
    assert "snowy" in caught.value.hint
    with pytest.raises(InputError, match="no place for both"):
        weather_prompt("road", "snowy", "a street")


@pytest.mark.parametrize("name", ["cityscapes", "toybox", "ade20k"])
def test_colours_and_back(name):
    vocabulary = Vocabulary.load(name)
    entries = {one.colour: one.id for one in reversed(vocabulary.classes)}
    ids = np.array([sorted(entries.values())], np.uint16)
    assert np.array_equal(from_colours(vocabulary.colours(ids), vocabulary), ids)
    strange = np.full((1, 1, 3), (1, 254, 3), np.uint8)
    assert from_colours(strange, vocabulary).tolist() == [[vocabulary.ignore]]
    with pytest.raises(InputError, match="expected uint8"):
        from_colours(np.zeros((2, 2), np.uint8), vocabulary)


def test_ids_of_datasets():
    assert train_ids(np.array([[7, 33, 0, 34, 255]]), "city").tolist() == [[0, 18, 255, 255, 255]]
    assert train_ids(np.array([[41, 24, 65]]), "mapillary").tolist() == [[0, 0, 255]]
    assert sorted(MAPILLARY) == list(range(19))
    with pytest.raises(InputError, match="expected city ids 0 to 34"):
        train_ids(np.array([[90]]), "city")
    with pytest.raises(InputError, match="unknown kind"):
        train_ids(np.array([[0]]), "gta")
