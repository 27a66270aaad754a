"""What a detector and a CLIP see in the pictures of InstanceDiffusion's evaluation, stored and paired with
what was asked for.

Findings lie in ``findings/JUDGE``; what the CLIP says of crops of asked boxes in ``findings/asked``, of found
boxes in ``findings/found``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scenewright.errors import InputError, ModelError
from scenewright.evaluate.asked import Pair, asked_of
from scenewright.evaluate.findings import Findings
from scenewright.evaluate.instance_protocols import InstanceProtocol
from scenewright.evaluate.instances import Look, Looks, found_boxes, look_of, without_crowds
from scenewright.evaluate.protocol import sample_key
from scenewright.flows.coco_scenes import CocoPicture, value_number
from scenewright.flows.evaluate import FINDINGS, Progress
from scenewright.flows.judging import JudgeCard, Places, judge_samples, named_judge, only_stored
from scenewright.flows.samples import ENDINGS, Sample, Samples, pixels_digest
from scenewright.flows.scoring import Evidence, vocabulary_of
from scenewright.scene import Scene, Transform
from scenewright.scene import io as picture_files

USUAL = {
    "detector": "facebook/mask2former-swin-large-coco-instance",
    "clip": "laion/CLIP-ViT-L-14-laion2B-s32B-b82K",
}
"""Judges where none is named: hub ids. The CLIP is the published one."""

ASKED, FOUND = "asked", "found"
"""Folders of what a CLIP says of crops."""

SHAPE_SLACK = 0.02


@dataclass(frozen=True, eq=False)
class Resized(Sample):
    """A sample whose picture is stretched to the canvas of its scene."""

    def image(self) -> NDArray[np.uint8]:
        """The picture, HW3, of the scene's size."""
        return _stretched(picture_files.read_image(self.path), self.scene.size_wh)


@dataclass(frozen=True, eq=False)
class Judged:
    """Pictures with all findings, the pairs without crowds, the least score that counts, and what the CLIP
    says (None without one)."""

    evidence: Evidence
    pairs: tuple[Pair, ...]
    least: float
    looks: Looks | None


def choose(rules: InstanceProtocol, names: Sequence[str], out: Path) -> dict[str, JudgeCard]:
    """The judges by kind: those named, else those whose findings are stored, else the usual ones; a CLIP that
    the protocol does not need is used only if it is named or stored. Raises ModelError."""
    places = Places(out / FINDINGS)
    chosen: dict[str, JudgeCard] = {}
    for name in names:
        card = named_judge(name, places)
        if card.kind not in USUAL:
            raise ModelError(f"{name} is a {card.kind}; expected a detector or a CLIP")
        chosen[card.kind] = card
    for kind in (*rules.judges, *rules.optional):
        if kind in chosen:
            continue
        if (kept := _stored(kind, out)) is not None:
            chosen[kind] = kept
        elif kind in rules.judges:
            chosen[kind] = _usual(kind, places)
    return chosen


def _stored(kind: str, out: Path) -> JudgeCard | None:
    if kind != "clip":
        return only_stored(kind, Places(out / FINDINGS))
    found = only_stored("attributes", Places(out / FINDINGS / ASKED))
    return None if found is None else replace(found, kind="clip")


def _usual(kind: str, places: Places) -> JudgeCard:
    try:
        return named_judge(USUAL[kind], places)
    except ModelError as fault:
        fault.hint = f"{fault.hint}; or --judge names another {kind}, in a folder or from the package"
        raise


def judged(
    rules: InstanceProtocol,
    pictures: Sequence[CocoPicture],
    folder: Path,
    cards: Mapping[str, JudgeCard],
    out: Path,
    device: str,
    told: Progress,
    *,
    any_shape: bool = False,
) -> Judged:
    """All pictures of `folder` judged, findings kept in `out`; `any_shape` lets photographs be stretched.

    Raises InputError when pictures are missing or of another shape, ModelError.
    """
    samples = samples_of(pictures, folder, told, any_shape=any_shape)
    card = cards["detector"]
    found = _findings(card, samples, Places(out / FINDINGS), device, told)
    pairs = paired(pictures, found, card)
    looks = None
    if "clip" in cards:
        reader = replace(cards["clip"], kind="attributes")
        asked = _findings(reader, samples, Places(out / FINDINGS / ASKED), device, told)
        captions = [one.extra.get("caption") for one in asked]
        looks = Looks(captions=captions)
        if rules.values:
            elsewhere = [
                _at(one, found_boxes(pair, card.least)) for one, pair in zip(samples, pairs, strict=True)
            ]
            there = _findings(reader, elsewhere, Places(out / FINDINGS / FOUND), device, told)
            looks = Looks(
                asked=_looks(rules, pictures, asked, None),
                found=_looks(rules, pictures, there, pairs),
                captions=captions,
            )
    evidence = Evidence(
        Samples(folder, tuple(samples)), cards, {"detector": [pair.findings for pair in pairs]}
    )
    return Judged(evidence, pairs, card.least, looks)


