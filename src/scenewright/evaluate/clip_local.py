"""CLIP-local: does the crop of an instance look like its words? (InstanceDiffusion, Wang et
al., CVPR 2024, attribute binding.)

The crop is the asked box of the picture, so a missing instance is measured by what is there instead. The
score is the cosine of crop and "{attribute} {category}"; the attribute that a crop shows is the one whose
prompt "a {attribute} object" is nearest. Embeddings come from a judge CLIP; any two of its vectors will do,
they need not have length 1.

Letters: H W pixels, N crops, D width of the embeddings, V attribute values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenewright.errors import InputError
from scenewright.evaluate.bootstrap import Floats
from scenewright.scene import Box

Embeddings = NDArray[np.floating[Any]]


def local_prompt(category: str, attribute: str = "") -> str:
    """ "{attribute} {category}": what the crop is compared with."""
    return f"{attribute} {category}".strip()


def attribute_prompts(values: Sequence[str]) -> tuple[str, ...]:
    """ "a {attribute} object" for every value, as the benchmark writes it."""
    return tuple(f"a {value} object" for value in values)


def crop(image_HW3: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    """The pixels that `box` touches, at least one: a view of the picture."""
    height, width = image_HW3.shape[:2]
    x0, y0, x1, y1 = box.to_xyxy_px((width, height))
    left, top = min(math.floor(x0), width - 1), min(math.floor(y0), height - 1)
    return image_HW3[top : max(math.ceil(y1), top + 1), left : max(math.ceil(x1), left + 1)]


def cosines(crops_ND: Embeddings, texts_ND: Embeddings) -> Floats:
    """Cosine [N], in [-1, 1], of each crop with its own text; 0 for a vector of length 0."""
    if crops_ND.shape != texts_ND.shape or crops_ND.ndim != 2:
        raise InputError(
            f"expected embeddings of one shape [N, D], got {list(crops_ND.shape)} and {list(texts_ND.shape)}"
        )
    return np.asarray((_unit(crops_ND) * _unit(texts_ND)).sum(axis=1))


def nearest_value(crops_ND: Embeddings, prompts_VD: Embeddings) -> NDArray[np.intp]:
    """Number 0..V-1, [N], of the prompt nearest to each crop (largest cosine, the first of equals)."""
    if crops_ND.ndim != 2 or prompts_VD.ndim != 2 or crops_ND.shape[1] != prompts_VD.shape[1]:
        raise InputError(
            f"expected embeddings of one width, got {list(crops_ND.shape)} and {list(prompts_VD.shape)}"
        )
    if not len(prompts_VD):
        raise InputError("expected at least one prompt, got none")
    return np.asarray((_unit(crops_ND) @ _unit(prompts_VD).T).argmax(axis=1))


def by_picture(
    values_N: Sequence[float] | Floats, picture_N: Sequence[int] | NDArray[np.integer[Any]], pictures: int
) -> tuple[Floats, Floats]:
    """Mean value of every picture and whether it has one (0 or 1), [P] each, for `bootstrap.ratio`.

    The benchmark averages per picture first, then over pictures; so does the ratio of these two.
    """
    numbers = np.asarray(picture_N, dtype=np.intp)
    counts_P = np.bincount(numbers, minlength=pictures).astype(np.float64)
    sums_P = np.bincount(numbers, weights=np.asarray(values_N, dtype=np.float64), minlength=pictures)
    means_P = np.divide(sums_P, counts_P, out=np.zeros(pictures), where=counts_P > 0)
    return means_P, (counts_P > 0).astype(np.float64)


def _unit(vectors_ND: Embeddings) -> Floats:
    wide = np.asarray(vectors_ND, dtype=np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    return np.asarray(np.divide(wide, lengths, out=np.zeros_like(wide), where=lengths > 0))
