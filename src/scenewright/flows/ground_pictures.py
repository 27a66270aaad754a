"""Masks of pictures that are there already: records, and photographs.

Nothing is sampled. A picture is encoded, brought to the noise level of the step that the head reads, and
shown to the network once with its prompt. Layouts are left out: an adapter places things, it does not say
where they are.

Letters: B pictures, H W pixels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scenewright.backbone.call import Conditioning
from scenewright.backbone.features import extract, picture_latent
from scenewright.backbone.tap_layout import tap_layout
from scenewright.backbone.text import embed
from scenewright.errors import InputError
from scenewright.flows.ground import Grounder, Heard
from scenewright.flows.ground_words import with_classes
from scenewright.flows.head_inputs import STEPS
from scenewright.flows.masked import JOINING, OPENING
from scenewright.ground.attention import AttentionTaps
from scenewright.scene import ImageRef, Record, Scene, Transform
from scenewright.scene import io as picture_files

if TYPE_CHECKING:
    from scenewright.backbone.model import Backbone

BATCH = 8
"""Pictures that are shown to the network together."""

ROOMY = 2.0
"""Pictures with more than so many times the pixels that the network draws, or fewer than one so-manieth, are
resized for it."""


def ground_pictures(
    records: Sequence[Record],
    grounder: Grounder,
    *,
    steps: int = STEPS,
    batch: int = BATCH,
    on_progress: Callable[[float, int], None] | None = None,
) -> list[Record]:
    """The records with masks of what their scenes speak of, or of the classes that the options name.

    `steps` is the number of sampler steps whose last one the picture is brought to. Sizes may differ; masks
    have the picture's own size, whatever size the network is shown. The noise is drawn from the scene's seed,
    so the same record has the same masks. A photograph is ``picture_record(path)``.
    """
    wide = [one.replace(scene=with_classes(one.scene, grounder.options.classes)) for one in records]
    backbone, done = grounder.reader.backbone, {}
    for rows in _alike([one.size_hw for one in wide], backbone, batch):
        part = [wide[k] for k in rows]
        heard = hear(part, grounder, steps)
        for k, record in zip(rows, grounder.grounded(part, heard), strict=True):
            done[k] = record.replace(provenance={**record.provenance, **facts(record, grounder, steps)})
        if on_progress:
            on_progress(len(done), len(wide))
    return [done[k] for k in range(len(wide))]


def facts(record: Record, grounder: Grounder, steps: int) -> dict[str, Any]:
    """What the provenance of a record says about masks that were found in its finished picture."""
    backbone = grounder.reader.backbone
    told = grounder.facts(record.scene)
    if not told:
        return {}
    by = {"name": backbone.name, "fingerprint": backbone.fingerprint}
    return {"grounding": {**told, "by": by, "steps": steps, "picture": pixels(record)}}


def pixels(record: Record) -> str:
    """16 hex digits of a picture's size and pixels."""
    content = str(record.size_hw).encode() + np.ascontiguousarray(record.image).tobytes()
    return hashlib.sha256(content).hexdigest()[:16]


def hear(records: Sequence[Record], grounder: Grounder, steps: int = STEPS) -> Heard:
    """What the network says of pictures that are shown to it at one size (see `shown_wh`)."""
    backbone, config = grounder.reader.backbone, grounder.config
    size_wh = shown_wh(records[0].size_hw[::-1], backbone)
    image_BHW3 = np.stack([_shown(one.image, size_wh) for one in records])
    scenes = [one.scene for one in records]
    seeds = [scene.auto_seed() if scene.seed is None else scene.seed for scene in scenes]
    latent = picture_latent(backbone, image_BHW3, seeds, steps, config.timestep)
    negatives = [
        scene.negative or str(one.provenance.get("negative", ""))
        for scene, one in zip(scenes, records, strict=True)
    ]
    cond, negative = (
        Conditioning(embed(backbone, texts).tokens_BLD)
        for texts in ([scene.prompt for scene in scenes], negatives)
    )
    detail = config.attention_detail
    attention = AttentionTaps(backbone.unet, detail=detail) if config.attention else None
    try:
        features = extract(
            backbone, latent.z_BChw, latent.t, cond, negative, tap_layout(backbone.unet, config.layout),
            halves=config.halves, watchers=[attention] if attention else [],
        )  # fmt: skip
    finally:
        if attention:
            attention.close()
    return Heard(features, attention, tuple(range(len(records))))


def shown_wh(size_wh: tuple[int, int], backbone: Backbone) -> tuple[int, int]:
    """The size at which a picture is shown to the network: its own where that suits it, else about as many
    pixels as the network draws, in the same shape; both sides divide by its coarsest cells."""
    grain = backbone.stride * 2 ** (len(backbone.unet.config.block_out_channels) - 1)
    native = backbone.native_wh[0] * backbone.native_wh[1]
    share = size_wh[0] * size_wh[1] / native
    if 1 / ROOMY <= share <= ROOMY and not any(side % grain for side in size_wh):
        return size_wh
    scale = 1.0 if 1 / ROOMY <= share <= ROOMY else share**-0.5
    width, height = (max(grain, round(side * scale / grain) * grain) for side in size_wh)
    return width, height


def picture_record(path: Path, *, prompt: str = "", classes: Sequence[str] = ()) -> Record:
    """A picture file as a record: a saved record as it is, anything else as a photograph of its own size.

    A photograph is described by `prompt`, else by a sentence that names the `classes` as the published
    training prompts do. Raises StorageError, and InputError for a photograph without either.
    """
    content = picture_files.read_bytes(path)
    image_HW3 = picture_files.decode_image(content, str(path))
    if content.startswith(picture_files.SIGNATURE):
        document = picture_files.png_document(content, str(path))
        if document is not None:
            return Record.from_document(document, image_HW3, str(path))
    if not prompt and not classes:
        raise InputError(
            f"{path} is no record, so nothing is known of what it shows",
            "--classes cat,dog names what to look for",
        )
    words = prompt or OPENING + JOINING.join(classes)
    ref = ImageRef(path=path.name, sha256=hashlib.sha256(content).hexdigest())
    height, width = image_HW3.shape[:2]
    return Record(image_HW3, with_classes(Scene(words, (width, height), picture=ref), classes))


def _alike(sizes: Sequence[tuple[int, int]], backbone: Backbone, batch: int) -> Iterator[list[int]]:
    """Places of pictures that the network is shown at one size, at most `batch` together."""
    groups: dict[tuple[int, int], list[int]] = {}
    for k, (height, width) in enumerate(sizes):
        groups.setdefault(shown_wh((width, height), backbone), []).append(k)
    for rows in groups.values():
        for start in range(0, len(rows), batch):
            yield rows[start : start + batch]


def _shown(image_HW3: NDArray[np.uint8], size_wh: tuple[int, int]) -> NDArray[np.uint8]:
    height, width = image_HW3.shape[:2]
    return Transform.fit((width, height), size_wh, mode="stretch").image(image_HW3)
