"""Rounds of one picture: the same noise, another scene each time, and what did not change is kept.

Without `keep` this is the iterative generation of InstanceDiffusion (Wang et al. 2024): same seed, noise and
settings, only the instances change, and most of the picture changes with them. With it, cells away from the
old and new places of what changed are those of the round before (`backbone.hold`), at every step.

Letters: B rounds, H W pixels, h w latent cells.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as nnf

from scenewright.backbone.call import Edit
from scenewright.backbone.hold import hold
from scenewright.backbone.latents import encode
from scenewright.backbone.noise import Noise
from scenewright.backbone.paste import paste
from scenewright.errors import InputError
from scenewright.flows.branched import cover
from scenewright.flows.generate import Unfit, render
from scenewright.flows.provenance import differences, provenance
from scenewright.scene import Record, Scene
from scenewright.scene.edits import changed, region

if TYPE_CHECKING:
    from scenewright.backbone.loop import StepInfo
    from scenewright.backbone.model import Backbone
    from scenewright.flows.ground import Grounder
    from scenewright.flows.options import GenerateOptions
    from scenewright.models.bundle import Bundle

MARGIN = 1
"""Latent cells around what changed that are free to change as well."""

SEEN = 8
"""A pixel counts as changed when a channel differs by more than this, of 255."""

MOST_ROUNDS = 64
"""Rounds that are drawn together at most."""


@dataclass(frozen=True)
class Round:
    """One scene of a picture's history; `keep` is the share of the steps in which what did not change is
    held to the round before (1: all of them and the result), `words` what changed."""

    scene: Scene
    keep: float = 1.0
    words: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Rounds:
    """Scenes of one size, drawn from the noise of `seed`, and how the first of them is known.

    `known` is a finished picture [H, W, 3] that the first round must show; None draws the first round.
    """

    rounds: tuple[Round, ...]
    seed: int
    known: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        sizes = {one.scene.size_wh for one in self.rounds}
        if len(sizes) != 1:
            raise InputError(
                f"rounds of {len(sizes)} sizes; expected one size", "--size brings all to the same"
            )
        if len(self.rounds) > MOST_ROUNDS:
            raise InputError(
                f"{len(self.rounds)} rounds; at most {MOST_ROUNDS} are drawn together",
                "go on from the last picture as a new one: save it with another program, without its record",
            )

    @property
    def scenes(self) -> list[Scene]:
        """The scenes, in order, with the seed."""
        return [one.scene.replace(seed=self.seed) for one in self.rounds]

    def facts(self, k: int) -> dict[str, Any]:
        """What the record of round `k` says about the rounds before it; empty for the first."""
        if k == 0 and self.known is None:
            return {}
        past = zip(self.scenes[:k], self.rounds[:k], strict=True)
        history = [{"scene": scene.to_json(), "keep": float(one.keep)} for scene, one in past]
        start = "seed" if self.known is None else _digest(self.known.tobytes())
        told = {
            "changes": list(self.rounds[k].words),
            "keep": float(self.rounds[k].keep),
            "start": start,
            "before": _digest(json.dumps(history, sort_keys=True).encode()),
        }
        return {"edit": told, "history": history}


def chained(scenes: Sequence[Scene], keep: float) -> tuple[Round, ...]:
    """Rounds of scenes that were written by hand: what changed is found by comparing them."""
    if not 0 <= keep <= 1:
        raise InputError(f"keep is {keep}; expected a share of the steps from 0 to 1", "1 keeps all of it")
    rounds = [Round(scenes[0])]
    rounds += [Round(new, keep, changed(old, new)) for old, new in pairwise(scenes)]
    return tuple(rounds)


def begun(record: Record, bundle: Bundle, options: GenerateOptions) -> tuple[Rounds, tuple[str, ...]]:
    """A record as the first rounds of a chain, and notes about it.

    A record that this model makes again out of its scene, seed and history is drawn along, so that every
    step is known; any other picture is encoded, and noised to every step's level.
    """
    made = record.provenance
    seed = int(made.get("seed", record.scene.auto_seed() if record.scene.seed is None else record.scene.seed))
    other: list[str] = []
    if "steps" in made:
        asked = provenance(bundle, options, record.scene, seed)
        other = differences(dict(made), asked, ("grounding", "edit", "history"))
    edit = made.get("edit", {})
    if "steps" in made and not other and edit.get("start", "seed") == "seed":
        past = [Round(Scene.from_json(one["scene"]), float(one["keep"])) for one in made.get("history", [])]
        last = Round(record.scene, float(edit.get("keep", 1.0)), tuple(edit.get("changes", ())))
        return Rounds((*past, last), seed), ()
    why = f"it was made with {other[0]}" if other and "steps" in made else "it is a finished picture"
    note = f"{why}: it is kept through the autoencoder, and not drawn again"
    return Rounds((Round(record.scene),), seed, record.image), (note,)


def draw(
    bundle: Bundle,
    rounds: Rounds,
    options: GenerateOptions,
    on_step: Callable[[StepInfo], None] | None = None,
    *,
    ground: Grounder | None = None,
) -> list[Record]:
    """The record of every round; from the second on with `scores["edit"]` (see `compared`) and, in its
    provenance, the rounds before it.

    Raises InputError when scenes and model do not fit together, `Unfit` for numbers that are no picture.
    """
    backbone = bundle.backbone
    width, height = rounds.rounds[0].scene.size_wh
    keep_B1hw = kept_cells(rounds, (height // backbone.stride, width // backbone.stride))
    edits_of = _edits(rounds, keep_B1hw, backbone)
    seeds = [rounds.seed] * len(rounds.rounds)
    made = render(bundle, rounds.scenes, seeds, options, on_step, ground=ground, edits_of=edits_of)
    records: list[Record] = []
    for k, record in enumerate(made):
        if isinstance(record, Unfit):
            raise record
        facts = {**record.provenance, **rounds.facts(k)}
        scores = dict(record.scores)
        if k:
            before = made[k - 1]
            assert isinstance(before, Record)
            free_HW = free_pixels(keep_B1hw[k, 0], record.size_hw)
            scores["edit"] = compared(before.image, record.image, free_HW)
        records.append(record.replace(provenance=facts, scores=scores))
    return records


def kept_cells(rounds: Rounds, size_hw: tuple[int, int]) -> Tensor:
    """[B, 1, h, w]: 1 where a round keeps what the one before shows; the first keeps nothing."""
    keep_B1hw = torch.zeros(len(rounds.rounds), 1, *size_hw)
    for k in range(1, len(rounds.rounds)):
        area_HW = region(rounds.rounds[k - 1].scene, rounds.rounds[k].scene)
        touched_11hw = (cover(area_HW, size_hw) > 0).float()[None]
        free_11hw = nnf.max_pool2d(touched_11hw, 2 * MARGIN + 1, stride=1, padding=MARGIN)
        keep_B1hw[k] = 1 - free_11hw[0]
    return keep_B1hw


def free_pixels(keep_hw: Tensor, size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels [H, W] of the cells that are not kept."""
    grown = nnf.interpolate(keep_hw[None, None], size=size_hw, mode="nearest")[0, 0]
    found: NDArray[np.bool_] = (grown < 1).numpy()
    return found


