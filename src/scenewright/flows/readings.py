"""What each kind of judge says about pictures, as findings that can be stored.

A detector gives things; the others give values of the whole picture, kept in ``extra``: "labels" (a
semantic map), "look" and "shares", "features" (a vector, base64 of little-endian float32), "caption" (cosine
of picture and prompt) and "local" (instance id -> attribute -> cosine of its crop and its words).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scenewright.evaluate.clip_local import cosines, local_prompt
from scenewright.evaluate.findings import Finding
from scenewright.scene import Instance, Scene, SemanticMap
from scenewright.world.palette import COLOURS, TEXTURES

if TYPE_CHECKING:
    from scenewright.models.judges.store import Judge

Pictures = Sequence[NDArray[np.uint8]]


@dataclass(frozen=True)
class Reading:
    """What one judge says about one picture."""

    found: tuple[Finding, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)


def detector(judge: Judge, images: Pictures, scenes: Sequence[Scene]) -> list[Reading]:
    """Things with class, score, box, mask, colour and texture."""
    from scenewright.models.judges.detecting import detect

    return [Reading(found) for found in detect(judge.net, images)]


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
}
"""How every kind of judge is asked."""
