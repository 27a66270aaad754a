"""The labeller of toys: a class for every pixel of a picture, and from that where each wanted class is.

The network of the town segmenter with the classes of the toybox, the background first. It says what generated
pictures show when a data set is made of them; so it must never score anything that learnt from its labels.
That is done by the detector, which is built in another way and trained on other pictures.

Letters: B pictures, H W pixels, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from scenewright.errors import InputError, nearest
from scenewright.evaluate.findings import Finding
from scenewright.models.judges.pictures import Picture, as_fields
from scenewright.models.judges.segmenter import SegmenterConfig, SegmenterNet
from scenewright.scene import Mask, Vocabulary

Policy = Literal["union", "top1"]
"""What the mask of a class is: all of its pixels, or its largest connected part alone."""


class Labeller(SegmenterNet):
    """A segmenter that is asked for classes by name; `names` holds its own, the background first."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that it can be asked for."""
        return self.names[1:]

    def position(self, name: str) -> int:
        """The output of a class, by its name or a synonym in the vocabulary. Raises InputError, with the
        nearest name, for a class that it was not trained on."""
        vocabulary = Vocabulary.load(self.config.vocabulary)
        own = vocabulary.find(name).name if name in vocabulary else name
        if own in self.classes:
            return self.names.index(own)
        close = nearest(name, self.classes)
        hint = f"did you mean {close!r}?" if close else f"it knows {', '.join(self.classes)}"
        raise InputError(f"the labeller does not know {name!r}", hint)

    def shares(self, images: Sequence[Picture]) -> Iterator[NDArray[np.float32]]:
        """The probabilities [K,H,W] of every class in each picture (HW3 uint8, any sizes), in order."""
        for logits_BKHW in self.logits(images):
            yield from logits_BKHW.softmax(1).cpu().numpy()

    def label(
        self, images: Sequence[Picture], classes: Sequence[Sequence[str]], *, policy: Policy = "union"
    ) -> list[tuple[Finding, ...]]:
        """Where the wanted `classes` of each picture are: one finding per class that is there, in the order
        in which they were asked for, under the names that were used.

        A pixel is of the class with the largest probability among all that the network knows, asked for or
        not; the score of a finding is the mean probability of its class inside of its mask. Raises InputError
        for unknown classes, a list of classes too many or too few, and arrays that are no pictures.
        """
        if policy not in get_args(Policy):
            raise InputError(
                f"expected policy {' or '.join(get_args(Policy))}, got {policy!r}",
                "union takes all pixels of a class, top1 its largest connected part",
            )
        if len(images) != len(classes):
            raise InputError(f"{len(images)} pictures and {len(classes)} lists of classes were given")
        wanted = [{name: self.position(name) for name in names} for names in classes]
        return [
            findings(share_KHW, positions, policy)
            for share_KHW, positions in zip(self.shares(images), wanted, strict=True)
        ]


def findings(
    share_KHW: NDArray[np.float32], positions: Mapping[str, int], policy: Policy = "union"
) -> tuple[Finding, ...]:
    """One finding for each name of `positions` (name -> class k) that is the likeliest in some pixel."""
    likeliest_HW = share_KHW.argmax(0)
    found = []
    for name, k in positions.items():
        mask_HW = likeliest_HW == k
        if not mask_HW.any():
            continue
        mask = Mask.from_array(mask_HW)
        if policy == "top1":
            mask = mask.components()[0]
            mask_HW = mask.array()
        box = mask.box()
        assert box is not None  # it has pixels
        score = min(1.0, float(share_KHW[k][mask_HW].mean()))
        found.append(Finding(category=name, score=score, box=box, mask=mask))
    return tuple(found)


def build(config: Mapping[str, Any], labels: Mapping[str, Sequence[str]]) -> Labeller:
    """An unfilled network from what a judge's file says: `SegmenterConfig`'s fields; labels "classes"."""
    return Labeller(SegmenterConfig(**as_fields(config)), tuple(labels["classes"]))
