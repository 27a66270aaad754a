"""Training the look classifier: six looks of the town, and how sure one can be.

Renders are told apart without any doubt, so a classifier of renders alone would never have one. Half of the
training pictures are therefore mixtures of two streets, with the shares as the answer (Zhang et al., "mixup:
Beyond Empirical Risk Minimization", 2018), and the temperature of the softmax is fitted on such mixtures.

Letters: B pictures, H W pixels, K looks.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as nnf

from scenewright.models.judges.looks import LooksConfig, LooksNet
from scenewright.models.judges.pictures import as_signal, resized
from scenewright.models.judges.store import save_judge
from scenewright.train.annotated import CHECK_SEED, Annotated, AnnotatedSource, open_annotated
from scenewright.train.augment import Disturbance, disturbed
from scenewright.train.ceilings import calibration_error, drawn_held_out
from scenewright.train.data import stream_rng
from scenewright.train.optimise import parameter_groups
from scenewright.train.progress import say
from scenewright.world.town import LOOKS

if TYPE_CHECKING:
    from scenewright.train.recipe import LoopConfig

TOWN = AnnotatedSource(world="town", count=6000, size_wh=(192, 96))


@dataclass(frozen=True, kw_only=True)
class LooksTaskConfig:
    """The network's sizes and what it sees."""

    net: LooksConfig = field(default_factory=LooksConfig)
    source: AnnotatedSource = TOWN
    cache: Path = Path("runs/out/judge-cache")
    disturbance: Disturbance = field(default_factory=Disturbance)
    probe: int = 600  # pictures of the validation
    held_out: int = 1000  # pictures of the frozen set town-1 for the ceilings

    def build(self, loop: LoopConfig) -> LooksTask:
        """The task of this configuration."""
        return LooksTask(self, loop)


