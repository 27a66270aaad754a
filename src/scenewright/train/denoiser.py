"""Training a denoising UNet, a GLIGEN adapter on it, or both together.

Ho et al., "Denoising Diffusion Probabilistic Models", 2020 (the simple loss); Salimans and Ho, "Progressive
Distillation", 2022, appendix D (v-prediction: in terms of the noise the loss is weighted by 1 + 1/SNR, which is what
puts weight on the high noise levels where layout is decided); Hang et al. 2023, "Min-SNR"; Li et al. 2023, GLIGEN.

`train` says what gets gradients: ``base`` the UNet, ``adapter`` the fusers and the token network. With both, a share of
`layout_rate` of the batches passes through the fusers and the rest through the bare UNet, so that the UNet stays a
text-to-image model of its own while its features learn to carry positions.

Letters: B batch, C latent channels, h w cells, N slots, L text tokens, D width.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from scenewright.backbone.call import Call, Conditioning
from scenewright.backbone.load import load_folder, save_folder
from scenewright.backbone.model import Backbone
from scenewright.backbone.network import network
from scenewright.backbone.noise import Noise
from scenewright.backbone.text import embed
from scenewright.condition.gligen import Gligen, GligenConfig, inputs_from_scenes
from scenewright.errors import InputError
from scenewright.train.data import stream_rng
from scenewright.train.latents import Latents, open_latents
from scenewright.train.probe import ProbeConfig, probe
from scenewright.train.renders import Item, Source

if TYPE_CHECKING:
    from scenewright.train.recipe import LoopConfig

TOYBOX = Source(name="toybox", count=24_000, share=0.85)
TOWN = Source(name="town", count=8_000, size_wh=(192, 96), share=0.15)


@dataclass(frozen=True, kw_only=True)
class UnetSizes:
    """A fresh UNet2DConditionModel: attention at every level, one residual block per level."""

    channels: tuple[int, ...] = (64, 128, 192)
    layers: int = 1
    heads: int = 4
    groups: int = 16


@dataclass(frozen=True, kw_only=True)
class DenoiserConfig:
    """What is trained, from what, on which pictures."""

    train: tuple[Literal["base", "adapter"], ...] = ("adapter",)
    backbone: str = "nano"  # folder or name of the model to start from
    vae: Path | None = None  # with a fresh UNet: the folder with vae/
    text: Path | None = None  # with a fresh UNet: the folder with text_encoder/ and tokenizer/
    unet: UnetSizes | None = None  # a fresh UNet of these sizes; None: the backbone's
    adapter: Path | None = None  # adapter to continue; None: a fresh one with zero gates
    slots: int = 30  # grounding tokens per picture
    layout_rate: float = 1.0  # share of the batches that go through the fusers, in [0,1]
    caption_drop: float = 0.1  # share of the captions replaced by the empty text
    layout_drop: float = 0.1  # share of the layouts replaced by the null layout
    gate_lr_scale: float = 10.0  # learning rate of the gates over that of the rest
    snr_gamma: float | None = None  # min-SNR clipping of the loss weight; None: the plain loss of the prediction
    one_object_steps: int = 0  # curriculum: only pictures with one instance before this step
    sources: tuple[Source, ...] = (TOYBOX, TOWN)
    cache: Path = Path("runs/out/cache")
    probe: ProbeConfig = ProbeConfig()

    def __post_init__(self) -> None:
        if not self.train:
            raise InputError("task.train is empty; expected base, adapter or base,adapter")
        if self.unet is not None and (self.vae is None or self.text is None):
            raise InputError("a fresh UNet needs task.vae and task.text", "point both to exported folders")

    def build(self, loop: LoopConfig) -> DenoiserTask:
        """The task of this configuration."""
        return DenoiserTask(self, loop)


class DenoiserTask:
    """The task for the training loop; `export` writes a model folder and/or an adapter file."""

    def __init__(self, config: DenoiserConfig, loop: LoopConfig) -> None:
        self.config = config
        self.seed, self.batch_size = loop.seed, loop.batch_size
        self.modules: dict[str, nn.Module] = {}
        self.device = torch.device("cpu")

    def prepare(self, device: torch.device, dtype: torch.dtype) -> None:
        """Loads or makes the networks, attaches the adapter, caches latents and phrase embeddings."""
        config, self.device = self.config, device
        self.backbone = _backbone(config, device)
        unet = self.backbone.unet
        unet.requires_grad_("base" in config.train)
        self.adapter = self._adapter()
        if "base" in config.train:
            self.modules["unet"] = unet
        if self.adapter is not None and "adapter" in config.train:
            self.modules["adapter"] = self.adapter
        self.handle = self.adapter.attach(unet) if self.adapter is not None else None
        self.denoise = network(unet)
        self.noise = Noise(self.backbone.scheduler, 10, device)
        self.latents = [open_latents(source, config.cache, self.backbone) for source in config.sources]
        self.known = self._phrases()
        self.empty_LD = embed(self.backbone, [""]).tokens_BLD[0]
        self.single = [
            np.array([i for i, item in enumerate(source.items) if len(item.boxes) == 1])
            for source in self.latents
        ]

    def _adapter(self) -> Gligen | None:
        config = self.config
        if "adapter" not in config.train and config.layout_rate == 0:
            return None
        if config.adapter is not None:
            from scenewright.models.adapter import load_adapter

            adapter = load_adapter(config.adapter, self.backbone, allow_other="base" in config.train)
            return adapter.float().requires_grad_(True)
        return Gligen.for_unet(self.backbone.unet, GligenConfig(slots=config.slots), seed=self.seed)

    def _phrases(self) -> dict[str, Tensor]:
        """Pooled embedding of every different phrase of the data, on the CPU."""
        phrases = sorted({p for source in self.latents for item in source.items for p in item.phrases})
        pooled_BD = embed(self.backbone, phrases).pooled_BD.cpu() if phrases else torch.zeros(0, 1)
        return dict(zip(phrases, pooled_BD, strict=False))

    def groups(self) -> list[dict[str, Any]]:
        """UNet, adapter and gates; the gates have a learning rate and no weight decay of their own."""
        groups: list[dict[str, Any]] = []
        if "unet" in self.modules:
            weights = [p for n, p in self.modules["unet"].named_parameters() if "fuser" not in n]
            groups.append({"name": "unet", "params": weights})
        if "adapter" in self.modules:
            named = list(self.modules["adapter"].named_parameters())
            gates = [p for name, p in named if _is_gate(name)]
            rest = [p for name, p in named if not _is_gate(name)]
            groups.append({"name": "adapter", "params": rest})
            scale = self.config.gate_lr_scale
            groups.append({"name": "gates", "params": gates, "lr_scale": scale, "weight_decay": 0.0})
        return groups

    def batch(self, step: int, rank: int, size: int) -> dict[str, Any]:
        """Latents z_BChw of one source with captions, layouts and the coins of this step."""
        rng = stream_rng(self.seed, "denoiser", step, rank)
        shares = np.array([source.share for source in self.config.sources])
        which = int(rng.choice(len(shares), p=shares / shares.sum()))
        source, single = self.latents[which], self.single[which]
        if step < self.config.one_object_steps and len(single):
            index = single[rng.integers(len(single), size=self.batch_size)]
        else:
            index = rng.integers(len(source.items), size=self.batch_size)
        drop_text = rng.random(self.batch_size) < self.config.caption_drop
        return {
            "z": torch.from_numpy(source.z_NChw[index].astype(np.float32)),
            "captions": ["" if d else source.items[i].caption for i, d in zip(index, drop_text, strict=True)],
            "items": [_Boxed(source.items[i]) for i in index],
            "size_wh": self.config.sources[which].size_wh,
            "no_layout": torch.from_numpy(rng.random(self.batch_size) < self.config.layout_drop),
            "layout": bool(rng.random() < self.config.layout_rate) and self.adapter is not None,
        }

    def loss(self, batch: dict[str, Any], generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """Squared error of the network's prediction at uniform timesteps."""
        z0_BChw = batch["z"].to(self.device)
        rows = len(z0_BChw)
        t_B = torch.randint(self.noise.train_timesteps, (rows,), generator=generator, device=generator.device)
        noise_BChw = torch.randn(z0_BChw.shape, generator=generator, device=generator.device)
        t_B, noise_BChw = t_B.to(self.device), noise_BChw.to(self.device)
        z_BChw = self.noise.scale(self.noise.add(z0_BChw, noise_BChw, t_B), t_B)
        with torch.autocast(self.device.type, enabled=False):
            text_BLD = embed(self.backbone, batch["captions"]).tokens_BLD.float()
        cond = Conditioning(text_BLD, self._grounding(batch) if batch["layout"] else None)
        output_BChw = self.denoise(z_BChw, Call.plain(t_B, cond)).float()
        error_B = ((output_BChw - self.noise.target(z0_BChw, noise_BChw, t_B)) ** 2).mean((1, 2, 3))
        error_B = error_B * self._weight(t_B)
        high = t_B > 500
        logged = {"high": float(error_B[high].detach().mean())} if bool(high.any()) else {}
        return error_B.mean(), logged

    def _weight(self, t_B: Tensor) -> Tensor:
        """min(SNR, gamma) over the weight that the prediction itself gives the clean latent's error."""
        gamma = self.config.snr_gamma
        if gamma is None:
            return torch.ones_like(t_B, dtype=torch.float32)
        a_B, s_B = (level.float().flatten() for level in self.noise.levels(t_B))
        snr_B = (a_B / s_B) ** 2
        own_B = snr_B if self.noise.prediction == "eps" else snr_B + 1
        return snr_B.clamp(max=gamma) / own_B

    def _grounding(self, batch: dict[str, Any]) -> Any:
        assert self.adapter is not None
        scenes = [boxed.item.scene(batch["size_wh"]) for boxed in batch["items"]]
        inputs = inputs_from_scenes(
            scenes, self.backbone, self.adapter.config, "largest", known=self.known
        )
        keep_B1 = (~batch["no_layout"]).float().unsqueeze(1)
        inputs = replace(inputs, masks_BN=inputs.masks_BN * keep_B1)
        grounding = self.adapter.grounding(inputs)
        return replace(grounding, gate_R=torch.ones_like(grounding.gate_R))

    def validate(self, step: int, out: Path) -> dict[str, float]:
        """Probe scenes with and without their layout: colours in boxes, region IoU; a sheet; the gates."""
        found = probe(self.backbone, self.adapter, self.config.probe, out, step, self.handle)
        if self.adapter is not None:
            gates = self.adapter.gates()
            found |= {"gate_mean": float(np.mean(np.abs(list(gates.values()))))}
        return found

    def export(self, folder: Path) -> None:
        """The model folder if the base was trained, and ``gligen.safetensors`` if the adapter was."""
        assert self.handle is not None or "adapter" not in self.modules
        if self.handle is not None:
            self.handle.close()
        if "base" in self.config.train:
            save_folder(self.backbone, folder / "model", torch.float16)
        if "adapter" in self.modules:
            _write_adapter(self.adapter, self.backbone, folder, "base" in self.config.train)
        if self.adapter is not None:
            self.handle = self.adapter.attach(self.backbone.unet)


