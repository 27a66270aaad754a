"""Edits of one instance, and what differs between two scenes."""

from __future__ import annotations

import numpy as np
import pytest

from scenewright.errors import InputError, SceneError
from scenewright.scene import Box, Instance, Mask, Part, Point, Scene, Scribble
from scenewright.scene.edits import (
    Add,
    Move,
    Remove,
    Replace,
    Resize,
    apply,
    changed,
    differing,
    find,
    parse,
    region,
    told,
)

SIZE = (64, 32)


def mask(rows: slice, columns: slice) -> Mask:
    bits = np.zeros((32, 64), dtype=bool)
    bits[rows, columns] = True
    return Mask.from_array(bits)


CAR = Instance(
    "a red car",
    id="car",
    box=Box(0.25, 0.25, 0.5, 0.75),
    mask=mask(slice(8, 24), slice(16, 32)),
    points=(Point(0.375, 0.5),),
    scribble=Scribble((Point(0.3125, 0.5), Point(0.4375, 0.5))),
    parts=(Part("wheel", Box(0.25, 0.625, 0.3125, 0.75)),),
    category="car",
)
SCENE = Scene("a street", SIZE, (CAR, Instance("a tree", box=Box(0.7, 0.1, 0.9, 0.9)), Instance("fog")))


@pytest.mark.parametrize(
    ("kind", "text", "edit"),
    [
        ("move", "car:0.25,-0.1", Move("car", 0.25, -0.1)),
        ("resize", "car:2", Resize("car", 2, 2)),
        ("resize", "a red car:1.5,0.5", Resize("a red car", 1.5, 0.5)),
        ("remove", " i2 ", Remove("i2")),
        ("replace", "car:a clock: 10:30", Replace("car", "a clock: 10:30")),
        ("add", "a clock: round:0.1,.2,0.3,0.4", Add("a clock: round", Box(0.1, 0.2, 0.3, 0.4))),
    ],
)
def test_words_of_the_command_line(kind, text, edit) -> None:
    assert parse(kind, text) == edit
    assert told(edit).startswith(kind)


@pytest.mark.parametrize(
    ("kind", "text"),
    [("move", "car"), ("move", "car:1"), ("move", ":0,0"), ("move", "car:a,b"), ("resize", "car:1,2,3"),
     ("replace", "car"), ("replace", "car: "), ("add", "a car"), ("add", "0.1,0.2,0.3,0.4")],
)  # fmt: skip
def test_unclear_words_show_the_form(kind, text) -> None:
    with pytest.raises(InputError, match=f"--{kind}") as fault:
        parse(kind, text)
    assert "for example" in fault.value.hint


def test_everything_of_an_instance_moves_together() -> None:
    moved = apply(SCENE, [Move("car", 0.25, 0.125)]).instance("car")
    assert moved.box == Box(0.5, 0.375, 0.75, 0.875)
    assert moved.mask == mask(slice(12, 28), slice(32, 48))
    assert moved.points == (Point(0.625, 0.625),)
    assert moved.scribble.points[0].xy == pytest.approx((0.5625, 0.625))
    assert moved.parts[0].box.xyxy == pytest.approx((0.5, 0.75, 0.5625, 0.875))
    assert apply(SCENE, [Move("car", 0.25, 0.125), Move("car", -0.25, -0.125)]) == SCENE


def test_sizes_change_about_the_centre() -> None:
    wide = apply(SCENE, [Resize("a red car", 2, 1)]).instance("car")
    assert wide.box == Box(0.125, 0.25, 0.625, 0.75)
    assert wide.mask == mask(slice(8, 24), slice(8, 40))
    assert wide.points == CAR.points
    small = apply(SCENE, [Resize("car", 0.5, 0.5)]).instance("car")
    assert small.box == Box(0.3125, 0.375, 0.4375, 0.625)


def test_remove_replace_add() -> None:
    after = apply(SCENE, [Remove("a tree"), Replace("car", "a bus"), Add("a bird", Box(0, 0, 0.1, 0.1))])
    assert [one.phrase for one in after.instances] == ["a bus", "fog", "a bird"]
    assert after.ids[:2] == ("car", "i3") and len(set(after.ids)) == 3
    assert after.instance("car").mask == CAR.mask and after.instance("car").category is None


def test_names_that_lead_nowhere() -> None:
    with pytest.raises(SceneError) as fault:
        find(SCENE, "cra")
    assert "car" in fault.value.hint
    twins = SCENE.replace(instances=(CAR.replace(id="a"), CAR.replace(id="b")))
    with pytest.raises(SceneError, match="2 instances") as fault:
        apply(twins, [Remove("a red car")])
    assert "a, b" in fault.value.hint
    with pytest.raises(SceneError, match="no place"):
        apply(SCENE, [Move("fog", 0.1, 0.1)])
    with pytest.raises(SceneError, match="nothing of it remains"):
        apply(SCENE, [Move("car", 0.9, 0.0)])
    for wrong in (
        Move("car", 1.5, 0),
        Move("car", float("nan"), 0),
        Resize("car", 0, 1),
        Resize("car", 1, 40),
    ):
        with pytest.raises(SceneError, match="expected"):
            apply(SCENE, [wrong])


def test_the_region_is_the_old_and_the_new_place() -> None:
    after = apply(SCENE, [Move("car", 0.25, 0.0)])
    gone, come = differing(SCENE, after)
    assert [one.id for one in (*gone, *come)] == ["car", "car"]
    area = region(SCENE, after)
    expected = np.zeros((32, 64), dtype=bool)
    expected[8:24, 16:48] = True
    assert np.array_equal(area, expected)
    assert not region(SCENE, SCENE).any()


def test_ids_do_not_count_and_twins_do() -> None:
    renamed = SCENE.replace(instances=(CAR.replace(id="x"), *SCENE.instances[1:]))
    assert differing(SCENE, renamed) == ((), ())
    twins = SCENE.replace(instances=(*SCENE.instances, CAR.replace(id="twin")))
    gone, come = differing(twins, SCENE)
    assert [one.id for one in gone] == ["twin"] and come == ()
    assert changed(twins, SCENE) == ("without a red car",)
    assert changed(SCENE, apply(SCENE, [Move("car", 0.1, 0)])) == ("moved a red car",)


def test_changes_without_a_place_may_change_everything() -> None:
    assert region(SCENE, SCENE.replace(prompt="a road")).all()
    assert region(SCENE, apply(SCENE, [Remove("fog")])).all()
    only = apply(SCENE, [Remove("a tree")]).replace(prompt="a road")
    assert not region(SCENE, only).all() and changed(SCENE, only) == ("without a tree", "another prompt")
    with pytest.raises(SceneError, match="not rounds of one picture"):
        region(SCENE, Scene("x", (32, 32)))
