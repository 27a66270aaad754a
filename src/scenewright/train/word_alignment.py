"""Showing the UNet which words to look at: a loss on its cross-attention, at training time only.

A picture from a text alone needs three things at once: a place for every thing, the word that names it, and
a shape that fits the word. The second is told here: a visual token inside of a thing's box should give at
least half of its attention to the words of that thing in the caption, and none to the words of the others.
Visual tokens outside of all boxes are free: from the text alone nobody knows yet where a thing will be.
After Wang et al., "TokenCompose: Text-to-Image Diffusion with Token-level Supervision", CVPR 2024, eq. 3 to
5, who shape the same maps by segmentation masks; boxes here, as in `alignment.py`.

Letters: R rows, H heads, N visual tokens, M things, L text tokens, D width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from scenewright.backbone.attach import transformer_blocks
from scenewright.backbone.model import Backbone
from scenewright.backbone.words import find_spans, offsets_of, token_places
from scenewright.train.alignment import GIVEN, SMALLEST, grid_of, inside
from scenewright.train.renders import Item

ARTICLES = ("a", "an", "the")


class WordAlignment:
    """Watches the cross-attention of a UNet in training mode; `loss` judges it and forgets it."""

    def __init__(self, backbone: Backbone) -> None:
        self._backbone = backbone
        self._seen: list[tuple[Any, Tensor, Tensor]] = []
        blocks: Mapping[str, Any] = transformer_blocks(backbone.unet)
        self._hooks = [
            block.attn2.register_forward_pre_hook(self._see, with_kwargs=True) for block in blocks.values()
        ]

    def close(self) -> None:
        """Stops watching."""
        for hook in self._hooks:
            hook.remove()
        self._seen.clear()

    def _see(self, attn: Any, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        if torch.is_grad_enabled() and attn.training:
            self._seen.append((attn, inputs[0], named["encoder_hidden_states"]))

    def loss(self, items: Sequence[Item], captions: Sequence[str], size_hw: tuple[int, int]) -> Tensor:
        """Mean loss of the blocks seen since the last call; things that a caption does not name are left out.

        `captions` as the network read them ("" where it was left out); `size_hw`: the latent's, in cells.
        """
        seen, self._seen = self._seen, []
        boxes_RM4, words_RML = told(self._backbone, items, captions)
        device = seen[0][1].device if seen else boxes_RM4.device
        boxes_RM4, words_RML = boxes_RM4.to(device), words_RML.to(device)
        losses = []
        for attn, x_RND, text_RLD in seen:
            grid = grid_of(x_RND.shape[1], size_hw)
            if x_RND.shape[1] >= SMALLEST and grid is not None and words_RML.any():
                within_RNM = inside(boxes_RM4, words_RML.any(-1), grid)
                losses.append(_unread(_attention(attn, x_RND, text_RLD), within_RNM, words_RML))
        return torch.stack(losses).mean() if losses else torch.zeros((), device=device)


def told(backbone: Backbone, items: Sequence[Item], captions: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Boxes [R,M,4] of all things, and which tokens of the caption name each: bool [R,M,L]."""
    most = max((len(item.boxes) for item in items), default=0)
    boxes_RM4 = torch.zeros(len(items), most, 4)
    words_RML = torch.zeros(len(items), most, backbone.window, dtype=torch.bool)
    for row, (item, offsets) in enumerate(zip(items, offsets_of(backbone, list(captions)), strict=True)):
        if item.boxes:
            boxes_RM4[row, : len(item.boxes)] = torch.tensor(item.boxes)
        for thing, spans in enumerate(named(captions[row], item.phrases)):
            places = [i for span in spans for i in token_places(offsets, span) if i < backbone.window]
            words_RML[row, thing, places] = True
    return boxes_RM4, words_RML


def named(caption: str, phrases: Sequence[str]) -> list[list[tuple[int, int]]]:
    """Where a caption names things: of every phrase the longest ending that stands in it, as spans.

    "a red metallic car" is found in "a car" and, colour included, in "a red car"; with two cars, "red car"
    keeps the red one's words for itself, because longer names are found first.
    """
    words = [[w.lower() for w in phrase.split() if w.lower() not in ("a", "an", "the")] for phrase in phrases]
    spans = find_spans(caption, [_longest(caption, own) or "\0" for own in words])
    return [
        [_with_adjectives(caption, span, own) for span in of] for of, own in zip(spans, words, strict=True)
    ]


def _longest(caption: str, words: Sequence[str]) -> str:
    """The longest run of words at the end of a phrase that a text holds."""
    endings = (" ".join(words[start:]) for start in range(len(words)))
    return next((one for one in endings if find_spans(caption, [one])[0]), "")


def _with_adjectives(caption: str, span: tuple[int, int], words: Sequence[str]) -> tuple[int, int]:
    """The span, and what stands before it as long as these are words of the phrase too."""
    start, end = span
    for word in reversed(caption[:start].split()):
        if word.lower() not in words:
            break
        start = caption.rindex(word, 0, start)
    return start, end


def _attention(attn: Any, x_RND: Tensor, text_RLD: Tensor) -> Tensor:
    """Share of attention from every visual to every text token, mean over heads: [R,N,L], float32."""
    q, k = attn.to_q(x_RND), attn.to_k(text_RLD.to(x_RND.dtype))
    q_RHND, k_RHLD = (part.unflatten(-1, (attn.heads, -1)).transpose(1, 2) for part in (q, k))
    logits = q_RHND.float() @ k_RHLD.float().transpose(-1, -2) * q_RHND.shape[-1] ** -0.5
    return logits.softmax(-1).mean(1)


def _unread(share_RNL: Tensor, within_RNM: Tensor, words_RML: Tensor) -> Tensor:
    """-log of the attention that places in boxes give to the words of their things, and keep from others'."""
    own_RNL = (within_RNM.float() @ words_RML.float()) > 0
    others_RNL = words_RML.any(1)[:, None] & ~own_RNL
    covered_RN = within_RNM.any(-1)
    given_RN = -((share_RNL * own_RNL).sum(-1) / GIVEN).clamp(1e-4, 1.0).log()
    kept_RN = -(1.0 - (share_RNL * others_RNL).sum(-1)).clamp(1e-4, 1.0).log()
    return ((given_RN + kept_RN) * covered_RN).sum() / covered_RN.sum().clamp(min=1)
