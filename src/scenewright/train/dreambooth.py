"""Tuning a UNet on pictures alone: how something looks, under one prompt.

Ruiz et al., "DreamBooth", CVPR 2023; used by DGInStyle (Jia et al., ECCV 2024) with an empty prompt, so that
the UNet knows how the source looks before a control is trained beside it (`train.semantic`). The whole UNet
is tuned, or low-rank additions to its attention (Hu et al., "LoRA", ICLR 2022, through the peft package),
which are merged when it is exported. Prior preservation adds pictures of another prompt, of a folder or drawn
by the model itself before it is tuned.

Letters: B batch, C latent channels, h w cells.
"""

from __future__ import annotations

import copy
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from scenewright.backbone.call import Call, Conditioning
from scenewright.backbone.latents import encode
from scenewright.backbone.load import save_folder
from scenewright.backbone.model import Backbone
from scenewright.backbone.network import network
from scenewright.backbone.noise import Noise
from scenewright.backbone.text import embed
from scenewright.errors import InputError
from scenewright.scene import Scene, Transform
from scenewright.scene.io import read_image, write_png
from scenewright.train.data import stream_rng
from scenewright.train.optimise import parameter_groups
from scenewright.train.progress import say
from scenewright.train.renders import alone_in
from scenewright.train.street_crops import rescaled
from scenewright.train.vae import to_signal

if TYPE_CHECKING:
    from scenewright.train.recipe import LoopConfig

ENDINGS = (".jpg", ".jpeg", ".png")

LORA_LAYERS = ("to_q", "to_k", "to_v", "to_out.0")
"""Layers of the attention that get low-rank additions."""

PRIOR_SEED = 8_000_000
"""First seed of the pictures that a model draws of its prior."""


@dataclass(frozen=True, kw_only=True)
class SamplesConfig:
    """The pictures of a validation."""

    prompts: tuple[str, ...] = ("",)  # in turn
    pictures: int = 4
    steps: int = 25
    guidance: float = 7.5
    scheduler: str = "dpm++"  # empty: the model's own


@dataclass(frozen=True, kw_only=True)
class DreamboothConfig:
    """Which UNet is tuned, on which pictures, under which prompt."""

    backbone: str = "nano"
    data: Path | None = None  # folder of pictures, searched to the bottom
    prompt: str = ""  # of all of them
    size_wh: tuple[int, int] = (512, 512)  # of the crops
    ratios: tuple[float, ...] = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0)  # one scales a picture before the crop
    lora_rank: int = 0  # rank of the additions to the attention; 0: the whole UNet is tuned
    prior_prompt: str = ""  # of pictures of the prior; empty: no prior preservation
    prior: Path | None = None  # folder of those; none: the model draws them
    prior_count: int = 100  # pictures that it draws
    prior_weight: float = 1.0  # of their loss beside the pictures' own
    sample_latents: bool = True  # encode to a sample of the VAE's distribution; false: to its mean
    check: SamplesConfig = field(default_factory=SamplesConfig)
    cache: Path = Path("runs/out/cache")

    def __post_init__(self) -> None:
        if any(side < 8 or side % 8 for side in self.size_wh):
            raise InputError(f"task.size_wh must be multiples of 8, not {self.size_wh}")
        if not self.ratios or not all(0.05 <= ratio <= 20 for ratio in self.ratios):
            raise InputError(
                f"task.ratios are {self.ratios}; expected numbers from 0.05 to 20", "1 keeps the size"
            )
        if self.lora_rank < 0 or self.prior_count < 1 or self.prior_weight < 0:
            raise InputError("task.lora_rank and prior_weight start at 0, task.prior_count at 1")
        if self.prior is not None and not self.prior_prompt:
            raise InputError("task.prior has no prompt", "--set task.prior_prompt='a street'")

    def build(self, loop: LoopConfig) -> DreamboothTask:
        """The task of this configuration. Raises InputError if there are no pictures to train on."""
        if self.data is None:
            raise InputError("there are no pictures to train on", "--set task.data=FOLDER (of pictures)")
        return DreamboothTask(self, loop)


