"""Scenes that are allowed and look unwise."""

from __future__ import annotations

import numpy as np

from scenewright.scene import Box, Instance, Mask, Scene
from scenewright.scene.advice import MOST, advice

BOX = Box(0.0, 0.0, 0.5, 0.5)


def mask(columns: slice) -> Mask:
    bits = np.zeros((16, 16), dtype=bool)
    bits[:8, columns] = True
    return Mask.from_array(bits)


def scene(*instances: Instance) -> Scene:
    return Scene("x", (16, 16), instances)


def test_identical_boxes_are_told_with_their_overlap() -> None:
    cat, dog = Instance("a cat", box=BOX), Instance("a dog", box=Box(0.0, 0.0, 0.5, 0.47))
    assert advice(scene(cat, dog)) == ("i1 (a cat) and i2 (a dog) take nearly the same place (overlap 0.94)",)
    assert advice(scene(cat, cat), "farm")[0].startswith("farm: i1") and "1.00" in advice(scene(cat, cat))[0]
    assert advice(scene(cat, Instance("a dog", box=Box(0.4, 0.4, 0.9, 0.9)))) == ()


def test_a_mask_outside_its_box() -> None:
    wrong = Instance("a cat", box=BOX, mask=mask(slice(6, 14)))
    assert advice(scene(wrong)) == ("75% of the mask of i1 (a cat) lies outside its box",)
    right = Instance("a cat", box=BOX, mask=mask(slice(0, 10)))
    assert advice(scene(right, Instance("fog"), Instance("a dog", mask=mask(slice(9, 12))))) == ()


def test_many_are_counted() -> None:
    many = tuple(Instance(f"a cat {k}", box=BOX) for k in range(200))
    told = advice(scene(*many))
    assert len(told) == MOST + 1 and told[-1] == f"{199 * 100 - MOST} more of this kind"
