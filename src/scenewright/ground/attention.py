"""Where the words of a prompt acted: cross-attention maps of one sampling step, per class.

Tang et al., "What the DAAM: Interpreting Stable Diffusion Using Cross Attention", ACL 2023 (2210.04885),
section 3: attention probabilities of a word's tokens, averaged over heads and layers. Here of one step, and
kept apart by depth of the network (detail "depth"), or by every attention head ("head"; many on a large
network), so that a grounding head can weigh them (`GroundingConfig.attention` of them per class). Their mean
alone is a segmentation too: the baseline that a trained head has to beat.

Recording costs one more product of queries and keys per layer, at the watched step alone, and is done only
where it is asked for.

Letters: B samples, R rows, K classes, A maps per class, M maps at one depth, L text tokens, N visual tokens,
D width, h w cells of the latent (or of a depth), H W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

from scenewright.backbone.attach import refuse_compiled, transformer_blocks
from scenewright.backbone.call import COND, Call, Denoise
from scenewright.backbone.model import Backbone
from scenewright.backbone.tap_layout import DETAILS, attention_depth, attention_maps
from scenewright.backbone.words import Name, checked, find_spans, offsets_of, token_places
from scenewright.errors import InputError, ModelError

CERTAIN = 1e-4
"""Map values are kept this far from 0 and 1 when they become logits."""

FLAT = 1e-3
"""A map whose values differ by less than this share of the largest says nothing about places."""


class AttentionTaps:
    """Records the cross-attention of the conditional rows at sampler step `step` (None: of every call, the
    last one counts).

    Use as a context manager, wrap the innermost `Denoise` with `watch` (beside `FeatureTaps`, or as one of
    `extract`'s watchers), then ask for `maps`. Of several branches the whole picture's is read. Raises
    ModelError for a compiled UNet, or one without cross-attention.
    """

    def __init__(self, unet: nn.Module, step: int | None = None, detail: str = "depth") -> None:
        refuse_compiled(unet, "record attention")
        blocks: Mapping[str, Any] = transformer_blocks(unet)
        if not blocks:
            raise ModelError("the UNet has no cross-attention to record")
        if detail not in DETAILS:
            raise InputError(f"detail is {detail!r}; expected one of {', '.join(DETAILS)}")
        self.count = attention_maps(unet, detail)
        """Maps per class."""
        self._step = step
        self._detail = detail
        self._depths = {path: attention_depth(unet, path) for path in blocks}
        self._call: Call | None = None
        self._size_hw = (0, 0)
        self._seen: dict[int, dict[str, Tensor]] = {}
        self._hooks = [
            block.attn2.register_forward_hook(self._reader(path), with_kwargs=True)
            for path, block in blocks.items()
        ]

    def watch(self, inner: Denoise) -> Denoise:
        """`inner`, normally ``network(unet)``, with this listening."""

        def denoise(z_RChw: Tensor, call: Call) -> Tensor:
            if self._step is not None and call.step != self._step:
                return inner(z_RChw, call)
            self._call, self._size_hw = call, (int(z_RChw.shape[-2]), int(z_RChw.shape[-1]))
            try:
                return inner(z_RChw, call)
            finally:
                self._call = None

        return denoise

    def tokens(self, samples: Sequence[int]) -> tuple[Tensor, ...]:
        """Per depth, coarsest first, the probabilities [B, M, L, h, w] of every text token.

        M is 1, or the number of heads at that depth; h and w are the depth's own. Raises InputError if the
        step was not evaluated for a sample.
        """
        missing = [sample for sample in samples if sample not in self._seen]
        if missing or not samples:
            raise InputError(f"no attention was recorded for the samples {missing}", "was the step reached?")
        found = []
        for depth in sorted(set(self._depths.values()), reverse=True):
            paths = [path for path, own in self._depths.items() if own == depth]
            size = _halved(self._size_hw, depth)
            maps_BMNL = torch.stack([torch.cat([self._seen[i][path] for path in paths]) for i in samples])
            if self._detail == "depth":
                maps_BMNL = maps_BMNL.mean(1, keepdim=True)
            found.append(maps_BMNL.transpose(2, 3).reshape(*maps_BMNL.shape[:2], -1, *size))
        return tuple(found)

    def maps(self, samples: Sequence[int], places: Sequence[Sequence[Sequence[int]]]) -> Tensor:
        """Maps [B, K, A, h, w] in [0, 1] of classes, at the latent's size; `places` are `class_places`.

        Each map is stretched from its smallest to its largest value; classes without tokens, and slots
        beyond a sample's classes, are zero.
        """
        if len(places) != len(samples):
            raise InputError(f"{len(places)} lists of token places for {len(samples)} samples")
        tokens = self.tokens(samples)
        most = max((len(row) for row in places), default=0)
        count = sum(one.shape[1] for one in tokens)
        maps = tokens[0].new_zeros(len(samples), most, count, *self._size_hw)
        for b, row in enumerate(places):
            for k, own in enumerate(row):
                if own:
                    words = [_resized(one[b, :, list(own)].mean(1), self._size_hw) for one in tokens]
                    maps[b, k] = _stretched(torch.cat(words))
        return maps

    def clear(self) -> None:
        """Forget what was recorded."""
        self._seen.clear()

    def close(self) -> None:
        """Remove the hooks; what was recorded stays readable."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def __enter__(self) -> AttentionTaps:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _reader(self, path: str) -> Any:
        def read(module: Any, args: Any, kwargs: Any, output: Any) -> None:
            call = self._call
            if call is None:
                return
            rows = [row for row in range(call.rows) if _is_whole(call, row)]
            if not rows:
                return
            x_RND = args[0] if args else kwargs["hidden_states"]
            text_RLD = kwargs.get("encoder_hidden_states", args[1] if len(args) > 1 else None)
            if len(x_RND) != call.rows:
                raise InputError(
                    f"{path} got {len(x_RND)} rows for {call.rows} that were watched",
                    "wrap the innermost denoise, watch(network(unet)), and limit rows around that",
                )
            with torch.no_grad():
                found_RMNL = _probabilities(module, x_RND[rows], text_RLD[rows])
                if self._detail == "depth":
                    found_RMNL = found_RMNL.mean(1, keepdim=True)
            for i, row in enumerate(rows):
                self._seen.setdefault(call.sample_R[row], {})[path] = found_RMNL[i]

        return read


def class_places(
    backbone: Backbone, prompts: Sequence[str], classes: Sequence[Sequence[Name]]
) -> list[list[list[int]]]:
    """For every sample and class the places of its tokens in the prompt; empty where the prompt does not
    name it, or names it beyond the text encoder's window."""
    if len(prompts) != len(classes):
        raise InputError(f"{len(prompts)} prompts and {len(classes)} lists of classes; one list per prompt")
    offsets = offsets_of(backbone, prompts)
    found = []
    for prompt, row, own in zip(prompts, checked(classes), offsets, strict=True):
        room = own[: backbone.window - 1] if len(own) > backbone.window else own
        spans = find_spans(prompt, row)
        found.append([sorted({i for span in one for i in token_places(room, span)}) for one in spans])
    return found


def attention_logits(
    maps_BKAhw: Tensor, size_hw: tuple[int, int], take: Sequence[int] | None = None
) -> Tensor:
    """Logits [B, K, H, W] of the attention alone: the mean map as a probability, at `size_hw` pixels.

    The baseline of a trained head; `take` names the maps that count (default: all). `decide` turns the
    logits into masks as it does a head's, with the threshold as a share of a class's strongest attention.
    Classes without attention are never chosen.
    """
    chosen = maps_BKAhw if take is None else maps_BKAhw[:, :, list(take)]
    large_BKHW = nnf.interpolate(chosen.float().mean(2), size_hw, mode="bilinear", align_corners=False)
    top_BK11 = large_BKHW.amax(dim=(-2, -1), keepdim=True).clamp_min(1e-6)
    return torch.logit((large_BKHW / top_BK11).clamp(CERTAIN, 1 - CERTAIN))


def _probabilities(module: Any, x_RND: Tensor, text_RLD: Tensor) -> Tensor:
    """Attention of every visual token over the text tokens, per head [R, M, N, L], in float32."""
    query, key = (
        made.reshape(*made.shape[:2], module.heads, -1).transpose(1, 2).float()
        for made in (module.to_q(x_RND), module.to_k(text_RLD))
    )
    scores_RMNL: Tensor = query @ key.transpose(-1, -2) * module.scale
    return scores_RMNL.softmax(dim=-1)


def _is_whole(call: Call, row: int) -> bool:
    return call.half_R[row] == COND and call.branch_R[row] == 0 and call.window_R[row] is None


def _halved(size_hw: tuple[int, int], times: int) -> tuple[int, int]:
    height, width = size_hw
    for _ in range(times):
        height, width = (height + 1) // 2, (width + 1) // 2
    return height, width


def _resized(maps_Mhw: Tensor, size_hw: tuple[int, int]) -> Tensor:
    return nnf.interpolate(maps_Mhw[None], size_hw, mode="bilinear", align_corners=False)[0]


def _stretched(maps_Ahw: Tensor) -> Tensor:
    """Each map from 0 to 1; one that hardly varies (by FLAT of its height) stays low instead of noise."""
    low, high = maps_Ahw.amin((-2, -1), keepdim=True), maps_Ahw.amax((-2, -1), keepdim=True)
    return (maps_Ahw - low) / torch.maximum(high - low, FLAT * high).clamp_min(1e-12)
