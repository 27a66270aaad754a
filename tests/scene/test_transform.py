"""One transform moves everything alike; oracles: Pillow, slices, and the parts against each other."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scene_strategies import QUICK, boxes, instances, keypoints, mask_arrays, points, scenes

from scenewright.errors import SceneError
from scenewright.scene import (
    IGNORE,
    Box,
    ImageRef,
    Instance,
    Keypoints,
    Mask,
    Part,
    Point,
    Scene,
    Scribble,
    SemanticMap,
    Transform,
    pixels,
)

SIZE_WH = (20, 14)
sides = st.integers(1, 30)


@st.composite
def windows(draw):
    """Pixel windows around a canvas of SIZE_WH, some of them reaching outside."""
    x0, y0 = draw(st.integers(-5, 19)), draw(st.integers(-5, 13))
    return x0, y0, x0 + draw(sides), y0 + draw(sides)


@st.composite
def exact(draw):
    """Transforms without resizing."""
    found = Transform(SIZE_WH)
    for _ in range(draw(st.integers(0, 3))):
        found = draw(st.sampled_from([found.flip(), found.crop(draw(windows()))]))
    return found


@st.composite
def any_transform(draw):
    found = draw(exact())
    return found.resize((draw(sides), draw(sides))).flip() if draw(st.booleans()) else found


def noise(shape, high=256):
    return np.random.default_rng(3).integers(0, high, shape).astype(np.uint8)


def test_nothing_to_move():
    scene = Scene("x", SIZE_WH, picture=ImageRef("a.png"))
    same = Transform(SIZE_WH)
    assert same.scene(scene) == scene
    assert same.flip().scene(scene) == scene
    assert same.points(()) == ()
    assert same.out_wh == SIZE_WH
    assert same.crop((0, 0, *SIZE_WH)) == same.resize(SIZE_WH) == same.flip().flip() == same


@QUICK
@given(any_transform())
def test_sizes(transform):
    width, height = transform.out_wh
    image = noise((*SIZE_WH[::-1], 3))
    kept = image.copy()
    out = transform.image(image)
    assert out.shape == (height, width, 3) and out.dtype == np.uint8
    assert transform.labels(image[..., 0]).shape == (height, width)
    out += 1
    transform.labels(image[..., 0])[:] = 0
    np.testing.assert_array_equal(image, kept)


@QUICK
@given(exact())
def test_without_resizing_pixels_only_move(transform):
    rows, columns = np.mgrid[: SIZE_WH[1], : SIZE_WH[0]].astype(np.uint8)
    image = np.stack([rows, columns, rows * 0 + 7], axis=-1)
    out, labels = transform.image(image, fill=99), transform.labels(columns.astype(np.uint16))
    width, height = transform.out_wh
    for row, column in np.ndindex(height, width):
        inside = out[row, column, 2] == 7
        assert inside == (labels[row, column] != IGNORE)
        if inside:
            source = Point((out[row, column, 1] + 0.5) / SIZE_WH[0], (out[row, column, 0] + 0.5) / SIZE_WH[1])
            moved = transform.point(source)
            assert moved.xy == pytest.approx(((column + 0.5) / width, (row + 0.5) / height))
            assert labels[row, column] == out[row, column, 1]


@QUICK
@given(any_transform(), mask_arrays(SIZE_WH[::-1]))
def test_masks_move_as_labels_do(transform, bits):
    mask = Mask.from_array(bits)
    found = transform.mask(mask)
    np.testing.assert_array_equal(found.array(), transform.labels(bits.astype(np.uint8), fill=0) > 0)
    labels = transform.semantic(SemanticMap.from_labels(bits.astype(np.uint8), "voc")).labels()
    np.testing.assert_array_equal(found.array(), labels == 1)


@QUICK
@given(exact(), mask_arrays(SIZE_WH[::-1]))
def test_boxes_move_as_masks_do(transform, bits):
    box = Mask.from_array(bits).box()
    if box is None:
        return
    full = np.zeros_like(bits)
    full[pixels(box, SIZE_WH)] = True
    moved, around = transform.box(box), transform.mask(Mask.from_array(full)).box()
    assert (moved is None) == (around is None)
    if moved is not None:
        assert moved.xyxy == pytest.approx(around.xyxy, abs=1e-12)
        share = transform.mask(Mask.from_array(full)).area_px / full.sum()
        assert transform.visible(box) == pytest.approx(share)


@QUICK
@given(any_transform(), boxes(), points)
def test_a_point_of_a_box_stays_in_it(transform, box, point):
    inside = Point(
        box.x0 + point.x * box.width if box.x0 + point.x * box.width < box.x1 else box.x0,
        box.y0 + point.y * box.height if box.y0 + point.y * box.height < box.y1 else box.y0,
    )
    moved, kept = transform.point(inside), transform.box(box)
    if moved is not None and kept is not None:
        assert kept.x0 - 1e-9 <= moved.x <= kept.x1 + 1e-9
        assert kept.y0 - 1e-9 <= moved.y <= kept.y1 + 1e-9


@QUICK
@given(keypoints)
def test_left_and_right_joints_trade_places(body):
    flipped = Transform(SIZE_WH).flip().keypoints(body)
    for left, right in (("left_wrist", "right_wrist"), ("left_eye", "right_eye"), ("nose", "nose")):
        for a, b in ((left, right), (right, left)):
            x, y, v = body.joint(a)
            assert flipped.joint(b) == ((1 - x, y, v) if v else (0, 0, 0))
    again = Transform(SIZE_WH).flip().keypoints(flipped)
    labelled = [joint if joint[2] else (0.0, 0.0, 0) for joint in body.points]
    assert np.allclose(again.points, labelled)


def test_joints_off_the_canvas_are_not_labelled():
    body = Keypoints(tuple((0.1 if k % 2 else 0.9, 0.5, 2) for k in range(17)))
    cut = Transform((20, 10)).crop((0, 0, 10, 10)).keypoints(body)
    assert cut.points[0] == (0, 0, 0)
    assert cut.points[1] == pytest.approx((0.2, 0.5, 2))
    assert Transform((20, 10)).crop((8, 0, 12, 10)).keypoints(body) is None


def test_fit():
    assert Transform.fit((640, 480), (128, 128)).steps[0].__class__.__name__ == "Crop"
    for mode in ("crop", "pad", "stretch"):
        for size_wh in ((640, 480), (480, 640), (100, 100), (3, 1000), (1, 1)):
            assert Transform.fit(size_wh, (128, 64), mode).out_wh == (128, 64)
    middle = Point(0.5, 0.5)
    for mode in ("crop", "pad", "stretch"):
        assert Transform.fit((640, 480), (128, 64), mode).point(middle).xy == pytest.approx((0.5, 0.5))
    padded = Transform.fit((100, 50), (64, 64), "pad")
    assert padded.box(Box(0, 0, 1, 1)).xyxy == pytest.approx((0, 0.25, 1, 0.75))
    cropped = Transform.fit((100, 50), (64, 64), "crop")
    assert cropped.box(Box(0.25, 0, 0.75, 1)).xyxy == pytest.approx((0, 0, 1, 1))
    assert cropped.box(Box(0, 0, 0.2, 1)) is None
    assert cropped.visible(Box(0, 0, 0.5, 1)) == pytest.approx(0.5)


@pytest.mark.parametrize("to_wh", [(8, 8), (64, 40), (13, 90), (100, 7), (1, 1)])
def test_resizing_equals_pillow(to_wh):
    image = pytest.importorskip("PIL.Image")
    for picture in (noise((30, 41, 3)), np.full((5, 9, 3), 255, np.uint8)):
        size_wh = picture.shape[1::-1]
        ours = Transform(size_wh).resize(to_wh).image(picture)
        theirs = np.asarray(image.fromarray(picture).resize(to_wh, image.Resampling.BILINEAR))
        assert np.abs(ours.astype(int) - theirs).max() <= 1
        labels = Transform(size_wh).resize(to_wh).labels(picture[..., 0])
        nearest = np.asarray(image.fromarray(picture[..., 0]).resize(to_wh, image.Resampling.NEAREST))
        np.testing.assert_array_equal(labels, nearest)


@QUICK
@given(scenes(), st.booleans(), st.booleans())
def test_whole_scenes(scene, crop, flip):
    transform = Transform(scene.size_wh)
    transform = transform.crop((0, 0, 8, 8)) if crop else transform
    transform = transform.flip() if flip else transform
    kept = copy.deepcopy(scene)
    out = transform.scene(scene)
    assert scene == kept
    assert out.size_wh == transform.out_wh
    assert set(out.ids) <= set(scene.ids)
    assert (out.prompt, out.extra, out.seed, out.picture) == (
        scene.prompt,
        scene.extra,
        scene.seed,
        scene.picture,
    )
    for item in out.instances:
        before = scene.instance(item.id)
        assert item.box == (transform.box(before.box) if before.box else None)
        assert item.points == transform.points(before.points)
        assert (item.phrase, item.z, item.extra) == (before.phrase, before.z, before.extra)
    if not crop and not flip:
        assert [i.box for i in out.instances] == [i.box for i in scene.instances]


@QUICK
@given(instances(SIZE_WH[::-1]))
def test_an_instance_leaves_only_with_all_its_places(instance):
    away = Transform(SIZE_WH).crop((1000, 1000, 1010, 1010))
    mask = instance.mask is not None and not instance.mask.is_empty
    body = instance.keypoints is not None and any(v for _, _, v in instance.keypoints.points)
    placed = any((instance.box, mask, instance.points, instance.scribble, body, instance.parts))
    assert (away.instance(instance) is None) == placed


def test_parts_and_visibility():
    mask = Mask.from_box(Box(0.5, 0, 1, 1), (32, 16))
    wheel = Part("wheel", Box(0, 0.5, 0.25, 1))
    car = Instance("car", box=Box(0, 0, 1, 1), parts=(wheel, Part("roof", Box(0.5, 0, 1, 0.5), mask)))
    dot = Instance(
        "dot", box=Box(0.4, 0, 0.6, 1), scribble=Scribble((Point(0, 0), Point(0.9, 0), Point(1, 1)))
    )
    nowhere = Instance("fog")
    scene = Scene(
        "x",
        (32, 16),
        (car, dot, nowhere),
        semantic_map=SemanticMap.from_labels(np.eye(16, 32, dtype=int), "v"),
    )
    out = Transform((32, 16)).crop((16, 0, 32, 16)).scene(scene)
    assert [part.name for part in out.instance("i1").parts] == ["roof"]
    assert out.instance("i1").parts[0].mask.area_px == 256
    assert out.instance("i2").scribble.points == (Point(0.8, 0), Point(1, 1))
    assert out.ids == ("i1", "i2", "i3")
    assert out.semantic_map.labels().sum() == 0
    strict = Transform((32, 16)).crop((16, 0, 32, 16)).scene(scene, visible=0.6)
    assert strict.ids == ("i3",)


@pytest.mark.parametrize(
    ("job", "message"),
    [
        (lambda t: t.crop((5, 0, 5, 9)), "expected x0 < x1"),
        (lambda t: t.crop((0, 0, 5.5, 9)), "xyxy_px[2]: expected a whole number"),
        (lambda t: t.crop((0, 0, 5)), "expected x0, y0, x1, y1"),
        (lambda t: t.resize((0, 5)), "to_wh[0]: expected a whole number from 1"),
        (lambda t: t.resize(5), "expected two whole numbers"),
        (lambda t: Transform.fit((8, 8), (8, 8), "croq"), "expected mode crop, pad or stretch"),
        (lambda t: t.image(np.zeros((14, 20), np.uint8)), "expected uint8 [H, W, C]"),
        (lambda t: t.image(np.zeros((14, 20, 3))), "got float64"),
        (
            lambda t: t.image(np.zeros((20, 14, 3), np.uint8)),
            "expected height and width [14, 20], got [20, 14]",
        ),
        (lambda t: t.labels(np.zeros((14, 20))), "expected whole numbers [H, W], got float64"),
        (lambda t: t.labels(np.zeros((3, 20), int)), "expected height and width"),
        (lambda t: t.scene(Scene("x", (8, 8))), "expected a scene of [20, 14], got [8, 8]"),
        (lambda t: t.crop((0, 0, 9, 9)).scene(Scene("x", (24, 16))), "expected a scene of"),
        (lambda t: Transform((24, 16)).crop((0, 0, 9, 9)).scene(Scene("x", (24, 16))), "multiple of 8"),
    ],
)
def test_refuses(job, message):
    with pytest.raises(SceneError) as found:
        job(Transform(SIZE_WH))
    assert message in str(found.value)
