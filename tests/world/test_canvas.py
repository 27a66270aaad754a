"""The canvas, the palette and the sprites."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from scenewright.world import toybox
from scenewright.world.canvas import Canvas, majority
from scenewright.world.palette import COLOURS, TEXTURES, darker, lighter, nearest_colour, oklab
from scenewright.world.sprite import Ink, Sprite
from scenewright.world.surface import STYLES, paint
from scenewright.world.toys import TOYS


def test_a_fresh_canvas_is_empty() -> None:
    canvas = Canvas((24, 16), (1, 2, 3), semantic=5)
    assert canvas.picture().shape == (16, 24, 3) and (canvas.picture() == (1, 2, 3)).all()
    assert not canvas.instances().any() and (canvas.semantics() == 5).all()


def test_majority_is_the_most_frequent_label() -> None:
    labels = np.random.default_rng(0).integers(0, 4, (40, 60)).astype(np.uint8)
    halved = majority(labels)
    for y, x in itertools.product(range(20), range(30)):
        counts = np.bincount(labels[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].ravel(), minlength=4)
        assert counts[halved[y, x]] == counts.max()


def test_a_box_covers_its_pixels_in_all_layers() -> None:
    canvas = Canvas((16, 16), (0, 0, 0))
    canvas.box((2, 3, 7.5, 9), (200, 100, 50), instance=3, semantic=8)
    cover = canvas.coverage(3)
    assert cover.sum() == pytest.approx(5.5 * 6)
    assert cover[4, 7] == 0.5 and cover[4, 2] == 1 and cover[4, 1] == 0
    assert (canvas.picture()[5, 4] == (200, 100, 50)).all() and canvas.picture()[5, 7, 0] == 100
    assert set(np.unique(canvas.instances())) == {0, 3} and set(np.unique(canvas.semantics())) == {0, 8}


def test_later_fills_hide_earlier_ones() -> None:
    canvas = Canvas((32, 32))
    canvas.ellipse((16, 16), (10, 10), (255, 0, 0), instance=1)
    area = canvas.coverage(1).sum()
    assert area == pytest.approx(np.pi * 100, rel=0.04)
    canvas.polygon([(16, 0), (32, 0), (32, 32), (16, 32)], (0, 255, 0), instance=2)
    assert canvas.coverage(1).sum() == pytest.approx(area / 2, rel=0.08)
    canvas.gradient((0, 32), (0, 0, 0), (250, 250, 250), semantic=4)
    rows = canvas.picture()[:, 0, 0].astype(int)
    assert (np.diff(rows) >= 0).all() and rows[0] < 10 and rows[-1] > 240
    assert (canvas.semantics() == 4).all()


def test_fills_off_the_canvas_change_nothing() -> None:
    canvas = Canvas((16, 16), (9, 9, 9))
    canvas.box((20, 20, 30, 30), (0, 0, 0), instance=1)
    canvas.box((5, 5, 5, 9), (0, 0, 0), instance=1)
    canvas.gradient_polygon([(-9, -9), (-4, -9), (-4, -4)], (0, 0, 0), (1, 1, 1), instance=1)
    assert (canvas.picture() == 9).all() and not canvas.instances().any()


def test_palette_colours_are_far_apart_and_survive_shading() -> None:
    for a, b in itertools.combinations(COLOURS.values(), 2):
        assert np.linalg.norm(np.subtract(a, b)) > 95
    for name, rgb in COLOURS.items():
        assert nearest_colour(np.array([rgb], np.uint8)) == name
        assert nearest_colour(np.array([lighter(rgb, 0.12)], np.uint8)) == name
        assert nearest_colour(np.array([darker(rgb, 0.85)], np.uint8)) == name
    with pytest.raises(ValueError, match="no pixels"):
        nearest_colour(np.zeros((0, 3), np.uint8))


def test_oklab_of_known_colours() -> None:
    known = oklab(np.array([[255, 255, 255], [0, 0, 0], [255, 0, 0]]))
    assert known == pytest.approx(np.array([[1, 0, 0], [0, 0, 0], [0.62796, 0.22486, 0.12585]]), abs=2e-4)


@pytest.mark.parametrize("name", toybox.CLASSES)
def test_every_toy_is_mostly_its_main_colour_and_mirrors(name: str) -> None:
    for variant, design in enumerate(TOYS[name].sizes):
        right = Sprite(design, 120, outline=3)
        left = Sprite(design, 120, outline=3, flip=True)
        TOYS[name].draw(right, variant)
        TOYS[name].draw(left, variant)
        inks = right.inks()
        seen = inks[inks > 0]
        main = np.isin(seen, (Ink.BODY, Ink.SHADE, Ink.LIGHT, Ink.DEEP, Ink.LINE)).mean()
        assert main > 0.58, (name, variant, main)
        assert np.mean((left.inks()[:, ::-1] > 0) != (inks > 0)) < 0.05
        high, wide = inks.shape
        for part, (x0, y0, x1, y1) in right.parts:
            assert 0 <= x0 < x1 <= wide and 0 <= y0 < y1 <= high, part


@pytest.mark.parametrize("style", STYLES)
def test_every_texture_changes_the_picture_in_its_own_way(style: str) -> None:
    sprite = Sprite((100, 100), 120)
    TOYS["mug"].draw(sprite, 0)
    pictures = {}
    for texture in (None, *TEXTURES):
        for colour in COLOURS:
            painted = paint(sprite.inks(), colour, texture, style, 3)
            mask = np.asarray(painted.mask)
            assert set(np.unique(mask)) == {0, 255}
            assert (painted.alpha is not None) == (texture == "glass")
            pictures[texture, colour] = np.asarray(painted.image).astype(int)
    for colour in COLOURS:
        for a, b in itertools.combinations((None, *TEXTURES), 2):
            if "glass" in (a, b) and None in (a, b):
                continue
            gap = np.abs(pictures[a, colour] - pictures[b, colour]).mean()
            assert gap > 0.5, (colour, a, b, gap)
