"""Scenes to UniFusion's inputs: what each instance has, lists of kinds, the published sets, parts, slots."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scenewright.condition.locations import inputs_from_scenes, spots
from scenewright.condition.outlines import contours, polygon_of_mask, scribble_of_mask, scribble_points
from scenewright.condition.unifusion import UniFusion, UniFusionConfig
from scenewright.condition.uses import KINDS, kinds_of
from scenewright.errors import InputError, ModelError, SceneError
from scenewright.scene import Box, Instance, Mask, Part, Point, Scene, Scribble, Transform
from scenewright.testing import tiny_backbone

CONFIG = UniFusionConfig(
    slots=6, fourier=4, hidden=16, scribble_points=5, polygon_points=8, map_px=64,
    depths=(1, 1, 1, 1), widths=(4, 4, 8, 8), outline="exact", missing="null",
)  # fmt: skip


@pytest.fixture(scope="module")
def backbone():
    return tiny_backbone(3)


@pytest.fixture(scope="module")
def config(backbone):
    with torch.device("meta"):
        return UniFusion.for_unet(backbone.unet, CONFIG).config


def disc(size: int = 32, centre: tuple[float, float] = (12, 20), radius: float = 7) -> Mask:
    y, x = np.mgrid[:size, :size] + 0.5
    return Mask.from_array((x - centre[0]) ** 2 + (y - centre[1]) ** 2 < radius**2)


BOX = Instance(phrase="a red car", id="car", box=Box(0.1, 0.2, 0.5, 0.6))
DISC = Instance(phrase="a blue ball", id="ball", mask=disc())
LINE = Instance(
    phrase="a snake", id="snake", scribble=Scribble((Point(0.9, 0.9), Point(0.2, 0.1), Point(0.5, 0.5)))
)
SPOT = Instance(phrase="a bird", id="bird", points=(Point(0.7, 0.3),))
MIXED = Scene(prompt="things", size_wh=(32, 32), instances=(BOX, DISC, LINE, SPOT))


def kept(inputs, b: int, n: int) -> set[str]:
    return {kind for kind, on in zip(KINDS, inputs.keep_BK[b, n].tolist(), strict=True) if on}


def test_each_instance_is_placed_by_what_it_has(backbone, config):
    inputs, dropped = inputs_from_scenes([MIXED], backbone, config)
    assert [kept(inputs, 0, n) for n in range(4)] == [
        {"box", "point"}, {"box", "point", "mask"}, {"point", "scribble"}, {"point"},
    ]  # fmt: skip
    assert inputs.masks_BN[0].tolist() == [1, 1, 1, 1, 0, 0] and dropped == ((),)
    assert inputs.points_BN2[0, :4].flatten().tolist() == pytest.approx(
        [0.3, 0.4, 0.375, 0.625, 0.2, 0.1, 0.7, 0.3], abs=0.02
    )
    assert inputs.boxes_BN4[0, 1].tolist() == pytest.approx(list(disc().box().xyxy))
    assert inputs.polygons_BNP[0, 1].min() > 0.1 and not inputs.polygons_BNP[0, [0, 2, 3]].any()
    assert inputs.segs_BNHW[0, 1].any() and not inputs.segs_BNHW[0, 0].any()
    share = inputs.segs_BNHW[0, 1].float().mean().item()
    assert share == pytest.approx(disc().area_px / 32**2)


def test_a_list_of_kinds_takes_those_and_derives_them_from_masks(backbone, config):
    scene = MIXED.replace(instances=(DISC,))
    inputs, _ = inputs_from_scenes([scene], backbone, config, use="scribble")
    assert kept(inputs, 0, 0) == {"scribble"}
    found = disc().array()[tuple((inputs.scribbles_BNP[0, 0].view(-1, 2) * 32).long().T.flip(0))]
    assert found.all()
    assert kept(inputs_from_scenes([scene], backbone, config, use="box")[0], 0, 0) == {"box"}
    with pytest.raises(SceneError, match=r"instances\[0\].*given as mask, got box, point \(a red car\)"):
        inputs_from_scenes([MIXED], backbone, config, use="mask")


@pytest.mark.parametrize(
    ("use", "kinds"),
    [
        ("published-box", {"box", "point"}),
        ("published-point", {"point"}),
        ("published-mask", {"box", "point", "mask"}),
        ("published-scribble", {"box", "point", "scribble", "mask"}),
    ],
)
def test_published_sets_keep_the_same_kinds_for_all(backbone, config, use, kinds):
    inputs, _ = inputs_from_scenes([MIXED], backbone, config, use=use)
    assert all(kept(inputs, 0, n) == kinds for n in range(4))


def test_what_is_missing_is_zeros_or_the_learnt_stand_in(backbone, config):
    scene = MIXED.replace(instances=(BOX, DISC))
    null, _ = inputs_from_scenes([scene], backbone, config)
    zeros, _ = inputs_from_scenes([scene], backbone, config, missing="zeros")
    assert kept(null, 0, 0) == {"box", "point"} and kept(zeros, 0, 0) == {"box", "point", "mask"}
    adapter = UniFusion.for_unet(backbone.unet, CONFIG).eval()
    with torch.no_grad():
        adapter.position_net.null_polygon_feature.fill_(2.0)
        one, other = adapter.tokens(null)[0], adapter.tokens(zeros)[0]
    polygon = slice(3 * CONFIG.slots, 4 * CONFIG.slots)
    differs = [not torch.allclose(a, b) for a, b in zip(one[polygon], other[polygon], strict=True)]
    assert differs == [True] + [False] * 5
    assert torch.allclose(one[: 3 * CONFIG.slots], other[: 3 * CONFIG.slots])


def test_parts_are_further_instances(backbone, config):
    wheels = (Part("wheel", Box(0.1, 0.5, 0.2, 0.6)), Part("wheel", Box(0.4, 0.5, 0.5, 0.6)))
    scene = MIXED.replace(instances=(BOX.replace(parts=wheels), DISC))
    found = spots(scene)
    assert [one.id for one in found] == ["car", "car/wheel.1", "car/wheel.2", "ball"]
    assert found[1].phrase == "wheel of a red car" and found[1].kinds == ("box", "point")
    assert [one.id for one in spots(scene.replace(instances=(DISC,)), "mask")] == ["ball"]


def test_too_many_are_refused_or_the_largest_kept(backbone, config):
    many = tuple(Instance(phrase="a pea", box=Box(0.0, 0.0, 0.004 * (k + 1), 0.5)) for k in range(200))
    scene = MIXED.replace(instances=many)
    with pytest.raises(SceneError, match="200 located instances, the adapter has 6 slots"):
        inputs_from_scenes([scene], backbone, config)
    inputs, dropped = inputs_from_scenes([scene], backbone, config, "largest")
    assert len(dropped[0]) == 194 and "i200" not in dropped[0] and inputs.masks_BN.all()


def test_a_scene_without_places_has_no_layout(backbone, config):
    nowhere = MIXED.replace(instances=(Instance(phrase="a thought"),))
    empty_mask = MIXED.replace(instances=(Instance(phrase="a ghost", mask=Mask.empty((32, 32))),))
    inputs, _ = inputs_from_scenes([nowhere, empty_mask], backbone, config)
    assert not inputs.masks_BN.any()


def test_exact_outlines_lie_on_the_edge_and_published_ones_beside_it():
    bits = np.zeros((24, 32), bool)
    bits[4:10, 5:16] = True
    (line,) = contours(bits, 0.5)
    edge = line - 0.5
    assert edge[:, 0].min() == 5 and edge[:, 0].max() == 16 and edge[:, 1].min() == 4
    assert tuple(line[0]) == tuple(line[-1])
    mask = Mask.from_array(bits)
    published = polygon_of_mask(mask, 64) * [32, 24]
    assert (published[:, 0].min(), published[:, 0].max()) == (5, 17)
    exact = polygon_of_mask(mask, 64, "exact") * [32, 24]
    assert (exact[:, 0].min(), exact[:, 0].max()) == (5, 16)
    distances = np.hypot(*exact.T / [[32], [24]])
    assert (np.diff(distances) >= -1e-9).all()
    assert np.array_equal(polygon_of_mask(mask, 64), polygon_of_mask(mask, 64))


def test_two_parts_and_a_hole_have_three_outlines():
    bits = np.zeros((20, 20), bool)
    bits[2:10, 2:10] = True
    bits[5:7, 5:7] = False
    bits[14:17, 12:18] = True
    assert sorted(len(line) for line in contours(bits, 0.5)) == [9, 19, 33]


def test_one_pixel_is_enough_for_points():
    bits = np.zeros((16, 16), bool)
    bits[3, 8] = True
    mask = Mask.from_array(bits)
    assert polygon_of_mask(mask, 32, "exact").shape == (32, 2)
    assert np.allclose(scribble_of_mask(mask, 20), [8.5 / 16, 3.5 / 16])


def test_polygon_points_of_the_recordings(golden_dir):
    checked = 0
    for path in sorted(golden_dir.glob("instancediffusion/*/polygon_points.npz")):
        with np.load(path) as stored:
            arrays = dict(stored)
        bits = next(value for value in arrays.values() if value.ndim == 2 and min(value.shape) > 2)
        ours = sorted(map(tuple, polygon_of_mask(Mask.from_array(bits), 256).round(5)))
        for value in arrays.values():
            if value.size == 512 and value.max() <= 1:
                assert np.allclose(
                    ours, sorted(map(tuple, value.reshape(-1, 2).astype(float).round(5))), atol=1e-6
                )
                checked += 1
    if not checked:
        pytest.skip("no recorded polygon points")


def test_scribbles_are_sorted_and_sorted_again_after_a_flip():
    scene = MIXED.replace(instances=(LINE,))
    flipped = Transform.fit((32, 32), (32, 32)).flip().scene(scene)
    for one in (scene, flipped):
        points = scribble_points(one.instances[0].scribble, 20)
        assert points.shape == (20, 2) and (np.diff(np.hypot(*points.T)) >= 0).all()
    first = scribble_points(flipped.instances[0].scribble, 20)[0]
    assert first == pytest.approx([0.5, 0.5])


def test_words_for_kinds():
    assert kinds_of("mask, box") == ("box", "mask")
    assert kinds_of("published-point") == ("point",)
    with pytest.raises(InputError, match="use is 'box,maks'"):
        kinds_of("box,maks")
    with pytest.raises(InputError, match="expected a list of box"):
        kinds_of(" ")


def test_configurations_survive_files_and_refuse_nonsense(config):
    assert UniFusionConfig.from_json(config.to_json()) == config
    for wrong in (
        '{"slots": 0}',
        '{"depths": 3}',
        '{"widths": []}',
        '{"missing": "one"}',
        '{"slot": 3}',
        "[]",
    ):
        with pytest.raises(ModelError):
            UniFusionConfig.from_json(wrong)
