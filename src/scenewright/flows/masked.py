"""Pictures whose classes have known masks: what grounding heads are trained on and measured with.

They come from a folder of Records (masks that a labeller found in generated pictures, or exact ones of
drawings) or straight from the drawn world. Classes that a picture was asked to show but that nobody masked
are left out: nothing is known of them.

Letters: K classes of one picture, H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenewright.data.latents import latent_path
from scenewright.data.record_files import record_files
from scenewright.errors import InputError
from scenewright.evaluate.protocol import sample_key
from scenewright.flows.ground_words import KNOWN, label_of
from scenewright.scene import Mask, Scene, Vocabulary
from scenewright.scene import io as picture_files
from scenewright.scene.vocabulary import fold

Bools = NDArray[np.bool_]

OPENING, JOINING = "a photograph of a ", " and a "
"""Of the prompts of pictures that have none: "a photograph of a cat and a dog"."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MaskedPicture:
    """One picture with the masks of its classes.

    name      unique in its set
    prompt    what the picture was made from, or says of itself
    negative  what it was made against
    size_wh   pixels
    classes   their names, each once
    masks     one per class, of the picture's size
    path      where the picture is; None if `image` has it
    image     HW3, or None
    latent    file of its latent at the tap step, or None
    key       which sample it is, see `evaluate.protocol.sample_key`
    """

    name: str
    prompt: str
    size_wh: tuple[int, int]
    classes: tuple[str, ...]
    masks: tuple[Mask, ...]
    negative: str = ""
    path: Path | None = None
    image: NDArray[np.uint8] | None = None
    latent: Path | None = None
    key: str = ""

    def truth(self) -> Bools:
        """The masks [K, H, W]."""
        width, height = self.size_wh
        found = [mask.array() for mask in self.masks]
        return np.stack(found) if found else np.zeros((0, height, width), dtype=bool)

    def pixels(self) -> NDArray[np.uint8]:
        """The picture, HW3."""
        if self.image is not None:
            return self.image
        if self.path is None:
            raise InputError(f"{self.name} has no picture")
        return picture_files.read_image(self.path)

    def only(self, classes: Iterable[str]) -> MaskedPicture:
        """The picture with those of its classes that are among `classes`."""
        wanted = {fold(name) for name in classes}
        kept = [k for k, name in enumerate(self.classes) if fold(name) in wanted]
        return replace(
            self,
            classes=tuple(self.classes[k] for k in kept),
            masks=tuple(self.masks[k] for k in kept),
        )

    def named(self) -> MaskedPicture:
        """The picture with a prompt that names its classes and nothing else."""
        words = [names_of(name)[0] for name in self.classes]
        return replace(self, prompt=OPENING + JOINING.join(words) if words else "")


@lru_cache(maxsize=1024)
def names_of(label: str) -> tuple[str, ...]:
    """How a class is called in texts, the usual name first ("diningtable": "dining table", "diningtable",
    "table", …)."""
    for name in KNOWN:
        vocabulary = Vocabulary.load(name)
        if label in vocabulary:
            entry = vocabulary.find(label)
            said = [one for one in entry.synonyms if fold(one) == fold(entry.name) and one != entry.name]
            return tuple(dict.fromkeys([*said, entry.name, *entry.synonyms]))
    return (label,)


def class_name(label: str) -> str:
    """The name of a class, whichever of its names is given ("kitten": "cat"); others as they are."""
    for name in KNOWN:
        vocabulary = Vocabulary.load(name)
        if label in vocabulary:
            return vocabulary.find(label).name
    return label


def class_masks(scene: Scene, masks: Mapping[str, Mask]) -> dict[str, Mask]:
    """The mask of every class of a scene, in the order of its instances: all its instances together.

    `masks` (instance id -> mask) are taken before the scene's own; instances without any are left out.
    """
    found: dict[str, Mask] = {}
    for one in scene.instances:
        mask = masks.get(one.id, one.mask)
        if mask is None:
            continue
        known, label = [fold(name) for name in found], class_name(label_of(one))
        label = list(found)[known.index(fold(label))] if fold(label) in known else label
        found[label] = found[label].union(mask) if label in found else mask
    return found


def masked_picture(name: str, scene: Scene, masks: Mapping[str, Mask], **more: Any) -> MaskedPicture:
    """A picture of `scene` with these masks (instance id -> mask); `more` are fields of `MaskedPicture`."""
    found = class_masks(scene, masks)
    return MaskedPicture(
        name=name,
        prompt=scene.prompt,
        size_wh=scene.size_wh,
        classes=tuple(found),
        masks=tuple(found.values()),
        key=sample_key(scene),
        **more,
    )


def read_masked(
    folders: Sequence[Path], on_progress: Callable[[float, int], None] | None = None
) -> tuple[MaskedPicture, ...]:
    """The Records of folders that have masks, in the order of `record_files`; pictures are read when asked
    for.

    Raises StorageError (no such folder), InputError (no Record with masks in them, or masks of another size
    than their picture).
    """
    files = record_files(folders)
    found = []
    for done, path in enumerate(files, start=1):
        picture = _from_file(path)
        if picture is not None and picture.classes:
            found.append(picture)
        if on_progress:
            on_progress(done, len(files))
    if not found:
        raise InputError(
            f"none of the {len(files)} Records in {', '.join(map(str, folders))} has masks",
            "`scenewright dataset build` and `scenewright world sample` write some that do",
        )
    return tuple(found)


def _from_file(path: Path) -> MaskedPicture | None:
    """A Record without its pixels; None for a picture that is none of ours."""
    document = picture_files.read_png_document(path)
    if not isinstance(document, dict) or "scene" not in document:
        return None
    scene = Scene.from_json(document["scene"])
    masks = {
        id: Mask(size_hw=tuple(one["size_hw"]), counts=one["counts"])
        for id, one in document.get("masks", {}).items()
    }
    stored = latent_path(path)
    picture = masked_picture(
        path.stem,
        scene,
        masks,
        negative=str(document.get("provenance", {}).get("negative", "")),
        path=path,
        latent=stored if stored.is_file() else None,
    )
    sizes = {mask.size_hw[::-1] for mask in picture.masks}
    if len(sizes) > 1:
        raise InputError(f"{path} has masks of different sizes: {', '.join(map(str, sorted(sizes)))}")
    return replace(picture, size_wh=sizes.pop()) if sizes else picture


def drawn_masked(
    seeds: Iterable[int],
    *,
    classes: Sequence[str] | None = None,
    count: tuple[int, int] = (1, 5),
    size_px: int = 128,
) -> Iterator[MaskedPicture]:
    """Pictures of the toybox with exact masks, one per seed, lazily; see `world.toybox.draw`."""
    from scenewright.world import toybox

    for seed in seeds:
        drawn = toybox.draw(seed, size_px=size_px, classes=classes, count=count)
        yield masked_picture(f"toybox-{seed}", drawn.scene, {}, image=drawn.image)
