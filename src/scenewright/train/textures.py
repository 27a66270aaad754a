"""Training the detector's network for textures, alone, beside a finished detector.

Textures take many times more examples than classes and colours do. This network is small and sees pixels
only, so it learns from four times as many pictures in the same time, from boxes chosen so that all textures
are frequent. The export puts it into the detector, and fits how much each opinion is worth.

Letters: B pictures, H W pixels, R boxes per picture, N boxes, K textures with "plain" first, 4 corners.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as nnf

from scenewright.errors import InputError
from scenewright.models.judges.detector import Detector
from scenewright.models.judges.layers import signal
from scenewright.models.judges.store import load_judge, save_judge
from scenewright.models.judges.textures import TextureReader
from scenewright.train.annotated import CHECK_SEED, Annotated, AnnotatedSource, open_annotated
from scenewright.train.augment import Disturbance, disturbed
from scenewright.train.ceilings import drawn_held_out
from scenewright.train.data import stream_rng
from scenewright.train.detector import toy_labels
from scenewright.train.optimise import parameter_groups
from scenewright.train.progress import say
from scenewright.train.targets import shaken, truth
from scenewright.train.toy_figures import detector_figures, detector_sheet

if TYPE_CHECKING:
    from scenewright.train.recipe import LoopConfig


@dataclass(frozen=True, kw_only=True)
class TextureTraining:
    """The network, what it sees, and the detector that it is put into."""

    detector: Path = Path("runs/out/judge-detector/export/detector.safetensors")
    width: int = 64
    sources: tuple[AnnotatedSource, ...] = (
        AnnotatedSource(count=12_000, things=(3, 8), first_seed=2_500_000),
        AnnotatedSource(count=12_000, things=(1, 5)),
    )
    disturbance: Disturbance = field(default_factory=lambda: Disturbance(blur=0.7, coarse=0.15, noise=0.04))
    cut: float = 0.2  # share of pictures of which a part is enlarged
    boxes: int = 10  # per picture, around things
    plain: float = 0.35  # how often plain things are chosen, relative to the others
    plain_weight: float = 0.3  # of their loss: what is asked for has a texture far more often than not
    cache: Path = Path("runs/out/judge-cache")
    checked: int = 400  # pictures of the validation and of the fit
    held_out: int = 1000  # pictures of the frozen set toybox-1 for the ceilings

    def build(self, loop: LoopConfig) -> TextureTask:
        """The task of this configuration."""
        return TextureTask(self, loop)


class TextureTask:
    """See `TextureTraining`; `export` writes the whole detector."""

    def __init__(self, config: TextureTraining, loop: LoopConfig) -> None:
        self.config, self.loop = config, loop
        self.net = TextureReader(config.width, len(toy_labels()["textures"]) + 1)
        self.modules = {"textures": self.net}
        self.pictures: Annotated
        self.check: Annotated

    def prepare(self, device: torch.device, dtype: torch.dtype) -> None:
        """Draws or maps the pictures; from here on denormal numbers count as 0."""
        torch.set_flush_denormal(True)  # they cost far more time than they say
        source = replace(self.config.sources[0], count=self.config.checked, first_seed=CHECK_SEED + 3000)
        self.pictures = open_annotated(self.config.sources, self.config.cache, say)
        self.check = open_annotated([source], self.config.cache, say)

    def groups(self) -> list[dict[str, Any]]:
        """Weight decay for matrices only."""
        return parameter_groups(self.modules)

    def batch(self, step: int, rank: int, size: int) -> dict[str, Tensor]:
        """image_BHW3, uint8; boxes_BR4 in pixels around things, and texture_BR of these: 0 plain, -1 none."""
        rng = stream_rng(self.loop.seed, "textures", step, rank)
        index_B = rng.integers(len(self.pictures), size=self.loop.batch_size)
        found = truth(self.pictures, index_B, self.config.cut, rng)
        boxes_BR4 = np.zeros((len(index_B), self.config.boxes, 4), np.float32)
        texture_BR = np.full((len(index_B), self.config.boxes), -1)
        for b in range(len(index_B)):
            real = np.flatnonzero(found.class_BG[b] >= 0)
            if len(real):
                wish = np.where(found.texture_BG[b, real] >= 0, 1.0, self.config.plain)
                chosen = rng.choice(real, size=self.config.boxes, p=wish / wish.sum())
                boxes_BR4[b] = shaken(found.true_BG4[b, chosen], rng, 0.6)
                texture_BR[b] = found.texture_BG[b, chosen] + 1
        arrays = {"image_BHW3": found.images_BHW3, "boxes_BR4": boxes_BR4, "texture_BR": texture_BR}
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def loss(self, batch: dict[str, Tensor], generator: torch.Generator) -> tuple[Tensor, dict[str, Any]]:
        """Cross entropy of the textures, and the share of right ones among things that have one."""
        image_B3HW = disturbed(signal(batch["image_BHW3"]), self.config.disturbance, generator)
        logits_BRK = self.net.read(self.net.look(image_B3HW), batch["boxes_BR4"], image_B3HW.shape[2:])
        real_BR = batch["texture_BR"] >= 0
        logits_NK, texture_N = logits_BRK[real_BR], batch["texture_BR"][real_BR]
        weight_K = torch.ones_like(logits_NK[0])
        weight_K[0] = self.config.plain_weight
        right = (logits_NK.argmax(1) == texture_N)[texture_N > 0].float().mean()
        return nnf.cross_entropy(logits_NK, texture_N, weight=weight_K), {"right": right.detach()}

    def validate(self, step: int, out: Path) -> dict[str, float]:
        """See `texture_figures`: of this network alone, on true boxes."""
        own_NK, _, texture_N = self._opinions(None)
        return texture_figures(own_NK, texture_N)

    @torch.no_grad()
    def _opinions(self, detector: Detector | None) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of this network and of the detector (none: zeros) on the things of the validation's
        pictures, and their textures."""
        device = next(self.net.parameters()).device
        own: list[Tensor] = []
        first: list[Tensor] = []
        for index, item in enumerate(self.check.items):
            image_13HW = signal(torch.from_numpy(self.check.images(np.array([index])))).to(device)
            size_hw = image_13HW.shape[2:]
            boxes_1R4 = torch.tensor([item.boxes], device=device) * size_hw[0]
            own.append(self.net.read(self.net.look(image_13HW), boxes_1R4, size_hw)[0])
            if detector is not None:
                first.append(detector.read(detector.maps(image_13HW), boxes_1R4).textures_BRK[0])
        own_NK = torch.cat(own)
        first_NK = torch.cat(first) if first else torch.zeros_like(own_NK)
        texture_N = torch.tensor([texture + 1 for item in self.check.items for texture in item.textures])
        return own_NK.cpu(), first_NK.cpu(), texture_N

    def export(self, folder: Path) -> None:
        """``detector.safetensors``: the detector with this network in it, and its ceilings on toybox-1."""
        given = load_judge(self.config.detector, kind="detector")
        if given.net.textures is not None:
            raise InputError(f"{self.config.detector} has a network for textures already")
        device = next(self.net.parameters()).device
        with torch.autocast(device.type, enabled=False):
            own_NK, first_NK, texture_N = self._opinions(given.net.to(device))
            mix = fitted_mix(first_NK, own_NK, texture_N, self.config.plain_weight)
            net = Detector(replace(given.net.config, grain=self.config.width), given.net.labels).to(device)
            own = {f"textures.{key}": value for key, value in self.net.state_dict().items()}
            net.load_state_dict({**given.net.state_dict(), **own, "textures.mix": mix.to(device)})
            net.requires_grad_(False).eval()
            drawn = list(drawn_held_out("toybox-1", self.config.held_out))
            ceilings, found = detector_figures(net, drawn)
        detector_sheet(drawn[:16], found[:16], folder / "held-out.png")
        save_judge(
            folder / "detector.safetensors",
            net,
            kind="detector",
            config=net.config,
            labels=net.labels,
            notes={**given.header.notes, "textures": self._notes()},
            ceilings={key: round(value, 4) for key, value in ceilings.items()},
        )

    def _notes(self) -> dict[str, Any]:
        return {
            "recipe": "judge-textures",
            "samples": self.loop.steps * self.loop.batch_size * self.loop.accumulate,
            "seed": self.loop.seed,
            "pictures": [asdict(source) for source in self.config.sources],
        }


