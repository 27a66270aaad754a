"""Builders of small judged pictures: what is asked, what was found."""

from __future__ import annotations

import numpy as np

from scenewright.evaluate.asked import Asked, AskedScene, Pair
from scenewright.evaluate.findings import Finding, Findings
from scenewright.scene import Box, Mask

SIZE = (64, 64)


def box(x0, y0, x1, y1):
    """A box in pixels of a 64 x 64 picture."""
    return Box.from_xyxy_px(x0, y0, x1, y1, SIZE)


def asked(category, place=None, *, name="", mask=False, **attributes):
    """An instance at pixels `place`; with `mask`, its mask is the whole box."""
    where = box(*place) if place else None
    return Asked(name or category, category, where, _filled(where, mask), attributes)


def found(category, place, score=0.9, *, mask=False, **attributes):
    """A detection at pixels `place`; with `mask`, its mask is the whole box."""
    return Finding(category, score, box(*place), _filled(box(*place), mask), attributes)


def pair(instances, findings, *, name="p", unnamed=()):
    """One picture."""
    scene = AskedScene(name, SIZE, tuple(instances), tuple(unnamed))
    return Pair(scene, Findings(name, "hand@0", SIZE, tuple(findings)))


def random_pairs(rng, pictures, classes=5, *, mask=False):
    """Pictures of 0 to 5 instances, most of them found about where they are, and false findings; no two
    scores are equal."""
    names = [f"c{k}" for k in range(classes)]
    scores = iter(rng.permutation(pictures * 40) / (pictures * 40))
    pairs = []
    for number in range(pictures):
        wanted, seen = [], []
        for k in range(rng.integers(0, 6)):
            one = _random_box(rng)
            wanted.append(Asked(f"i{k}", str(rng.choice(names)), one, _filled(one, mask)))
        for one in wanted:
            for _ in range(rng.choice(3, p=(0.2, 0.6, 0.2))):
                seen.append(_near(rng, one, next(scores), mask))
        for _ in range(rng.integers(0, 4)):
            one = _random_box(rng)
            seen.append(Finding(str(rng.choice(names)), float(next(scores)), one, _filled(one, mask)))
        pairs.append(pair(wanted, seen, name=f"p{number}"))
    return tuple(pairs)


def _near(rng, one, score, mask):
    corners = np.clip(np.array(one.box.xyxy) * 64 + rng.integers(-3, 4, 4), 0, 64)
    x0, y0, x1, y1 = (int(value) for value in corners)
    where = box(x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)) if x0 < 64 and y0 < 64 else one.box
    return Finding(one.category, float(score), where, _filled(where, mask))


def _random_box(rng):
    width, height = rng.integers(1, 33, 2)
    x0, y0 = rng.integers(0, 65 - width), rng.integers(0, 65 - height)
    return box(int(x0), int(y0), int(x0 + width), int(y0 + height))


def _filled(where, mask):
    return Mask.from_box(where, SIZE) if mask and where is not None else None
