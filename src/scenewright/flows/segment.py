"""Label maps of pictures of any size in one pass: the page to read first.

pictures -> `segment_fit` (scaled, padded; windows) -> `segment.see` (one pass of the network) -> for classes
in pieces: `segment.one_pass` (content attention, logits) -> `segment.winner` (running winner at the picture's
own size) -> ids of the vocabulary, scores, entropies.

Memory: the fused maps of a batch, one piece of classes (`MOST` numbers), and 16 bytes for every pixel of the
pictures of a batch (of a window, for pictures in windows), whatever the number of classes; 6 bytes for every
pixel of the results. Pictures in windows also keep the whole picture's logits, at the network's size.

Letters: B pictures, K classes, H W pixels, h w cells of logits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scenewright.backbone.model import Backbone
from scenewright.backbone.tap_layout import tap_layout
from scenewright.flows.segment_fit import Fit, Tile, grain_of, side_of, tiles
from scenewright.flows.segment_options import SegmentOptions, spoken
from scenewright.models.heads import load_one_pass
from scenewright.scene.io import check_image
from scenewright.segment.one_pass import Context, OnePass
from scenewright.segment.see import ClassTexts, class_texts, see
from scenewright.segment.winner import NONE, Decision, Winner

MOST = 2**25
"""Numbers of a piece of classes that are worked on at once: 128 MB, and a few times that on the way."""

MOST_PIXELS = 2**25
"""Pixels of pictures that share a batch."""

FULL = 65535
"""What a score or an entropy of 1 is in the maps."""

Picture = NDArray[np.uint8]
Progress = Callable[[float, int], None]


@dataclass(frozen=True, eq=False)
class Segmented:
    """What was found in one picture, maps [H, W] of its own size: `labels` (ids of the vocabulary), `scores`
    (probability of the class chosen) and `entropy` (of all classes, as a share of even odds), both in
    65535ths."""

    labels: NDArray[np.uint16]
    scores: NDArray[np.uint16]
    entropy: NDArray[np.uint16]

    def areas(self) -> dict[int, int]:
        """Pixels of every id that is there, the largest first."""
        ids, counts = np.unique(self.labels, return_counts=True)
        found = {int(id): int(count) for id, count in zip(ids, counts, strict=True)}
        return dict(sorted(found.items(), key=lambda pair: -pair[1]))


@dataclass(frozen=True)
class _View:
    """Something that is shown to the network: a picture, or a window of one."""

    picture: int
    fit: Fit
    tile: Tile | None = None


class PictureSegmenter:
    """A one-pass segmenter with its backbone."""

    def __init__(self, backbone: Backbone, net: OnePass, name: str = "", fingerprint: str = "") -> None:
        self.backbone, self.net, self.config = backbone, net, net.config
        self.name, self.fingerprint = name, fingerprint
        self.layout = tap_layout(backbone.unet, self.config.layout)
        self._texts: dict[tuple[tuple[str, ...], ...], ClassTexts] = {}

    @classmethod
    def load(
        cls,
        model: str = "nano",
        segmenter: str = "",
        *,
        device: str = "auto",
        dtype: str = "auto",
        allow_other: bool = False,
    ) -> PictureSegmenter:
        """The segmenter called `segmenter` (else the model's own) and its model; see
        `models.heads.load_one_pass` and `models.load.load_bundle`. Raises ModelError, InputError."""
        from scenewright.models.load import load_bundle

        backbone = load_bundle(model, device, dtype).backbone
        found = load_one_pass(segmenter, model, backbone, allow_other=allow_other)
        return cls(backbone, found.net, found.name, found.fingerprint)

    def texts(self, names: Sequence[tuple[str, ...]]) -> ClassTexts:
        """Classes by their names; the last few lists are kept. Raises InputError for names without tokens."""
        key = tuple(names)
        if key not in self._texts:
            if len(self._texts) >= 4:
                self._texts.pop(next(iter(self._texts)))
            self._texts[key] = class_texts(self.backbone, list(key), self.config.templates)
        return self._texts[key]

    @torch.no_grad()
    def segment(
        self, images: Sequence[Picture], options: SegmentOptions, on_progress: Progress | None = None
    ) -> list[Segmented]:
        """The maps of each picture (HW3 uint8, any sizes, mixed); `on_progress` is told views done, views.

        A picture's maps do not depend on the others. Raises InputError for arrays that are no pictures.
        """
        for image in images:
            check_image(image)
        known = [spoken(one) for one in options.vocabulary]
        texts = self.texts([*known, *options.hidden])
        found = [_Maps(image.shape[:2], options) for image in images]
        views = self._views(images, options)
        whole = self._whole(images, options, texts) if options.tile else {}
        done, total = 0, sum(map(len, views))
        for group in views:
            self._decide(images, group, texts, whole, found, options)
            done += len(group)
            if on_progress:
                on_progress(done, total)
        return [one.finished() for one in found]

    def _fit(self, size_hw: Sequence[int], options: SegmentOptions) -> Fit:
        side = options.size or side_of(self.backbone)
        return Fit.of((int(size_hw[1]), int(size_hw[0])), side, grain_of(self.backbone))

    def _views(self, images: Sequence[Picture], options: SegmentOptions) -> list[list[_View]]:
        """All pictures or windows, in batches of one padded size."""
        by_size: dict[tuple[int, int], list[_View]] = {}
        for k, image in enumerate(images):
            height, width = image.shape[:2]
            large = options.tile and max(height, width) > options.tile
            for tile in tiles((width, height), options.tile, options.overlap) if large else [None]:
                size_hw = tile.cut(image).shape[:2] if tile else (height, width)
                view = _View(k, self._fit(size_hw, options), tile)
                by_size.setdefault(view.fit.padded_wh, []).append(view)
        return [part for views in by_size.values() for part in _batches(views, options.batch)]

    def _whole(
        self, images: Sequence[Picture], options: SegmentOptions, texts: ClassTexts
    ) -> dict[int, tuple[Fit, Tensor]]:
        """Logits of the whole of each picture that is cut into windows, in half precision."""
        found = {}
        for k, image in enumerate(images):
            if max(image.shape[:2]) <= options.tile:
                continue
            fit = self._fit(image.shape[:2], options)
            context = self._see([fit.shown(image)])
            parts = [logits.half() for logits in self._pieces(context, texts, fit)]
            found[k] = fit, torch.cat(parts, 1)
        return found

    def _see(self, shown: Sequence[Picture]) -> Context:
        seen = see(self.backbone, np.stack(shown), self.layout, timestep=self.config.timestep)
        return self.net.context(seen)

    def _pieces(self, context: Context, texts: ClassTexts, fit: Fit) -> Iterator[Tensor]:
        """Logits [B, K, h, w] of some classes after the other."""
        batch = len(context.fused_BFhw)
        step = max(1, MOST // (batch * self.net.numbers(fit.padded_wh)))
        for first in range(0, len(texts), step):
            yield self.net.logits(context, texts.take(first, first + step))

    def _decide(
        self,
        images: Sequence[Picture],
        views: Sequence[_View],
        texts: ClassTexts,
        whole: dict[int, tuple[Fit, Tensor]],
        found: Sequence[_Maps],
        options: SegmentOptions,
    ) -> None:
        """One batch: shown once, then a running winner over classes for every view."""
        parts = [one.tile.cut(images[one.picture]) if one.tile else images[one.picture] for one in views]
        context = self._see([one.fit.shown(part) for one, part in zip(views, parts, strict=True)])
        winners = [Winner(1, part.shape[:2], self.backbone.device) for part in parts]
        cell, first = self.config.fine, 0
        for logits in self._pieces(context, texts, views[0].fit):
            for b, (view, winner) in enumerate(zip(views, winners, strict=True)):
                looks = [(logits[b : b + 1], view.fit.crop(cell))]
                if view.tile is not None and view.picture in whole:
                    fit, large = whole[view.picture]
                    looks.append((large[:, first : first + logits.shape[1]], fit.part(view.tile, cell)))
                winner.add(looks)
            first += logits.shape[1]
        for view, winner in zip(views, winners, strict=True):
            decided = winner.decision(options.background, len(options.hidden))
            found[view.picture].take(decided, view.tile)


class _Maps:
    """The maps of one picture while its views come in."""

    def __init__(self, size_hw: Sequence[int], options: SegmentOptions) -> None:
        self._maps = [np.zeros(size_hw, np.uint16) for _ in range(3)]
        self._ids = np.full(NONE + 1, options.empty, np.uint16)
        self._ids[: len(options.vocabulary)] = [one.id for one in options.vocabulary]

    def take(self, decided: Decision, tile: Tile | None) -> None:
        """What was decided of the whole picture, or of a window: its own part."""
        height, width = self._maps[0].shape
        x0, y0, x1, y1 = tile.own if tile else (0, 0, width, height)
        left, top = tile.xyxy[:2] if tile else (0, 0)
        inside = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
        values = (
            self._ids[decided.labels_BYX[0].numpy()[inside]],
            *(np.rint(one[0].numpy()[inside] * FULL) for one in (decided.score_BYX, decided.entropy_BYX)),
        )
        for own, value in zip(self._maps, values, strict=True):
            own[y0:y1, x0:x1] = value

    def finished(self) -> Segmented:
        """The maps."""
        return Segmented(*self._maps)


def _batches(views: Sequence[_View], most: int) -> Iterator[list[_View]]:
    """Batches of at most `most` views and `MOST_PIXELS` pixels, one view at least."""
    batch: list[_View] = []
    pixels = 0
    for view in views:
        own = view.fit.size_wh[0] * view.fit.size_wh[1]
        if batch and (len(batch) == most or pixels + own > MOST_PIXELS):
            yield batch
            batch, pixels = [], 0
        batch.append(view)
        pixels += own
    if batch:
        yield batch
