"""The verifier's verdicts on boxes of pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from scenewright.errors import InputError, nearest
from scenewright.models.judges.layers import signal
from scenewright.models.judges.verifier import Answers, Verifier, crops
from scenewright.scene import Box

PLAIN = "plain"
"""The texture of things that have none of the named ones."""


@dataclass(frozen=True, eq=False)
class Verdict:
    """What the verifier thinks of one box; every mapping is from a label to a probability.

    here      a thing of this class fits the box (IoU of at least 0.5); they are independent of each other.
    classes   the class of the thing that the box is about, if there is one; these sum to 1.
    colours   its colour; sum 1.
    textures  its texture, `PLAIN` included; sum 1.
    fit       estimated IoU of the box with that thing.
    """

    here: Mapping[str, float]
    classes: Mapping[str, float]
    colours: Mapping[str, float]
    textures: Mapping[str, float]
    fit: float

    def agrees(self, category: str, colour: str | None = None, texture: str | None = None) -> float:
        """Probability that the box holds a thing of that class, colour and texture, those that are given.

        Raises InputError for a label that the verifier does not know.
        """
        found = _share(self.here, category, "class")
        if colour is not None:
            found *= _share(self.colours, colour, "colour")
        if texture is not None:
            found *= _share(self.textures, texture, "texture")
        return found


def _share(shares: Mapping[str, float], label: str, what: str) -> float:
    if label not in shares:
        close = nearest(label, shares)
        hint = f"did you mean {close}?" if close else f"it knows {', '.join(shares)}"
        raise InputError(f"the verifier knows no {what} {label!r}", hint)
    return shares[label]


@torch.no_grad()
def verify(net: Verifier, image_HW3: NDArray[np.uint8], boxes: Sequence[Box]) -> list[Verdict]:
    """The verdicts on `boxes` of one picture (uint8)."""
    if not boxes:
        return []
    device = next(net.parameters()).device
    image_13HW = signal(torch.from_numpy(np.array(image_HW3))[None]).to(device)
    boxes_1R4 = torch.tensor([[box.xyxy for box in boxes]], device=device)
    shares = probabilities(net, net(crops(image_13HW, boxes_1R4, net.config)))
    names: dict[str, tuple[str, ...]] = {**net.labels, "here": net.labels["classes"]}
    names["textures"] = (PLAIN, *net.labels["textures"])
    rows: list[dict[str, Any]] = [{} for _ in boxes]
    for key, share_NK in shares.items():
        for row, values in zip(rows, share_NK.tolist(), strict=True):
            row[key] = values if key == "fit" else dict(zip(names[key], values, strict=True))
    return [Verdict(**row) for row in rows]


def probabilities(net: Verifier, answers: Answers) -> dict[str, torch.Tensor]:
    """Answers as probabilities [N,K], under the names of a verdict's fields; "fit" [N]."""
    here, kind, colour, texture = net.config.temperatures
    return {
        "here": (answers.here_NK / here).sigmoid(),
        "classes": (answers.classes_NK / kind).softmax(-1),
        "colours": (answers.colours_NK / colour).softmax(-1),
        "textures": (answers.textures_NK / texture).softmax(-1),
        "fit": answers.fit_N,
    }
