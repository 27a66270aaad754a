"""PiM, points in masks: do the detected masks cover the points and scribbles that were asked for?

The paper (InstanceDiffusion, Wang et al., CVPR 2024) asks for the share of the input points inside the
detected mask. Its published code differs: masks are paired greedily with the asked ones whatever their class,
points are not the ones given to the generator, and instances without a partner are left out, which raises
the number. `point_rows` is the definition with missing instances counted as 0; `published_point_rows` repeats
the code, for comparison with published tables.

Letters: P pictures, N instances, M masks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from scenewright.evaluate.asked import Asked, Pair
from scenewright.evaluate.bootstrap import Floats
from scenewright.evaluate.matching import assign, overlaps, same_class
from scenewright.scene import Mask, Point

Form = Literal["point", "scribble"]

SCRIBBLE_POINTS = 20
"""Points that the published code draws from a mask to stand for a scribble."""


def point_rows(pairs: Sequence[Pair], form: Form = "point") -> tuple[Floats, Floats]:
    """Sum over its instances of the share of their points inside their mask, and their number, [P] each.

    Every mask serves one instance of its class, so that the sum is largest; an instance without a mask has
    share 0. Instances without points (or scribble) do not count. A scribble counts by the points it was
    given, a point list by all of its points.
    """
    totals_P, counts_P = np.zeros(len(pairs)), np.zeros(len(pairs))
    for picture, pair in enumerate(pairs):
        asked = [one for one in pair.scene.asked if _marks(one, form)]
        found = pair.findings.found
        bits = [_bits(other.mask) for other in found] if asked else []
        share = [[_share(seen, _marks(one, form)) for seen in bits] for one in asked]
        gain_NM = np.array(share).reshape(len(asked), len(found)) * same_class(asked, found)
        totals_P[picture] = sum(gain_NM[pick] for pick in assign(gain_NM).items())
        counts_P[picture] = len(asked)
    return totals_P, counts_P


def published_point_rows(
    pairs: Sequence[Pair], form: Form = "point", *, seed: int = 0
) -> tuple[Floats, Floats]:
    """Mean share of the matched instances of every picture, and whether it has any (0 or 1), [P] each.

    As published: each asked mask in turn takes the free detected mask of largest IoU above 0, whatever its
    class; the point is the centre of the asked mask's box, a scribble `SCRIBBLE_POINTS` pixels drawn from
    the asked mask. Instances and pictures without a partner are left out.
    """
    means_P, there_P = np.zeros(len(pairs)), np.zeros(len(pairs))
    for picture, pair in enumerate(pairs):
        rng = np.random.default_rng([seed, picture])
        asked = [one for one in pair.scene.asked if one.mask is not None and not one.mask.is_empty]
        iou_NM = overlaps(asked, pair.findings.found, "mask")
        shares = []
        for n, one in enumerate(asked):
            if not iou_NM.shape[1] or iou_NM[n].max() <= 0:
                continue
            m = int(iou_NM[n].argmax())
            iou_NM[:, m] = 0.0
            assert one.mask is not None
            shares.append(_share(_bits(pair.findings.found[m].mask), _published_marks(one.mask, form, rng)))
        if shares:
            means_P[picture], there_P[picture] = float(np.mean(shares)), 1.0
    return means_P, there_P


def _published_marks(mask: Mask, form: Form, rng: np.random.Generator) -> tuple[Point, ...]:
    box = mask.box()
    if form == "point" and box is not None:
        return (Point(*box.centre),)
    return mask.points(rng, SCRIBBLE_POINTS)


def _marks(one: Asked, form: Form) -> tuple[Point, ...]:
    return one.points if form == "point" else one.scribble


def _share(mask_HW: NDArray[np.bool_] | None, points: Sequence[Point]) -> float:
    """Share of the points whose pixel is inside; 0 without a mask."""
    if mask_HW is None:
        return 0.0
    height, width = mask_HW.shape
    inside = [mask_HW[min(int(p.y * height), height - 1), min(int(p.x * width), width - 1)] for p in points]
    return float(np.mean(inside))


def _bits(mask: Mask | None) -> NDArray[np.bool_] | None:
    return None if mask is None else mask.array()
