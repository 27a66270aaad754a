"""Scenes in, pictures out: the page to read first.

scene -> text and layout (`condition`) -> noise per seed -> the one loop with guidance and gates -> pictures.
With ``options.mis`` every instance has a latent of its own at first (`flows.branched`).
Scenes of one size are sampled together, each with its own layout and seed.

Letters: B pictures, C latent channels, h w latent cells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from scenewright.backbone.branches import sample_branches
from scenewright.backbone.call import Conditioning, Edit
from scenewright.backbone.guidance import gate_schedule, gated, guided
from scenewright.backbone.latents import decode, initial
from scenewright.backbone.loop import StepInfo
from scenewright.backbone.network import chunked, network
from scenewright.backbone.noise import Noise
from scenewright.backbone.schedulers import make_scheduler
from scenewright.backbone.text import embed
from scenewright.errors import InputError, ScenewrightError
from scenewright.flows.branched import (
    MOST_ROWS,
    branch_scenes,
    check_branches,
    merge_weights,
    rows_of,
    woven,
)
from scenewright.flows.layouts import attach, beside, layout_of
from scenewright.flows.options import GenerateOptions
from scenewright.flows.provenance import provenance
from scenewright.flows.windows import check_whole, in_windows
from scenewright.scene import Record

if TYPE_CHECKING:
    from scenewright.backbone.model import Backbone
    from scenewright.flows.ground import Grounder, Listen
    from scenewright.models.bundle import Bundle
    from scenewright.scene import Scene

__all__ = ["GenerateOptions", "Sampled", "batches", "condition", "generate", "latents", "pictures", "render"]


EditsOf = Callable[[Noise, Tensor], Sequence[Edit]]
"""Edits of a run, from its noise and the unit noise z_BChw that its pictures start from."""


class Unfit(ScenewrightError):
    """Sampling gave numbers that are no picture (overflow of a half-precision number, absurd guidance)."""


@dataclass(frozen=True)
class Sampled:
    """Latents z_BChw, and for every picture the ids of the instances that found no slot."""

    z_BChw: Tensor
    dropped: tuple[tuple[str, ...], ...]


def condition(
    backbone: Backbone, adapter: nn.Module | None, scenes: Sequence[Scene], options: GenerateOptions
) -> tuple[Conditioning, Conditioning, tuple[tuple[str, ...], ...]]:
    """Conditioning of the scenes, of their negative halves (negative text, null layout); dropped ids.

    With `options.null_layout` both halves get the null layout.
    """
    text_BLD = embed(backbone, [scene.prompt for scene in scenes]).tokens_BLD
    none_BLD = embed(backbone, [negative_of(scene, options) for scene in scenes]).tokens_BLD
    if adapter is None:
        return Conditioning(text_BLD), Conditioning(none_BLD), ((),) * len(scenes)
    layout = layout_of(adapter, backbone, scenes, options)
    own = layout.null if options.null_layout else layout.grounding
    negative = Conditioning(none_BLD, layout.null, layout.null_extra)
    return Conditioning(text_BLD, own, layout.extra), negative, layout.dropped


def negative_of(scene: Scene, options: GenerateOptions) -> str:
    """The negative prompt of a scene: its own, else that of the options."""
    return options.negative if scene.negative is None else scene.negative


def latents(
    backbone: Backbone,
    adapter: nn.Module | None,
    scenes: Sequence[Scene],
    seeds: Sequence[int],
    options: GenerateOptions,
    *,
    attached: bool = False,
    on_step: Callable[[StepInfo], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Tensor:
    """Latents z_BChw of scenes of one size, sampled together. `attached`: the adapter is already in place."""
    return sampled(
        backbone, adapter, scenes, seeds, options, attached=attached, on_step=on_step, should_stop=should_stop
    ).z_BChw


def sampled(
    backbone: Backbone,
    adapter: nn.Module | None,
    scenes: Sequence[Scene],
    seeds: Sequence[int],
    options: GenerateOptions,
    *,
    attached: bool = False,
    listen: Listen | None = None,
    edits_of: EditsOf | None = None,
    on_step: Callable[[StepInfo], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Sampled:
    """As `latents`, with what found no place in the layout.

    `listen` may wrap the network before guidance does; `edits_of` gives edits of the run. `on_step` is told
    about every evaluation, `should_stop` is asked before it (a true answer raises `backbone.loop.Stopped`).
    Raises InputError when sizes, seeds or the number of instances do not fit.
    """
    _check(backbone, scenes, seeds)
    check_branches(adapter, options)
    if listen is not None or edits_of is not None:
        check_whole(options, "masks" if listen is not None else "edits")
    width, height = scenes[0].size_wh
    shape = (backbone.channels, height // backbone.stride, width // backbone.stride)
    scheduler = backbone.scheduler
    if options.scheduler:
        scheduler = make_scheduler(options.scheduler, scheduler)
    with torch.no_grad():
        cond, negative, dropped = condition(backbone, adapter, scenes, options)
        branches = branch_scenes(scenes, dropped) if options.mis else [[] for _ in scenes]
        single = [one for others in branches for one in others]
        alone = condition(backbone, adapter, single, options)[0] if single else None
    noise = Noise(scheduler, options.steps)
    unit_BChw = initial(seeds, shape, backbone.device)
    denoise = network(backbone.unet, beside(adapter))
    if listen is not None:
        denoise = listen(denoise, noise, negative)
    if single or edits_of:
        denoise = chunked(denoise, max(MOST_ROWS, 2 * options.batch))
    if adapter is not None:
        denoise = gated(denoise, gate_schedule(noise.steps, options.gate))
    if options.windows:
        denoise = in_windows(denoise, backbone, adapter, options)
    denoise = guided(denoise, options.guidance, negative)
    generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds] if noise.draws else None
    counts = [len(others) for others in branches]
    place: Any = nullcontext() if adapter is None or attached else attach(adapter, backbone.unet, options)
    with place:
        z_BChw = sample_branches(
            denoise, noise, noise.start(unit_BChw), woven(cond, alone, counts), rows_of(counts), options.mis,
            weight_R1hw=merge_weights(branches, options.merge, shape[1:]),
            generators=generators, edits=edits_of(noise, unit_BChw) if edits_of else (),
            on_step=on_step, should_stop=should_stop,
        )  # fmt: skip
    return Sampled(z_BChw, dropped)


def pictures(
    backbone: Backbone,
    adapter: nn.Module | None,
    scenes: Sequence[Scene],
    seeds: Sequence[int],
    options: GenerateOptions,
    *,
    attached: bool = False,
) -> list[NDArray[np.uint8]]:
    """Pictures HW3 of scenes of one size, in batches of `options.batch`."""
    found: list[NDArray[np.uint8]] = []
    for start in range(0, len(scenes), options.batch):
        part = slice(start, start + options.batch)
        z_BChw = latents(backbone, adapter, scenes[part], seeds[part], options, attached=attached)
        found.extend(decode(backbone, z_BChw))
    return found


def batches(scenes: Sequence[Scene], size: int) -> list[tuple[int, ...]]:
    """Places of the scenes that are sampled together: of one size, `size` at most, in order.

    What is in a batch depends on the scenes alone, never on what is already done.
    """
    groups: dict[tuple[int, int], list[int]] = {}
    for index, scene in enumerate(scenes):
        groups.setdefault(scene.size_wh, []).append(index)
    return [tuple(g[k : k + size]) for g in groups.values() for k in range(0, len(g), size)]


def render(
    bundle: Bundle,
    scenes: Sequence[Scene],
    seeds: Sequence[int],
    options: GenerateOptions,
    on_step: Callable[[StepInfo], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    *,
    ground: Grounder | None = None,
    edits_of: EditsOf | None = None,
) -> list[Record | Unfit]:
    """One batch: the record of each scene, in order; `Unfit` in place of one that came to nothing.

    The scene of a record has the seed it was made with, so that it leads to the same picture again. With
    `ground` the records have masks, out of the same run.
    """
    from scenewright.flows.fusion import fused, shrunk

    adapter: Any = bundle.adapter if options.layout else None
    listener = None if ground is None else ground.listener()
    with listener or nullcontext():
        draw = fused if options.fusion > 1 else sampled
        done = draw(
            bundle.backbone, adapter, scenes, seeds, options,
            listen=listener, edits_of=edits_of, on_step=on_step, should_stop=should_stop,
        )  # fmt: skip
    fine_B = torch.isfinite(done.z_BChw).flatten(1).all(1).tolist()
    image_BHW3 = decode(bundle.backbone, torch.nan_to_num(done.z_BChw))
    if options.fusion > 1:
        image_BHW3 = shrunk(image_BHW3, scenes[0].size_wh)
    found: list[Record | Unfit] = []
    for b, (scene, seed) in enumerate(zip(scenes, seeds, strict=True)):
        if not fine_B[b]:
            words = "sampling gave numbers that are no picture"
            found.append(Unfit(words, "try a lower --guidance, or --dtype float32"))
            continue
        facts = provenance(bundle, options, scene, seed, ground)
        if done.dropped[b]:
            facts["dropped"] = list(done.dropped[b])
        found.append(Record(image_BHW3[b], scene.replace(seed=seed), provenance=facts))
    if ground is None or listener is None or not any(fine_B):
        return found
    rows = [b for b, fine in enumerate(fine_B) if fine]
    made = [one for one in found if isinstance(one, Record)]
    masked = dict(zip(rows, ground.grounded(made, listener.heard(rows)), strict=True))
    return [masked.get(b, one) for b, one in enumerate(found)]


def generate(
    bundle: Bundle,
    scenes: Sequence[Scene],
    seeds: Sequence[int],
    options: GenerateOptions,
    on_progress: Callable[[float, int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    *,
    ground: Grounder | None = None,
) -> Iterator[Record]:
    """A record for each scene, in their order; sizes may differ. With `ground` they have masks.

    `on_progress` is told (pictures done, pictures in all) after every step. Raises InputError when scenes,
    seeds and model do not fit together, `Unfit` for numbers that are no picture, Stopped.
    """
    ready: dict[int, Record] = {}
    finished, upcoming = 0, 0
    for members in batches(scenes, options.batch):
        tell = stepwise(on_progress, finished, len(members), len(scenes))
        part = [scenes[k] for k in members], [seeds[k] for k in members]
        made = render(bundle, *part, options, tell, should_stop, ground=ground)
        for k, record in zip(members, made, strict=True):
            if isinstance(record, Unfit):
                raise record
            ready[k] = record
        finished += len(members)
        while upcoming in ready:
            yield ready.pop(upcoming)
            upcoming += 1


def stepwise(
    on_progress: Callable[[float, int], None] | None, before: int, size: int, total: int
) -> Callable[[StepInfo], None] | None:
    """Turns steps of a batch of `size` after `before` finished pictures into (pictures done, total)."""
    if on_progress is None:
        return None
    tell = on_progress
    return lambda info: tell(before + size * (info.step + 1) / info.steps, total)


def _check(backbone: Backbone, scenes: Sequence[Scene], seeds: Sequence[int]) -> None:
    if len(seeds) != len(scenes) or not scenes:
        raise InputError(f"{len(seeds)} seeds for {len(scenes)} scenes", "give one seed per scene")
    check_size(backbone, scenes[0].size_wh)
    for scene in scenes:
        if scene.size_wh != scenes[0].size_wh:
            raise InputError(f"scenes of {scenes[0].size_wh} and {scene.size_wh} cannot be sampled together")


def check_size(backbone: Backbone, size_wh: tuple[int, int]) -> None:
    """Raises InputError unless both sides are multiples of the backbone's stride."""
    width, height = size_wh
    if width % backbone.stride or height % backbone.stride:
        raise InputError(
            f"size {width}x{height}: {backbone.name} draws multiples of {backbone.stride} pixels",
            "Transform.fit brings a scene to another size; on the command line --size does",
        )
