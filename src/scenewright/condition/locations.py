"""From scenes to what UniFusion reads: boxes, points, scribbles and masks of every instance and part.

Wang et al., "InstanceDiffusion: Instance-level Control for Image Generation", CVPR 2024 (arXiv 2402.03290),
section 3.1. Each instance is placed by what it has: its box (or that of its mask), its scribble, its mask,
and always a point, by default the middle of its box, as in training. A list of kinds takes those alone, and
derives what can be derived: a box or a scribble from a mask, a point from anything. The published
configurations keep the same kinds for all instances (`uses.PUBLISHED`). A part is a further instance, "wheel
of a red car", with a box of its own.

Letters: B scenes, N slots, D width of a feature, P numbers of a location, S side of the mask raster.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as nnf

from scenewright.condition.gligen import Overflow, phrase_features
from scenewright.condition.outlines import polygon_of_mask, scribble_of_mask, scribble_points
from scenewright.condition.unifusion import Missing, UniFusionConfig, UniFusionInputs, empty_inputs
from scenewright.condition.uses import KINDS, PUBLISHED, kinds_of
from scenewright.errors import SceneError

if TYPE_CHECKING:
    from scenewright.backbone.model import Backbone
    from scenewright.scene import Box, Instance, Mask, Point, Scene, Scribble


@dataclass(frozen=True)
class Spot:
    """One thing to place: an instance or a part. `box` and `point` are given or derived, None if neither.

    `kinds` are those it is placed by, in the order of `uses.KINDS`; none leaves it out.
    """

    id: str
    phrase: str
    box: Box | None
    point: tuple[float, float] | None
    scribble: Scribble | None
    mask: Mask | None
    kinds: tuple[str, ...] = ()

    @property
    def area(self) -> float:
        """Share of the canvas, for choosing the largest; 0 for marks."""
        return self.box.area if self.box is not None else 0.0


def spots(scene: Scene, use: str = "") -> list[Spot]:
    """Instances and parts of a scene that have a place, in order, each with the kinds it is placed by.

    `use` is empty (what each has), a list of kinds, or a published configuration. A part without any of the
    kinds asked for is left out; SceneError for such an instance, if it has a place at all.
    """
    found = []
    for k, one in enumerate(scene.instances):
        own = [_spot(one), *(_part(one, j) for j in range(len(one.parts)))]
        for place, spot in enumerate(own):
            kinds = () if spot.box is None and spot.point is None else _kinds(spot, use)
            if not kinds and (place or spot.point is None):
                continue
            if not kinds:
                has = ", ".join(_kinds(spot, "")) or "nothing"
                raise SceneError(
                    f"expected a place given as {use.replace(',', ', ')}, got {has} ({spot.phrase})",
                    "leave --use out to take what each instance has",
                    f"instances[{k}]",
                )
            found.append(dataclasses.replace(spot, kinds=kinds))
    return found


def inputs_from_scenes(
    scenes: Sequence[Scene],
    backbone: Backbone,
    config: UniFusionConfig,
    overflow: Overflow = "error",
    *,
    use: str = "",
    missing: Missing | None = None,
    known: Mapping[str, Tensor] | None = None,
) -> tuple[UniFusionInputs, tuple[tuple[str, ...], ...]]:
    """What the token network reads for scenes, and per scene the ids of what found no slot.

    Args:
        scenes: scenes of one size or of several; what has no place is not grounded.
        backbone: its text encoder embeds each different phrase once.
        config: the adapter's, with its feature width filled in.
        overflow: with more instances and parts than slots, "error" refuses, "largest" keeps the largest by
            the area of their boxes, largest first.
        use: which kinds of location count; see `spots`.
        missing: what a used slot gets for a scribble or mask it does not have; None: as the adapter was
            trained, and zeros for published configurations.
        known: pooled embeddings [D] already computed, by phrase.

    Raises:
        SceneError: a scene does not fit the slots, or an instance has no place of the kinds asked for.
    """
    chosen: list[list[Spot]] = []
    dropped: list[tuple[str, ...]] = []
    for index, scene in enumerate(scenes):
        kept, left = _fit(spots(scene, use), index, config.slots, overflow)
        chosen.append(kept)
        dropped.append(left)
    features = phrase_features([spot.phrase for kept in chosen for spot in kept], backbone, known or {})
    zeros = (missing or ("zeros" if use in PUBLISHED else config.missing)) == "zeros"
    return tensors(chosen, features, config, zeros=zeros, whole=use in PUBLISHED), tuple(dropped)


def tensors(
    chosen: Sequence[Sequence[Spot]],
    features: Mapping[str, Tensor],
    config: UniFusionConfig,
    *,
    zeros: bool,
    whole: bool = False,
    rng: np.random.Generator | None = None,
) -> UniFusionInputs:
    """The tensors of spots, by scene. `zeros`: a scribble or mask that only other spots of the scene have is
    encoded as zeros; `whole`: so is every kind in `kinds` that a spot lacks. `rng` draws points from masks;
    None draws the same ones for the same mask."""
    inputs = empty_inputs(len(chosen), config)
    keep_BNK = torch.zeros(len(chosen), config.slots, len(KINDS))
    masks: list[tuple[int, int, Mask]] = []
    for b, row in enumerate(chosen):
        for n, spot in enumerate(row):
            inputs.masks_BN[b, n] = 1
            inputs.features_BND[b, n] = features[spot.phrase]
            keep_BNK[b, n] = torch.tensor([kind in spot.kinds for kind in KINDS])
            _write(inputs, b, n, spot, config, rng)
            if "mask" in spot.kinds and spot.mask is not None:
                masks.append((b, n, spot.mask))
        if zeros and not whole and row:
            for kind in (KINDS.index("scribble"), KINDS.index("mask")):
                keep_BNK[b, : len(row), kind] = keep_BNK[b, : len(row), kind].max()
    segs = torch.zeros(len(chosen), config.slots, 1, 1, dtype=torch.uint8)
    if masks:
        side = config.map_px
        segs = torch.zeros(len(chosen), config.slots, side, side, dtype=torch.uint8)
        for b, n, mask in masks:
            bits = torch.from_numpy(mask.array().astype(np.float32))[None, None]
            segs[b, n] = nnf.interpolate(bits, size=(side, side), mode="nearest")[0, 0].to(torch.uint8)
    return dataclasses.replace(inputs, segs_BNHW=segs, keep_BK=keep_BNK)


def _write(
    inputs: UniFusionInputs,
    b: int,
    n: int,
    spot: Spot,
    config: UniFusionConfig,
    rng: np.random.Generator | None,
) -> None:
    """Boxes and marks of one slot; what the spot does not have stays zero."""
    if spot.box is not None:
        inputs.boxes_BN4[b, n] = torch.tensor(spot.box.xyxy)
    if spot.point is not None:
        inputs.points_BN2[b, n] = torch.tensor(spot.point)
    if "scribble" in spot.kinds and spot.scribble is not None:
        points = scribble_points(spot.scribble, config.scribble_points)
        inputs.scribbles_BNP[b, n] = torch.from_numpy(points.astype(np.float32).ravel())
    elif "scribble" in spot.kinds and spot.mask is not None:
        points = scribble_of_mask(spot.mask, config.scribble_points, rng)
        inputs.scribbles_BNP[b, n] = torch.from_numpy(points.astype(np.float32).ravel())
    if "mask" in spot.kinds and spot.mask is not None:
        points = polygon_of_mask(spot.mask, config.polygon_points, config.outline, rng)
        inputs.polygons_BNP[b, n] = torch.from_numpy(points.astype(np.float32).ravel())


def _spot(one: Instance) -> Spot:
    mask = None if one.mask is None or one.mask.is_empty else one.mask
    box = one.box or (mask.box() if mask is not None else None)
    return Spot(one.id, one.phrase, box, _middle(one.points, box, one.scribble), one.scribble, mask)


def _part(one: Instance, place: int) -> Spot:
    """A part as an instance: "wheel of a red car"; its id names both, and its place if the name repeats."""
    part = one.parts[place]
    mask = None if part.mask is None or part.mask.is_empty else part.mask
    name = f"{one.id}/{part.name}"
    if [other.name for other in one.parts].count(part.name) > 1:
        name = f"{name}.{place + 1}"
    return Spot(name, part_phrase(part.name, one.phrase), part.box, _middle((), part.box, None), None, mask)


def part_phrase(part: str, phrase: str) -> str:
    """How a part is called: ("wheel", "a red car") is "wheel of a red car"."""
    return f"{part} of {phrase}"


def _middle(
    points: Sequence[Point], box: Box | None, scribble: Scribble | None
) -> tuple[float, float] | None:
    """The given point, else the middle of the box, else the middle point of the scribble."""
    if points:
        return points[0].xy
    if box is not None:
        return (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
    return scribble.points[len(scribble.points) // 2].xy if scribble is not None else None


def _kinds(spot: Spot, use: str) -> tuple[str, ...]:
    """The kinds that a spot is placed by."""
    if use in PUBLISHED:
        return PUBLISHED[use]
    has = {
        "box": spot.box is not None,
        "point": spot.point is not None,
        "scribble": spot.scribble is not None or (bool(use) and spot.mask is not None),
        "mask": spot.mask is not None,
    }
    wanted = kinds_of(use) if use else KINDS
    return tuple(kind for kind in wanted if has[kind])


def _fit(row: list[Spot], index: int, slots: int, overflow: Overflow) -> tuple[list[Spot], tuple[str, ...]]:
    """The spots that get a slot, and the ids of those that do not."""
    if len(row) <= slots:
        return row, ()
    if overflow == "error":
        parts = sum("/" in spot.id for spot in row)
        more = f" and {parts} parts" if parts else ""
        raise SceneError(
            f"scene {index} has {len(row) - parts} located instances{more}, the adapter has {slots} slots",
            hint="--overflow largest keeps the largest and records the ids of the others",
            path="instances",
        )
    by_area = sorted(row, key=lambda spot: -spot.area)
    return by_area[:slots], tuple(spot.id for spot in by_area[slots:])
