"""InstanceDiffusion's six evaluations on COCO, by frozen id, and the figures that the paper gives for them.

An id fixes what is drawn and how: which annotations, which kinds of location, phrases, prompt, attributes,
sampling, and what is measured. Facts: Wang et al., "InstanceDiffusion: Instance-level Control for Image
Generation", CVPR 2024 (arXiv 2402.03290), and its released evaluation code; the published figures are those
that others quote from the paper's tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from scenewright.errors import InputError, nearest
from scenewright.evaluate.protocol import Metric, Protocol
from scenewright.evaluate.report import Report

MOST_INSTANCES: Final = 30
"""Annotations of a picture that are drawn: the first ones in the file, crowds included."""

STEPS: Final = 50
GUIDANCE: Final = 7.5
MIS: Final = 0.36
NEGATIVE: Final = (
    "cartoon style, painting style, longbody, lowres, bad anatomy, bad hands, missing fingers, extra digit, "
    "fewer digits, cropped, worst quality, low quality"
)
"""How the pictures are sampled; the layout acts in all steps, attention is not masked."""

COLOURS: Final = ("black", "white", "red", "green", "yellow", "blue", "pink", "purple")
TEXTURES: Final = ("rubber", "fluffy", "metallic", "wooden", "plastic", "fabric", "leather", "glass")
"""Attributes in the published order: annotation `id` gets number `id` modulo 8."""

VARIED: Final = "-varied"
"""End of the id of an evaluation that departs from its protocol; the paper's figures do not apply to it."""


def _precision(kind: str, words: str) -> tuple[Metric, ...]:
    sizes = (("small", "small"), ("medium", "medium"), ("large", "large"))
    return (
        Metric(name=f"{kind}_ap", title=f"{words} AP", judge=f"{kind}_AP"),
        Metric(name=f"{kind}_ap50", title=f"{words} AP50", judge=f"{kind}_AP50"),
        Metric(name=f"{kind}_ap75", title=f"{words} AP75"),
        *(Metric(name=f"{kind}_ap_{key}", title=f"{words} AP, {said}") for key, said in sizes),
        Metric(name=f"{kind}_ar", title=f"{words} AR, 100 findings"),
        *(Metric(name=f"{kind}_ar_{key}", title=f"{words} AR, {said}") for key, said in sizes),
        Metric(name=f"{kind}_iou", title=f"mean {words} IoU, missing 0", unit="score"),
        Metric(name=f"{kind}_placed", title=f"found at {words} IoU 0.5"),
    )


_BOX, _MASK = _precision("box", "box"), _precision("mask", "mask")
_PIM = (
    Metric(name="pim", title="PiM, unmatched 0"),
    Metric(name="pim_published", title="PiM, as published"),
)
_LOOKS = (
    Metric(name="accuracy", title="attribute, asked box"),
    Metric(name="clip_local", title="CLIP-local, asked box", unit="score"),
    Metric(name="accuracy_found", title="attribute, found box"),
    Metric(name="clip_local_found", title="CLIP-local, found box", unit="score"),
)
_CAPTION = (Metric(name="clip_score", title="CLIP score of the caption", unit="score"),)


@dataclass(frozen=True, kw_only=True)
class InstanceProtocol(Protocol):
    """One of the six.

    word       on the command line: "pim-point"
    use        kinds of location that the adapter reads, see `condition.uses.PUBLISHED`
    form       marks that PiM asks about: "point", "scribble", or ""
    attribute  what is put before every category: "colour", "texture", or ""
    """

    word: str
    use: str
    form: str = ""
    attribute: str = ""

    @property
    def values(self) -> tuple[str, ...]:
        """The values of the attribute, in the published order."""
        return {"colour": COLOURS, "texture": TEXTURES}.get(self.attribute, ())

    @property
    def varied(self) -> InstanceProtocol:
        """The same, for pictures that were made or chosen in another way."""
        return self if self.id.endswith(VARIED) else replace(self, id=self.id + VARIED)


def _protocol(word: str, title: str, use: str, first: tuple[Metric, ...], **more: str) -> InstanceProtocol:
    rest = (*_BOX, *_MASK, *_CAPTION)
    return InstanceProtocol(
        id=f"coco-{word}-1",
        benchmark="instances",
        title=title,
        judges=("detector", "clip") if "attribute" in more else ("detector",),
        optional=() if "attribute" in more else ("clip",),
        metrics=(*first, *(one for one in rest if one not in first)),
        word=word,
        use=use,
        **more,
    )


