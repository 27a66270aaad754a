"""Overlays, layouts and sheets: sizes, that things are where they belong, that colours can be told apart."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from scenewright.errors import InputError
from scenewright.scene import (
    Box,
    Instance,
    Keypoints,
    Mask,
    Part,
    Point,
    Scene,
    Scribble,
    SemanticMap,
    contact_sheet,
    layout_picture,
    overlay,
)
from scenewright.scene.draw import PALETTE, colours, semantic_picture
from scenewright.scene.text import Label, draw_labels, font, shorten, width_px, wrap

GREY = np.full((128, 128, 3), 128, np.uint8)


def scene_of(*instances, size_wh=(128, 128)):
    return Scene("a test", size_wh, instances)


def near(picture, colour, slack=12):
    return np.abs(picture.astype(int) - colour).max(-1) <= slack


def test_small_pictures_are_enlarged_and_large_ones_kept():
    assert overlay(GREY, scene_of()).shape == (640, 640, 3)
    wide = np.zeros((96, 192, 3), np.uint8)
    assert overlay(wide, scene_of(size_wh=(192, 96))).shape == (288, 576, 3)
    large = np.zeros((480, 640, 3), np.uint8)
    assert overlay(large, scene_of(size_wh=(640, 480))).shape == (480, 640, 3)
    tiny = np.zeros((1, 1, 3), np.uint8)
    assert overlay(tiny, scene_of()).shape == (640, 640, 3)


def test_arguments_are_not_changed():
    before = GREY.copy()
    overlay(GREY, scene_of(Instance("a", box=Box(0, 0, 1, 1))))
    assert np.array_equal(before, GREY)


def test_an_empty_scene_leaves_the_picture():
    large = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    assert np.array_equal(overlay(large, scene_of(size_wh=(640, 480))), large)


def test_box_lines_lie_on_the_box():
    found = near(overlay(GREY, scene_of(Instance("x", box=Box(0.25, 0.25, 0.75, 0.75)))), PALETTE[0])
    rows, columns = np.where(found[200:])
    assert 155 <= columns.min() <= 162 and 478 <= columns.max() <= 485 and 474 <= rows.max() + 200 <= 485
    assert not found[300:340, 200:440].any()


def test_masks_tint_their_pixels_only():
    bits = np.zeros((128, 128), bool)
    bits[32:96, 32:96] = True
    drawn = overlay(GREY, scene_of(Instance("x", mask=Mask.from_array(bits))))
    assert not np.array_equal(drawn[320, 320], (128, 128, 128))
    assert np.array_equal(drawn[600, 320], (128, 128, 128))
    outside = {"i1": Mask.from_array(~bits)}
    replaced = overlay(GREY, scene_of(Instance("x", mask=Mask.from_array(bits))), outside)
    assert np.array_equal(replaced[320, 320], (128, 128, 128))


def test_found_masks_may_have_another_size():
    small = Mask.from_array(np.eye(16, dtype=bool))
    assert overlay(GREY, scene_of(Instance("x")), {"i1": small}).shape[0] >= 640


@pytest.mark.parametrize(
    "instance",
    [
        Instance("point", points=(Point(0, 0), Point(1, 1))),
        Instance("scribble", scribble=Scribble((Point(0.1, 0.5), Point(0.9, 0.5)))),
        Instance("pose", keypoints=Keypoints(tuple((0.2 + k / 30, 0.5, 2) for k in range(17)))),
        Instance("parts", box=Box(0, 0, 1, 1), parts=(Part("wheel", Box(0.4, 0.4, 0.6, 0.6)),)),
        Instance("empty mask", mask=Mask.empty((128, 128))),
        Instance("long " * 60, box=Box(0.9, 0.9, 1, 1)),
        Instance("thin", box=Box(0.5, 0, 0.5000001, 1)),
        Instance("猫 ☃ 😀", box=Box(0.2, 0.2, 0.4, 0.4)),
    ],
    ids=lambda instance: instance.phrase[:10],
)
def test_every_kind_of_mark_shows(instance):
    plain = overlay(GREY, scene_of())
    drawn = overlay(GREY, scene_of(instance))
    assert drawn.shape != plain.shape or (drawn != plain).any()
    assert layout_picture(scene_of(instance)).shape[1] >= 640


def test_marks_can_be_left_out():
    box = Instance("x", box=Box(0.2, 0.2, 0.6, 0.6))
    marked = box.replace(points=(Point(0.8, 0.8),), parts=(Part("wheel", Box(0.3, 0.3, 0.4, 0.4)),))
    assert np.array_equal(overlay(GREY, scene_of(marked), marks=False), overlay(GREY, scene_of(box)))
    assert not np.array_equal(overlay(GREY, scene_of(marked)), overlay(GREY, scene_of(box)))


def test_crowds_and_unplaced_things_get_a_list_beside():
    boxes = [Box(k / 20, k / 20, k / 20 + 0.05, k / 20 + 0.05) for k in range(20)]
    assert overlay(GREY, scene_of(*(Instance("one of many", box=box) for box in boxes))).shape[1] > 640
    assert overlay(GREY, scene_of(Instance("somewhere"))).shape[1] > 640
    hundred = [Instance(f"thing {k}", box=boxes[k % 20]) for k in range(100)]
    assert overlay(GREY, scene_of(*hundred)).shape[0] > 640


def test_labels_do_not_cover_each_other():
    from PIL import Image

    paper = Image.new("RGB", (400, 300), (255, 0, 255))
    labels = [Label(f"label {k}", PALETTE[k], (100, 100, 220, 160)) for k in range(5)]
    drawn = np.asarray(draw_labels(paper, labels, 14))
    dark = (drawn.astype(int).sum(-1) < 300).sum()
    alone = np.asarray(draw_labels(paper, labels[:1], 14))
    assert dark > 4.6 * (alone.astype(int).sum(-1) < 300).sum()


def test_layout_shows_the_semantic_map_and_the_prompt():
    labels = np.zeros((64, 128), np.uint8)
    labels[32:] = 13
    scene = Scene("a road", (128, 64), semantic_map=SemanticMap.from_labels(labels, "cityscapes"))
    drawn = layout_picture(scene)
    assert drawn.shape[1] == 640 and drawn.shape[0] > 320
    assert layout_picture(scene, prompt=False).shape == (320, 640, 3)
    road, car = drawn[100, 300].astype(int), drawn[250, 300].astype(int)
    assert road[0] > road[1] and car[2] > car[0]
    nobody = scene.replace(semantic_map=SemanticMap.from_labels(labels, "nobody knows"))
    assert layout_picture(nobody).shape == drawn.shape
    assert len(np.unique(semantic_picture(labels).reshape(-1, 3), axis=0)) == 2


def test_contact_sheet():
    pictures = [GREY, np.zeros((64, 200, 3), np.uint8), np.zeros((200, 64, 3), np.uint8)]
    sheet = contact_sheet(pictures, ["one", "two " * 50, ""], columns=2, title="Three")
    assert sheet.dtype == np.uint8 and sheet.shape[1] < 500
    assert contact_sheet([GREY] * 12).shape[1] > contact_sheet([GREY] * 12).shape[0]
    assert contact_sheet([GREY], cell_px=128).shape[0] >= 128
    exact = contact_sheet([np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)] * 2, columns=2)
    assert exact.shape == (200 + 24, 2 * 200 + 36, 3)


def test_contact_sheet_errors():
    with pytest.raises(InputError, match="at least one"):
        contact_sheet([])
    with pytest.raises(InputError, match="2 captions were given for 1 pictures"):
        contact_sheet([GREY], ["a", "b"])
    with pytest.raises(InputError, match="columns"):
        contact_sheet([GREY], columns=0)
    with pytest.raises(InputError, match="uint8"):
        contact_sheet([GREY.astype(float)])


def test_wrapping_keeps_to_its_width():
    letters = font(14)
    text = "the quick brown fox jumps over the lazy dog and an incomprehensibilities"
    lines = wrap(text, letters, 100, 3)
    assert len(lines) == 3 and lines[-1].endswith("…")
    assert all(width_px(line, letters) <= 100 for line in lines)
    assert wrap("", letters, 100, 3) == [""] and wrap("a\nb", letters, 100, 3) == ["a", "b"]
    assert shorten("short", letters, 1000) == "short" and shorten("wide", letters, 1) == "…"


# --- colours -----------------------------------------------------------------------------------------------

SEEN_AS = {
    "everyone": np.eye(3),
    "protan": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deutan": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]]
    ),
}  # fmt: skip


def lab(colour, eyes):
    """CIE L*a*b* (D65) of a colour as those eyes see it (Machado et al. 2009, full strength)."""
    level = np.array(colour) / 255
    linear = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)
    linear = np.clip(SEEN_AS[eyes] @ linear, 0, 1)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    f = np.cbrt(to_xyz @ linear / (0.9505, 1, 1.089))
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("eyes", SEEN_AS)
@pytest.mark.parametrize(("count", "least"), [(7, 14), (len(PALETTE), 5)])
def test_colours_can_be_told_apart(eyes, count, least):
    seen = [lab(colour, eyes) for colour in colours(count)]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > least


def test_more_instances_than_colours_begin_again():
    assert colours(40)[16] == PALETTE[0] and len(set(colours(16))) == 16
