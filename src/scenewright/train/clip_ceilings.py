"""How well the judge CLIP names what is in renders: zero-shot accuracies, retrieval, cosines of right pairs.

Letters: N pictures or crops, T texts, D width of the common space.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scenewright.models.judges.clip import ClipNet, crop
from scenewright.models.judges.pictures import Picture
from scenewright.scene import Box
from scenewright.train.annotated import Annotation
from scenewright.train.clip_pairs import CLASS_WORDS, COLOUR_NAMES
from scenewright.world.captions import phrase
from scenewright.world.palette import TEXTURES

POOL = 100
"""Pictures among whose captions the right one has to be found."""

LEAST_PX = 6.0


def clip_ceilings(
    net: ClipNet, pictures: Sequence[tuple[Picture, Annotation]], sheet: Path | None = None
) -> dict[str, float]:
    """Figures of a network on pictures with their annotations.

    colour, texture, class    share of crops whose likeliest text is right: eight phrases "a COLOUR WORD",
                              eight "a TEXTURE WORD", all classes "a WORD" (toys only)
    local                     mean cosine of a crop and its "a COLOUR TEXTURE WORD" (or its phrase, town)
    caption, picture          share of pictures whose caption (of captions whose picture) ranks first among
                              `POOL`; nan-free: left out with fewer than two pictures
    """
    found = _retrieval(net, pictures)
    crops = [(image, item, n) for image, item in pictures for n in _seen(image, item)]
    if not crops:
        return found
    vectors_ND = net.embed_images([crop(image, Box(*item.boxes[n])) for image, item, n in crops])
    phrases = [item.phrases[n] for _, item, n in crops]
    found["local"] = float((vectors_ND * net.embed_texts(phrases)).sum(1).mean())
    facts_N3 = np.array([(i.classes[n], i.colours[n], i.textures[n]) for _, i, n in crops])
    if (facts_N3[:, 1] >= 0).any():
        guesses_N3 = _named(net, vectors_ND, facts_N3[:, 0])
        for place, name in enumerate(("class", "colour", "texture")):
            asked = facts_N3[:, place] >= 0
            if asked.any():
                found[name] = float((guesses_N3[asked, place] == facts_N3[asked, place]).mean())
        if sheet is not None:
            _draw(sheet, crops[:32], guesses_N3)
    return found


def _seen(image: Picture, item: Annotation) -> list[int]:
    """Instances whose boxes are large enough to be looked at."""
    high, wide = image.shape[:2]
    sides = [min((box[2] - box[0]) * wide, (box[3] - box[1]) * high) for box in item.boxes]
    return [n for n, side in enumerate(sides) if side >= LEAST_PX]


def _named(net: ClipNet, vectors_ND: NDArray[np.float32], class_N: NDArray[np.int64]) -> NDArray[np.int64]:
    """Guessed class, colour, texture [N,3]; colour and texture by texts with the true class's word."""
    classes_TD = net.embed_texts([phrase(word, None, None) for word in CLASS_WORDS])
    guesses_N3 = np.empty((len(vectors_ND), 3), np.int64)
    guesses_N3[:, 0] = (vectors_ND @ classes_TD.T).argmax(1)
    for kind in np.unique(class_N):
        rows, word = class_N == kind, CLASS_WORDS[int(kind)]
        colours_TD = net.embed_texts([phrase(word, name, None) for name in COLOUR_NAMES])
        textures_TD = net.embed_texts([phrase(word, None, name) for name in TEXTURES])
        guesses_N3[rows, 1] = (vectors_ND[rows] @ colours_TD.T).argmax(1)
        guesses_N3[rows, 2] = (vectors_ND[rows] @ textures_TD.T).argmax(1)
    return guesses_N3


def _retrieval(net: ClipNet, pictures: Sequence[tuple[Picture, Annotation]]) -> dict[str, float]:
    """Top-1 in pools of `POOL`; equal captions are all right."""
    images_ND = net.embed_images([image for image, _ in pictures])
    captions = np.array([item.caption for _, item in pictures])
    texts_ND = net.embed_texts(list(captions))
    forth: list[float] = []
    back: list[float] = []
    for start in range(0, len(pictures) - 1, POOL):
        part = slice(start, start + POOL)
        cosine_NN = images_ND[part] @ texts_ND[part].T
        names = captions[part]
        forth += (names[cosine_NN.argmax(1)] == names).tolist()
        back += (names[cosine_NN.argmax(0)] == names).tolist()
    return {"caption": float(np.mean(forth)), "picture": float(np.mean(back))} if forth else {}


def _draw(
    file: Path, crops: Sequence[tuple[Picture, Annotation, int]], guesses_N3: NDArray[np.int64]
) -> None:
    """Crops with their phrases above what was guessed; textures are guessed for plain toys too."""
    from scenewright.scene.draw import contact_sheet
    from scenewright.scene.io import write_png

    cells = [crop(image, Box(*item.boxes[n])) for image, item, n in crops]
    captions = [
        f"{item.phrases[n]}: {COLOUR_NAMES[colour]} {TEXTURES[texture]} {CLASS_WORDS[kind]}"
        for (_, item, n), (kind, colour, texture) in zip(crops, guesses_N3, strict=False)
    ]
    write_png(file, contact_sheet(cells, captions, columns=8, cell_px=128))