@dataclass(frozen=True)
class _Boxed:
    """Hides an item's tuples from code that moves nested tensors to a device."""

    item: Item


def _is_gate(name: str) -> bool:
    return name.endswith(("alpha_attn", "alpha_dense"))


def _write_adapter(adapter: Any, backbone: Backbone, folder: Path, fresh_base: bool) -> None:
    """The adapter, tied to the half-precision base that was just written, or to the one it was trained on."""
    from scenewright.models.adapter import save_adapter

    base = load_folder(folder / "model", name=backbone.name) if fresh_base else backbone
    save_adapter(
        folder / "gligen.safetensors",
        adapter,
        adapter.config,
        "gligen",
        base.fingerprint,
        backbone_name=base.name,
        dtype=torch.float16,
    )


def _backbone(config: DenoiserConfig, device: torch.device) -> Backbone:
    """The backbone to train on, in float32; with `unet` sizes a fresh UNet between the given VAE and text encoder."""
    if config.unet is None:
        from scenewright.models.load import load_bundle

        return load_bundle(config.backbone, device=device, dtype=torch.float32).backbone
    assert config.vae is not None and config.text is not None
    return fresh_backbone(config.vae, config.text, config.unet, device)


def fresh_backbone(vae: Path, text: Path, sizes: UnetSizes, device: torch.device) -> Backbone:
    """An untrained UNet (v-prediction, scaled-linear schedule) between a trained VAE and text encoder."""
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers.models.clip.modeling_clip import CLIPTextModel
    from transformers.models.clip.tokenization_clip import CLIPTokenizer

    autoencoder = AutoencoderKL.from_pretrained(vae / "vae", torch_dtype=torch.float32)
    encoder = CLIPTextModel.from_pretrained(text / "text_encoder", torch_dtype=torch.float32)
    levels = len(sizes.channels)
    stride = 2 ** (len(autoencoder.config.block_out_channels) - 1)
    unet = UNet2DConditionModel(
        sample_size=128 // stride,
        in_channels=autoencoder.config.latent_channels,
        out_channels=autoencoder.config.latent_channels,
        down_block_types=("CrossAttnDownBlock2D",) * levels,
        up_block_types=("CrossAttnUpBlock2D",) * levels,
        block_out_channels=sizes.channels,
        layers_per_block=sizes.layers,
        attention_head_dim=sizes.heads,
        norm_num_groups=sizes.groups,
        cross_attention_dim=encoder.config.hidden_size,
    )
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    for module in (autoencoder, encoder):
        module.requires_grad_(False).eval().to(device)
    return Backbone(
        "nano",
        CLIPTokenizer.from_pretrained(text / "tokenizer"),
        text_encoder=encoder,
        unet=unet.to(device),
        vae=autoencoder,
        scheduler=scheduler,
    )


__all__ = ["DenoiserConfig", "DenoiserTask", "Latents", "UnetSizes", "fresh_backbone"]
