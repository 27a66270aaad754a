"""Training an InstanceDiffusion adapter on a frozen UNet, from scenes with masks and parts.

Wang et al., "InstanceDiffusion", CVPR 2024 (arXiv 2402.03290): the plain loss on all noise levels; fusers,
token network and ScaleU are trained, the UNet is not. What a sample shows of its scene is drawn by
`located.shown`. With `start` the fusers begin as those of a GLIGEN adapter, and so do the parts of the token
network that have the same sizes: it places boxes before its first step.

Letters: B batch, N slots, M grounding tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from scenewright.backbone.call import Grounding
from scenewright.backbone.pickles import read_checkpoint
from scenewright.backbone.text import embed
from scenewright.backbone.weights import read_tensors
from scenewright.condition.gligen import Gligen
from scenewright.condition.locations import tensors
from scenewright.condition.unifusion import UniFusion, UniFusionConfig, UniFusionInputs
from scenewright.errors import InputError, ModelError
from scenewright.scene import Transform
from scenewright.train.alignment import Alignment, open_gates
from scenewright.train.data import stream_rng
from scenewright.train.denoiser import CONTROL_STEP, DenoiserConfig, DenoiserTask
from scenewright.train.located import ShownConfig, open_scenes, shown
from scenewright.train.progress import say

if TYPE_CHECKING:
    from scenewright.train.recipe import LoopConfig


@dataclass(frozen=True, kw_only=True)
class UniFusionTaskConfig(DenoiserConfig):
    """As `DenoiserConfig`, for an InstanceDiffusion adapter: `net` has its slots, `start` names weights."""

    net: UniFusionConfig = field(default_factory=UniFusionConfig)  # sizes; widths of 0 are the backbone's
    start: str = ""  # name or file of the adapter to begin with: GLIGEN's, or one of these sizes; else fresh
    shown: ShownConfig = field(default_factory=ShownConfig)  # what of a scene a sample shows
    masked_rate: float = 0.0  # share of the batches with instance-masked attention, in [0,1]
    scaleu: bool = True  # whether ScaleU is trained, and attached
    trunk: Path | None = None  # a published ConvNeXt file that the network of masks begins with; None: random

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.train != ("adapter",):
            raise InputError(f"task.train is {','.join(self.train)}; only the adapter is trained here")
        if self.adapter is not None or self.crop_steps:
            raise InputError("task.adapter and task.crop_steps are not used here", "task.start names a file")
        if not 0 <= self.masked_rate <= 1:
            raise InputError(f"task.masked_rate must be in [0, 1], not {self.masked_rate}")

    def build(self, loop: LoopConfig) -> UniFusionTask:
        """The task of this configuration. Raises InputError if there are no pictures to train on."""
        if not self.pictures:
            raise InputError("there are no pictures to train on", "--set task.data=FOLDER (of Records)")
        return UniFusionTask(self, loop)


class UniFusionTask(DenoiserTask):
    """The task for the training loop; `export` writes ``instancediffusion.safetensors``."""

    config: UniFusionTaskConfig
    adapter: Any
    handle: Any

    def prepare(self, device: torch.device, dtype: torch.dtype) -> None:
        """Loads the backbone, attaches the adapter, opens latents and scenes, embeds all phrases."""
        self.scenes = [open_scenes(source, self.config.cache, say) for source in self.config.pictures]
        super().prepare(device, dtype)
        for pool, scenes in zip(self.pools, self.scenes, strict=True):
            if len(pool.items) != len(scenes):
                raise InputError(f"{len(pool.items)} pictures and {len(scenes)} scenes in one source")

    def _choose_modules(self) -> None:
        unet = self.backbone.unet
        unet.requires_grad_(False)
        self.adapter = self._adapter()
        self.modules["adapter"] = self.adapter
        if not self.config.scaleu:
            for scale in self.adapter.scales.values():
                scale.requires_grad_(False)
        self.handle = self._attach()
        self.alignment = Alignment(self.adapter.fusers) if self.config.align_weight > 0 else None

    def _attach(self) -> Any:
        return self.adapter.attach(self.backbone.unet, scaleu=self.config.scaleu)

    def _adapter(self) -> Any:
        """A fresh adapter, with what fits of the one to begin with."""
        adapter = UniFusion.for_unet(self.backbone.unet, self.config.net, seed=self.seed)
        if self.config.start:
            begin_with(adapter, _loaded(self.config.start, self))
        elif self.config.gate_start > 0:
            open_gates(adapter.fusers, self.config.gate_start)
        if self.config.trunk is not None:
            begin_trunk(adapter, self.config.trunk)
        return adapter

    def _phrases(self) -> dict[str, Tensor]:
        phrases = sorted(set().union(*(scenes.phrases() for scenes in self.scenes)))
        pooled = [
            embed(self.backbone, phrases[k : k + 256]).pooled_BD.float().cpu()
            for k in range(0, len(phrases), 256)
        ]
        return dict(zip(phrases, torch.cat(pooled), strict=True)) if phrases else {}

    def batch(self, step: int, rank: int, size: int) -> dict[str, Any]:
        """As `DenoiserTask.batch`, with what the token network reads (``located``) for each picture."""
        batch = super().batch(step, rank, size)
        rng, config = stream_rng(self.seed, "located", step, rank), self.config
        alike = stream_rng(self.seed, "located", step, CONTROL_STEP)  # processes that wait for one another
        rows = []
        for index, mirror in zip(batch["index"], batch["mirror"], strict=True):
            scene = self.scenes[batch["source"]][int(index)]
            if mirror:
                scene = Transform.fit(scene.size_wh, scene.size_wh).flip().scene(scene)
            rows.append(shown(scene, config.shown, config.net.slots, rng))
        net = self.adapter.config
        batch["located"] = tensors(rows, self.known, net, zeros=net.missing == "zeros", rng=rng)
        batch["masked"] = bool(alike.random() < config.masked_rate)
        return batch

    def _layout(self, batch: dict[str, Any]) -> Any:
        return Shown(
            without(batch["located"], batch["no_layout"]),
            batch["masked"],
            _cells(batch, self.backbone.stride),
        )

    def _grounding(self, layout: Any) -> Grounding:
        masking = ("off", self.adapter.config.masking)[layout.masked]
        if layout.masked and masking == "off":
            masking = "finest"
        grounding: Grounding = self.adapter.grounding(layout.inputs, layout.cells_hw, masking)
        return replace(grounding, gate_R=torch.ones_like(grounding.gate_R))

    def _watched(self, layout: Any) -> tuple[Tensor, Tensor]:
        """Every token of an instance belongs in its box; those of the map belong nowhere."""
        inputs: UniFusionInputs = layout.inputs.to(self.device, torch.float32)
        rest = (len(inputs.masks_BN), self.adapter.config.map_tokens)
        boxes_BM4 = torch.cat([*[inputs.boxes_BN4] * 4, inputs.boxes_BN4.new_zeros(*rest, 4)], dim=1)
        boxed_BN = inputs.masks_BN * (inputs.boxes_BN4.sum(-1) > 0)
        return boxes_BM4, torch.cat([*[boxed_BN] * 4, boxed_BN.new_zeros(rest)], dim=1)

    def export(self, folder: Path) -> None:
        """The adapter in half precision, tied to the backbone it was trained on."""
        from scenewright.models.adapter import save_adapter

        self.handle.close()
        save_adapter(
            folder / "instancediffusion.safetensors",
            self.adapter,
            self.adapter.config,
            "instancediffusion",
            self.backbone.fingerprint,
            backbone_name=self.backbone.name,
            text_fingerprint=self.backbone.text_fingerprint,
            dtype=torch.float16,
        )
        self.handle = self._attach()


@dataclass(frozen=True)
class Shown:
    """What the token network reads, whether attention is masked, and the size of the latents in cells."""

    inputs: UniFusionInputs
    masked: bool
    cells_hw: tuple[int, int]


def without(inputs: UniFusionInputs, left_out_B: Tensor) -> UniFusionInputs:
    """The inputs with the null layout, all zeros, for the scenes where `left_out_B` is true."""
    keep_B = ~left_out_B.to(inputs.masks_BN.device)

    def cleared(value: Tensor) -> Tensor:
        return value * keep_B.view(-1, *[1] * (value.ndim - 1)).to(value.dtype)

    return UniFusionInputs(**{name: cleared(value) for name, value in vars(inputs).items()})


def begin_with(adapter: UniFusion, other: Any) -> None:
    """Copies the fusers of `other`, and of its token network what fits, into `adapter`.

    From GLIGEN's the box tokens come whole where frequencies and hidden widths agree; the other tokens take
    its layers except for the coordinates, so that they lie in the space the fusers know. Raises ModelError
    for fusers of other sizes or blocks.
    """
    fusers = other.fusers
    if fusers.keys() != adapter.fusers.keys():
        raise ModelError("the adapter to begin with has fusers in other blocks", "train on its own backbone")
    if isinstance(other, UniFusion):
        adapter.load_state_dict({key: value.float() for key, value in other.state_dict().items()})
        return
    for path, fuser in adapter.fusers.items():
        fuser.load_state_dict({key: value.float() for key, value in fusers[path].state_dict().items()})
    net: Any = adapter.position_net
    old = other.position_net
    lines = [layer for layer in old.linears if isinstance(layer, torch.nn.Linear)]
    width = net.config.feature_width
    same = lines[0].out_features == net.config.hidden and old.null_positive_feature.numel() == width
    if not same:
        return
    with torch.no_grad():
        net.null_positive_feature.copy_(old.null_positive_feature)
        for k, mlp in enumerate(net.linears_list):
            new = [layer for layer in mlp if isinstance(layer, torch.nn.Linear)]
            for fresh, known in zip(new[1:], lines[1:], strict=True):
                fresh.load_state_dict(known.state_dict())
            if k < 4:
                new[0].weight[:, :width].copy_(lines[0].weight[:, :width])
                new[0].bias.copy_(lines[0].bias)
        if old.frequencies == net.config.fourier:
            net.linears_list[0][0].load_state_dict(lines[0].state_dict())
            net.null_position_feature.copy_(old.null_position_feature)


def begin_trunk(adapter: UniFusion, path: Path) -> None:
    """Fills the trunk of the network of masks from a ConvNeXt checkpoint; its head is left out.

    Raises ModelError for a file that cannot be read or lacks a layer of this size.
    """
    content: Any = read_tensors(path) if path.suffix == ".safetensors" else read_checkpoint(path)
    state = content.get("model", content)
    trunk = adapter.position_net.convnext_tiny_backbone
    wanted = trunk.state_dict()
    lacking = [key for key, value in wanted.items() if getattr(state.get(key), "shape", None) != value.shape]
    if lacking:
        raise ModelError(
            f"{path} lacks {len(lacking)} of {len(wanted)} layers of the network of masks, e.g. {lacking[0]}",
            "the published ConvNeXt-Tiny fits task.net.depths=3,3,9,3 and widths=96,192,384,768",
        )
    trunk.load_state_dict({key: state[key].float() for key in wanted})


def _loaded(name: str, task: UniFusionTask) -> Any:
    """The adapter to begin with, in float32, for the task's backbone."""
    from scenewright.models.adapter import load_adapter
    from scenewright.models.registry import resolve

    path = Path(name)
    if not path.is_file():
        found = resolve(name).adapter
        if found is None:
            raise InputError(f"task.start is {name!r}, which has no adapter", "for example nano+gligen")
        path = found
    adapter = load_adapter(path, task.backbone).float()
    if not isinstance(adapter, (Gligen, UniFusion)):
        raise InputError(f"task.start is {name!r}; expected GLIGEN's or InstanceDiffusion's adapter")
    return adapter


def _cells(batch: dict[str, Any], stride: int) -> tuple[int, int]:
    """Height and width of the latents of a batch."""
    if "z" in batch:
        height, width = batch["z"].shape[-2:]
        return int(height), int(width)
    width, height = batch["size_wh"]
    return height // stride, width // stride
