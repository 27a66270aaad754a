"""Training the autoencoder of a small latent diffusion family.

Kingma and Welling, "Auto-Encoding Variational Bayes", 2014 (the bound; KL weight far below 1 as in Rombach
et al. 2022, section 3.1). Pictures of the drawn worlds have hard edges, so the reconstruction term is L1 on
pixels plus L1 on their differences in x and y; no perceptual network, no discriminator.

Letters: B batch, H W pixels (a crop), C latent channels, h w cells.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as nnf

from scenewright.backbone.parts import quiet
from scenewright.train.data import stream_rng
from scenewright.train.progress import say
from scenewright.train.renders import Item, Pictures, Source, open_pictures

if TYPE_CHECKING:
    from diffusers import AutoencoderKL

    from scenewright.train.recipe import LoopConfig


@dataclass(frozen=True, kw_only=True)
class VaeConfig:
    """The network's sizes and what it sees."""

    channels: tuple[int, ...] = (16, 32, 64)  # per level; each level but the first halves the picture
    latent_channels: int = 8
    groups: int = 4  # of the GroupNorms
    crop_px: int = 64  # side of the training crops; the network is convolutional
    centred: float = 0.6  # share of the crops that have a thing's middle in them; the others lie anywhere
    kl_weight: float = 1e-6
    log_variance: float = -6.0  # of the latents at the start; at 0 colours drown in noise and stay lost
    square_weight: float = 1.0  # of the squared error beside the L1; colours of small things come sooner
    pooled_weight: float = 2.0  # of the L1 between means of 4x4 pixels: colours before edges
    gradient_weight: float = 1.0  # of the L1 between pixel differences
    halving_weight: float = (
        0.5  # of the L1 between the picture at half its size and the halved latent decoded
    )
    sources: tuple[Source, ...] = (
        Source(name="toybox", count=24_000, share=0.75),
        Source(name="town", count=8_000, size_wh=(192, 96), share=0.25),
    )
    cache: Path = Path("runs/out/cache")
    start: Path | None = None  # an earlier export to continue from; None: random weights
    train: Literal["all", "decoder"] = (
        "all"  # decoder: latents stay what they are, for models trained on them
    )
    probe: int = 64  # held-out pictures of the validation

    def build(self, loop: LoopConfig) -> VaeTask:
        """The task of this configuration."""
        return VaeTask(self, loop)


def fresh_vae(config: VaeConfig) -> AutoencoderKL:
    """A randomly initialised autoencoder without attention, stride 2 ** (levels - 1)."""
    from diffusers import AutoencoderKL

    levels = len(config.channels)
    vae = AutoencoderKL(
        block_out_channels=config.channels,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        layers_per_block=1,
        latent_channels=config.latent_channels,
        norm_num_groups=config.groups,
        mid_block_add_attention=False,
        sample_size=128,
        scaling_factor=1.0,
    )
    with torch.no_grad():
        vae.quant_conv.bias[config.latent_channels :] = config.log_variance
    return vae


def _read_vae(folder: Path) -> AutoencoderKL:
    """The autoencoder that an earlier run exported, in float32 and unscaled."""
    from diffusers import AutoencoderKL

    vae = AutoencoderKL.from_pretrained(folder / "vae").float()
    vae.register_to_config(scaling_factor=1.0)
    return vae


