"""Protocols and held-out sets are frozen: what changes a figure needs a new id."""

from __future__ import annotations

import hashlib

import pytest

from scenewright.errors import InputError
from scenewright.evaluate.protocol import (
    HELD_OUT,
    PROTOCOLS,
    drawn_keys,
    held_out,
    protocol,
    recognised,
    sample_digest,
    sample_key,
)
from scenewright.scene import Box, Instance, Mask, Point, Scene, SemanticMap
from scenewright.world import town, toybox

LOOKS = ("game", "clear", "fog", "rain", "snow", "night")
FROZEN_SETS = {
    "toybox-1": ("toybox", 200_000, 1000, (128, 128), ()),
    "town-1": ("town", 210_000, 1000, (192, 96), LOOKS),
}
FROZEN_KEYS = {
    "toybox-1": "8508658d4c77cabf4734f8b71039f1c444b2d79b7dcf8f0c823ead902d34fc90",
    "town-1": "d3d95c2ae5427726f5ad549602d7729383529a37654b12ebc1201e22ea0f0ada",
}
"""The sha256 of the keys of each set."""

FROZEN_PROTOCOLS = {
    "layout-1": "ap ap50 ap75 ap_small ap_medium ap_large ar iou placed class colour texture shown "
    "shown_colour pictures_shown pictures_right clip_local",
    "instances-1": "ap ap50 ap75 ap_small ap_medium ap_large ar iou placed class pim_points "
    "pim_points_paper pim_scribbles pim_scribbles_paper",
    "semantic-1": "miou pixels look",
    "pictures-1": "fd_judge kd_judge clip_score",
    "grounding-1": "miou miou_seen miou_unseen harmonic miou_long_tail background published published_seen "
    "published_unseen iou",
}


def test_sets_are_frozen() -> None:
    for id, fields in FROZEN_SETS.items():
        one = held_out(id)
        assert (one.world, one.first_seed, one.count, one.size_wh, one.looks) == fields
        keys = drawn_keys(one)
        assert len(set(keys)) == one.count
        assert hashlib.sha256("\n".join(keys).encode()).hexdigest() == FROZEN_KEYS[id]
    assert set(FROZEN_SETS) == set(HELD_OUT)


def test_protocols_are_frozen() -> None:
    found = {one.id: " ".join(metric.name for metric in one.metrics) for one in PROTOCOLS.values()}
    assert found == FROZEN_PROTOCOLS


def test_sets_share_no_seeds() -> None:
    spans = [(one.world, one.seeds()) for one in HELD_OUT.values()]
    assert all(not set(a) & set(b) for w, a in spans for v, b in spans if w == v and a != b)
    assert all(1_000_000 > span.stop and span.start > 100_000 for _, span in spans)


@pytest.mark.parametrize("place", [0, 1, 517, 999])
def test_drawings_are_those_that_were_frozen(place: int) -> None:
    toys, streets = held_out("toybox-1"), held_out("town-1")
    seed = toys.seeds()[place]
    assert sample_key(toybox.draw(seed).scene) == drawn_keys(toys)[place]
    seed = streets.seeds()[place]
    drawn = town.draw(seed, look=streets.look(seed) or "")
    assert sample_key(drawn.scene) == drawn_keys(streets)[place]
    assert drawn.scene.style == streets.looks[place % 6]


def _scene(**changes: object) -> Scene:
    scene = Scene("a red car", (64, 64), (Instance("a red car", box=Box(0.1, 0.2, 0.5, 0.6)),))
    return scene.replace(**changes)


def test_key_is_what_is_asked_for() -> None:
    scene = _scene()
    one = scene.instances[0]
    for same in (
        scene.replace(seed=7), scene.replace(style="flat"), _scene(instances=(one.replace(id="car"),)),
        _scene(instances=(one.replace(box=Box(0.1 + 1e-9, 0.2, 0.5, 0.6)),)),
    ):  # fmt: skip
        assert sample_key(same) == sample_key(scene)
    labels = SemanticMap.from_labels(toybox.draw(0, size_px=64).semantic, "toybox")
    for other in (
        scene.replace(prompt="a car"), scene.replace(size_wh=(64, 128)), scene.replace(semantic_map=labels),
        _scene(instances=(one.replace(phrase="a car"),)), _scene(instances=(one.replace(category="car"),)),
        _scene(instances=(one.replace(box=Box(0.1, 0.2, 0.5, 0.61)),)), _scene(instances=()),
    ):  # fmt: skip
        assert sample_key(other) != sample_key(scene)


def test_masks_and_points_count_where_they_are_asked_for() -> None:
    scene = _scene()
    one = scene.instances[0]
    bits = toybox.draw(0, size_px=64).instance_map == 1
    for marked in (one.replace(mask=Mask.from_array(bits)), one.replace(points=(Point(0.2, 0.3),))):
        other = _scene(instances=(marked,))
        assert sample_key(other) == sample_key(scene)
        assert sample_key(other, masks=True) != sample_key(scene, masks=True)


def test_samples_are_recognised() -> None:
    keys = drawn_keys(held_out("toybox-1"))
    assert recognised(keys) == "toybox-1"
    assert recognised([*reversed(keys), *keys]) == "toybox-1"  # two pictures of every scene, in any order
    assert recognised(keys[:500]) == "toybox-1, first 500"
    assert recognised(keys[1:11]) == "toybox-1, 10 of 1000"
    assert recognised([*keys[:5], "0" * 16]) == ""
    assert recognised([]) == ""
    assert recognised(drawn_keys(held_out("town-1"))[:2]) == "town-1, first 2"


def test_digest_ignores_order_but_not_repetition() -> None:
    assert sample_digest(["b", "a"]) == sample_digest(["a", "b"]) != sample_digest(["a", "b", "b"])


def test_names_that_are_wrong() -> None:
    with pytest.raises(InputError, match="no benchmark 'layuot'") as fault:
        protocol("layuot")
    assert "layout" in fault.value.hint
    with pytest.raises(InputError) as fault:
        held_out("toybox")
    assert "toybox-1" in fault.value.hint
    with pytest.raises(InputError, match="it has 1000"):
        held_out("town-1").seeds(1001)
    with pytest.raises(InputError, match="no metric"):
        protocol("layout").metric("map")