INSTANCE_PROTOCOLS: Final = {
    one.word: one
    for one in (
        _protocol("box", "COCO from boxes: is everything where its box is?", "published-box", _BOX),
        _protocol("mask", "COCO from masks: does everything fill its mask?", "published-mask", _MASK),
        _protocol(
            "pim-point",
            "COCO from one point each: is the point in the thing?",
            "published-point",
            _PIM,
            form="point",
        ),
        _protocol(
            "pim-scribble",
            "COCO from scribbles: are their points in the thing?",
            "published-scribble",
            _PIM,
            form="scribble",
        ),
        _protocol(
            "colour", "COCO with a colour each: is it seen?", "published-box", _LOOKS, attribute="colour"
        ),
        _protocol(
            "texture", "COCO with a texture each: is it seen?", "published-box", _LOOKS, attribute="texture"
        ),
    )
}
"""By the word of ``evaluate instances --protocol``."""

PUBLISHED: Final[dict[str, tuple[tuple[str, float], ...]]] = {
    "coco-box-1": (("box_ap", 0.388), ("box_ap50", 0.554), ("box_ar", 0.529)),
    "coco-mask-1": (("mask_ap", 0.271), ("mask_ap50", 0.500), ("mask_ar", 0.381)),
    "coco-pim-point-1": (("pim_published", 0.811),),
    "coco-pim-scribble-1": (("pim_published", 0.724),),
    "coco-colour-1": (
        ("accuracy", 0.544), ("clip_local", 0.250), ("accuracy_found", 0.544), ("clip_local_found", 0.250),
    ),
    "coco-texture-1": (
        ("accuracy", 0.268), ("clip_local", 0.225), ("accuracy_found", 0.268), ("clip_local_found", 0.225),
    ),
}  # fmt: skip
"""Id -> metric and the paper's figure. It crops found boxes, its code asked ones: its figure stands at
both."""

PUBLISHED_PICTURES: Final = 5000
PUBLISHED_JUDGES: Final = (
    "YOLOv8m on boxes, YOLOv8m-seg on masks, OpenCLIP ViT-L-14 laion2b-s32b-b82k on attributes"
)


@dataclass(frozen=True, kw_only=True)
class Beside:
    """The paper's figure of one metric and ours, with our interval."""

    metric: str
    published: float
    ours: float | None
    low: float | None = None
    high: float | None = None

    @property
    def difference(self) -> float | None:
        """Ours minus the published one."""
        return None if self.ours is None else self.ours - self.published

    def to_json(self) -> dict[str, float | None]:
        """As a JSON object."""
        found = {name: getattr(self, name) for name in ("published", "ours", "difference", "low", "high")}
        return {name: None if value is None else round(value, 6) for name, value in found.items()}


def instance_protocol(word: str) -> InstanceProtocol:
    """The protocol of that word; InputError with the nearest word if there is none."""
    if word in INSTANCE_PROTOCOLS:
        return INSTANCE_PROTOCOLS[word]
    close = nearest(word, INSTANCE_PROTOCOLS)
    hint = f"did you mean {close}?" if close else f"there are {', '.join(INSTANCE_PROTOCOLS)}"
    raise InputError(f"there is no protocol {word!r} of instances", hint)


def protocol_with_id(id: str) -> InstanceProtocol | None:
    """The protocol of a report, varied or not; None if it is none of these."""
    for one in INSTANCE_PROTOCOLS.values():
        if id in (one.id, one.varied.id):
            return one if id == one.id else one.varied
    return None


def beside_paper(report: Report) -> tuple[Beside, ...]:
    """The paper's figures, ours, and what we have more or less. InputError if the report's protocol is not
    the one that the paper's figures are of."""
    rows = PUBLISHED.get(report.protocol)
    if rows is None:
        hint = f"figures are there for {', '.join(PUBLISHED)}"
        if report.protocol.endswith(VARIED) and report.notes:
            hint = f"{report.notes[0]}; {hint}"
        raise InputError(
            f"the paper has no figures for the protocol {report.protocol}: they would not be comparable", hint
        )
    found = []
    for name, value in rows:
        one = report.figures.get(name)
        if one is None:
            found.append(Beside(metric=name, published=value, ours=None))
        else:
            found.append(Beside(metric=name, published=value, ours=one.value, low=one.low, high=one.high))
    return tuple(found)


def beside_lines(report: Report, rows: Sequence[Beside], rules: Protocol) -> list[str]:
    """A line per figure: published, ours with its interval, difference; and how the judges differ."""
    from scenewright.evaluate.tables import WIDE, shown

    found = [f"{'beside the paper':{WIDE}}{'paper':>9}{'ours':>9}{'ours - paper':>14}  95 % of ours"]
    for one in rows:
        metric = rules.metric(one.metric)
        span = "" if one.low is None else f"{shown(metric, one.low)} to {shown(metric, one.high)}"
        found.append(
            f"{metric.title:{WIDE}}{shown(metric, one.published):>9}{shown(metric, one.ours):>9}"
            f"{shown(metric, one.difference):>14}  {span}"
        )
    return [
        *found,
        f"paper: {PUBLISHED_PICTURES} pictures, judged by {PUBLISHED_JUDGES}",
        f"ours: {report.pictures} pictures, judged by {', '.join(report.judges.values())}",
    ]