class LooksTask:
    """Classification of whole pictures; `export` fits the temperature and measures the ceilings."""

    def __init__(self, config: LooksTaskConfig, loop: LoopConfig) -> None:
        self.config, self.loop = config, loop
        self.net = LooksNet(config.net, LOOKS)
        self.modules = {"net": self.net}
        self.device = torch.device("cpu")

    def prepare(self, device: torch.device, dtype: torch.dtype) -> None:
        """Draws or maps the pictures."""
        config, self.device = self.config, device
        probe = replace(config.source, first_seed=CHECK_SEED, count=config.probe)
        self.pictures = open_annotated([config.source], config.cache, say)
        self.probe = open_annotated([probe], config.cache, say)

    def groups(self) -> list[dict[str, Any]]:
        """Weight decay for kernels only."""
        return parameter_groups(self.modules)

    def batch(self, step: int, rank: int, size: int) -> dict[str, Tensor]:
        """image_BHW3 (uint8), half of them mirrored, and look_B."""
        rng = stream_rng(self.loop.seed, "looks", step, rank)
        index_B = rng.integers(len(self.pictures), size=self.loop.batch_size)
        images_BHW3 = self.pictures.images(index_B)
        flipped_B = rng.random(len(index_B)) < 0.5
        images_BHW3[flipped_B] = images_BHW3[flipped_B, :, ::-1]
        return {"images": torch.from_numpy(images_BHW3), "looks": _looks(self.pictures, index_B)}

    def loss(self, batch: dict[str, Tensor], generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """Cross-entropy of the look, or of the shares of two looks in the mixtures."""
        signal_BCHW = batch["images"].permute(0, 3, 1, 2).contiguous().float() / 127.5 - 1.0
        signal_BCHW = resized(signal_BCHW, self.config.net.size_wh)
        image_BCHW = disturbed(signal_BCHW, self.config.disturbance, generator)
        image_BCHW, share_BK = mixed(image_BCHW, batch["looks"], generator)
        logits_BK = self.net(image_BCHW).float()
        right = (logits_BK.argmax(1) == share_BK.argmax(1)).float().mean()
        return nnf.cross_entropy(logits_BK, share_BK), {"right": float(right)}

    def validate(self, step: int, out: Path) -> dict[str, float]:
        """Accuracy and mean log-loss on the validation pictures, and a sheet of the least sure ones."""
        from scenewright.scene.draw import contact_sheet
        from scenewright.scene.io import write_png

        logits_NK, look_N = self._probe()
        right = float((logits_NK.argmax(1) == look_N).float().mean())
        worst = logits_NK.softmax(1).gather(1, look_N[:, None])[:, 0].argsort()[:12].numpy()
        verdicts = self.net.looks(list(self.probe.images(worst)))
        captions = [
            f"{self.probe.items[i].look}: {verdict.name} {verdict.sure:.2f}"
            for i, verdict in zip(worst, verdicts, strict=True)
        ]
        write_png(out / "least-sure.png", contact_sheet(list(self.probe.images(worst)), captions, columns=4))
        return {"right": right, "log_loss": float(nnf.cross_entropy(logits_NK, look_N))}

    def _probe(self) -> tuple[Tensor, Tensor]:
        index_N = np.arange(len(self.probe))
        images = [as_signal(self.probe.images(index_N[k : k + 64])) for k in range(0, len(index_N), 64)]
        rows = [self.net(resized(part, self.config.net.size_wh).to(self.device)) for part in images]
        return torch.cat(rows).float().cpu(), _looks(self.probe, index_N)

    def _mixtures(self) -> tuple[Tensor, Tensor]:
        """Logits of mixed validation pictures and the true shares [N,K]."""
        generator = torch.Generator().manual_seed(self.loop.seed)
        index_N, rows = np.arange(len(self.probe)), []
        for part in np.array_split(index_N, max(1, len(index_N) // 64)):
            image_BCHW = resized(as_signal(self.probe.images(part)), self.config.net.size_wh)
            image_BCHW, share_BK = mixed(image_BCHW, _looks(self.probe, part), generator)
            rows.append((self.net(image_BCHW.to(self.device)).float().cpu(), share_BK))
        return torch.cat([row[0] for row in rows]), torch.cat([row[1] for row in rows])

    def export(self, folder: Path) -> None:
        """``looks.safetensors`` with the fitted temperature and the ceilings."""
        logits_NK, share_NK = self._mixtures()
        scales = np.geomspace(0.25, 8.0, 61)
        losses = [float(nnf.cross_entropy(logits_NK / scale, share_NK)) for scale in scales]
        fitted = replace(self.config.net, temperature=round(float(scales[int(np.argmin(losses))]), 4))
        self.net.config = fitted
        source = self.config.source
        notes = {
            "recipe": "judge-looks",
            "renders": f"town, seeds {source.first_seed} to {source.first_seed + source.count - 1}",
            "samples": self.loop.steps * self.loop.batch_size,
            "seed": self.loop.seed,
            "held_out": f"town-1, first {self.config.held_out}",
        }
        save_judge(
            folder / "looks.safetensors",
            self.net,
            kind="looks",
            config=fitted,
            labels={"looks": LOOKS},
            notes=notes,
            ceilings=self.ceilings(),
        )

    def ceilings(self) -> dict[str, float]:
        """Accuracy over all and by look, and the calibration error, on the frozen set town-1."""
        drawn = list(drawn_held_out("town-1", self.config.held_out))
        verdicts = self.net.looks([one.image for one in drawn])
        looks = np.array([one.scene.style for one in drawn])
        right_N = np.array([verdict.name for verdict in verdicts]) == looks
        sure_N = np.array([verdict.sure for verdict in verdicts])
        found = {"look": float(right_N.mean()), "calibration": calibration_error(sure_N, right_N)}
        by_look = {f"look.{name}": float(right_N[looks == name].mean()) for name in sorted(set(looks))}
        return {key: round(value, 4) for key, value in {**found, **by_look}.items()}


def mixed(image_BCHW: Tensor, look_B: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The first half of the pictures, and the others blended with their mirror rows; shares [B,K] of looks.

    A blended picture keeps 50 to 100 % of itself.
    """
    rows, device = len(image_BCHW), image_BCHW.device
    keep_B = 0.5 + 0.5 * torch.rand(rows, generator=generator, device=device)
    keep_B[: rows // 2] = 1.0
    share_BK = nnf.one_hot(look_B, len(LOOKS)).float()
    blended = keep_B[:, None, None, None] * image_BCHW + (1 - keep_B)[:, None, None, None] * image_BCHW.flip(
        0
    )
    return blended, keep_B[:, None] * share_BK + (1 - keep_B)[:, None] * share_BK.flip(0)


def _looks(pictures: Annotated, index_N: np.ndarray) -> Tensor:
    return torch.tensor([LOOKS.index(pictures.items[i].look) for i in index_N])
