"""Label maps of a vocabulary as channels, counts, words and colours; nothing here changes its arguments.

Jia et al., "DGInStyle: Domain-Generalizable Semantic Segmentation with Image Diffusion Models and Stylized
Semantic Control", ECCV 2024 (arXiv 2312.03048): one channel per class and one for what is ignored, prompts of
the names of the classes that are there, five words for the weather.

A map holds ids of its vocabulary; its "ignore" (255 in 8-bit files) and `IGNORE` both mean that nothing is
known. Any other number is an error, because a map of other ids would be read as nonsense.

Letters: H W pixels, K classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from scenewright.errors import InputError, nearest
from scenewright.scene.label_space import LabelSpace, Map, load
from scenewright.scene.semantic import IGNORE
from scenewright.scene.vocabulary import Vocabulary

Labels = npt.NDArray[np.integer[Any]]

WEATHERS = ("snowy", "rainy", "sunny", "foggy", "night")
"""The words of the published prompts."""

IN_WEATHER = "A city street scene with {classes}, in {weather} weather."
"""The published prompt; without weather it is the bare names of the classes."""


def outputs(labels_HW: Labels, space: LabelSpace, where: str = "the label map") -> Map:
    """Positions 0 to K - 1 of the classes, `IGNORE` where nothing is known.

    Raises InputError for a number that is neither a class nor ignored; `where` is how the message calls the
    map.
    """
    found_HW = space.outputs(labels_HW)
    vocabulary = load(space.vocabulary)
    labels_HW = np.asarray(labels_HW).astype(np.uint16)
    strange_HW = (found_HW == IGNORE) & (labels_HW != IGNORE) & (labels_HW != vocabulary.ignore)
    if strange_HW.any():
        label = int(labels_HW[strange_HW][0])
        hint = (
            f"{space.vocabulary} has {min(space.ids)} to {max(space.ids)}, and {vocabulary.ignore} for ignore"
        )
        if label == len(space):
            hint += "; files of the published generator have this number in place of it"
        raise InputError(f"{where} holds the label {label}, which is no class of {space.vocabulary!r}", hint)
    return found_HW


def channels(labels_HW: Labels, space: LabelSpace, where: str = "the label map") -> npt.NDArray[np.float32]:
    """One channel for each class and a last one for what is ignored: 0 or 1, [K + 1, H, W]. See `outputs`."""
    found_HW = outputs(labels_HW, space, where).astype(np.int64)
    found_HW[found_HW == IGNORE] = len(space)
    return np.eye(len(space) + 1, dtype=np.float32)[found_HW].transpose(2, 0, 1).copy()


def class_pixels(labels_HW: Labels, space: LabelSpace, where: str = "the label map") -> dict[int, int]:
    """Id -> number of pixels of the classes that are there, ids ascending; ignored pixels are not counted.

    See `outputs` for errors.
    """
    found_HW = outputs(labels_HW, space, where)
    counts_K = np.bincount(found_HW[found_HW != IGNORE], minlength=len(space))
    return dict(sorted((space.ids[k], int(n)) for k, n in enumerate(counts_K) if n))


def class_caption(labels_HW: Labels, space: LabelSpace, where: str = "the label map") -> str:
    """The names of the classes that are there, ids ascending, with blanks: "road sidewalk traffic light".

    See `outputs` for errors.
    """
    vocabulary = load(space.vocabulary)
    return " ".join(vocabulary.by_id(id).name for id in class_pixels(labels_HW, space, where))


def weather_prompt(classes: str, weather: str = "", template: str = IN_WEATHER) -> str:
    """The prompt of a picture of `classes` (a caption) in some weather; the bare caption without weather.

    `template` has the places {classes} and {weather}. Raises InputError for an unknown word, or a template
    without both places.
    """
    if not weather:
        return classes
    check_weather(weather)
    if "{classes}" not in template or "{weather}" not in template:
        raise InputError(f"the prompt {template!r} has no place for both", "write {classes} and {weather}")
    return template.replace("{classes}", classes).replace("{weather}", weather)


def check_weather(word: str) -> None:
    """Raises InputError, naming the nearest, for a word that is none of `WEATHERS`."""
    if word not in WEATHERS:
        close = nearest(word, WEATHERS)
        hint = f"did you mean {close}?" if close else f"known are {', '.join(WEATHERS)}"
        raise InputError(f"unknown weather {word!r}", hint)


def from_colours(image_HW3: npt.NDArray[np.uint8], vocabulary: Vocabulary) -> npt.NDArray[np.uint16]:
    """The ids [H, W] of a map that was saved in the vocabulary's colours; other colours become its `ignore`.

    Of classes with one colour the first is taken. Raises InputError for anything but uint8 [H, W, 3].
    """
    if image_HW3.dtype != np.uint8 or image_HW3.ndim != 3 or image_HW3.shape[2] != 3:
        raise InputError(f"expected uint8 [H, W, 3], got {image_HW3.dtype} {list(image_HW3.shape)}")
    entries = [*vocabulary.classes, *([vocabulary.background] if vocabulary.background else [])]
    codes = np.array([_packed(np.array(one.colour, np.uint8)) for one in entries])
    codes_N, first_N = np.unique(codes, return_index=True)
    packed_HW = _packed(image_HW3)
    place_HW = np.minimum(np.searchsorted(codes_N, packed_HW), len(codes_N) - 1)
    ids_N = np.array([one.id for one in entries], np.uint16)[first_N]
    return np.where(codes_N[place_HW] == packed_HW, ids_N[place_HW], np.uint16(vocabulary.ignore))


def _packed(colours_X3: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Colours [..., 3] as one number each."""
    return np.asarray(colours_X3.astype(np.int64) @ np.array([65536, 256, 1]), np.int64)
