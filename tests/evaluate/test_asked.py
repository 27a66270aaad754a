"""What a scene asks for: classes and attributes from categories and phrases, nothing dropped silently."""

from __future__ import annotations

import pytest
from judged_cases import SIZE, pair

from scenewright.errors import InputError
from scenewright.evaluate.asked import asked_of, named_class, pair_up
from scenewright.scene import Box, Instance, Mask, Point, Scene, Scribble, Vocabulary
from scenewright.world import town, toybox
from scenewright.world.palette import COLOURS, TEXTURES

TOYBOX = Vocabulary.load("toybox")
LOOKS = {"colour": tuple(COLOURS), "texture": TEXTURES}
PLACE = Box(0.25, 0.25, 0.75, 0.75)


def one(phrase, **fields):
    """What one instance with this phrase asks for; None if it has no name."""
    scene = Scene("", SIZE, (Instance(phrase, box=PLACE, **fields),))
    wanted = asked_of(scene, "p", TOYBOX, LOOKS)
    return wanted.asked[0] if wanted.asked else None


def test_an_empty_scene_asks_for_nothing():
    wanted = asked_of(Scene("a picture", SIZE), "p", TOYBOX)
    assert (wanted.asked, wanted.unnamed, wanted.number, wanted.size_wh) == ((), (), 0, SIZE)


@pytest.mark.parametrize(
    ("phrase", "name"),
    [
        ("a red metallic car", "car"),
        ("two black cats", "cat"),
        ("buses", "bus"),
        ("a hot air balloon", "air balloon"),
        ("a dining table with a cake on it", "diningtable"),
        ("a person riding a horse", "person"),
        ("a toy house, next to a tree", "house"),
        ("a drawing of a lamp", "lamp"),
        ("a TV-monitor", "tvmonitor"),
        ("a carpet", None),
        ("a background", None),
        ("a dragon", None),
        ("of", None),
    ],
)
def test_the_class_a_phrase_is_about(phrase, name):
    assert named_class(phrase, TOYBOX) == name


def test_the_longest_name_wins():
    assert named_class("a red traffic light", Vocabulary.load("town")) == "traffic light"


def test_category_before_phrase_and_phrase_where_it_is_unknown():
    assert one("a little red thing", category="kitten").category == "cat"
    assert one("a red car", category="vehicle").category == "car"
    assert one("a red car", category="dog").category == "dog"
    assert one("a dragon", category="monster") is None


def test_attributes_are_what_the_phrase_says():
    assert one("a red metallic car").attributes == {"colour": "red", "texture": "metallic"}
    assert one("a car", extra={"toybox": {"colour": "red"}}).attributes == {}
    assert one("a silver car").attributes == {}
    assert one("a black and white cow").attributes == {"colour": "black"}
    noted = one("a black and white cow", extra={"toybox": {"colour": "white"}})
    assert noted.attributes == {"colour": "white"}
    assert one("a Red car").attributes == {"colour": "red"}


def test_what_has_no_name_is_counted():
    instances = (Instance("a dragon"), Instance("a red car"), Instance("a blue dog"))
    wanted = asked_of(Scene("", SIZE, instances), "p", TOYBOX, LOOKS, known={"dog"})
    assert wanted.unnamed == ("a dragon", "a red car") and wanted.number == 3
    assert [each.category for each in wanted.asked] == ["dog"] and wanted.asked[0].box is None


def test_places_are_taken_over():
    mask, marks = Mask.from_box(PLACE, SIZE), (Point(0.3, 0.3), Point(0.6, 0.6))
    wanted = one("a car", mask=mask, points=marks[:1], scribble=Scribble(marks))
    assert (wanted.box, wanted.mask, wanted.points, wanted.scribble) == (PLACE, mask, marks[:1], marks)
    only = asked_of(Scene("", SIZE, (Instance("a car", mask=mask),)), "p", TOYBOX).asked[0]
    assert only.box == PLACE


@pytest.mark.parametrize("seed", range(20))
def test_drawn_scenes_are_named_in_full(seed):
    drawn = toybox.draw(seed).scene
    wanted = asked_of(drawn, "p", TOYBOX, LOOKS)
    assert not wanted.unnamed and len(wanted.asked) == len(drawn.instances)
    for instance, each in zip(drawn.instances, wanted.asked, strict=True):
        facts = instance.extra["toybox"]
        stated = {name: facts[name] for name in ("colour", "texture") if facts[name]}
        assert (each.category, each.attributes) == (instance.category, stated)
        phrase_only = instance.replace(category=None, extra={})
        again = asked_of(Scene("", drawn.size_wh, (phrase_only,)), "p", TOYBOX, LOOKS).asked[0]
        assert (again.category, again.attributes) == (each.category, each.attributes)


def test_town_scenes_are_named_in_full():
    drawn = town.draw(3).scene
    wanted = asked_of(drawn, "p", Vocabulary.load("town"))
    assert not wanted.unnamed and [w.category for w in wanted.asked] == [i.category for i in drawn.instances]


def test_pairs_are_of_the_same_pictures():
    pairs = [pair([], [], name=name) for name in "abc"]
    scenes, findings = [p.scene for p in pairs], [p.findings for p in pairs]
    assert pair_up([], []) == ()
    assert pair_up(scenes, findings[::-1]) == tuple(pairs)
    with pytest.raises(InputError, match="1 of 3 pictures have no findings, the first is 'b'"):
        pair_up(scenes, [findings[0], findings[2]])
    with pytest.raises(InputError, match="belong to no scene, the first is 'c'"):
        pair_up(scenes[:2], findings)
    with pytest.raises(InputError, match="twice"):
        pair_up([*scenes, scenes[0]], findings)
