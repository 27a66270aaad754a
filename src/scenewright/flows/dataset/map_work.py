"""A batch of pictures of label maps: draw, ask a segmenter how far they agree with their maps, filter.

The segmenter must not have seen labels of the looks that are to be learnt, or the pictures carry what
it knows from them: one trained on the labelled source alone. What `evaluate` scores with is refused.

Letters: H W pixels, K classes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from scenewright.errors import InputError, ModelError, nearest
from scenewright.evaluate.semantic import confusion
from scenewright.flows.dataset.filters import DOUBTED, Reason
from scenewright.flows.dataset.orders import Order
from scenewright.flows.dataset.work import Failed, Made, failure
from scenewright.flows.generate import render
from scenewright.flows.maps import KEY
from scenewright.scene import IGNORE, Record, SemanticMap
from scenewright.scene.label_space import LabelSpace, load

if TYPE_CHECKING:
    from scenewright.backbone.loop import StepInfo
    from scenewright.flows.options import GenerateOptions
    from scenewright.models.bundle import Bundle
    from scenewright.models.segformer import Segmenter

Doubtful = Literal["ignore", "refuse", "keep"]

MAP = "map"
"""Where a record's scores say, for each class, its share of the picture and the segmenter's agreement."""

PIXELS = "all pixels"
"""What a picture is refused for that agrees nowhere; stands in place of a class."""


@dataclass(frozen=True, kw_only=True)
class MapRules:
    """When a picture agrees with its map; checked when made (InputError names the field).

    The agreement of a class is the IoU of its pixels in the map and those that the segmenter names it.
    """

    area: float = 0.002  # least share of the picture from which a class is judged, 0 to 1
    agreement: float = 0.2  # least agreement of a class, 0 to 1; 0 switches it off
    pixels: float = 0.4  # least share of pixels that the segmenter names as the map does
    doubtful: Doubtful = "ignore"  # classes below: their pixels count for nothing, or refuse, or keep

    def __post_init__(self) -> None:
        if self.doubtful not in get_args(Doubtful):
            close = nearest(str(self.doubtful), get_args(Doubtful))
            hint = f"did you mean {close}?" if close else "ignore writes such pixels as not labelled"
            raise InputError(f"doubtful is {self.doubtful!r}; expected ignore, refuse or keep", hint)
        for name in ("area", "agreement", "pixels"):
            value = getattr(self, name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not number or not math.isfinite(value) or not 0 <= value <= 1:
                raise InputError(f"{name} is {value!r}; expected a number from 0 to 1", "0 switches it off")


@dataclass(frozen=True, eq=False)
class MapTools:
    """What a batch is made with: a `work.Maker`. Without a segmenter every picture is kept as it is."""

    bundle: Bundle
    options: GenerateOptions
    rules: MapRules = dataclasses.field(default_factory=MapRules)
    segmenter: Segmenter | None = None
    segmenter_id: str = "none"

    def make(
        self, wanted: Sequence[Order], on_step: Callable[[StepInfo], None] | None = None
    ) -> list[Made | Failed]:
        """Pictures of one size, drawn together; in the order of the orders."""
        scenes, seeds = [one.job.scene for one in wanted], [one.job.seed for one in wanted]
        drawn = render(self.bundle, scenes, seeds, self.options, on_step=on_step)
        images = [one.image for one in drawn if isinstance(one, Record)]
        seen = iter(self.segmenter.maps(images) if self.segmenter and images else [None] * len(images))
        return [
            self._made(one, order, next(seen)) if isinstance(one, Record) else failure(one)
            for one, order in zip(drawn, wanted, strict=True)
        ]

    def _made(self, record: Record, order: Order, seen: SemanticMap | None) -> Made:
        asked = record.scene.semantic_map
        assert asked is not None, "orders of maps have one"
        space, truth_HW = LabelSpace.of(asked.vocabulary), asked.labels()
        scores = agreements(truth_HW, seen, space)
        told = record.scene.extra[KEY].get("class")
        doubted = [name for name in order.classes if self._doubted(scores, name)]
        refused = [
            Reason(DOUBTED, name, scores[MAP][name].get("agreement"))
            for name in doubted
            if self.rules.doubtful == "refuse" or (self.rules.doubtful == "ignore" and name == told)
        ]
        if scores.get("pixels", 1.0) < self.rules.pixels:
            refused.append(Reason(DOUBTED, PIXELS, scores["pixels"]))
        if self.rules.doubtful == "ignore" and doubted and not refused:
            truth_HW = without(truth_HW, space, doubted)
            scores = {**scores, "ignored": doubted}
        known = SemanticMap.from_labels(truth_HW, asked.vocabulary)
        said = {**record.provenance, "labels": self.facts()}
        return Made(record.replace(labels=known, scores=scores, provenance=said), None, tuple(refused))

    def _doubted(self, scores: Mapping[str, Any], name: str) -> bool:
        agreement = scores[MAP][name].get("agreement")
        return agreement is not None and agreement < self.rules.agreement

    def facts(self) -> dict[str, Any]:
        """What the description of the data set, and a record's provenance, say about its labels."""
        return {"labeller": self.segmenter_id, **dataclasses.asdict(self.rules)}


def agreements(truth_HW: NDArray[np.uint16], seen: SemanticMap | None, space: LabelSpace) -> dict[str, Any]:
    """Scores of a record: of every class that is there its share of the picture ("area") and, if a segmenter
    has `seen` the picture, the IoU with it ("agreement"); and the share of equal pixels ("pixels")."""
    known = load(space.vocabulary)
    seen_HW = truth_HW if seen is None else seen.labels()
    counts = confusion(truth_HW, seen_HW, space.ids, (known.ignore, IGNORE))
    found: dict[str, Any] = {MAP: {}}
    for k, name in enumerate(space.names):
        whole = int(counts[k].sum())
        if not whole:
            continue
        one = {"area": round(whole / truth_HW.size, 6)}
        if seen is not None:
            union = whole + int(counts[:, k].sum()) - int(counts[k, k])
            one["agreement"] = round(int(counts[k, k]) / union, 4)
        found[MAP][name] = one
    if seen is not None and counts.sum():
        found["pixels"] = round(float(np.trace(counts)) / float(counts.sum()), 4)
    return found


def without(labels_HW: NDArray[np.uint16], space: LabelSpace, names: Sequence[str]) -> NDArray[np.uint16]:
    """The map with the pixels of some classes as not labelled."""
    known = load(space.vocabulary)
    ids = [known.find(name).id for name in names]
    return np.where(np.isin(labels_HW, ids), np.uint16(known.ignore), labels_HW)


def load_filter(name: str, vocabulary: str, device: str) -> tuple[Segmenter | None, str]:
    """The segmenter in a folder, or of a hub id, and what it is called; (None, "none") for "" or "none".

    Raises ModelError if it is not there, is a judge, or its classes are not those of the vocabulary.
    """
    if name in ("", "none"):
        return None, "none"
    from scenewright.flows.street_segmenter import load_street_segmenter
    from scenewright.models.judges.store import WEIGHTS

    if Path(name).is_file() or (WEIGHTS / f"{name}.safetensors").is_file():
        raise ModelError(
            f"{name} is a judge: it has seen labels of every look, and `evaluate` scores with it",
            "a folder with a segmenter of the source alone: `scenewright train nano-streets`",
        )
    return load_street_segmenter(name, vocabulary, device)