def samples_of(
    pictures: Sequence[CocoPicture], folder: Path, told: Progress, *, any_shape: bool = False
) -> list[Sample]:
    """The pictures of a folder in the order of the annotations. Raises InputError when one is missing or,
    unless `any_shape`, not of the annotations' shape."""
    samples: list[Sample] = []
    lost = []
    for done, one in enumerate(pictures, start=1):
        path = next((p for end in ENDINGS if (p := folder / f"{one.name}{end}").is_file()), None)
        if path is None:
            lost.append(one.name)
            continue
        image_HW3 = picture_files.read_image(path)
        if not any_shape:
            _check_shape(path, image_HW3, one.scored.size_wh)
        samples.append(_sample(one.name, path, one.scored, pixels_digest(image_HW3)))
        told("pictures read", done, len(pictures))
    if lost:
        raise InputError(
            f"{len(lost)} of {len(pictures)} pictures are not in {folder}, the first is {lost[0]}",
            "pictures are called as in the annotations; --count takes the first ones only",
        )
    return samples


def _sample(name: str, path: Path, scene: Scene, pixels: str) -> Sample:
    return Resized(
        name=name,
        path=path,
        scene=scene,
        key=sample_key(scene),
        marks_key=sample_key(scene, masks=True),
        pixels=pixels,
    )


def _check_shape(path: Path, image_HW3: NDArray[np.uint8], size_wh: tuple[int, int]) -> None:
    high, wide = image_HW3.shape[:2]
    if abs(wide * size_wh[1] - high * size_wh[0]) > SHAPE_SLACK * high * size_wh[0]:
        raise InputError(
            f"{path} has {wide} x {high} pixels, the annotations are of squares: is it a photograph?",
            "--reference takes the photographs, for ceilings; --pictures what a model drew",
        )


def _stretched(image_HW3: NDArray[np.uint8], to_wh: tuple[int, int]) -> NDArray[np.uint8]:
    size_wh = (image_HW3.shape[1], image_HW3.shape[0])
    return Transform.fit(size_wh, to_wh, mode="stretch").image(image_HW3)


def paired(pictures: Sequence[CocoPicture], found: Sequence[Findings], card: JudgeCard) -> tuple[Pair, ...]:
    """What is expected of each picture and what was found, without what lies in crowds."""
    vocabulary, known = vocabulary_of(card), card.labels.get("classes")
    pairs = []
    for one, findings in zip(pictures, found, strict=True):
        asked = asked_of(one.scored, one.name, vocabulary, known=known)
        crowded = asked_of(one.scored.replace(instances=one.crowds), one.name, vocabulary, known=known)
        pairs.append(Pair(asked, without_crowds(findings, asked.asked, crowded.asked)))
    return tuple(pairs)


def _findings(
    card: JudgeCard, samples: Sequence[Sample], places: Places, device: str, told: Progress
) -> list[Findings]:
    words = f"pictures judged by {card.id}"
    return judge_samples(
        card, samples, places, device=device, on_progress=lambda done, total: told(words, done, total)
    )


def _at(sample: Sample, boxes: Mapping[str, object]) -> Sample:
    """The sample with its instances where they were found; those that were not are left out."""
    moved = tuple(
        one.replace(box=boxes[one.id], mask=None, points=(), scribble=None)
        for one in sample.scene.instances
        if one.id in boxes
    )
    return _sample(sample.name, sample.path, sample.scene.replace(instances=moved), sample.pixels)


def _looks(
    rules: InstanceProtocol,
    pictures: Sequence[CocoPicture],
    said: Sequence[Findings],
    pairs: Sequence[Pair] | None,
) -> list[Look]:
    """A look of every expected instance, with `pairs` of those that the detector can name."""
    found = []
    for p, (one, findings) in enumerate(zip(pictures, said, strict=True)):
        named = None if pairs is None else {asked.instance for asked in pairs[p].scene.asked}
        crops = findings.extra.get("attributes", {})
        for instance in one.scored.instances:
            if named is None or instance.id in named:
                number = value_number(instance, rules)
                found.append(look_of(p, instance.id, crops.get(instance.id), number))
    return found
