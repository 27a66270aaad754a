"""What mask denoisers are shown in training: a class to ask for, and the grey maps of the three lists.

Letters: P pictures, H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from scenewright.data.mask_lists import MaskExample, read_mask_folders, read_mask_lists
from scenewright.models.mask_denoiser import MaskDenoiser
from scenewright.scene import Transform
from scenewright.segment.denoise import DenoiseOptions, bicubic, denoised
from scenewright.segment.mask_denoiser import stretched


def asked_class(
    labels_HW: NDArray[np.integer[Any]], learnt: Sequence[int], absent: float, rng: np.random.Generator
) -> int:
    """An output to ask a picture for: one that it does not show with the probability `absent`, else one that
    it shows, each as likely as the others; any that is learnt where it shows none of them, or all."""
    there = set(np.unique(labels_HW).tolist())
    shown = [k for k in learnt if k in there]
    hidden = [k for k in learnt if k not in there]
    pick = hidden if rng.random() < absent else shown
    pick = pick or shown or hidden
    return int(pick[int(rng.integers(len(pick)))])


@dataclass(frozen=True)
class ListedMasks:
    """The examples of lists or folders; there may be none."""

    examples: tuple[MaskExample, ...]

    @classmethod
    def open(cls, images: Path | None, labels: Path | None, texts: Path | None) -> ListedMasks:
        """From the three lists. Raises as `read_mask_lists` does."""
        assert images is not None and labels is not None and texts is not None
        return cls(read_mask_lists(images, labels, texts))

    @classmethod
    def folders(cls, images: Path | None, labels: Path | None, texts: Path | None) -> ListedMasks:
        """From the folders of a validation set; none if none are named."""
        if images is None or labels is None or texts is None:
            return cls(())
        return cls(read_mask_folders(images, labels, texts))

    def draw(self, count: int, rng: np.random.Generator) -> list[MaskExample]:
        """`count` of them, any as likely as the others."""
        return [self.examples[int(k)] for k in rng.integers(len(self.examples), size=count)]

    def error(self, denoiser: MaskDenoiser, options: DenoiseOptions, out: Path) -> dict[str, float]:
        """The mean absolute error of predicted levels, both stretched to [0, 1]; pictures go to `out`."""
        from scenewright.scene.io import atomic_write, grey_png_bytes

        errors = []
        for one in self.examples:
            image_HW3, levels_HW = one.item()
            found = denoised(denoiser.backbone, denoiser.rules, image_HW3, one.prompts, options)
            truth_HW = (stretched(torch.from_numpy(levels_HW.astype(np.float32))).numpy() + 1) / 2
            errors.append(float(np.abs(found.maps_KHW[0] - truth_HW).mean()))
            grey_HW = np.rint(255 * found.maps_KHW[0]).astype(np.uint8)
            atomic_write(out / f"{one.image.name.split('.')[0]}_gray.png", grey_png_bytes(grey_HW))
        return {"error": float(np.mean(errors))} if errors else {}


def grey_examples(
    examples: Sequence[MaskExample], size: int, published: bool, rng: np.random.Generator
) -> dict[str, Any]:
    """A batch of listed examples: pictures, levels from -1 to 1, all pixels count.

    `published` squeezes pictures and label maps to squares by the bicubic filter, which makes levels that
    nobody wrote; otherwise the largest square at a random place is cut out, and levels keep their values.
    """
    images, masks = [], []
    for one in examples:
        image_HW3, levels_HW = one.item()
        if published:
            image_HW3 = bicubic(image_HW3, (size, size))
            levels_HW = bicubic(levels_HW.repeat(3).reshape(*levels_HW.shape, 3), (size, size))[..., 0]
        else:
            height, width = levels_HW.shape
            side = min(height, width)
            left, top = int(rng.integers(width - side + 1)), int(rng.integers(height - side + 1))
            window = (
                Transform((width, height)).crop((left, top, left + side, top + side)).resize((size, size))
            )
            window = window.flip() if rng.random() < 0.5 else window
            image_HW3, levels_HW = window.image(image_HW3), window.labels(levels_HW)
        images.append(image_HW3)
        masks.append(stretched(torch.from_numpy(levels_HW.astype(np.float32))))
    return {
        "images": torch.from_numpy(np.stack(images)),
        "masks": torch.stack(masks),
        "counts": torch.ones((len(masks), size, size), dtype=torch.bool),
        "picture": torch.arange(len(masks)),
        "texts": [one.prompts for one in examples],
    }
