"""The colour and position check: hand-made pictures, then drawn scenes as the judge of the judge."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenewright.evaluate.colour import NO_COLOUR, asked_colour, check_colours, colour_map, wilson
from scenewright.scene import Box, Instance, Scene
from scenewright.world import toybox
from scenewright.world.palette import COLOURS, nearest_colour

SIZE = 128
BOX = Box(0.25, 0.25, 0.75, 0.75)


def picture(background=(120, 170, 150), **rectangles):
    """A plain picture with rectangles ``colour=box``."""
    image = np.full((SIZE, SIZE, 3), background, dtype=np.uint8)
    for name, box in rectangles.items():
        x0, y0, x1, y1 = (round(value * SIZE) for value in box.xyxy)
        image[y0:y1, x0:x1] = COLOURS[name]
    return image


def scene(*pairs):
    instances = tuple(Instance(phrase=phrase, box=box) for phrase, box in pairs)
    return Scene(prompt="a test", size_wh=(SIZE, SIZE), instances=instances)


def test_nothing_asked_nothing_found():
    assert check_colours(picture(), scene(), COLOURS) == []
    assert check_colours(picture(), scene(("a car", BOX)), COLOURS) == []
    nowhere = Scene(prompt="", size_wh=(SIZE, SIZE), instances=(Instance(phrase="a red car"),))
    assert check_colours(picture(), nowhere, COLOURS) == []


@pytest.mark.parametrize("name", COLOURS)
def test_a_filled_box_is_found_and_its_region_is_the_box(name):
    (one,) = check_colours(picture(**{name: BOX}), scene((f"a {name} car", BOX)), COLOURS)
    assert one.found and one.seen == one.asked == name
    assert one.iou == 1.0 and one.cover == 1.0 and one.excess == 1.0


def test_another_colour_another_place_and_a_colour_everywhere_are_not_found():
    asked = scene(("a red car", BOX))
    (wrong,) = check_colours(picture(blue=BOX), asked, COLOURS)
    assert not wrong.found and wrong.seen == "blue" and wrong.iou == 0
    (elsewhere,) = check_colours(picture(red=Box(0, 0, 0.2, 0.2)), asked, COLOURS)
    assert not elsewhere.found and elsewhere.seen == ""
    (flooded,) = check_colours(picture(background=COLOURS["red"]), asked, COLOURS)
    assert not flooded.found and flooded.cover == 1.0


def test_iou_is_that_of_the_region():
    shown = Box(0.25, 0.25, 0.75, 0.5)
    (one,) = check_colours(picture(green=shown), scene(("a green car", BOX)), COLOURS)
    assert one.iou == pytest.approx(0.5)


def test_neighbours_of_the_same_colour_do_not_hide_each_other():
    left, right = Box(0.1, 0.3, 0.5, 0.7), Box(0.5, 0.3, 0.9, 0.7)
    image = picture(pink=Box(0.1, 0.3, 0.9, 0.7))
    found = check_colours(image, scene(("a pink car", left), ("a pink dog", right)), COLOURS)
    assert [one.found for one in found] == [True, True]


def test_white_on_a_white_ground_of_another_shade():
    image = picture(background=(222, 226, 232), white=BOX)
    (one,) = check_colours(image, scene(("a white cat", BOX)), COLOURS)
    assert one.found


def test_the_smallest_box_and_one_that_fills_the_picture():
    tiny, whole = Box(0.5, 0.5, 0.5001, 0.5001), Box(0.0, 0.0, 1.0, 1.0)
    image = picture(background=COLOURS["blue"])
    found = check_colours(image, scene(("a blue dot", tiny), ("a blue sea", whole)), COLOURS)
    assert len(found) == 2 and found[1].found


def test_the_map_names_colours_as_the_palette_does():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
    index = colour_map(pixels, COLOURS)
    names = list(COLOURS)
    sure = index != NO_COLOUR
    agree = [nearest_colour(pixels[y, x][None]) == names[index[y, x]] for y, x in np.argwhere(sure)]
    assert sure.any() and np.mean(agree) > 0.97  # the map rounds to 6 bits
    assert (colour_map(np.array([[rgb for rgb in COLOURS.values()]], np.uint8), COLOURS) == range(8)).all()


def test_the_first_colour_word_counts():
    assert asked_colour("A Red, shiny car on a blue road", COLOURS) == "red"
    assert asked_colour("a coloured car", COLOURS) is None
    assert asked_colour("a redwood table", COLOURS) is None


@pytest.fixture(scope="module")
def drawings():
    return [toybox.draw(seed) for seed in range(40_000, 40_100)]


def test_ceiling_on_drawn_scenes(drawings):
    findings = [one for d in drawings for one in check_colours(d.image, d.scene, COLOURS)]
    assert len(findings) > 150
    assert np.mean([one.found for one in findings]) >= 0.95
    assert np.mean([one.iou for one in findings]) >= 0.7


def test_pictures_of_other_scenes_score_low(drawings):
    shifted = zip(drawings, drawings[1:] + drawings[:1], strict=True)
    findings = [one for d, other in shifted for one in check_colours(other.image, d.scene, COLOURS)]
    assert np.mean([one.found for one in findings]) <= 0.10
    assert np.mean([one.iou for one in findings]) <= 0.10


def test_fast_and_without_traces(drawings):
    image = drawings[0].image.copy()
    colour_map(image, COLOURS)  # makes the table
    times = []
    for one in drawings[:20]:
        start = time.perf_counter()
        check_colours(one.image, one.scene, COLOURS)
        times.append(time.perf_counter() - start)
    assert np.median(times) < 0.02  # 2 ms on a quiet core
    assert (image == drawings[0].image).all()


@given(st.integers(1, 500), st.data())
def test_wilson_holds_the_share(trials, data):
    hits = data.draw(st.integers(0, trials))
    low, high = wilson(hits, trials)
    assert 0 <= low <= hits / trials + 1e-9 and hits / trials - 1e-9 <= high <= 1


def test_wilson_by_hand():
    # Newcombe 1998, table I: 81 of 263 gives 0.2553 to 0.3662; 0 of 20 gives 0 to 0.1611.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)
