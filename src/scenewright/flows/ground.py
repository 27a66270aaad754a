"""Masks out of the sampling: the page to read after `flows.generate`.

What a scene speaks of (`ground_words`) is looked for in the run that draws it: taps read the network's
features at the last step, the head turns them and the words into logits, `decide` into masks, and those of a
class are shared among its instances (`ground_masks`). Nothing is drawn a second time.

Letters: B pictures, K classes, D width, h w latent cells, H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as nnf

from scenewright.backbone.call import UNCOND, Call, Conditioning, Denoise
from scenewright.backbone.features import Features, FeatureTaps, tap_step
from scenewright.backbone.noise import Noise
from scenewright.backbone.tap_layout import tap_layout
from scenewright.errors import ModelError
from scenewright.flows.ground_masks import ClassMask, instance_masks, scores
from scenewright.flows.ground_words import Wanted, wanted
from scenewright.flows.head_inputs import HeadReader
from scenewright.flows.masked import names_of
from scenewright.flows.options import GroundOptions
from scenewright.ground.attention import AttentionTaps, class_places
from scenewright.ground.decide import decide
from scenewright.models.heads import Head, load_head
from scenewright.scene import Record, Scene

if TYPE_CHECKING:
    from scenewright.flows.ground_compare import Comparer
    from scenewright.ground.head import GroundingConfig
    from scenewright.models.bundle import Bundle

MOST_LOGITS = 2**25
"""Numbers (classes times pixels) that the head makes at once: 128 MB."""

Listen = Callable[[Denoise, Noise, Conditioning], Denoise]
"""Wraps the innermost network of a run: (network, its noise, the negative conditioning) -> network."""


@dataclass(frozen=True, eq=False)
class Heard:
    """What was heard of some pictures: their features, and for heads that read it the attention, in which
    they have the numbers `samples`."""

    features: Features
    attention: AttentionTaps | None = None
    samples: tuple[int, ...] = ()

    def take(self, index: Sequence[int]) -> Heard:
        """The pictures `index`, in that order."""
        if list(index) == list(range(self.features.batch)):
            return self
        samples = tuple(self.samples[k] for k in index) if self.attention else ()
        return Heard(self.features.take(index), self.attention, samples)


@dataclass(frozen=True, eq=False)
class Grounder:
    """A head and how it is asked. `reader` turns words into what it takes, as in its training; `comparer` is
    a detector whose masks are put beside its own."""

    head: Head
    options: GroundOptions
    reader: HeadReader
    comparer: Comparer | None = None

    @classmethod
    def load(cls, bundle: Bundle, options: GroundOptions, *, allow_other: bool = False) -> Grounder:
        """The head that `options` name for the model of `bundle`, and the detector if it is wanted.

        Raises ModelError when there is no such head, or it belongs to another model.
        """
        backbone, comparer = bundle.backbone, None
        head = load_head(options.head, bundle.name, backbone, allow_other=allow_other)
        if options.compare_detector:
            from scenewright.flows.ground_compare import Comparer

            comparer = Comparer.load(backbone.device)
        return cls(head, options, HeadReader(backbone, head.net.config), comparer)

    @property
    def config(self) -> GroundingConfig:
        """The head's configuration."""
        return self.head.net.config

    def wanted(self, scene: Scene) -> tuple[Wanted, ...]:
        """What is looked for in a picture of `scene`."""
        return wanted(scene, self.options.classes)

    def files(self, scene: Scene) -> dict[str, Any]:
        """What `write.Files.of` needs to know."""
        return {"labels": [one.label for one in self.wanted(scene)], "cutouts": self.options.cutouts}

    def facts(self, scene: Scene) -> dict[str, Any]:
        """What a record's provenance says about its masks; empty if nothing is looked for."""
        labels = [one.label for one in self.wanted(scene)]
        if not labels:
            return {}
        return {
            "head": self.head.fingerprint,
            "rule": self.options.rule,
            "threshold": float(self.options.threshold),
            "classes": labels,
            **({"detector": self.comparer.card.id} if self.comparer else {}),
        }

    def check(self, scenes: Sequence[Scene]) -> None:
        """Raises InputError for classes that the head cannot be asked with (stop words, too many for one
        text), before anything is drawn."""
        lists = dict.fromkeys(tuple(one.label for one in self.wanted(scene)) for scene in scenes)
        for labels in lists:
            if labels:
                self.reader.vectors([""], [labels])

    def listener(self) -> Listener:
        """What has to listen to a run, as a context, so that `grounded` can read it afterwards."""
        return Listener(self.reader.backbone.unet, self.config)

    @torch.no_grad()
    def grounded(self, records: Sequence[Record], heard: Heard) -> list[Record]:
        """The records with their masks and scores; `heard` is of the same pictures, in their order."""
        found = self.found(records, heard)
        done = [self._with_masks(record, one) for record, one in zip(records, found, strict=True)]
        return self.comparer.compared(done) if self.comparer else done

    def found(self, records: Sequence[Record], heard: Heard) -> list[tuple[ClassMask, ...]]:
        """For every picture where it shows what is wanted in its scene."""
        cells = heard.features.size_hw
        lists = [self.wanted(one.scene) for one in records]
        most = max((len(one) for one in lists), default=0)
        pixels = most * self.config.stride**2 * cells[0] * cells[1]
        size = max(1, MOST_LOGITS // max(1, pixels))
        result: dict[int, tuple[ClassMask, ...]] = {k: () for k in range(len(records))}
        busy = [k for k, one in enumerate(lists) if one]
        for start in range(0, len(busy), size):
            rows = busy[start : start + size]
            prompts = [records[k].scene.prompt for k in rows]
            labels = [tuple(one.label for one in lists[k]) for k in rows]
            logits_BKHW = self._logits(heard.take(rows), prompts, labels)
            for k, logits_KHW in zip(rows, logits_BKHW, strict=True):
                logits_KHW = _resized(logits_KHW[: len(lists[k])], records[k].size_hw)
                result[k] = tuple(self._decided(lists[k], logits_KHW))
        return [result[k] for k in range(len(records))]

    def _logits(self, heard: Heard, prompts: Sequence[str], labels: Sequence[Sequence[str]]) -> Tensor:
        vectors_BKD, used_BK = self.reader.vectors(prompts, labels)
        maps_BKAhw = None
        if heard.attention is not None:
            names = [[names_of(one) for one in row] for row in labels]
            places = class_places(self.reader.backbone, prompts, names)
            maps_BKAhw = heard.attention.maps(heard.samples, places)
        logits_BKHW: Tensor = self.head.net(heard.features, vectors_BKD, used_BK, maps_BKAhw)
        return logits_BKHW

    def _decided(self, lists: Sequence[Wanted], logits_KHW: Tensor) -> Iterator[ClassMask]:
        masks_KHW = decide(logits_KHW, self.options.rule, self.options.threshold)
        area_K = masks_KHW.flatten(1).sum(1)
        sure_K = (logits_KHW.sigmoid() * masks_KHW).flatten(1).sum(1) / area_K.clamp_min(1)
        bits_KHW = masks_KHW.cpu().numpy()
        for one, mask_HW, sure in zip(lists, bits_KHW, sure_K.tolist(), strict=True):
            yield ClassMask(one, mask_HW, sure)

    def _with_masks(self, record: Record, found: Sequence[ClassMask]) -> Record:
        if not found:
            return record
        told = {"head": self.head.fingerprint, "classes": scores(found)}
        masks = {**record.masks, **instance_masks(record.scene, found)}
        return record.replace(masks=masks, scores={**record.scores, "grounding": told})


class Listener:
    """Listens to one run (a `Listen`) and keeps the features of its last step, both halves of guidance.

    A run without guidance (scale 1) has no negative half: it is evaluated once more, at that step alone.
    """

    def __init__(self, unet: Any, config: GroundingConfig) -> None:
        self._unet = unet
        self._config = config
        self._taps: FeatureTaps | None = None
        self._attention: AttentionTaps | None = None

    def __call__(self, inner: Denoise, noise: Noise, negative: Conditioning) -> Denoise:
        """`inner` with this listening."""
        self.close()
        layout = tap_layout(self._unet, self._config.layout)
        step = tap_step(noise, self._config.timestep)
        self._taps = FeatureTaps(self._unet, layout, step, self._config.halves)
        inner = self._taps.watch(inner)
        if self._config.attention:
            self._attention = AttentionTaps(self._unet, step, self._config.attention_detail)
            inner = self._attention.watch(inner)
        return with_negative(inner, negative, step) if UNCOND in self._config.halves else inner

    def heard(self, samples: Sequence[int]) -> Heard:
        """What was heard of the samples (numbers within the run), in that order."""
        if self._taps is None:
            raise ModelError("nothing was heard: the run has not begun")
        return Heard(self._taps.features(samples), self._attention, tuple(samples))

    def close(self) -> None:
        """Stop listening; what was heard stays readable."""
        for taps in (self._taps, self._attention):
            if taps is not None:
                taps.close()

    def __enter__(self) -> Listener:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def with_negative(inner: Denoise, negative: Conditioning, step: int) -> Denoise:
    """At sampler step `step`, rows without a negative half get one, in an evaluation of its own, whose output
    is not used: what the run draws stays the same to the bit."""

    def denoise(z_RChw: Tensor, call: Call) -> Tensor:
        if call.step == step:
            there = {one for one, half in zip(call.sample_R, call.half_R, strict=True) if half == UNCOND}
            index = [row for row, one in enumerate(call.sample_R) if one not in there]
            if index:
                rows = call.take(index)
                other = negative.take(list(rows.sample_R))
                inner(z_RChw[index], replace(rows, half_R=(UNCOND,) * len(index), cond=other))
        return inner(z_RChw, call)

    return denoise


def _resized(logits_KHW: Tensor, size_hw: tuple[int, int]) -> Tensor:
    if tuple(logits_KHW.shape[-2:]) == size_hw:
        return logits_KHW
    return nnf.interpolate(logits_KHW[None], size=size_hw, mode="bilinear", align_corners=False)[0]
