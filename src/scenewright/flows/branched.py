"""Scenes of one instance each, for the multi-instance sampler (`backbone.branches`).

Branch 0 of a picture is its scene; branch i is one instance alone, whose phrase is the prompt (Wang et al.
2024, InstanceDiffusion, section 3.4). Pictures of a batch may have different numbers of branches.

Letters: R rows (pictures times branches), h w latent cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as nnf

from scenewright.backbone.call import Conditioning, Rows
from scenewright.condition.semantic import SemanticControl
from scenewright.errors import InputError
from scenewright.scene.boxes import Box

if TYPE_CHECKING:
    from scenewright.flows.options import GenerateOptions, Merge
    from scenewright.scene import Instance, Scene

MOST_ROWS = 32
"""Rows that the network is shown at once when pictures have branches, or are rounds of one picture."""


def check_branches(adapter: nn.Module | None, options: GenerateOptions) -> None:
    """Raises InputError when instances are to be sampled apart without anything that places them."""
    if options.mis and (adapter is None or isinstance(adapter, SemanticControl)):
        raise InputError(
            f"mis is {options.mis:g}, but the model has no adapter that places instances",
            "take one that has, such as nano+gligen, or leave --mis out",
        )


def alone(scene: Scene, instance: Instance) -> Scene:
    """The scene of one instance: its phrase is the prompt."""
    return scene.replace(prompt=instance.phrase, instances=(instance,), semantic_map=None)


def branch_scenes(scenes: Sequence[Scene], dropped: Sequence[Sequence[str]]) -> list[list[Scene]]:
    """For every picture the scenes of its further branches: located instances that found a slot."""
    return [
        [alone(scene, one) for one in scene.instances if one.location_box is not None and one.id not in left]
        for scene, left in zip(scenes, dropped, strict=True)
    ]


def woven(main: Conditioning, others: Conditioning | None, counts: Sequence[int]) -> Conditioning:
    """Rows in the order of `Rows.branched`: of `main` the picture's, then its own of `others`."""
    if others is None:
        return main
    order, after = [], main.rows
    for b, count in enumerate(counts):
        order += [b, *range(after, after + count)]
        after += count
    return Conditioning.cat([main, others]).take(order)


def rows_of(counts: Sequence[int]) -> Rows:
    """Rows for pictures with `counts` branches beside the whole."""
    return Rows.branched([1 + count for count in counts])


def merge_weights(
    branches: Sequence[Sequence[Scene]], merge: Merge, size_hw: tuple[int, int]
) -> Tensor | None:
    """[R, 1, h, w]: how much a branch counts in each of `size_hw` latent cells; None for the mean.

    The whole picture counts 1 everywhere, an instance by the share of the cell that it covers: its box, or
    with "mask" its mask where it has one. Beside instances the whole picture stays as it is.
    """
    if merge == "mean":
        return None
    maps = []
    for others in branches:
        maps.append(torch.ones(1, *size_hw))
        maps += [cover(_area(one.instances[0], one, merge), size_hw) for one in others]
    return torch.stack(maps)


def cover(area_HW: NDArray[np.bool_], size_hw: tuple[int, int]) -> Tensor:
    """[1, h, w]: the share of each latent cell that an area of the canvas covers."""
    area_11HW = torch.from_numpy(area_HW.astype(np.float32))[None, None]
    return nnf.adaptive_avg_pool2d(area_11HW, size_hw)[0]


def _area(instance: Instance, scene: Scene, merge: Merge) -> NDArray[np.bool_]:
    if merge == "mask" and instance.mask is not None and not instance.mask.is_empty:
        return instance.mask.array()
    box = instance.location_box or Box(0, 0, 1, 1)
    return box_area(box, scene.size_wh)


def box_area(box: Box, size_wh: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels [H, W] that a box touches: at least one."""
    width, height = size_wh
    x0, y0, x1, y1 = box.to_xyxy_px(size_wh)
    found = np.zeros((height, width), dtype=bool)
    found[int(y0) : max(int(y0) + 1, int(np.ceil(y1))), int(x0) : max(int(x0) + 1, int(np.ceil(x1)))] = True
    return found
