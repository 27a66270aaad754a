"""Training a mask denoiser: the UNet with the picture's latent beside the noisy latent of a mask.

Seg-diffusion (2024) after Marigold (Ke et al., CVPR 2024, section 3): mean squared error of the prediction at
uniform timesteps, on all weights of the UNet, whose input layer was doubled. What a mask is follows from
`text` (`segment.mask_denoiser`): of one class that is named, present or not, from any pictures with class
maps; or the stretched grey levels of a label picture with the mean of its prompts, from the three lists of
the released training, whose arguments the fields `train_img_list` to `val_text_list` are.

Differences from the released training: pixels that nobody labelled count for nothing (a latent cell counts if
all of its pixels do), pictures keep their shape, label maps are resized by nearest, levels are stretched per
picture, noise hides everything at the last step and sampling starts there (trailing steps), weights are
averaged. ``--set task.published=true`` undoes those that have a setting.

Letters: P pictures, B masks, C latent channels, h w latent cells, H W pixels, L tokens, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as nnf

from scenewright.backbone.call import Call, Conditioning
from scenewright.backbone.latents import encode
from scenewright.backbone.network import network
from scenewright.backbone.noise import Noise
from scenewright.backbone.text import embed
from scenewright.errors import InputError
from scenewright.evaluate.semantic import semantic_score
from scenewright.flows.segment_options import spoken
from scenewright.models.mask_denoiser import MaskDenoiser, save_mask_denoiser
from scenewright.scene import IGNORE
from scenewright.scene.label_space import LabelSpace, load
from scenewright.segment.denoise import DenoiseOptions, denoised, labels_of
from scenewright.segment.mask_denoiser import (
    TEMPLATE,
    Initialisation,
    MaskRules,
    picture_signal,
    pooled,
    rescheduled,
    stretched,
    widened,
    with_picture,
)
from scenewright.segment.pyramid import ANNEALED, Pyramid, pyramid_noise
from scenewright.train.annotated import AnnotatedSource, open_annotated
from scenewright.train.closed_set import figures, groups
from scenewright.train.data import stream_rng
from scenewright.train.labelled import DRAWN, Joined, Labelled, RenderSet, batch, drawn_checks, open_records
from scenewright.train.mask_pictures import ListedMasks, asked_class, grey_examples
from scenewright.train.optimise import parameter_groups
from scenewright.train.progress import say
from scenewright.train.segment import learnt_classes

if TYPE_CHECKING:
    from scenewright.train.recipe import LoopConfig

SHOWN = 6
"""Pictures on the sheet of a validation."""


@dataclass(frozen=True, kw_only=True)
class MaskDenoiserTraining:
    """Which network, on which pictures and masks."""

    backbone: str = "nano"  # folder or name of the model whose UNet is trained
    train_img_list: Path | None = None  # the released training's three lists
    train_gt_list: Path | None = None
    train_text_list: Path | None = None
    val_img: Path | None = None  # its validation: folders of pictures and label files, and prompts
    val_gt: Path | None = None
    val_text_list: Path | None = None
    vocabulary: str = "toybox"  # without lists: classes of the pictures
    data: tuple[Path, ...] = ()  # folders of Records, or datasets of the vocabulary as they are downloaded
    renders: AnnotatedSource | None = None  # pictures that are drawn, beside them
    seen: tuple[str, ...] = ()  # things that are learnt; none: all classes
    unseen: tuple[str, ...] = ()  # classes that are scored apart
    check: tuple[Path, ...] = ()  # folders to validate on; none: renders of the vocabulary's world
    checked: int = 12  # pictures of the validation
    check_steps: int = 4  # sampler steps of the validation, with one member
    text: Literal["class", "bag"] = "class"  # masks of one class, or grey maps with the mean of the prompts
    absent: float = 0.2  # share of masks of classes that a picture does not show: black ones
    asks: int = 2  # masks of each picture of a batch
    template: str = TEMPLATE
    size: int = 128  # side of what is trained on, in pixels
    zoom: tuple[float, float] = (0.8, 1.6)
    initialisation: Initialisation = "halved"  # of the input layer; "published": random
    prediction: Literal["", "v_prediction"] = "v_prediction"  # "": the backbone's own
    spacing: Literal["trailing", "leading"] = "trailing"  # of the sampler's steps
    zero_snr: bool = True  # whether noise hides everything at the last level
    last_share: float = 0.2  # share of the samples at the last level, besides the uniform ones
    pyramid: Pyramid = ANNEALED
    published: bool = False  # as the released code has it: signal, squares, levels, steps, white noise
    cache: Path = Path("runs/out/judge-cache")

    def __post_init__(self) -> None:
        lists = (self.train_img_list, self.train_gt_list, self.train_text_list)
        if any(lists) and not all(lists):
            raise InputError(
                "the three lists belong together", "task.train_img_list, train_gt_list, train_text_list"
            )
        checks = (self.val_img, self.val_gt, self.val_text_list)
        if any(checks) and not all(checks):
            raise InputError("a validation set has three parts", "task.val_img, val_gt, val_text_list")
        if self.listed and self.text != "bag":
            raise InputError(
                "the three lists do not say which level of grey is which class", "--set task.text=bag"
            )
        for name in ("absent", "last_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"task.{name} must be in [0, 1], not {getattr(self, name)}")
        if self.asks < 1 or self.size < 8 or self.checked < 1:
            raise InputError("task.asks and task.checked are at least 1, task.size at least 8")

    @property
    def listed(self) -> bool:
        """Whether the pictures come from the three lists."""
        return self.train_img_list is not None

    @property
    def rules(self) -> MaskRules:
        """What the network will want."""
        signal: Literal["signed", "unit"] = "unit" if self.published else "signed"
        fit: Literal["keep", "stretch"] = "stretch" if self.published else "keep"
        return MaskRules(text=self.text, signal=signal, fit=fit, size=self.size, template=self.template)

    def scheduler(self, given: Any) -> Any:
        """The scheduler of training and sampling."""
        if self.published:
            return rescheduled(given, spacing="leading", zero_snr=False)
        return rescheduled(given, spacing=self.spacing, zero_snr=self.zero_snr, prediction=self.prediction)

    def build(self, loop: LoopConfig) -> MaskDenoiserTask:
        """The task of this configuration. Raises InputError if there is nothing to train on."""
        if not self.listed and not self.data and self.renders is None:
            raise InputError(
                "there are no pictures to train on",
                "--set task.data=FOLDER of Records or a dataset, or the three lists with task.text=bag",
            )
        return MaskDenoiserTask(self, loop)


class MaskDenoiserTask:
    """See `MaskDenoiserTraining`; exports a folder of diffusers with 8 input channels."""

    def __init__(self, config: MaskDenoiserTraining, loop: LoopConfig) -> None:
        self.config, self.loop = config, loop
        self.modules: dict[str, nn.Module] = {}
        if not config.listed:
            self.space = LabelSpace.of(config.vocabulary)
            self.learnt = learnt_classes(self.space, config.seen)
            self.parts = groups(self.space, config.seen, config.unseen) if config.unseen else {}

    def prepare(self, device: torch.device, dtype: torch.dtype) -> None:
        """Loads the model, widens its UNet, opens the pictures, embeds the classes."""
        from scenewright.models.load import load_bundle

        config = self.config
        self.device = device
        backbone = load_bundle(config.backbone, device=device, dtype=torch.float32).backbone
        unet = widened(backbone.unet, config.initialisation, self.loop.seed).requires_grad_(True)
        self.backbone = replace(
            backbone, unet=unet, scheduler=config.scheduler(backbone.scheduler), stored_fingerprint=""
        )
        self.modules["unet"] = unet
        self.net = network(unet)
        self.noise = Noise(self.backbone.scheduler, 10)
        if config.listed:
            self.lists = ListedMasks.open(config.train_img_list, config.train_gt_list, config.train_text_list)
            self.checks = ListedMasks.folders(config.val_img, config.val_gt, config.val_text_list)
            return
        self.sets, self.odds = self._pictures()
        self.shown = self._checks()
        known = load(config.vocabulary)
        self.names = [spoken(known.by_id(id)) for id in self.space.ids]

    def _pictures(self) -> tuple[list[Labelled], list[float]]:
        config, found = self.config, []
        if config.data:
            found.append(open_records(config.data, self.space))
        if config.renders is not None:
            found.append(RenderSet(open_annotated([config.renders], config.cache, say), self.space))
        return found, [float(len(one)) for one in found]

    def _checks(self) -> Labelled:
        config = self.config
        if config.check:
            return open_records(config.check, self.space, config.checked)
        if config.vocabulary not in DRAWN:
            return self.sets[0] if len(self.sets) == 1 else Joined(tuple(self.sets))
        return drawn_checks(config.checked, (config.size, config.size), self.space, config.cache)

    def groups(self) -> list[dict[str, Any]]:
        """Weight decay for kernels only."""
        return parameter_groups(self.modules)

    # --- a step --------------------------------------------------------------------------------------------

    def batch(self, step: int, rank: int, size: int) -> dict[str, Any]:
        """Pictures [P,H,W,3] uint8, masks [B,H,W] from -1 to 1, which pixels count [B,H,W], whose picture,
        and what is asked: texts of every mask."""
        rng = stream_rng(self.loop.seed, "mask-denoiser", step, rank)
        if self.config.listed:
            examples = self.lists.draw(self.loop.batch_size, rng)
            return grey_examples(examples, self.config.size, self.config.published, rng)
        return self._class_masks(rng)

    def _class_masks(self, rng: np.random.Generator) -> dict[str, Any]:
        config = self.config
        asks = config.asks if config.text == "class" else 1
        pictures = max(1, self.loop.batch_size // asks)
        made = batch(self.sets, self.odds, pictures, (config.size, config.size), config.zoom, rng)
        labels_PHW = made["labels"]
        masks: list[NDArray[np.float32]] = []
        texts: list[tuple[str, ...]] = []
        for labels_HW in labels_PHW:
            if config.text == "bag":
                mask_HW, there = self._levels(labels_HW)
                masks.append(mask_HW)
                texts.append(tuple(self._name(k, rng) for k in there))
                continue
            for _ in range(asks):
                k = asked_class(labels_HW, self.learnt, config.absent, rng)
                masks.append(np.where(labels_HW == k, 1.0, -1.0).astype(np.float32))
                texts.append((self._name(k, rng),))
        return {
            "images": torch.from_numpy(made["images"]),
            "masks": torch.from_numpy(np.stack(masks)),
            "counts": torch.from_numpy(np.repeat(labels_PHW != IGNORE, asks, 0)),
            "picture": torch.arange(pictures).repeat_interleave(asks),
            "texts": texts,
        }

    def _name(self, k: int, rng: np.random.Generator) -> str:
        """One of a class's names; the first one half of the time."""
        names = self.names[k]
        return names[0] if rng.random() < 0.5 else names[int(rng.integers(len(names)))]

    def _levels(self, labels_HW: NDArray[Any]) -> tuple[NDArray[np.float32], list[int]]:
        """Outputs as levels of grey from -1 to 1, and the classes that are there."""
        known_HW = np.where(labels_HW == IGNORE, 0, labels_HW)
        there = [int(k) for k in np.unique(labels_HW) if k != IGNORE and k in self.learnt]
        grey_HW = stretched(torch.from_numpy(known_HW.astype(np.float32)))
        return grey_HW.numpy(), there or [self.learnt[0]]

    def loss(self, batch: dict[str, Any], generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """Squared error of the prediction over the cells that count; logs that of the noisier half."""
        config = self.config
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            signal_P3HW = torch.cat(
                [picture_signal(one, config.rules) for one in batch["images"].cpu().numpy()]
            )
            rgb_PChw = encode(self.backbone, signal_P3HW.to(self.device)).float()
            z0_BChw = encode(self.backbone, batch["masks"][:, None].expand(-1, 3, -1, -1)).float()
            text_BLD = self._text(batch["texts"])
        t_B, noise_BChw = self._noised(z0_BChw, generator)
        z_BChw = self.noise.add(z0_BChw, noise_BChw, t_B)
        pictures = tuple(int(k) for k in batch["picture"])
        call = replace(Call.plain(t_B, Conditioning(text_BLD)), sample_R=pictures)
        output_BChw = with_picture(self.net, rgb_PChw)(z_BChw, call).float()
        error_Bhw = (output_BChw - self.noise.target(z0_BChw, noise_BChw, t_B)).square().mean(1)
        counts_Bhw = cells_that_count(batch["counts"], (error_Bhw.shape[1], error_Bhw.shape[2]))
        error_B = (error_Bhw * counts_Bhw).sum((1, 2)) / counts_Bhw.sum((1, 2)).clamp_min(1)
        high_B = t_B > self.noise.train_timesteps // 2
        logged = {"high": float(error_B[high_B].detach().mean())} if bool(high_B.any()) else {}
        return error_B.mean(), logged

    def _noised(self, z0_BChw: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Timesteps and noise."""
        config, levels, device = self.config, self.noise.train_timesteps, generator.device
        t_B = torch.randint(levels, (len(z0_BChw),), generator=generator, device=device)
        if not config.published:
            last_B = torch.rand(len(z0_BChw), generator=generator, device=device) < config.last_share
            t_B = torch.where(last_B, torch.full_like(t_B, levels - 1), t_B)
        noise_BChw = pyramid_noise(z0_BChw.shape, config.pyramid, generator, t_B / levels)
        return t_B.to(self.device), noise_BChw.to(self.device)

    def _text(self, texts: Sequence[Sequence[str]]) -> Tensor:
        """The text [B, L, D] of every mask: of its one prompt, or the mean over its prompts."""
        said = {name for names in texts for name in names}
        prompts = {name: self.config.template.format(name) for name in sorted(said)}
        tokens_KLD = embed(self.backbone, list(prompts.values())).tokens_BLD.float()
        place = {name: k for k, name in enumerate(prompts)}
        return torch.cat([pooled(tokens_KLD[[place[name] for name in names]]) for names in texts])

    # --- validation and result -----------------------------------------------------------------------------

    @property
    def denoiser(self) -> MaskDenoiser:
        """The network as it is now."""
        return MaskDenoiser(self.backbone, self.config.rules, self.notes())

    def validate(self, step: int, out: Path) -> dict[str, float]:
        """Of class masks: mIoU over all classes and each group of them, and a sheet. Of grey maps: the mean
        absolute error of levels stretched alike, and their pictures."""
        options = DenoiseOptions(steps=self.config.check_steps, members=1, size=self.config.size)
        if self.config.listed:
            return self.checks.error(self.denoiser, options, out)
        if self.config.text == "bag":
            return {}
        from scenewright.scene.draw import contact_sheet
        from scenewright.scene.io import write_png

        pairs, cells, captions = [], [], []
        outputs = [k for k in range(len(self.space)) if k != self.space.background]
        names = [self.names[k][0] for k in outputs]
        text_KLD = self._text([(name,) for name in names])
        scored = self.space.scored()
        covered = self.config.vocabulary in DRAWN or self.space.background == IGNORE  # every pixel by a class
        for index in range(min(self.config.checked, len(self.shown))):
            image_HW3, truth_HW = self.shown.item(index)
            maps = denoised(self.backbone, self.config.rules, image_HW3, names, options, text_MLD=text_KLD)
            found_HW = labels_of(maps.maps_KHW, outputs, self.space.background, 0.0 if covered else 0.5)
            pairs.append((truth_HW, found_HW))
            if index < SHOWN:
                cells += [image_HW3, scored.colours(truth_HW), scored.colours(found_HW)]
                captions += ["", "truth", "labels"]
        write_png(out / "labels.png", contact_sheet(cells, captions, columns=6))
        return figures(semantic_score(pairs, scored, background=not covered), self.parts)

    def export(self, folder: Path) -> None:
        """``mask-denoiser/``: a folder of diffusers in half precision, with what it wants beside it."""
        save_mask_denoiser(self.denoiser, folder / "mask-denoiser")

    def notes(self) -> dict[str, Any]:
        """What the folder says of its training."""
        samples = self.loop.steps * self.loop.batch_size * self.loop.accumulate
        told: dict[str, Any] = {"samples": samples, "seed": self.loop.seed, "base": self.backbone.name}
        if not self.config.listed:
            told["vocabulary"] = self.space.vocabulary
            told["seen"] = [self.space.names[k] for k in self.learnt]
            told["unseen"] = list(self.config.unseen)
        return told


def cells_that_count(counts_BHW: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """1 for the latent cells [B, h, w] all of whose pixels count, else 0."""
    height, width = counts_BHW.shape[-2:]
    stride = (height // size_hw[0], width // size_hw[1])
    return -nnf.max_pool2d(-counts_BHW[:, None].float(), stride)[:, 0]
