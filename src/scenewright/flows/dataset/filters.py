"""Which pictures stay: every wanted class found, large enough, and confirmed by the second opinion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scenewright.flows.dataset.rules import LabelRules
from scenewright.scene import Mask, Record

FOUND, SMALL, LARGE, DOUBTED = "not found", "too small", "too large", "doubted"
REASONS = (FOUND, SMALL, LARGE, DOUBTED)


@dataclass(frozen=True)
class Reason:
    """Why a picture is not kept: what is wrong, with which class, and the value that was measured."""

    what: str
    name: str
    value: float | None = None

    def __str__(self) -> str:
        """ "dog not found"."""
        return f"{self.name} {self.what}" + ("" if self.value is None else f" ({self.value:.3g})")

    def to_json(self) -> dict[str, Any]:
        """As it stands in the journal."""
        value = {} if self.value is None else {"value": self.value}
        return {"what": self.what, "class": self.name, **value}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Reason:
        """From the journal."""
        return cls(str(value["what"]), str(value["class"]), value.get("value"))


def reasons(record: Record, wanted: Mapping[str, str], rules: LabelRules) -> tuple[Reason, ...]:
    """Why a labelled record is not kept, one reason for each class at most; empty if it is.

    A class counts with all of its instances together: their masks joined, their best second opinion.
    """
    found = []
    for name in dict.fromkeys(wanted.values()):
        ids = [id for id, own in wanted.items() if own == name and id in record.masks]
        if (reason := _of_class(record, name, ids, rules)) is not None:
            found.append(reason)
    return tuple(found)


def _of_class(record: Record, name: str, ids: list[str], rules: LabelRules) -> Reason | None:
    if not ids:
        return Reason(FOUND, name)
    area = _area(record, [record.masks[id] for id in ids])
    if area < rules.area:
        return Reason(SMALL, name, area)
    if area > rules.most_area:
        return Reason(LARGE, name, area)
    labels = record.scores["labels"]
    opinions = [labels[id]["agreement"] for id in ids if "agreement" in labels[id]]
    if opinions and max(opinions) < rules.agreement:
        return Reason(DOUBTED, name, max(opinions))
    return None


def _area(record: Record, masks: list[Mask]) -> float:
    """Share of the picture that the masks take together."""
    whole = masks[0]
    for mask in masks[1:]:
        whole = whole.union(mask)
    height, width = record.size_hw
    return round(whole.area_px / (height * width), 6)