def texture_figures(logits_NK: Tensor, texture_N: Tensor) -> dict[str, float]:
    """texture: share of right ones among things that have one; named: the same if plain is no answer; plain:
    share of right ones among plain things."""
    said_N, named_N = logits_NK.argmax(1), logits_NK[:, 1:].argmax(1) + 1
    some_N = texture_N > 0
    return {
        "texture": _mean((said_N == texture_N)[some_N]),
        "named": _mean((named_N == texture_N)[some_N]),
        "plain": _mean((said_N == 0)[~some_N]),
    }


def _mean(values: Tensor) -> float:
    return float(values.float().mean()) if len(values) else 0.0


def fitted_mix(first_NK: Tensor, own_NK: Tensor, texture_N: Tensor, plain_weight: float) -> Tensor:
    """Factors of the two opinions and the shift of plain that minimise the log loss: [3]."""
    weight_K = torch.ones(own_NK.shape[1])
    weight_K[0] = plain_weight
    mix = torch.tensor([0.5, 0.5, 0.0], requires_grad=True)
    search = torch.optim.LBFGS([mix], max_iter=60, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        search.zero_grad()
        both_NK = mix[0] * first_NK + mix[1] * own_NK
        both_NK = both_NK + nnf.pad(mix[2:], (0, both_NK.shape[1] - 1))
        value = nnf.cross_entropy(both_NK, texture_N, weight=weight_K)
        value.backward()
        return value

    with torch.enable_grad():
        search.step(loss)
    return mix.detach()
