"""From stored findings to what a benchmark measures: one function per benchmark, no network.

Letters: P pictures, D width of features.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scenewright.errors import InputError
from scenewright.evaluate import benchmarks, whole
from scenewright.evaluate.asked import AskedScene, asked_of, pair_up
from scenewright.evaluate.bootstrap import ratio
from scenewright.evaluate.clip_local import by_picture
from scenewright.evaluate.findings import Findings
from scenewright.evaluate.measures import Measure, Measured
from scenewright.flows.judging import JudgeCard
from scenewright.flows.readings import unpack
from scenewright.flows.samples import Sample, Samples
from scenewright.scene import SemanticMap, Vocabulary

VOCABULARIES = ("toybox", "town", "voc", "coco", "cityscapes", "ade20k")
"""Lists that ship, in the order in which a judge's classes are looked up for their synonyms."""


@dataclass(frozen=True)
class Evidence:
    """Pictures, the judges by kind, and per kind the findings in the order of the pictures."""

    pictures: Samples
    cards: Mapping[str, JudgeCard]
    found: Mapping[str, Sequence[Findings]]


def layout(evidence: Evidence, reference: Evidence | None) -> Measured:
    """Boxes against what the detector found, and CLIP-local where there is a judge CLIP."""
    card = evidence.cards["detector"]
    pairs = pair_up(asked_scenes(evidence.pictures.samples, card), evidence.found["detector"])
    _check_asked([pair.scene for pair in pairs], evidence.pictures, card)
    measured = benchmarks.layout(pairs, card.least)
    if "clip" not in evidence.found:
        return measured
    local = _clip_local(evidence.found["clip"])
    return replace(measured, measures={**measured.measures, **local})


def instances(evidence: Evidence, reference: Evidence | None) -> Measured:
    """Masks, points and scribbles against what the detector found."""
    card = evidence.cards["detector"]
    asked = asked_scenes(evidence.pictures.samples, card)
    _check_asked(asked, evidence.pictures, card)
    if not any(one.mask for scene in asked for one in scene.asked):
        raise InputError(
            f"no scene of {evidence.pictures.source} has a mask",
            "`scenewright evaluate layout` measures boxes",
        )
    return benchmarks.instances(pair_up(asked, evidence.found["detector"]), card.least)


def semantic(evidence: Evidence, reference: Evidence | None) -> Measured:
    """Semantic maps and looks against what the segmenter and the look classifier say."""
    if not evidence.cards:
        raise InputError(
            "semantic needs a segmenter or a classifier of looks, and there is neither", "--judge FILE"
        )
    segmenter, looks = evidence.cards.get("segmenter"), evidence.cards.get("looks")
    vocabulary = Vocabulary.load("town")
    streets = []
    for k, sample in enumerate(evidence.pictures.samples):
        truth = truth_of(sample)
        street = whole.Street(asked=_asked_look(sample, looks) if looks else "")
        if looks:
            street = replace(street, look=str(evidence.found["looks"][k].extra.get("look", "")))
        if segmenter and truth is not None:
            seen = seen_map(evidence.found["segmenter"][k])
            vocabulary = _same_vocabulary(truth, seen, sample)
            street = replace(street, truth=truth.labels(), seen=seen.labels())
        streets.append(street)
    measured = whole.semantic(streets, vocabulary)
    if not measured.measures:
        raise InputError(
            f"no scene of {evidence.pictures.source} has a semantic map or a look that the judges know",
            "scenes of the town have both; `scenewright world sample --world town` draws some",
        )
    return measured


def pictures(evidence: Evidence, reference: Evidence | None) -> Measured:
    """Features against the reference's, and pictures against their prompts."""
    made = evidence.found["clip"]
    real_ND = _features(reference.found["clip"]) if reference else None
    for name, number in (("pictures", len(made)), ("reference", 2 if real_ND is None else len(real_ND))):
        if real_ND is not None and number < 2:
            raise InputError(f"distances need at least 2 pictures, the {name} has {number}")
    captions = [one.extra.get("caption") for one in made]
    return whole.pictures(_features(made), real_ND, captions)


SCORERS: dict[str, Callable[[Evidence, Evidence | None], Measured]] = {
    "layout": layout,
    "instances": instances,
    "semantic": semantic,
    "pictures": pictures,
}
"""How every benchmark is scored."""


def asked_scenes(samples: Sequence[Sample], card: JudgeCard) -> list[AskedScene]:
    """What the pictures were asked to show, in the words of a detector."""
    vocabulary = vocabulary_of(card)
    attributes = {
        name: card.labels[plural]
        for name, plural in (("colour", "colours"), ("texture", "textures"))
        if plural in card.labels
    }
    known = card.labels.get("classes")
    return [asked_of(one.scene, one.name, vocabulary, attributes, known=known) for one in samples]


def vocabulary_of(card: JudgeCard) -> Vocabulary:
    """The shipped vocabulary that has all classes of a judge; otherwise one of their bare names."""
    names = card.labels.get("classes", ())
    for word in VOCABULARIES:
        vocabulary = Vocabulary.load(word)
        if names and set(names) <= set(vocabulary.names):
            return vocabulary
    return Vocabulary.from_names(card.kind, list(names))


def truth_of(sample: Sample) -> SemanticMap | None:
    """The map that a picture should show: what its scene asks for, else what its record says it shows."""
    return sample.scene.semantic_map or sample.labels


def seen_map(one: Findings) -> SemanticMap:
    """The semantic map that a segmenter stored."""
    stored = one.extra["labels"]
    return SemanticMap(stored["vocabulary"], one.size_wh[::-1], stored["data"])


def _check_asked(asked: Sequence[AskedScene], source: Samples, card: JudgeCard) -> None:
    if not any(scene.number for scene in asked):
        raise InputError(
            f"no scene of {source.source} asks for any instance",
            "`scenewright evaluate pictures` measures pictures without layout",
        )
    if not any(scene.asked for scene in asked):
        phrases = [phrase for scene in asked for phrase in scene.unnamed]
        raise InputError(
            f"none of {len(phrases)} instances has a name among the classes of {card.id}, "
            f"the first is {phrases[0]!r}",
            f"it knows {', '.join(list(card.labels.get('classes', ()))[:8])}, …",
        )


def _clip_local(found: Sequence[Findings]) -> dict[str, Measure]:
    """The mean cosine over the instances of a picture, then over pictures."""
    values, numbers = [], []
    for number, one in enumerate(found):
        for cosines in one.extra.get("local", {}).values():
            values.append(float(np.mean(list(cosines.values()))))
            numbers.append(number)
    if not values:
        return {}
    return {"clip_local": Measure(ratio(*by_picture(values, numbers, len(found))))}


def _asked_look(sample: Sample, looks: JudgeCard) -> str:
    """The look that a scene asks for, if the classifier knows it."""
    known = looks.labels.get("looks", ())
    return sample.scene.style if sample.scene.style in known and sample.scene.style else ""


def _same_vocabulary(truth: SemanticMap, seen: SemanticMap, sample: Sample) -> Vocabulary:
    if truth.vocabulary != seen.vocabulary:
        raise InputError(
            f"{sample.path}: its map is of the vocabulary {truth.vocabulary}, "
            f"the judge's of {seen.vocabulary}",
            "--judge names a segmenter of that vocabulary",
        )
    return Vocabulary.load(seen.vocabulary)


def _features(found: Sequence[Findings]) -> NDArray[np.float64]:
    return np.stack([unpack(one.extra["features"]) for one in found]).astype(np.float64)
