"""The whole of ``scenewright mask-denoiser``: pictures in any format to maps, one after the other.

picture -> `segment.denoise.denoised` (members, put together) -> of masks of named classes: label map, scores,
entropies, overlay and areas, as `scenewright segment` writes them; of grey maps: the levels. Beside both how
far the members disagree. A picture that cannot be read does not stop the others.

Letters: K classes, H W pixels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenewright.errors import InputError, ScenewrightError
from scenewright.flows.samples import PHOTOGRAPHS, picture_paths
from scenewright.flows.segment import FULL, Picture, Segmented
from scenewright.flows.segment_files import SegmentFiles, write_files
from scenewright.flows.segment_folder import names_of
from scenewright.flows.segment_options import SegmentOptions, spoken
from scenewright.flows.write import check_folder
from scenewright.models.mask_denoiser import MaskDenoiser, load_mask_denoiser
from scenewright.scene import io as picture_files
from scenewright.scene.files import to_json_bytes
from scenewright.segment.denoise import DenoisedMaps, DenoiseOptions, denoised, labels_of
from scenewright.segment.mask_denoiser import class_text

LEVELS, COLOURS, UNCERTAINTY = ".levels.png", ".levels-colour.png", ".uncertainty.png"
"""Grey maps: 16 bits, 65535 is 1; the same in the colours of the published pictures; the disagreement."""

COLOUR_MAP = "Spectral"
"""Matplotlib's colour map of the published pictures."""


@dataclass(frozen=True)
class DenoisedFile:
    """What became of a picture: its files by kind, or why it failed."""

    picture: Path
    files: dict[str, Path]
    error: str = ""
    hint: str = ""

    def to_json(self) -> dict[str, Any]:
        """As the command line prints it with --json."""
        told: dict[str, Any] = {"picture": str(self.picture)}
        if self.error:
            return {**told, "state": "failed", "error": self.error, "hint": self.hint}
        return {**told, "state": "made", **{kind: str(path) for kind, path in self.files.items()}}


def denoise_files(
    pictures: Sequence[Path],
    model: Path,
    asked: SegmentOptions | None,
    options: DenoiseOptions,
    out: Path,
    *,
    base: str = "",
    device: str = "auto",
    dtype: str = "auto",
    threshold: float = 0.5,
    on_progress: Callable[[float, int], None] | None = None,
) -> list[DenoisedFile]:
    """Draw the maps of picture files, and of those in folders, into `out`.

    `asked` are the classes (None: only where the network is not asked for any), `threshold` the least
    probability of a class; `base` is the model beside a folder that has a UNet only. Raises InputError (no
    picture, no classes), ModelError, StorageError.
    """
    if not 0 <= threshold <= 1:
        raise InputError(f"the threshold is {threshold}; expected 0 to 1", "0.5 suits")
    paths = picture_paths(pictures, PHOTOGRAPHS)
    check_folder(out)
    denoiser = load_mask_denoiser(model, base, device, dtype)
    if denoiser.rules.text != "none" and asked is None:
        raise InputError("nothing was named to look for", "--classes cat,dog, or --vocabulary voc")
    if denoiser.rules.text == "class" and not options.own_size:
        raise InputError("label maps have the size of their pictures", "leave --shown-size out")
    names = [spoken(one)[0] for one in asked.vocabulary] if asked else []
    text_MLD = class_text(denoiser.backbone, names, denoiser.rules)
    done: list[DenoisedFile] = []
    for path, name in zip(paths, names_of(paths), strict=True):
        try:
            image_HW3 = picture_files.read_image(path)
            maps = denoised(denoiser.backbone, denoiser.rules, image_HW3, names, options, text_MLD=text_MLD)
            told = _told(path, denoiser, options)
            files = _write(image_HW3, maps, denoiser, asked, threshold, out, name, told)
            done.append(DenoisedFile(path, files))
        except ScenewrightError as fault:
            if len(paths) == 1:
                raise
            done.append(DenoisedFile(path, {}, fault.message, fault.hint))
        if on_progress:
            on_progress(len(done), len(paths))
    return done


def segmented(maps: DenoisedMaps, asked: SegmentOptions, threshold: float) -> Segmented:
    """Masks of classes as label map, scores and entropies.

    A pixel has the class with the highest map, or none where all are below `threshold`. Entropies are of the
    maps and of the share that is left to none of them, scaled to a sum of 1.
    """
    ids = [one.id for one in asked.vocabulary]
    labels_HW = labels_of(maps.maps_KHW, ids, asked.empty, threshold)
    best_HW = np.clip(maps.maps_KHW.max(0), 0, 1)
    scores_HW = np.where(best_HW >= threshold, best_HW, 1 - best_HW)
    odds = np.concatenate([np.clip(maps.maps_KHW, 0, 1), (1 - best_HW)[None]]) + 1e-6
    odds /= odds.sum(0)
    entropy_HW = -(odds * np.log(odds)).sum(0) / np.log(len(odds))
    return Segmented(labels_HW, _whole(scores_HW), _whole(entropy_HW))


def coloured(levels_HW: NDArray[np.floating[Any]]) -> Picture:
    """Levels in [0, 1] in the colours of the published pictures, HW3."""
    from matplotlib import colormaps

    return np.asarray(colormaps[COLOUR_MAP](levels_HW, bytes=True)[..., :3], np.uint8)


def _whole(values_HW: NDArray[np.floating[Any]]) -> NDArray[np.uint16]:
    return np.asarray(np.rint(np.clip(values_HW, 0, 1) * FULL), np.uint16)


def _told(path: Path, denoiser: MaskDenoiser, options: DenoiseOptions) -> dict[str, Any]:
    return {
        "picture": path.name,
        "sha256": hashlib.sha256(picture_files.read_bytes(path)).hexdigest(),
        "model": denoiser.backbone.name,
        "method": f"mask denoising, text {denoiser.rules.text}",
        **{name: getattr(options, name) for name in ("steps", "members", "seed", "size", "align", "reduce")},
    }


def _write(
    image_HW3: Picture,
    maps: DenoisedMaps,
    denoiser: MaskDenoiser,
    asked: SegmentOptions | None,
    threshold: float,
    out: Path,
    name: str,
    told: dict[str, Any],
) -> dict[str, Path]:
    """All files of a picture by kind; the report last."""
    found: dict[str, Path] = {}
    if maps.uncertainty_KHW is not None:
        content = picture_files.grey_png_bytes(_whole(maps.uncertainty_KHW.max(0)))
        found["uncertainty"] = picture_files.atomic_write(out / f"{name}{UNCERTAINTY}", content)
    files = SegmentFiles.of(out, name)
    if denoiser.rules.text == "class" and asked is not None:
        write_files(image_HW3, segmented(maps, asked, threshold), asked, files, told)
        return {**found, **files.all()}
    levels_HW = maps.maps_KHW[0]
    contents = {
        "levels": (LEVELS, picture_files.grey_png_bytes(_whole(levels_HW))),
        "colours": (COLOURS, picture_files.png_bytes(coloured(levels_HW))),
    }
    for kind, (ending, content) in contents.items():
        found[kind] = picture_files.atomic_write(out / f"{name}{ending}", content)
    found["report"] = picture_files.atomic_write(files.report, to_json_bytes(told, indent=1))
    return found
