"""Training a denoising UNet, a GLIGEN adapter on it, or both together.

Ho et al., "Denoising Diffusion Probabilistic Models", 2020 (eq. 14, the simple loss); Salimans and Ho,
"Progressive Distillation", 2022, appendix D (v-prediction: in terms of the noise its loss is weighted by
1 + 1/SNR, which is what puts weight on the high noise levels where layout is decided); Li et al., "GLIGEN",
2023 (what is trained, what is dropped).

`train` says what gets gradients: ``base`` the UNet, ``adapter`` the fusers and the token network. With both,
a share of `layout_rate` of the batches passes through the fusers and the rest through the bare UNet, so that
the UNet stays a text-to-image model of its own while its features learn to carry positions.

Letters: B batch, C latent channels, h w cells, N slots, L text tokens, D width.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from scenewright.backbone.call import Call, Conditioning, Grounding
from scenewright.backbone.latents import encode
from scenewright.backbone.load import save_folder
from scenewright.backbone.network import network
from scenewright.backbone.noise import Noise
from scenewright.backbone.text import PromptCut, embed
from scenewright.condition.gligen import Gligen, GligenConfig, GligenInputs, inputs_from_scenes
from scenewright.errors import InputError
from scenewright.train.alignment import Alignment, box_weights, open_gates
from scenewright.train.crops import crop_latents
from scenewright.train.data import stream_rng
from scenewright.train.denoiser_files import open_backbone, write_adapter
from scenewright.train.fresh import UnetSizes
from scenewright.train.latents import open_pool
from scenewright.train.probe import ProbeConfig, probe
from scenewright.train.renders import Item, Source
from scenewright.train.taught import States, Taught, min_snr
from scenewright.train.vae import to_signal
from scenewright.train.word_alignment import WordAlignment

if TYPE_CHECKING:
    from scenewright.train.recipe import LoopConfig

TOYBOX = Source(name="toybox", count=40_000, share=0.85)
TOWN = Source(name="town", count=16_000, size_wh=(192, 96), share=0.15)


CONTROL_STEP = 10**9
"""A step that no training reaches: its batch is where control is measured."""


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
    gate_start: float = 0.0  # of a fresh adapter, before tanh; above 0 with output layers of zero
    gate_lr_scale: float = 10.0  # learning rate of the gates over that of the rest
    align_weight: float = 0.0  # of the loss on the fusers' attention (see alignment.py); 0: not used
    word_weight: float = 0.0  # of that on the attention to words (word_alignment.py), with the base trained
    snr_gamma: float | None = None  # min-SNR clipping of the loss weight; None: the prediction's plain loss
    object_weight: float = 1.0  # of the loss in cells inside given boxes over that of the other cells
    one_object_steps: int = 0  # curriculum: only pictures with one instance before this step
    boxes_teach: float = 0.0  # of the target without boxes: share of the network's own answer with them
    states_weight: float = 0.0  # of the blocks' states without boxes becoming those with them (taught.py)
    few_rate: float = 0.0  # of batches without boxes: share of pictures that hold one or two things
    crop_steps: int = 0  # before this step, a share of the batches are crops around things (crops.py)
    crop_rate: float = 0.7  # that share
    crop_cells: int = 16  # side of those crops in latent cells
    crop_rows: int = 2  # crops in such a batch over pictures in the others
    sources: tuple[Source, ...] = (TOYBOX, TOWN)
    data: Path | None = None  # a folder of Records, in place of `sources`
    size: int = 128  # pixels along each side of the squares that are cut from the pictures of `data`
    cache_latents: bool = True  # encode every picture once; false: again in each step, without a file
    flip: bool = False  # mirror half of the pictures and their boxes; texts that say left or right turn wrong
    cache: Path = Path("runs/out/cache")
    probe: ProbeConfig = field(default_factory=ProbeConfig)

    def __post_init__(self) -> None:
        if not self.train:
            raise InputError("task.train is empty; expected base, adapter or base,adapter")
        if self.unet is not None and (self.vae is None or self.text is None):
            raise InputError("a fresh UNet needs task.vae and task.text", "point both to exported folders")
        for name in ("layout_rate", "caption_drop", "layout_drop", "few_rate", "boxes_teach"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"task.{name} must be in [0, 1], not {getattr(self, name)}")
        if self.boxes_teach and self.adapter is None and "adapter" not in self.train:
            hint = "train one with it (task.train=base,adapter) or name one (task.adapter)"
            raise InputError("task.boxes_teach needs an adapter that reads boxes, and there is none", hint)
        if self.states_weight and not self.boxes_teach:
            hint = "set task.boxes_teach too, for example 0.9"
            raise InputError("task.states_weight needs the pass with boxes, but task.boxes_teach is 0", hint)
        if self.size < 8 or self.size % 8:
            raise InputError(f"task.size must be a multiple of 8, not {self.size}")

    @property
    def pictures(self) -> tuple[Source, ...]:
        """`sources`, or the folder `data` in their place."""
        if self.data is None:
            return self.sources
        return (Source(name=str(self.data), size_wh=(self.size, self.size)),)

    def build(self, loop: LoopConfig) -> DenoiserTask:
        """The task of this configuration. Raises InputError if there are no pictures to train on."""
        if not self.pictures:
            raise InputError("there are no pictures to train on", "--set task.data=FOLDER (of Records)")
        return DenoiserTask(self, loop)


class DenoiserTask:
    """The task for the training loop; `export` writes a model folder and/or an adapter file."""

    def __init__(self, config: DenoiserConfig, loop: LoopConfig) -> None:
        self.config = config
        self.seed, self.batch_size = loop.seed, loop.batch_size
        self.modules: dict[str, nn.Module] = {}
        self.alignment: Alignment | None = None
        self.states: States | None = None
        self.words: WordAlignment | None = None
        self.device = torch.device("cpu")

    def prepare(self, device: torch.device, dtype: torch.dtype) -> None:
        """Loads or makes the networks, attaches the adapter, caches latents and phrase embeddings."""
        config, self.device = self.config, device
        self.backbone = open_backbone(config.backbone, config.vae, config.text, config.unet, device)
        self._choose_modules()
        self.denoise = network(self.backbone.unet)
        self.noise = Noise(self.backbone.scheduler, 10, device)
        self.pools = [
            open_pool(source, config.cache, self.backbone, cached=config.cache_latents, flip=config.flip)
            for source in config.pictures
        ]
        self.known = self._phrases()
        self.single, self.few = [
            [np.flatnonzero([1 <= len(item.boxes) <= most for item in pool.items]) for pool in self.pools]
            for most in (1, 2)
        ]

    def _choose_modules(self) -> None:
        """What is trained gets gradients; the adapter, if there is one, is attached."""
        unet, train = self.backbone.unet, self.config.train
        unet.requires_grad_("base" in train)
        self.adapter = self._adapter()
        if "base" in train:
            self.modules["unet"] = unet
        if self.adapter is not None and "adapter" in train:
            self.modules["adapter"] = self.adapter
        self.handle = self.adapter.attach(unet) if self.adapter is not None else None
        if self.adapter is not None and self.config.align_weight > 0:
            self.alignment = Alignment(self.adapter.fusers)
        if self.config.states_weight > 0:
            self.states = States(unet)
        if "base" in train and self.config.word_weight > 0:
            self.words = WordAlignment(self.backbone)

    def _adapter(self) -> Gligen | None:
        """The adapter to train, or a finished one that stays as it is beside the trained UNet; or None."""
        config, trained = self.config, "adapter" in self.config.train
        if config.adapter is not None:
            from scenewright.models.adapter import load_adapter

            adapter = load_adapter(config.adapter, self.backbone, allow_other="base" in config.train)
            assert isinstance(adapter, Gligen)
            return adapter.float().requires_grad_(trained)
        if not trained:
            return None
        adapter = Gligen.for_unet(self.backbone.unet, GligenConfig(slots=config.slots), seed=self.seed)
        if config.gate_start > 0:
            open_gates(adapter.fusers, config.gate_start)
        return adapter

    def enable_gradient_checkpointing(self) -> None:
        """Recompute the UNet's activations in the backward pass, also where only the adapter is trained."""
        self.backbone.unet.enable_gradient_checkpointing()

    def _phrases(self) -> dict[str, Tensor]:
        """Pooled embedding of every different phrase of the data, on the CPU."""
        phrases = sorted({p for source in self.pools for item in source.items for p in item.phrases})
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
        rng, config = stream_rng(self.seed, "denoiser", step, rank), self.config
        alike = stream_rng(self.seed, "denoiser", step, CONTROL_STEP)  # processes that wait for one another
        crop = step < config.crop_steps and config.cache_latents and bool(alike.random() < config.crop_rate)
        sources, rows = config.pictures, self.batch_size * (config.crop_rows if crop else 1)
        shares = np.array([source.share for source in sources])
        which = int(alike.choice(len(shares), p=shares / shares.sum()))
        layout = bool(alike.random() < config.layout_rate) and self.adapter is not None
        pool, index_B = self.pools[which], self._index(which, step, rows, layout, rng)
        no_text_B = rng.random(rows) < config.caption_drop
        no_layout_B = torch.from_numpy(rng.random(rows) < config.layout_drop)
        mirror_B = rng.random(rows) < 0.5 if config.flip else np.zeros(rows, dtype=bool)
        items = [pool.items[i] for i in index_B]
        items = [one.mirrored() if m else one for one, m in zip(items, mirror_B, strict=True)]
        pictures, size_wh = pool.rows(index_B, mirror_B), sources[which].size_wh
        if crop:
            pictures["z"], items = crop_latents(pictures["z"], items, config.crop_cells, rng)
            size_wh = (config.crop_cells * self.backbone.stride,) * 2
        return {
            **pictures,
            "captions": ["" if drop else item.caption for item, drop in zip(items, no_text_B, strict=True)],
            "items": [_Boxed(one) for one in items],
            "size_wh": size_wh,
            "no_layout": no_layout_B,
            "layout": layout,
            "source": which,
            "index": index_B,
            "mirror": mirror_B,
        }

    def _index(
        self, which: int, step: int, rows: int, layout: bool, rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Pictures of one batch; only those with one instance while the curriculum says so."""
        chosen: NDArray[np.int64] = rng.integers(len(self.pools[which].items), size=rows)
        single, few = self.single[which], self.few[which]
        if step < self.config.one_object_steps and len(single):
            chosen = single[rng.integers(len(single), size=rows)]
        elif self.config.few_rate and not layout and len(few):
            instead_B = rng.random(rows) < self.config.few_rate
            chosen = np.where(instead_B, few[rng.integers(len(few), size=rows)], chosen)
        return chosen

    def loss(self, batch: dict[str, Any], generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """Squared error of the prediction at uniform timesteps; logs that of the noisier half as ``high``."""
        z0_BChw, config = self._clean(batch), self.config
        rows, size_hw = len(z0_BChw), (z0_BChw.shape[-2], z0_BChw.shape[-1])
        t_B = torch.randint(self.noise.train_timesteps, (rows,), generator=generator, device=generator.device)
        noise_BChw = torch.randn(z0_BChw.shape, generator=generator, device=generator.device)
        t_B, noise_BChw = t_B.to(self.device), noise_BChw.to(self.device)
        layout = self._layout(batch) if batch["layout"] else None
        cond = Conditioning(self._text(batch), None if layout is None else self._grounding(layout))
        taught = self._with_boxes(batch, cond) if layout is None and config.boxes_teach else None
        error_Bhw = self._errors(z0_BChw, noise_BChw, t_B, cond, taught)
        told = None if layout is None else self._watched(layout)
        emphasis_Bhw = box_weights(told, error_Bhw, config.object_weight)
        error_B = (error_Bhw * emphasis_Bhw).mean((1, 2)) * min_snr(self.noise, t_B, config.snr_gamma)
        high = t_B > self.noise.train_timesteps // 2
        logged = {"high": float(error_B[high].detach().mean())} if bool(high.any()) else {}
        loss = error_B.mean()
        if self.alignment is not None and told is not None:
            misplaced = self.alignment.loss(*told, size_hw)
            loss, logged["align"] = loss + config.align_weight * misplaced, float(misplaced.detach())
        if taught is not None and self.states is not None:
            unlike = taught.loss()
            loss, logged["states"] = loss + config.states_weight * unlike, float(unlike.detach())
        if self.words is not None:
            unread = self.words.loss([one.item for one in batch["items"]], batch["captions"], size_hw)
            loss, logged["words"] = loss + config.word_weight * unread, float(unread.detach())
        return loss, logged

    def _errors(
        self,
        z0_BChw: Tensor,
        noise_BChw: Tensor,
        t_B: Tensor,
        cond: Conditioning,
        taught: Taught | None = None,
    ) -> Tensor:
        """Squared error [B,h,w] of the prediction for clean latents with this noise at these timesteps."""
        z_BChw = self.noise.scale(self.noise.add(z0_BChw, noise_BChw, t_B), t_B)
        target_BChw = self.noise.target(z0_BChw, noise_BChw, t_B)
        if taught is not None:
            target_BChw = taught.target(self.denoise, z_BChw, t_B, target_BChw)
        output_BChw = self.denoise(z_BChw, Call.plain(t_B, cond)).float()
        return ((output_BChw - target_BChw) ** 2).mean(1)

    def _with_boxes(self, batch: dict[str, Any], cond: Conditioning) -> Taught:
        """What the network knows of these pictures with all of their boxes."""
        layout = self._layout(batch | {"no_layout": torch.zeros_like(batch["no_layout"])})
        boxed_B = layout.masks_BN.any(1).to(self.device)
        cond = replace(cond, grounding=self._grounding(layout))
        return Taught(cond=cond, boxed_B=boxed_B, share=self.config.boxes_teach, states=self.states)

    def _clean(self, batch: dict[str, Any]) -> Tensor:
        """The clean latents z0_BChw of a batch, float32."""
        if "z" in batch:
            cached_BChw: Tensor = batch["z"].to(self.device)
            return cached_BChw
        return encode(self.backbone, to_signal(batch["images"].to(self.device))).float()

    def _text(self, batch: dict[str, Any]) -> Tensor:
        """The captions' tokens [B,L,D], float32."""
        with torch.autocast(self.device.type, enabled=False), warnings.catch_warnings():
            warnings.simplefilter("ignore", PromptCut)
            return embed(self.backbone, batch["captions"]).tokens_BLD.float()

    def _layout(self, batch: dict[str, Any]) -> GligenInputs:
        assert self.adapter is not None
        scenes = [boxed.item.scene(batch["size_wh"]) for boxed in batch["items"]]
        inputs = inputs_from_scenes(scenes, self.backbone, self.adapter.config, "largest", known=self.known)
        keep_B1 = (~batch["no_layout"]).float().unsqueeze(1)
        return replace(inputs, masks_BN=inputs.masks_BN * keep_B1)

    def _watched(self, layout: GligenInputs) -> tuple[Tensor, Tensor]:
        """Boxes [B,M,4] of the grounding tokens, and which of them have one [B,M], for the alignment."""
        return layout.boxes_BN4.to(self.device), layout.masks_BN.to(self.device)

    def _grounding(self, layout: GligenInputs) -> Grounding:
        assert self.adapter is not None
        grounding = self.adapter.grounding(layout)
        return replace(grounding, gate_R=torch.ones_like(grounding.gate_R))

    def validate(self, step: int, out: Path) -> dict[str, float]:
        """Probe scenes with and without their layout: colours in boxes, region IoU; a sheet; the gates."""
        found = probe(self.backbone, self.adapter, self.config.probe, out, step, self.handle)
        if self.adapter is not None:
            gates = self.adapter.gates()
            found |= {"gate_mean": float(np.mean(np.abs(list(gates.values()))))} | self._control()
        return found

    @torch.no_grad()
    def _control(self) -> dict[str, float]:
        """Loss in the noisiest quarter with the right layout, with none and with the next picture's.

        The gap between right and wrong shows that an adapter takes control long before pictures do.
        """
        batch = self.batch(CONTROL_STEP, 0, 1) | {"no_layout": torch.zeros(self.batch_size, dtype=torch.bool)}
        z0_BChw, text_BLD = self._clean(batch), self._text(batch)
        grounding = self._grounding(self._layout(batch))
        other = grounding.take([*range(1, len(z0_BChw)), 0])
        generator = torch.Generator(self.device).manual_seed(self.seed)
        noise_BChw = torch.randn(z0_BChw.shape, generator=generator, device=self.device)
        top = self.noise.train_timesteps
        t_B = torch.linspace(0.75 * top, top - 1, len(z0_BChw), device=self.device).long()
        return {
            f"loss_{name}_layout": float(
                self._errors(z0_BChw, noise_BChw, t_B, Conditioning(text_BLD, given)).mean()
            )
            for name, given in (("right", grounding), ("no", None), ("wrong", other))
        }

    def export(self, folder: Path) -> None:
        """The model folder if the base was trained, and ``gligen.safetensors`` if the adapter was."""
        assert self.handle is not None or "adapter" not in self.modules
        if self.handle is not None:
            self.handle.close()
        if "base" in self.config.train:
            save_folder(self.backbone, folder / "model", torch.float16)
        if "adapter" in self.modules:
            write_adapter(self.adapter, self.backbone, folder, "base" in self.config.train)
        if self.adapter is not None:
            self.handle = self.adapter.attach(self.backbone.unet)


@dataclass(frozen=True)
class _Boxed:
    """Hides an item's tuples from code that moves nested tensors to a device."""

    item: Item


def _is_gate(name: str) -> bool:
    return name.endswith(("alpha_attn", "alpha_dense"))