class VaeTask:
    """Autoencoder training on random crops; `export` measures the latents' spread and stores it."""

    def __init__(self, config: VaeConfig, loop: LoopConfig) -> None:
        self.config = config
        self.seed, self.batch_size = loop.seed, loop.batch_size
        self.vae = fresh_vae(config) if config.start is None else _read_vae(config.start)
        for part in (self.vae.encoder, self.vae.quant_conv):
            part.requires_grad_(config.train == "all")
        self.modules = {"vae": self.vae}
        self.sources: list[Pictures] = []
        self.device = torch.device("cpu")

    def prepare(self, device: torch.device, dtype: torch.dtype) -> None:
        """Draws or maps the pictures."""
        self.device = device
        self.sources = [open_pictures(source, self.config.cache, say) for source in self.config.sources]

    def groups(self) -> list[dict[str, Any]]:
        """One group: every weight that is trained."""
        trained = [one for one in self.vae.parameters() if one.requires_grad]
        return [{"params": trained, "weight_decay": 0.0}]

    def batch(self, step: int, rank: int, size: int) -> Tensor:
        """Crops image_BHW3, uint8."""
        rng = stream_rng(self.seed, "vae", step, rank)
        shares = np.array([source.share for source in self.config.sources])
        pictures = self.sources[int(rng.choice(len(shares), p=shares / shares.sum()))]
        index_B = rng.integers(len(pictures), size=self.batch_size)
        images_BHW3, side = pictures.images(index_B), self.config.crop_px
        crops = []
        for image_HW3, index in zip(images_BHW3, index_B, strict=True):
            y, x = self._corner(pictures.items[index], image_HW3.shape[:2], rng)
            crops.append(image_HW3[y : y + side, x : x + side])
        return torch.from_numpy(np.stack(crops))

    def _corner(self, item: Item, size_hw: tuple[int, ...], rng: np.random.Generator) -> tuple[int, int]:
        """Upper left corner of a crop, in pixels."""
        side = self.config.crop_px
        place = rng.random(2)  # of the corner, as shares of the room there is
        if item.boxes and rng.random() < self.config.centred:
            x0, y0, x1, y1 = item.boxes[int(rng.integers(len(item.boxes)))]
            middle = np.array([(y0 + y1) / 2, (x0 + x1) / 2]) * size_hw - place * side
            place = np.clip(middle / np.maximum(np.array(size_hw) - side, 1), 0.0, 1.0)
        y, x = ((np.array(size_hw) - side) * place).round().astype(int)
        return int(y), int(x)

    def loss(self, batch: Tensor, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """L1 of pixels and of their differences, and the KL term (per latent value)."""
        image_BCHW = to_signal(batch.to(self.device))
        moments = self.vae.quant_conv(self.vae.encoder(image_BCHW)).float()
        mean_BChw, log_BChw = moments.chunk(2, dim=1)
        log_BChw = log_BChw.clamp(-30.0, 20.0)
        noise = torch.randn(mean_BChw.shape, generator=generator, device="cpu").to(mean_BChw.device)
        z_BChw = mean_BChw + torch.exp(0.5 * log_BChw) * noise
        out_BCHW = self.vae.decode(z_BChw).sample.float()
        pixels = (out_BCHW - image_BCHW).abs().mean()
        edges = sum((out_BCHW.diff(dim=d) - image_BCHW.diff(dim=d)).abs().mean() for d in (2, 3))
        kl = 0.5 * (mean_BChw**2 + log_BChw.exp() - 1.0 - log_BChw).sum((1, 2, 3)).mean()
        squares = ((out_BCHW - image_BCHW) ** 2).mean()
        pooled = (nnf.avg_pool2d(out_BCHW, 4) - nnf.avg_pool2d(image_BCHW, 4)).abs().mean()
        loss = pixels + self.config.square_weight * squares + self.config.pooled_weight * pooled
        loss = loss + self.config.gradient_weight * edges + self.config.kl_weight * kl
        logged = {"l1": float(pixels.detach()), "kl": float(kl.detach())}
        if self.config.halving_weight > 0:
            halved = self._halved(z_BChw, image_BCHW)
            loss, logged["halved"] = loss + self.config.halving_weight * halved, float(halved.detach())
        return loss, logged

    def _halved(self, z_BChw: Tensor, image_BCHW: Tensor) -> Tensor:
        """L1 of what the latent at half its size decodes to and the picture at half its size.

        Kouzelis et al., "EQ-VAE", 2025, section 3.2, for the scale 1/2. Without it colours are written as
        chessboards of cells, which a denoiser draws as mosaics.
        """
        small_BCHW = self.vae.decode(nnf.avg_pool2d(z_BChw, 2)).sample.float()
        return (small_BCHW - nnf.avg_pool2d(image_BCHW, 2)).abs().mean()

    def validate(self, step: int, out: Path) -> dict[str, float]:
        """PSNR in dB on held-out toybox pictures, and a sheet of pictures above their reconstructions."""
        from scenewright.scene.draw import contact_sheet
        from scenewright.scene.io import write_png
        from scenewright.world import toybox

        images = np.stack([toybox.draw(seed).image for seed in range(self.config.probe)])
        rebuilt = self._rebuild(images)
        error = ((images.astype(np.float32) - rebuilt.astype(np.float32)) ** 2).mean((1, 2, 3))
        psnr = float((10 * np.log10(255.0**2 / error)).mean())
        rows = [*images[:8], *rebuilt[:8]]
        write_png(out / f"reconstruction-{step:07d}.png", contact_sheet(rows, [""] * len(rows), columns=8))
        return {"psnr_db": psnr}

    def _rebuild(self, images_BHW3: np.ndarray) -> np.ndarray:
        parts = []
        with torch.no_grad():
            for start in range(0, len(images_BHW3), 8):
                rows = to_signal(torch.from_numpy(images_BHW3[start : start + 8]).to(self.device))
                mean = self.vae.quant_conv(self.vae.encoder(rows)).chunk(2, dim=1)[0]
                out = self.vae.decode(mean).sample.float()
                parts.append(
                    ((out + 1) * 127.5).clamp(0, 255).round().permute(0, 2, 3, 1).byte().cpu().numpy()
                )
        return np.concatenate(parts)

    def export(self, folder: Path) -> None:
        """A diffusers folder in half precision, latents balanced on training pictures or kept."""
        vae = copy.deepcopy(self.vae)
        if self.config.train == "all":
            balance(vae, *self._moments())
        vae.register_to_config(scaling_factor=1.0)
        with quiet():
            vae.half().save_pretrained(folder / "vae")

    def _moments(self) -> tuple[Tensor, Tensor]:
        """Latent means and log-variances, each [N,C], of cells of 256 training pictures of each source."""
        rng = np.random.default_rng(self.seed)
        found = []
        with torch.no_grad():
            for renders in self.sources:
                for _ in range(256 // 16):
                    images = torch.from_numpy(renders.images(rng.integers(len(renders), size=16)))
                    moments = self.vae.quant_conv(self.vae.encoder(to_signal(images.to(self.device))))
                    found.append(moments.float().permute(0, 2, 3, 1).flatten(0, 2))
        mean_NC, log_NC = torch.cat(found).chunk(2, dim=1)
        return mean_NC, log_NC


@torch.no_grad()
def balance(vae: AutoencoderKL, mean_NC: Tensor, log_NC: Tensor) -> None:
    """Change the basis of the latents: no direction drowns in the noise of others; mean 0, mean square 1.

    Where the encoder leaves much variance the decoder needs little precision: over its mean posterior
    deviation a channel tells how much it really says. In those units a few directions (brightness) are far
    larger than the rest (patterns); kept so, a denoiser's loss would see little else, and whitened, it would
    spend most of it on what is seen last. Every principal direction gets the root of its standard deviation
    in place of that, half way between the two. The change goes into the 1x1 convolutions around the latent,
    so that what is decoded stays the same; posterior variances become those of the new channels, taken as
    independent.
    """
    centre_C, spread_C = mean_NC.double().mean(0), log_NC.double().exp().mean(0).sqrt()
    values, vectors = torch.linalg.eigh(torch.cov(((mean_NC.double() - centre_C) / spread_C).T))
    size = values.sqrt().mean().sqrt()
    into = (vectors * values**-0.25) @ vectors.T / spread_C / size
    back = torch.linalg.inv(into)
    number = len(centre_C)
    first, last = vae.quant_conv, vae.post_quant_conv
    weight, bias = first.weight.double().flatten(1), first.bias.double()
    first.weight[:number] = (into @ weight[:number]).view_as(first.weight[:number]).float()
    first.bias[:number] = (into @ (bias[:number] - centre_C)).float()
    first.bias[number:] = ((into**2) @ bias[number:].exp()).log().float()
    weight, bias = last.weight.double().flatten(1), last.bias.double()
    last.weight.copy_((weight @ back).view_as(last.weight).float())
    last.bias.copy_((bias + weight @ centre_C).float())


def to_signal(images_BHW3: Tensor) -> Tensor:
    """uint8 BHW3 to float32 BCHW in [-1, 1]."""
    return images_BHW3.permute(0, 3, 1, 2).contiguous().float() / 127.5 - 1.0
