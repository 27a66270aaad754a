"""What the detector reaches on renders: the ceiling of everything that it will ever judge.

Places are scored as in `scenewright.evaluate`; class, colour and texture of the findings that lie on a thing.

Letters: N things, M findings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scenewright.evaluate.asked import Attributes, Pair, asked_of
from scenewright.evaluate.average_precision import average_precision
from scenewright.evaluate.findings import Finding, Findings
from scenewright.models.judges.detecting import detect
from scenewright.scene import Vocabulary, boxes

if TYPE_CHECKING:
    from scenewright.models.judges.detector import Detector
    from scenewright.world.drawn import Drawn

SURE = 0.3
"""Least score of findings that count for class, colour and texture."""

Confusion = tuple[str, str, str]
"""Label ("classes", "colours", "textures"), what was drawn, what was said."""


def detector_figures(
    net: Detector, drawn: Sequence[Drawn]
) -> tuple[dict[str, float], list[tuple[Finding, ...]]]:
    """The figures of `net` on `drawn`, each in [0, 1], and what it found.

    box_AP, box_AP50, mask_AP and mask_AP50; found: share of things with a finding of a score of at least
    `SURE` and an IoU of 0.5; class, colour and texture: share of right ones among those found, texture where
    there is one; plain: share of things without a texture of which none is said; spare: findings that lie on
    no thing, per thing.
    """
    found = detect(net, [one.image for one in drawn])
    pairs = pairs_of(drawn, found, net.labels)
    figures: dict[str, float] = {}
    for kind in ("box", "mask"):
        values = average_precision(pairs, kind)
        figures |= {f"{kind}_{name}": values[name] or 0.0 for name in ("AP", "AP50")}
    return figures | attribute_figures(pairs)[0], found


def pairs_of(
    drawn: Sequence[Drawn], found: Sequence[tuple[Finding, ...]], labels: dict[str, tuple[str, ...]]
) -> list[Pair]:
    """What was drawn beside what was found."""
    attributes: Attributes = {"colour": labels["colours"], "texture": labels["textures"]}
    vocabulary = Vocabulary.load("toybox")
    pairs = []
    for number, (one, things) in enumerate(zip(drawn, found, strict=True)):
        name = f"{number:06d}"
        asked = asked_of(one.scene, name, vocabulary, attributes)
        pairs.append(Pair(asked, Findings(name, "detector", one.scene.size_wh, things)))
    return pairs


def attribute_figures(pairs: Sequence[Pair]) -> tuple[dict[str, float], Counter[Confusion]]:
    """See `detector_figures`; and how often what was taken for what."""
    counts: Counter[str] = Counter()
    wrong: Counter[Confusion] = Counter()
    for pair in pairs:
        sure = [one for one in pair.findings.found if one.score >= SURE]
        partners = _partners(pair, sure)
        counts["things"] += len(pair.scene.asked)
        counts["spare"] += len(sure) - len(partners)
        for k, m in partners.items():
            asked, one = pair.scene.asked[k], sure[m]
            counts["found"] += 1
            said = {"classes": (asked.category, one.category)}
            said["colours"] = (asked.attributes["colour"], one.attributes.get("colour", ""))
            texture = asked.attributes.get("texture", "")
            said["textures" if texture else "plain"] = (texture, one.attributes.get("texture", ""))
            for label, (true, given) in said.items():
                counts[f"{label} asked"] += 1
                counts[label] += true == given
                if true != given:
                    wrong[label, true, given] += 1
    shares = {
        "found": counts["found"] / max(counts["things"], 1),
        "spare": counts["spare"] / max(counts["things"], 1),
    }
    for name, label in (
        ("class", "classes"), ("colour", "colours"), ("texture", "textures"), ("plain", "plain")
    ):  # fmt: skip
        shares[name] = counts[label] / max(counts[f"{label} asked"], 1)
    return shares, wrong


def _partners(pair: Pair, sure: Sequence[Finding]) -> dict[int, int]:
    """Position of a thing -> position of the finding on it, whatever its class: the largest IoU first."""
    things = [one.box.xyxy for one in pair.scene.asked if one.box is not None]
    if not things or not sure:
        return {}
    iou_NM = boxes.iou_matrix(np.array(things), np.array([one.box.xyxy for one in sure]))
    partners: dict[int, int] = {}
    while iou_NM.max() >= 0.5:
        k, m = np.unravel_index(int(iou_NM.argmax()), iou_NM.shape)
        partners[int(k)] = int(m)
        iou_NM[k], iou_NM[:, m] = 0.0, 0.0
    return partners


def detector_sheet(
    drawn: Sequence[Drawn], found: Sequence[tuple[Finding, ...]], path: Path, columns: int = 4
) -> None:
    """Draw pictures with what was found in them."""
    from scenewright.scene import Instance, Scene
    from scenewright.scene.draw import contact_sheet, overlay
    from scenewright.scene.io import write_png

    shown = []
    for one, things in zip(drawn, found, strict=True):
        instances = tuple(
            Instance(
                f"{' '.join(finding.attributes.values())} {finding.category} {finding.score:.2f}",
                box=finding.box,
                mask=finding.mask,
            )
            for finding in things
            if finding.score >= SURE
        )
        scene = Scene("found", one.scene.size_wh, instances)
        shown.append(overlay(one.image, scene, size_px=384))
    write_png(path, contact_sheet(shown, [""] * len(shown), columns=columns))
