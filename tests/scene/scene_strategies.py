"""Random boxes, masks and scenes for the property tests of this folder."""

from __future__ import annotations

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from scenewright.scene import (
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
)

QUICK = settings(deadline=None, max_examples=120, derandomize=True)

fractions = st.floats(0, 1) | st.sampled_from([0.0, 0.25, 0.5, 1.0])
words = st.sampled_from(["a red car", "Hund", "猫", "eagle\twith tabs", "  x", "0"])
texts = words | st.just("")


@st.composite
def boxes(draw):
    x0, x1 = sorted(draw(st.lists(fractions, min_size=2, max_size=2, unique=True)))
    y0, y1 = sorted(draw(st.lists(fractions, min_size=2, max_size=2, unique=True)))
    return Box(x0, y0, x1, y1)


@st.composite
def mask_arrays(draw, size_hw=None):
    height, width = size_hw or (draw(st.integers(1, 24)), draw(st.integers(1, 24)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    bits = rng.random((height, width)) < draw(st.sampled_from([0.0, 0.03, 0.5, 0.97, 1.0]))
    if draw(st.booleans()):  # blocks make longer runs than noise
        bits = np.kron(bits[::4, ::4], np.ones((4, 4), bool))[:height, :width]
    return np.ascontiguousarray(bits)


points = st.builds(Point, fractions, fractions)
scribbles = st.lists(points, min_size=2, max_size=5).map(lambda found: Scribble(tuple(found)))
joints = st.tuples(fractions, fractions, st.integers(0, 2))
keypoints = st.lists(joints, min_size=17, max_size=17).map(lambda found: Keypoints(tuple(found)))
images = st.builds(ImageRef, path=words) | st.builds(ImageRef, sha256=st.just("0a" * 32))
leaves = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(-1e9, 1e9) | texts
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3)
)
extras = st.dictionaries(st.sampled_from(["coco", "toybox", "org.example", "a-b_c.d"]), values, max_size=2)


def maybe(strategy):
    return st.none() | strategy


@st.composite
def instances(draw, size_hw):
    mask = mask_arrays(size_hw).map(Mask.from_array)
    parts = st.builds(Part, words, boxes(), maybe(mask))
    return Instance(
        draw(words),
        box=draw(maybe(boxes())),
        mask=draw(maybe(mask)),
        points=tuple(draw(st.lists(points, max_size=2))),
        scribble=draw(maybe(scribbles)),
        keypoints=draw(maybe(keypoints)),
        parts=tuple(draw(st.lists(parts, max_size=2))),
        reference=draw(maybe(images)),
        negative=draw(maybe(texts)),
        z=draw(st.integers(-3, 3)),
        category=draw(maybe(texts)),
        extra=draw(extras),
    )


@st.composite
def semantic_maps(draw, size_hw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return SemanticMap.from_labels(rng.choice([0, 1, 18, 255, 65535], size_hw), draw(words))


@st.composite
def scenes(draw):
    picture = draw(maybe(images))
    side = st.integers(1, 30) if picture else st.sampled_from([8, 16, 24])
    size_wh = (draw(side), draw(side))
    return Scene(
        draw(texts),
        size_wh,
        tuple(draw(st.lists(instances(size_wh[::-1]), max_size=3))),
        negative=draw(maybe(texts)),
        semantic_map=draw(maybe(semantic_maps(size_wh[::-1]))),
        style=draw(maybe(texts)),
        seed=draw(maybe(st.integers(0, 2**53 - 1))),
        extra=draw(extras),
        picture=picture,
    )
