"""Bring in the published samples: ``images/`` and pickles of ``PromptsMultiClassSegmentationSample``.

They come from the diffusers port of Grounded Diffusion (Li et al. 2023). Of the 54 MB of a sample, 50 MB are
features of one network; picture, masks and labels are what is left. What a sample does not hold cannot be
recovered, and the data set says so (`UNKNOWN`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenewright.backbone.sample_pickles import read_object
from scenewright.errors import InputError, ScenewrightError, StorageError, nearest
from scenewright.flows.dataset.build import Built, Done, Progress, begin, check_place, checksums
from scenewright.flows.dataset.filters import FOUND, Reason
from scenewright.flows.dataset.folder import files_of
from scenewright.flows.dataset.journal import JOURNAL, Entry, Journal
from scenewright.flows.dataset.sources import prompt_of
from scenewright.scene import ImageRef, Instance, Mask, Record, Scene
from scenewright.scene.files import atomic_write_all
from scenewright.scene.io import read_image
from scenewright.scene.schema import SIZE_STEP

ENDINGS = (".pk", ".pkl", ".pickle")
SAMPLES, IMAGES = "samples", "images"
PICTURES = (".png", ".jpg", ".jpeg")

UNKNOWN = {
    "prompt": 'not stored; the generator wrote "a photograph of a A and a B" (--presume-prompts fills it in)',
    "seed": "not stored, and the generator set none: the pictures cannot be drawn again",
    "latent": "not stored: features of these pictures come from the pictures themselves, noised again",
    "scores": "not stored: detections from a score of 0.05 on became labels",
    "model": "not stored, nor scheduler, steps and guidance",
    "features": "left out: maps of that one network, 50 MB each",
}
"""What a sample does not hold, or is not taken over, and what that means."""


@dataclass(frozen=True)
class Sample:
    """What a pickle holds: the picture HW3, one mask HW for each label, and words about the prompt."""

    kind: str
    image: NDArray[np.uint8] | None
    masks: tuple[NDArray[np.bool_], ...]
    labels: tuple[str, ...]
    words: dict[str, Any]


def import_samples(
    source: Path,
    out: Path,
    *,
    presume_prompts: bool = False,
    on_done: Done | None = None,
    on_progress: Progress | None = None,
) -> Built:
    """Write the samples in `source` as a data set into `out`; the same call again continues.

    `source` holds ``samples/`` (and ``images/``), or is such a folder of pickles. A damaged sample is
    recorded as failed, one with an empty mask as refused. `presume_prompts` fills in the prompts that the
    published generator writes. Raises StorageError when there is no such folder, InputError when it has no
    samples or `out` holds something else.
    """
    files = _files(source)
    described = _described(files, presume_prompts)
    check_place(out, described)
    with Journal(out / JOURNAL) as journal:
        begin(out, described, bool(journal.entries))
        names = _names(files)
        fresh = 0
        for done, (file, name) in enumerate(zip(files, names, strict=True), 1):
            if name not in journal.entries:
                entry = _bring(file, name, out, source, presume_prompts)
                journal.append(entry)
                fresh += 1
                if on_done:
                    on_done(entry)
            if on_progress:
                on_progress(done, len(files))
        return Built(out, tuple(journal.entries.values()), fresh)


def read_sample(path: Path) -> Sample:
    """The content of a pickle, through the restricted reader.

    Masks are taken above one half, so that refined ones, which are shares, become what they stand for. Raises
    ModelError for a pickle that is none of these, InputError when its parts do not fit together.
    """
    kind, held = read_object(path, lambda name: name.endswith("Sample"))
    labels = _listed(held, "labels", "label", path)
    masks = _listed(held, "masks", "mask", path)
    if not labels or not all(isinstance(one, str) and one.strip() for one in labels):
        raise InputError(f"{path}: expected a list of labels, got {str(labels)[:60]}")
    if len(masks) != len(labels):
        raise InputError(f"{path} has {len(masks)} masks for {len(labels)} labels")
    for mask in masks:
        if not isinstance(mask, np.ndarray) or np.squeeze(mask).ndim != 2:
            raise InputError(f"{path}: a mask is no array of height and width")
    image = held.get("image")
    words = {
        key: held[key]
        for key in ("visual_labels", "camera_parameters")
        if isinstance(held.get(key), list) and held[key]
    }
    return Sample(
        kind,
        image if isinstance(image, np.ndarray) else None,
        tuple(np.squeeze(mask) > 0.5 for mask in masks),
        tuple(one.strip() for one in labels),
        words,
    )


def as_record(sample: Sample, image_HW3: NDArray[np.uint8], file: str, presume_prompts: bool) -> Record:
    """The record of a sample. Raises InputError when sizes disagree."""
    height, width = image_HW3.shape[:2]
    prompt = prompt_of(sample.labels) if presume_prompts else ""
    instances = tuple(Instance(name, category=name) for name in sample.labels)
    odd = width % SIZE_STEP or height % SIZE_STEP
    scene = Scene(
        prompt,
        (width, height),
        instances,
        picture=ImageRef(path=file) if odd else None,
        extra={"published": _texts(sample.words)} if sample.words else {},
    )
    masks = {
        one.id: Mask.from_array(mask_HW)
        for one, mask_HW in zip(scene.instances, sample.masks, strict=True)
        if mask_HW.any()
    }
    labels = {
        one.id: {"class": name, "area": round(masks[one.id].area_px / (height * width), 6)}
        for one, name in zip(scene.instances, sample.labels, strict=True)
        if one.id in masks
    }
    known = ["features", *(["prompt"] if presume_prompts else [])]
    told = {
        "imported": sample.kind,
        "presumed": ["prompt"] if presume_prompts else [],
        "unknown": [key for key in UNKNOWN if key not in known],
    }
    return Record(image_HW3, scene, masks, scores={"labels": labels}, provenance=told)


def _bring(file: Path, name: str, out: Path, source: Path, presume_prompts: bool) -> Entry:
    """One sample to a record on disk; returns its line for the journal."""
    try:
        sample = read_sample(file)
        record = as_record(sample, _image(sample, file, source), file.name, presume_prompts)
    except ScenewrightError as fault:
        for left in files_of(name):
            (out / left).unlink(missing_ok=True)
        return Entry(name=name, state="failed", error=str(fault), hint=fault.hint)
    classes = tuple(dict.fromkeys(sample.labels))
    there = {sample.labels[k] for k, one in enumerate(record.scene.instances) if one.id in record.masks}
    if missing := [label for label in classes if label not in there]:
        reasons = tuple(Reason(FOUND, label) for label in missing)
        return Entry(name=name, state="refused", classes=classes, reasons=reasons)
    contents = dict(sorted(record.files(out, name).items(), reverse=True))  # the PNG last
    atomic_write_all(contents)
    return Entry(name=name, state="kept", classes=classes, files=checksums(contents))


def _image(sample: Sample, file: Path, source: Path) -> NDArray[np.uint8]:
    """The picture inside the sample, else the one in ``images/``."""
    if sample.image is not None:
        image = sample.image
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise InputError(f"{file}: its picture has shape {image.shape} and type {image.dtype}")
        return np.array(image)
    for folder in (source / IMAGES, file.parent.parent / IMAGES):
        for ending in PICTURES:
            if (place := folder / f"{file.stem}{ending}").is_file():
                return read_image(place)
    raise InputError(f"{file} holds no picture, and there is none of that name in {IMAGES}/")


def _files(source: Path) -> list[Path]:
    """The pickles of a folder, sorted by name."""
    if not source.is_dir():
        beside = source.parent.iterdir() if source.parent.is_dir() else ()
        names = [one.name for one in beside if one.is_dir()]
        close = nearest(source.name, names)
        raise StorageError(
            f"there is no folder {source}", f"did you mean {source.parent / close}?" if close else ""
        )
    folder = source / SAMPLES if (source / SAMPLES).is_dir() else source
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in ENDINGS)
    if not found:
        raise InputError(
            f"there are no samples in {folder}", f"expected {SAMPLES}/*.pk, as the published generator writes"
        )
    return found


def _names(files: Sequence[Path]) -> list[str]:
    """File names without ending, made plain and unique."""
    found: list[str] = []
    for file in files:
        base = re.sub(r"[^\w.-]+", "-", file.stem, flags=re.ASCII).strip("-.")[:100] or "sample"
        name, k = base, 2
        while name in found:
            name, k = f"{base}-{k}", k + 1
        found.append(name)
    return found


def _described(files: Sequence[Path], presume_prompts: bool) -> dict[str, Any]:
    marks = "\n".join(f"{file.name} {file.stat().st_size}" for file in files)
    return {
        "kind": "imported",
        "pictures": len(files),
        "source": {
            "kind": "published samples",
            "presume_prompts": presume_prompts,
            "digest": hashlib.sha256(marks.encode()).hexdigest(),
        },
        "unknown": {key: UNKNOWN[key] for key in UNKNOWN if not (presume_prompts and key == "prompt")},
    }


def _listed(held: dict[str, Any], many: str, one: str, path: Path) -> list[Any]:
    """An attribute that is a list, or the single one of older samples."""
    if many in held:
        found = held[many]
        if isinstance(found, np.ndarray) and found.ndim == 3:
            return list(found)
        if not isinstance(found, list):
            raise InputError(f"{path}: {many} is a {type(found).__name__}; expected a list")
        return found
    if one in held:
        return [held[one]]
    raise InputError(f"{path} is a sample without {many}", f"it has {', '.join(sorted(held)) or 'nothing'}")


def _texts(words: dict[str, Any]) -> dict[str, Any]:
    """Plain JSON of what the sample says about its prompt."""
    return {key: [str(one) for one in value] for key, value in words.items()}


def notes(presume_prompts: bool) -> tuple[str, ...]:
    """One line for everything that is not there."""
    return tuple(
        f"{key}: {words}" for key, words in UNKNOWN.items() if not (presume_prompts and key == "prompt")
    )
