"""Training DGInStyle's control: a semantic ControlNet beside a frozen UNet that knows how the source looks.

Jia et al., "DGInStyle", ECCV 2024 (arXiv 2312.03048), section 3.2: because the UNet beside it has been tuned
on pictures of the source (`train.dreambooth`), the control learns where things are and not how the source
looks. It is meant to run beside another UNet afterwards (`swap`), which is what validation draws with, and to
whose weights the exported adapter belongs.

Letters: B batch, K classes, C latent channels, h w cells.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from scenewright.backbone.call import Call, Conditioning
from scenewright.backbone.latents import encode
from scenewright.backbone.model import Backbone
from scenewright.backbone.network import network
from scenewright.backbone.noise import Noise
from scenewright.backbone.text import PromptCut, embed
from scenewright.condition.semantic import KIND, SemanticConfig, SemanticControl, maps_of
from scenewright.errors import InputError
from scenewright.scene import Scene, SemanticMap
from scenewright.scene.label_maps import class_caption
from scenewright.scene.label_space import LabelSpace
from scenewright.train.data import stream_rng
from scenewright.train.optimise import parameter_groups
from scenewright.train.street_crops import CropConfig, Crops, listed_streets, open_crops
from scenewright.train.vae import to_signal

if TYPE_CHECKING:
    from scenewright.train.recipe import LoopConfig

Trained = Literal["all", "embedding", "first", "middle"]

CHECK_RATIOS = (0.5, 0.75, 1.0, 1.25, 1.5)
"""Scales of the maps that are validated on, in turn, as published."""


@dataclass(frozen=True, kw_only=True)
class ValidationConfig:
    """The pictures of a validation, drawn beside the swapped UNet."""

    pictures: int = 2  # 0 draws none
    list: Path | None = None  # JSON lines as dataset_file.json; none: pictures of the training set
    steps: int = 20
    guidance: float = 7.5
    scheduler: str = "unipc"  # empty: the model's own
    prompt: str = "{classes}"  # of the pictures; {classes} names what their map holds
    batch: int = 8


@dataclass(frozen=True, kw_only=True)
class SemanticTraining:
    """Beside what, on which pictures, and which part of the control is trained."""

    backbone: str = "nano"  # the UNet that knows the source: a folder of train.dreambooth, or a name; frozen
    swap: str = ""  # the UNet that the control is meant for; empty: the same
    data: Path | None = None  # folder of a street dataset, or its dataset_file.json
    layout: str = "auto"  # of that folder
    vocabulary: str = "cityscapes"
    embedding: tuple[int, ...] = ()  # widths of the condition embedding; empty: published, to the stride
    size_wh: tuple[int, int] = (512, 512)  # of the crops
    crops: CropConfig = field(default_factory=CropConfig)
    trained: Trained = "all"  # or the embedding and zero convolutions, and the first block, and the middle
    start: Path | None = None  # an adapter to go on with; none: the UNet's encoder
    caption: str = "{classes}"  # of a crop; {classes} names what it holds
    caption_drop: float = 0.0  # share of the captions replaced by the empty text
    check: ValidationConfig = field(default_factory=ValidationConfig)

    def __post_init__(self) -> None:
        if self.trained not in get_args(Trained):
            raise InputError(f"task.trained is {self.trained!r}; expected {', '.join(get_args(Trained))}")
        if not 0 <= self.caption_drop <= 1:
            raise InputError(f"task.caption_drop must be in [0, 1], not {self.caption_drop}")
        if any(side < 8 or side % 8 for side in self.size_wh):
            raise InputError(f"task.size_wh must be multiples of 8, not {self.size_wh}")

    def build(self, loop: LoopConfig) -> SemanticTask:
        """The task of this configuration. Raises InputError if there are no pictures to train on."""
        if self.data is None:
            raise InputError(
                "there are no labelled pictures to train on",
                "--set task.data=FOLDER (GTA, Cityscapes, …, prepared by `scenewright dataset import`)",
            )
        return SemanticTask(self, loop)


class SemanticTask:
    """The task for the training loop; `export` writes ``dginstyle.safetensors``."""

    def __init__(self, config: SemanticTraining, loop: LoopConfig) -> None:
        self.config = config
        self.seed, self.batch_size = loop.seed, loop.batch_size
        self.modules: dict[str, nn.Module] = {}
        self.device = torch.device("cpu")
        self.space = LabelSpace.of(config.vocabulary)

    def prepare(self, device: torch.device, dtype: torch.dtype) -> None:
        """Loads both UNets, makes the control, opens the pictures."""
        config, self.device = self.config, device
        assert config.data is not None
        self.crops = open_crops(config.data, config.size_wh, config.crops, layout=config.layout)
        self.checks = self.crops if config.check.list is None else self._listed(config.check.list)
        self.backbone = _frozen(config.backbone, device)
        self.target = self.backbone if not config.swap else _frozen(config.swap, device)
        _check_pair(self.backbone, self.target)
        self.control = self._control()
        self.modules["control"] = self.control
        self.seen_K = torch.zeros(self.control.config.channels, dtype=torch.int64, device=device)
        self.denoise = network(self.backbone.unet, self.control.residuals)
        self.noise = Noise(self.backbone.scheduler, 10, device)

    def _listed(self, path: Path) -> Crops:
        middle = CropConfig(where="middle")
        return Crops(listed_streets(path), self.config.size_wh, middle, None, {})

    def _control(self) -> SemanticControl:
        from scenewright.models.adapter import load_adapter

        config = self.config
        if config.start is not None:
            found = load_adapter(config.start, self.target, allow_other=True)
            if not isinstance(found, SemanticControl):
                raise InputError(f"task.start is {config.start}; expected an adapter of kind {KIND}")
            control = found.float()
        else:
            sizes = SemanticConfig(
                vocabulary=config.vocabulary, embedding=config.embedding, size_wh=config.size_wh
            )
            control = SemanticControl.for_unet(
                self.backbone.unet, sizes, self.seed, stride=self.backbone.stride
            )
        choose(control, config.trained)
        return control

    def enable_gradient_checkpointing(self) -> None:
        """Recompute activations of both networks in the backward pass."""
        self.backbone.unet.enable_gradient_checkpointing()
        self.control.net.enable_gradient_checkpointing()

    def groups(self) -> list[dict[str, Any]]:
        """Weight decay for kernels only."""
        return parameter_groups(self.modules)

    def batch(self, step: int, rank: int, size: int) -> dict[str, Any]:
        """images_BHW3 uint8, maps_BHW int16 and captions of crops."""
        rng = stream_rng(self.seed, "semantic", step, rank)
        pairs = [self.crops.draw(rng) for _ in range(self.batch_size)]
        drop_B = rng.random(self.batch_size) < self.config.caption_drop
        scenes = [self._scene(labels_HW, self.config.caption) for _, labels_HW in pairs]
        return {
            "images": torch.from_numpy(np.stack([image_HW3 for image_HW3, _ in pairs])),
            "maps": maps_of(scenes, self.control.config)[0],
            "captions": ["" if drop else one.prompt for one, drop in zip(scenes, drop_B, strict=True)],
        }

    def _scene(self, labels_HW: np.ndarray[Any, Any], template: str) -> Scene:
        words = template.replace("{classes}", class_caption(labels_HW, self.space))
        found = SemanticMap.from_labels(labels_HW.astype(np.uint16), self.config.vocabulary)
        return Scene(words, self.config.size_wh, semantic_map=found)

    def loss(self, batch: dict[str, Any], generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """Squared error of the prediction at uniform timesteps; logs that of the noisier half as ``high``."""
        self.seen_K += torch.bincount(batch["maps"].long().flatten(), minlength=len(self.seen_K))
        z0_BChw = self._clean(batch)
        rows, top = len(z0_BChw), self.noise.train_timesteps
        t_B = torch.randint(top, (rows,), generator=generator, device=generator.device).to(self.device)
        noise_BChw = torch.randn(z0_BChw.shape, generator=generator, device=generator.device).to(self.device)
        error_B = self._errors(z0_BChw, noise_BChw, t_B, self._cond(batch, batch["maps"]))
        high = t_B > top // 2
        logged = {"high": float(error_B[high].detach().mean())} if bool(high.any()) else {}
        return error_B.mean(), logged

    def _clean(self, batch: dict[str, Any]) -> Tensor:
        return encode(self.backbone, to_signal(batch["images"].to(self.device))).float()

    def _cond(self, batch: dict[str, Any], maps_BHW: Tensor, scale: float = 1.0) -> Conditioning:
        with torch.autocast(self.device.type, enabled=False), warnings.catch_warnings():
            warnings.simplefilter("ignore", PromptCut)
            text_BLD = embed(self.backbone, batch["captions"]).tokens_BLD.float()
        scale_B = torch.full((len(maps_BHW),), scale)
        return Conditioning(text_BLD, extra=self.control.conditioning(maps_BHW, scale_B))

    def _errors(self, z0_BChw: Tensor, noise_BChw: Tensor, t_B: Tensor, cond: Conditioning) -> Tensor:
        """Mean squared error [B] of the prediction."""
        z_BChw = self.noise.scale(self.noise.add(z0_BChw, noise_BChw, t_B), t_B)
        output_BChw = self.denoise(z_BChw, Call.plain(t_B, cond)).float()
        return ((output_BChw - self.noise.target(z0_BChw, noise_BChw, t_B)) ** 2).mean((1, 2, 3))

    def validate(self, step: int, out: Path) -> dict[str, float]:
        """Loss at high noise with the right map, none and the next picture's; a sheet beside the swapped UNet
        (map, picture, both); pixels of each class that this process has trained on since it began."""
        from scenewright.scene.files import atomic_write, to_json_bytes

        names = (*self.space.names, "others")
        counts = {name: int(n) for name, n in zip(names, self.seen_K.tolist(), strict=True)}
        atomic_write(out / "label-stats.json", to_json_bytes(counts, indent=1))
        found = self._steering()
        if self.config.check.pictures:
            self._sheet(step, out)
        return found

    @torch.no_grad()
    def _steering(self) -> dict[str, float]:
        """The gap between right and wrong shows control long before pictures do."""
        batch = self.batch(10**9, 0, 1)
        z0_BChw, generator = self._clean(batch), torch.Generator(self.device).manual_seed(self.seed)
        noise_BChw = torch.randn(z0_BChw.shape, generator=generator, device=self.device)
        top = self.noise.train_timesteps
        t_B = torch.linspace(0.5 * top, top - 1, len(z0_BChw), device=self.device).long()
        given = {
            "right": (batch["maps"], 1.0),
            "no": (batch["maps"], 0.0),
            "wrong": (batch["maps"].roll(1, 0), 1.0),
        }
        return {
            f"loss_{name}_map": float(self._errors(z0_BChw, noise_BChw, t_B, self._cond(batch, *maps)).mean())
            for name, maps in given.items()
        }

    def check_scenes(self) -> list[Scene]:
        """The maps that are validated on, from the middle of their files, at several scales."""
        check = self.config.check
        ratios = CHECK_RATIOS if check.list is not None else (1.0,)
        count = min(check.pictures, len(self.checks))
        maps = [self.checks.middle(k, ratios[k % len(ratios)])[1] for k in range(count)]
        return [self._scene(labels_HW, check.prompt).replace(seed=k) for k, labels_HW in enumerate(maps)]

    def _sheet(self, step: int, out: Path) -> None:
        from scenewright.flows.generate import GenerateOptions, pictures
        from scenewright.flows.map_pictures import blend, coloured
        from scenewright.scene import Record, contact_sheet, write_png

        check = self.config.check
        options = GenerateOptions(
            steps=check.steps, guidance=check.guidance, scheduler=check.scheduler, batch=check.batch
        )
        scenes = self.check_scenes()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PromptCut)
            images = pictures(self.target, self.control, scenes, list(range(len(scenes))), options)
        records = [Record(image, scene) for image, scene in zip(images, scenes, strict=True)]
        shown = [picture for one in records for picture in (coloured(one), one.image, blend(one))]
        words = [text for one in scenes for text in ("map", one.prompt[:120], f"beside {self.target.name}")]
        write_png(out / f"maps-{step:07d}.png", contact_sheet(shown, words, columns=3))

    def export(self, folder: Path) -> None:
        """The adapter in half precision; it belongs to the UNet that it is meant for."""
        from scenewright.models.adapter import save_adapter

        beside = {"name": self.backbone.name, "fingerprint": self.backbone.fingerprint}
        save_adapter(
            folder / "dginstyle.safetensors",
            self.control,
            self.control.config,
            KIND,
            self.target.fingerprint,
            backbone_name=self.target.name,
            text_fingerprint=self.target.text_fingerprint,
            dtype=torch.float16,
            notes={"trained_beside": beside},
        )


def choose(control: SemanticControl, trained: Trained) -> None:
    """Which weights get gradients: all; or the condition embedding and the zero convolutions, with "first"
    the first block of the encoder too, with "middle" its middle (partial freezing 1, 2, 3 as published)."""
    parts = {"all": ("",), "first": ("down_blocks.0.",), "middle": ("mid_block.",)}.get(trained, ())
    always = ("controlnet_cond_embedding.", "controlnet_down_blocks.", "controlnet_mid_block.")
    for name, value in control.net.named_parameters():
        value.requires_grad_(name.startswith((*always, *parts)))


def _frozen(name: str, device: torch.device) -> Backbone:
    from scenewright.models.load import load_bundle

    return load_bundle(name, device=device, dtype=torch.float32).backbone


def _check_pair(source: Backbone, target: Backbone) -> None:
    """Raises InputError unless one control can run beside both."""
    one, two = (
        {key: value.shape for key, value in backbone.unet.state_dict().items()}
        for backbone in (source, target)
    )
    if one != two or source.stride != target.stride:
        raise InputError(
            f"task.swap {target.name} is of another layout than task.backbone {source.name}",
            "the style swap exchanges weights: both are Stable Diffusion 1.5, or both nano",
        )
    if source.text_fingerprint != target.text_fingerprint:
        raise InputError(f"{target.name} and {source.name} have different text encoders", "train with one")
