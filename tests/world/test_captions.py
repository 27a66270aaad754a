"""Captions say only what the picture shows."""

from __future__ import annotations

import re

import numpy as np
import pytest

from scenewright.world import captions, toybox
from scenewright.world.captions import Told
from scenewright.world.classes import BY_NAME, INDOORS
from scenewright.world.drawn import Drawn
from scenewright.world.palette import COLOURS

PLACES = (
    r"(in the middle|(?:in|at|on) the "
    r"(?:top left|top right|bottom left|bottom right|top|bottom|left|right)(?! of))"
)


@pytest.fixture(scope="module")
def drawn() -> list[Drawn]:
    return [toybox.draw(seed) for seed in range(1000, 1500)]


def _told(xyxy: tuple[float, float, float, float], name: str = "car", flying: bool = False) -> Told:
    return Told(name, name, "red", None, xyxy, flying)


def _facts(item: Drawn) -> list[Told]:
    return [_told(i.box.xyxy, i.category) for i in item.scene.instances]


def test_nothing_to_tell_still_names_the_setting() -> None:
    text, relations = captions.write(np.random.default_rng(0), [], "beach", "flat", None)
    assert text.endswith("a beach") and relations == ()


def test_captions_are_short(drawn: list[Drawn]) -> None:
    lengths = [len(item.scene.prompt.split()) for item in drawn]
    assert max(lengths) <= captions.MAX_WORDS and min(lengths) >= 2


def test_stated_relations_hold(drawn: list[Drawn]) -> None:
    kinds = set()
    for item in drawn:
        toys = _facts(item)
        for relation in item.scene.extra["toybox"]["relations"]:
            a, b = (int(relation[key][1:]) - 1 for key in ("subject", "target"))
            assert captions.relation_holds(relation["kind"], toys[a], toys[b])
            kinds.add(relation["kind"])
    assert kinds == {"left of", "right of", "above", "below", "on top of", "side by side"}


def test_relations_are_found_in_the_words(drawn: list[Drawn]) -> None:
    for item in drawn:
        for relation in item.scene.extra["toybox"]["relations"]:
            kinds = (
                (relation["kind"], "next to") if relation["kind"] == "side by side" else (relation["kind"],)
            )
            assert any(kind in item.scene.prompt for kind in kinds)


def test_left_of_means_further_left() -> None:
    left, right = _told((0.0, 0.4, 0.3, 0.6)), _told((0.6, 0.4, 0.9, 0.6))
    high = _told((0.4, 0.0, 0.6, 0.2))
    assert captions.relation_holds("left of", left, right)
    assert captions.relation_holds("right of", right, left)
    assert not captions.relation_holds("left of", right, left)
    assert captions.relation_holds("above", high, _told((0.4, 0.5, 0.6, 0.9)))
    assert not captions.relation_holds("above", left, right)
    with pytest.raises(ValueError, match="inside"):
        captions.relation_holds("inside", left, right)


def test_places_are_those_of_the_boxes(drawn: list[Drawn]) -> None:
    told = 0
    for item in drawn:
        found = re.findall(PLACES, item.scene.prompt)
        told += bool(found)
        true = [captions.place_words(i.box.centre) for i in item.scene.instances]
        assert found == true[: len(found)], item.scene.prompt
    assert 0.35 < told / len(drawn) < 0.6


@pytest.mark.parametrize(
    ("centre", "words"),
    [
        ((0.5, 0.5), "in the middle"),
        ((0.1, 0.1), "in the top left"),
        ((0.9, 0.5), "on the right"),
        ((0.5, 0.9), "at the bottom"),
    ],
)
def test_places_in_words(centre: tuple[float, float], words: str) -> None:
    assert captions.place_words(centre) == words


def test_captions_name_every_toy_and_no_other_colour(drawn: list[Drawn]) -> None:
    for item in drawn:
        text = item.scene.prompt
        for instance in item.scene.instances:
            assert any(word in text for word in BY_NAME[instance.category].words), text
        named = set(text.replace("blue sky", "").replace("green grass", "").replace(",", "").split()) & set(
            COLOURS
        )
        assert named <= {i.extra["toybox"]["colour"] for i in item.scene.instances}, text


def test_nothing_flies_in_the_sky_of_a_room(drawn: list[Drawn]) -> None:
    flown = 0
    for item in drawn:
        if item.scene.extra["toybox"]["setting"] in INDOORS:
            assert "sky" not in item.scene.prompt
        flown += "flying in the sky" in item.scene.prompt
    assert flown > 0


def test_articles() -> None:
    assert captions.phrase("eagle", None, None) == "an eagle"
    assert captions.phrase("car", "red", "metallic") == "a red metallic car"
