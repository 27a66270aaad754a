"""What each kind of judge says about pictures, as findings that can be stored.

A detector gives things; the others give values of the whole picture, kept in ``extra``: "labels" (a
semantic map), "look" and "shares", "features" (a vector, base64 of little-endian float32), "caption" (cosine
of picture and prompt), "local" (instance id -> attribute -> cosine of its crop and its words) and
"attributes" (instance id -> "local", the same of an exact crop, and "values", its cosines with the prompts of
all values of the attribute).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scenewright.evaluate.clip_local import attribute_prompts, cosines, local_prompt
from scenewright.evaluate.clip_local import crop as exact_crop
from scenewright.evaluate.findings import Finding
from scenewright.evaluate.instance_protocols import COLOURS as PUBLISHED_COLOURS
from scenewright.evaluate.instance_protocols import TEXTURES as PUBLISHED_TEXTURES
from scenewright.scene import Instance, Scene, SemanticMap
from scenewright.world.palette import COLOURS, TEXTURES

if TYPE_CHECKING:
    from scenewright.models.judges.store import Judge

Pictures = Sequence[NDArray[np.uint8]]

ATTRIBUTES = {"colour": PUBLISHED_COLOURS, "texture": PUBLISHED_TEXTURES}
"""Attributes of InstanceDiffusion's benchmark and their values, in the published order."""


@dataclass(frozen=True)
class Reading:
    """What one judge says about one picture."""

    found: tuple[Finding, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)


def detector(judge: Judge, images: Pictures, scenes: Sequence[Scene]) -> list[Reading]:
    """Things with class, score, box, mask, colour and texture."""
    from scenewright.models.judges.detecting import detect

    theirs = getattr(judge.net, "findings", None)
    return [Reading(found) for found in (theirs(images) if theirs else detect(judge.net, images))]


def segmenter(judge: Judge, images: Pictures, scenes: Sequence[Scene]) -> list[Reading]:
    """The semantic map."""
    vocabulary = str(judge.header.config.get("vocabulary", "town"))
    maps = [SemanticMap.from_labels(labels, vocabulary) for labels in judge.net.labels(images)]
    return [
        Reading(extra={"labels": {"vocabulary": one.vocabulary, "data": one.data}}) for one in maps
    ]  # fmt: skip


def looks(judge: Judge, images: Pictures, scenes: Sequence[Scene]) -> list[Reading]:
    """The likeliest look and the probabilities of all."""
    verdicts = judge.net.looks(images)
    return [
        Reading(extra={"look": one.name, "shares": {name: round(v, 4) for name, v in one.shares.items()}})
        for one in verdicts
    ]


def clip(judge: Judge, images: Pictures, scenes: Sequence[Scene]) -> list[Reading]:
    """Features of the picture, its cosine with the prompt, those of its instances with their words."""
    features_PD = judge.net.embed_images(images)
    prompts_PD = judge.net.embed_texts([scene.prompt for scene in scenes])
    caption_P = (features_PD * prompts_PD).sum(1)
    return [
        Reading(
            extra={
                "features": pack(features_PD[k]),
                **({"caption": round(float(caption_P[k]), 5)} if scene.prompt.strip() else {}),
                "local": _local(judge, images[k], scene),
            }
        )
        for k, scene in enumerate(scenes)
    ]


def attributes(judge: Judge, images: Pictures, scenes: Sequence[Scene]) -> list[Reading]:
    """As InstanceDiffusion's benchmark reads attributes: crops of exact boxes, by a CLIP."""
    prompts_PD = judge.net.embed_texts([scene.prompt for scene in scenes])
    caption_P = (judge.net.embed_images(images) * prompts_PD).sum(1)
    every = {name: judge.net.embed_texts(attribute_prompts(values)) for name, values in ATTRIBUTES.items()}
    found = []
    for k, scene in enumerate(scenes):
        boxes = [(one, box) for one in scene.instances if (box := one.location_box) is not None]
        crops_ND = judge.net.embed_images([exact_crop(images[k], box) for _, box in boxes])
        texts_ND = judge.net.embed_texts([one.phrase for one, _ in boxes])
        local_N = cosines(crops_ND, texts_ND)
        said = {
            one.id: {
                "local": round(float(local_N[n]), 5),
                "values": [round(float(v), 5) for v in every[name] @ crops_ND[n]],
            }
            for n, (one, _) in enumerate(boxes)
            if (name := _attribute(one)) is not None
        }
        caption = {"caption": round(float(caption_P[k]), 5)} if scene.prompt.strip() else {}
        found.append(Reading(extra={**caption, "attributes": said}))
    return found


def _attribute(one: Instance) -> str | None:
    """Whether the first word of a phrase is a colour or a texture; None for neither."""
    word = one.phrase.split(" ")[0]
    return next((name for name, values in ATTRIBUTES.items() if word in values), None)


def _local(judge: Judge, image_HW3: NDArray[np.uint8], scene: Scene) -> dict[str, dict[str, float]]:
    """Cosines of the crop of every instance with a box and "{attribute} {category}", by attribute; of one
    without attributes with its category alone, under "". Cropped as the judge was trained."""
    from scenewright.models.judges.pictures import crop

    asked = [
        (one.id, box, words) for one in scene.instances if (box := one.location_box) for words in _words(one)
    ]
    crops_ND = judge.net.embed_images([crop(image_HW3, box) for _, box, _ in asked])
    texts_ND = judge.net.embed_texts([text for _, _, (_, text) in asked])
    found: dict[str, dict[str, float]] = {}
    for (id, _, (name, _)), value in zip(asked, cosines(crops_ND, texts_ND), strict=True):
        found.setdefault(id, {})[name] = round(float(value), 5)
    return found


def _words(one: Instance) -> list[tuple[str, str]]:
    """Attribute and text that the crop of an instance is compared with."""
    category = one.category or one.phrase
    words = re.findall(r"[^\W_]+", one.phrase.lower())
    named = [
        (name, local_prompt(category, next(word for word in words if word in values)))
        for name, values in (("colour", COLOURS), ("texture", TEXTURES))
        if any(word in values for word in words)
    ]
    return named or [("", category)]


def pack(vector_D: NDArray[np.floating]) -> str:
    """A vector as text: base64 of little-endian float32."""
    return base64.b64encode(np.ascontiguousarray(vector_D, dtype="<f4").tobytes()).decode("ascii")


def unpack(text: str) -> NDArray[np.float32]:
    """The vector that `pack` made text of."""
    return np.frombuffer(base64.b64decode(text), dtype="<f4").astype(np.float32)


READERS: dict[str, Callable[[Judge, Pictures, Sequence[Scene]], list[Reading]]] = {
    "detector": detector,
    "segmenter": segmenter,
    "looks": looks,
    "clip": clip,
    "attributes": attributes,
}
"""How every kind of judge is asked."""