def compared(
    before_HW3: NDArray[np.uint8], after_HW3: NDArray[np.uint8], free_HW: NDArray[np.bool_]
) -> dict[str, Any]:
    """How much a picture changed: ``free`` the share of it that was free to, and for the pixels ``inside``
    and ``outside`` of that the mean difference (0 to 255) and the share of pixels that visibly ``changed``.

    A place without pixels has None.
    """
    gap_HW3 = np.abs(before_HW3.astype(np.int16) - after_HW3.astype(np.int16))
    found: dict[str, Any] = {"free": round(float(free_HW.mean()), 4)}
    for name, where_HW in (("inside", free_HW), ("outside", ~free_HW)):
        gap_P3 = gap_HW3[where_HW]
        found[name] = (
            {
                "mean": round(float(gap_P3.mean()), 3),
                "changed": round(float((gap_P3.max(axis=1) > SEEN).mean()), 4),
            }
            if len(gap_P3)
            else None
        )
    return found


def _edits(
    rounds: Rounds, keep_B1hw: Tensor, backbone: Backbone
) -> Callable[[Noise, Tensor], Sequence[Edit]] | None:
    """What is done to the latents of all rounds at the start of every step."""
    if len(rounds.rounds) == 1 and rounds.known is None:
        return None
    held = hold(keep_B1hw, [one.keep for one in rounds.rounds])

    def edits(noise: Noise, unit_BChw: Tensor) -> Sequence[Edit]:
        if rounds.known is None:
            return (held,)
        image_1CHW = torch.from_numpy(rounds.known).permute(2, 0, 1)[None].float() / 127.5 - 1
        known_BChw = encode(backbone, image_1CHW).expand_as(unit_BChw)
        first_B1hw = torch.zeros_like(keep_B1hw)
        first_B1hw[0] = 1
        return paste(noise, known_BChw, first_B1hw, lambda step: unit_BChw), held

    return edits


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