class DreamboothTask:
    """The task for the training loop; `export` writes the folder ``model``."""

    def __init__(self, config: DreamboothConfig, loop: LoopConfig) -> None:
        self.config = config
        self.seed, self.batch_size = loop.seed, loop.batch_size
        self.modules: dict[str, nn.Module] = {}
        self.device = torch.device("cpu")

    def prepare(self, device: torch.device, dtype: torch.dtype) -> None:
        """Loads the model, finds the pictures, draws those of the prior, chooses what is trained."""
        from scenewright.models.load import load_bundle

        config, self.device = self.config, device
        assert config.data is not None
        self.files = pictures_below(config.data)
        self.backbone = load_bundle(config.backbone, device=device, dtype=torch.float32).backbone
        self.prior_files = self._prior() if config.prior_prompt else []
        self.text_1LD = embed(self.backbone, [config.prompt]).tokens_BLD.float()
        self.prior_1LD = embed(self.backbone, [config.prior_prompt]).tokens_BLD.float()
        unet = self.backbone.unet
        if config.lora_rank:
            add_lora(unet, config.lora_rank)
        else:
            unet.requires_grad_(True)
        self.modules["unet"] = unet
        self.denoise = network(unet)
        self.noise = Noise(self.backbone.scheduler, 10, device)

    def _prior(self) -> list[Path]:
        """Pictures of the prior: those of the folder, or drawn once and kept in the cache."""
        config = self.config
        if config.prior is not None:
            return pictures_below(config.prior)
        words = f"{config.prior_prompt} {config.size_wh} {self.backbone.fingerprint}"
        folder = config.cache / f"prior-{zlib.crc32(words.encode()):08x}"
        with alone_in(config.cache, folder.name):
            _draw_prior(self.backbone, config, folder)
        return pictures_below(folder)[: config.prior_count]

    def enable_gradient_checkpointing(self) -> None:
        """Recompute the UNet's activations in the backward pass."""
        self.backbone.unet.enable_gradient_checkpointing()

    def groups(self) -> list[dict[str, Any]]:
        """Weight decay for kernels only."""
        return parameter_groups(self.modules)

    def batch(self, step: int, rank: int, size: int) -> dict[str, Any]:
        """images_BHW3 uint8, the first `own` of the data, the rest of the prior; seeds of their latents."""
        rng = stream_rng(self.seed, "dreambooth", step, rank)
        config = self.config
        images = [self._crop(self.files, config.ratios, rng) for _ in range(self.batch_size)]
        own = len(images)
        if self.prior_files:
            images += [self._crop(self.prior_files, (1.0,), rng) for _ in range(self.batch_size)]
        seeds = rng.integers(2**31, size=len(images)) if config.sample_latents else None
        return {
            "images": torch.from_numpy(np.stack(images)),
            "own": own,
            "seeds": None if seeds is None else [int(seed) for seed in seeds],
        }

    def _crop(
        self, files: Sequence[Path], ratios: Sequence[float], rng: np.random.Generator
    ) -> NDArray[np.uint8]:
        """A crop of any picture, scaled by any of the ratios."""
        image_HW3 = read_image(files[int(rng.integers(len(files)))])
        wide, high = self.config.size_wh
        ratio = ratios[int(rng.integers(len(ratios)))]
        scaled = rescaled((image_HW3.shape[1], image_HW3.shape[0]), (wide, high), ratio)
        x0, y0 = (int(rng.integers(room + 1)) for room in (scaled.out_wh[0] - wide, scaled.out_wh[1] - high))
        window = (x0, y0, x0 + wide, y0 + high)
        return Transform(scaled.out_wh).crop(window).image(scaled.image(image_HW3))

    def loss(self, batch: dict[str, Any], generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """Squared error of the prediction at uniform timesteps, and that of the prior times its weight."""
        signal_BCHW = to_signal(batch["images"].to(self.device))
        z0_BChw = encode(self.backbone, signal_BCHW, batch["seeds"]).float()
        rows, own = len(z0_BChw), batch["own"]
        top = self.noise.train_timesteps
        t_B = torch.randint(top, (rows,), generator=generator, device=generator.device).to(self.device)
        noise_BChw = torch.randn(z0_BChw.shape, generator=generator, device=generator.device).to(self.device)
        text_BLD = torch.cat([self.text_1LD.expand(own, -1, -1), self.prior_1LD.expand(rows - own, -1, -1)])
        z_BChw = self.noise.scale(self.noise.add(z0_BChw, noise_BChw, t_B), t_B)
        output_BChw = self.denoise(z_BChw, Call.plain(t_B, Conditioning(text_BLD))).float()
        error_B = ((output_BChw - self.noise.target(z0_BChw, noise_BChw, t_B)) ** 2).mean((1, 2, 3))
        found = error_B[:own].mean()
        if rows == own:
            return found, {}
        prior = error_B[own:].mean()
        return found + self.config.prior_weight * prior, {
            "own": float(found.detach()), "prior": float(prior.detach())
        }  # fmt: skip

    def validate(self, step: int, out: Path) -> dict[str, float]:
        """Pictures of the prompts of the validation on a sheet; no figures."""
        from scenewright.flows.generate import GenerateOptions, pictures
        from scenewright.scene import contact_sheet

        check = self.config.check
        if check.pictures and check.prompts:
            options = GenerateOptions(
                steps=check.steps, guidance=check.guidance, scheduler=check.scheduler, batch=check.pictures
            )
            prompts = [check.prompts[k % len(check.prompts)] for k in range(check.pictures)]
            scenes = [Scene(prompt, self.config.size_wh) for prompt in prompts]
            images = pictures(self.backbone, None, scenes, list(range(len(scenes))), options)
            sheet = contact_sheet(images, [prompt[:120] or "(no prompt)" for prompt in prompts])
            write_png(out / f"pictures-{step:07d}.png", sheet)
        return {}

    def export(self, folder: Path) -> None:
        """The whole model as a folder, in half precision; low-rank additions are merged into it."""
        unet = self.backbone.unet
        if self.config.lora_rank:
            unet = merged(unet)
        save_folder(replace(self.backbone, unet=unet), folder / "model", torch.float16)


def pictures_below(folder: Path) -> list[Path]:
    """All JPEG and PNG files in a folder and those in it, sorted. Raises InputError for none."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS and path.is_file())
    if not found:
        raise InputError(
            f"there are no pictures in {folder}", f"expected files that end in {', '.join(ENDINGS)}"
        )
    return found


def add_lora(unet: Any, rank: int) -> None:
    """Low-rank additions to the attention of a frozen UNet, which start at zero; only they get gradients.

    Raises InputError without the peft package.
    """
    try:
        from peft import LoraConfig
    except ImportError as error:
        raise InputError(
            f"task.lora_rank is {rank}, and the package peft is not installed",
            "pip install peft; or --set task.lora_rank=0 to tune the whole UNet",
        ) from error
    unet.requires_grad_(False)
    unet.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=list(LORA_LAYERS)))


def merged(unet: Any) -> Any:
    """A copy of the UNet with its low-rank additions in its weights; the UNet stays as it is."""
    whole = copy.deepcopy(unet)
    whole.fuse_lora()
    whole.unload_lora()
    return whole.requires_grad_(False).eval()


def _draw_prior(backbone: Backbone, config: DreamboothConfig, folder: Path) -> None:
    """Draws what is missing of the prior's pictures."""
    from scenewright.flows.generate import GenerateOptions, pictures

    folder.mkdir(parents=True, exist_ok=True)
    places = [folder / f"{k:06d}.png" for k in range(config.prior_count)]
    missing = [k for k, path in enumerate(places) if not path.is_file()]
    options = GenerateOptions(steps=config.check.steps, guidance=config.check.guidance, batch=8)
    scene = Scene(config.prior_prompt, config.size_wh)
    for start in range(0, len(missing), 8):
        part = missing[start : start + 8]
        images = pictures(backbone, None, [scene] * len(part), [PRIOR_SEED + k for k in part], options)
        for k, image_HW3 in zip(part, images, strict=True):
            write_png(places[k], image_HW3)
        say(f"prior {config.prior_prompt!r}: {start + len(part)} of {len(missing)} pictures")
