"""Multi-resolution latent fusion: small things of a label map get more pixels than they have.

Jia et al., "DGInStyle", ECCV 2024 (arXiv 2312.03048), section 3.3. The picture is drawn once at the size
that the model knows, then again several times larger in overlapping windows (`backbone.windows`), from fresh
noise. In the second pass the large segments of the map are held to the first (`backbone.paste`), so that they
cohere; the small ones see their map enlarged. The result is brought back to the size of the map.

Different from the published code: what is held has the noise level of the step at which it is held, and none
at the end; every number of random noise follows from the picture's own seed.

Letters: B pictures, C latent channels, H W pixels, h w latent cells.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from scenewright.backbone.call import Edit
from scenewright.backbone.latents import decode, encode
from scenewright.backbone.noise import Noise
from scenewright.backbone.paste import Level, drawn, paste
from scenewright.errors import InputError
from scenewright.flows.generate import Sampled, sampled
from scenewright.flows.windows import check_whole
from scenewright.scene import Transform
from scenewright.scene.segments import segments
from scenewright.scene.vocabulary import Vocabulary

if TYPE_CHECKING:
    from scenewright.backbone.loop import StepInfo
    from scenewright.backbone.model import Backbone
    from scenewright.flows.options import GenerateOptions
    from scenewright.scene import Scene

OnStep = Callable[["StepInfo"], None] | None


def fused(
    backbone: Backbone,
    adapter: nn.Module | None,
    scenes: Sequence[Scene],
    seeds: Sequence[int],
    options: GenerateOptions,
    *,
    level: Level = "step",
    on_step: OnStep = None,
    should_stop: Callable[[], bool] | None = None,
    **whole: Any,
) -> Sampled:
    """Latents of the large pictures, `options.fusion` times the size of the scenes; arguments as `sampled`.

    `level` is that of `backbone.paste`. Raises InputError for scenes without a label map, and for what needs
    one whole pass (`listen`, `edits_of`).
    """
    for word, name in (("listen", "masks"), ("edits_of", "edits")):
        if whole.get(word) is not None:
            check_whole(options, name)
    plain = replace(options, fusion=1, windows="")
    low = sampled(backbone, adapter, scenes, seeds, plain, on_step=_half(on_step, 0), should_stop=should_stop)
    image_BHW3 = decode(backbone, torch.nan_to_num(low.z_BChw))
    size_wh = scenes[0].size_wh[0] * options.fusion, scenes[0].size_wh[1] * options.fusion
    known_BChw = encode(backbone, _signal(resampled(image_BHW3, size_wh)), own_seeds(seeds, "known"))
    keep_B1hw = kept_cells(scenes, options.fusion_share, (known_BChw.shape[2], known_BChw.shape[3]))

    def edits_of(noise: Noise, unit_BChw: Tensor) -> Sequence[Edit]:
        generators = [torch.Generator("cpu").manual_seed(seed) for seed in own_seeds(seeds, "steps")]
        channels, h, w = known_BChw.shape[1:]
        fresh = drawn((channels, h, w), generators)
        return (paste(noise, known_BChw, keep_B1hw.to(known_BChw), fresh, level=level),)

    large = [enlarged(scene, options.fusion) for scene in scenes]
    tiled = replace(plain, windows=options.windows or "uniform")
    high = sampled(
        backbone, adapter, large, own_seeds(seeds, "large"), tiled,
        edits_of=edits_of, on_step=_half(on_step, 1), should_stop=should_stop,
    )  # fmt: skip
    return Sampled(high.z_BChw, low.dropped)


def own_seeds(seeds: Sequence[int], purpose: str) -> list[int]:
    """For every picture a seed of its own for a purpose: the same on every machine, unlike all others."""
    digests = [hashlib.sha256(f"fusion {purpose} {seed}".encode()).digest() for seed in seeds]
    return [int.from_bytes(digest[:7], "big") for digest in digests]


def enlarged(scene: Scene, factor: int) -> Scene:
    """The scene `factor` times as large: its map by repeating pixels, places exactly."""
    width, height = scene.size_wh
    return Transform(scene.size_wh).resize((width * factor, height * factor)).scene(scene)


def kept_cells(scenes: Sequence[Scene], share: float, size_hw: tuple[int, int]) -> Tensor:
    """[B, 1, h, w]: 1 in the cells under segments larger than `share` of the picture.

    A cell belongs to what is under its upper left pixel, as published. Raises InputError without a map.
    """
    check_mapped(scenes)
    found = []
    for scene in scenes:
        assert scene.semantic_map is not None
        labels_HW = scene.semantic_map.labels()
        skip = (65535, Vocabulary.load(scene.semantic_map.vocabulary).ignore)
        large_HW = segments(labels_HW, above_px=round(share * labels_HW.size, 6), skip=skip) > 0
        found.append(torch.from_numpy(corners(large_HW, size_hw).astype(np.float32))[None])
    return torch.stack(found)


def check_mapped(scenes: Sequence[Scene]) -> None:
    """Raises InputError for a scene without a label map."""
    if any(scene.semantic_map is None for scene in scenes):
        raise InputError(
            "fusion keeps the large segments of a label map, and the scene has none",
            "give a map with --vocabulary, or leave --fusion out",
        )


def corners(mask_HW: NDArray[np.bool_], size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """The mask at `size_hw` cells: each takes the pixel in its upper left corner."""
    rows, columns = (np.arange(to) * size // to for size, to in zip(mask_HW.shape, size_hw, strict=True))
    return mask_HW[np.ix_(rows, columns)]


def shrunk(image_BHW3: NDArray[np.uint8], size_wh: tuple[int, int]) -> NDArray[np.uint8]:
    """The finished pictures at the size of their scenes."""
    return resampled(image_BHW3, size_wh)


def resampled(image_BHW3: NDArray[np.uint8], size_wh: tuple[int, int]) -> NDArray[np.uint8]:
    """Pictures at another size, by Lanczos' filter."""
    from PIL import Image

    lanczos = Image.Resampling.LANCZOS
    return np.stack([np.asarray(Image.fromarray(one).resize(size_wh, lanczos)) for one in image_BHW3])


def _signal(image_BHW3: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(image_BHW3).permute(0, 3, 1, 2).float() / 127.5 - 1.0


def _half(on_step: OnStep, which: int) -> OnStep:
    """Tells of the first or second pass as half of all steps."""
    if on_step is None:
        return None
    tell = on_step
    return lambda info: tell(replace(info, step=info.step + which * info.steps, steps=2 * info.steps))
