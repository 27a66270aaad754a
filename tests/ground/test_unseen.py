"""What attention is for: a class the head never saw is found where the drawing network's own word acted.

Pictures here are two rectangles of made-up stuff on a third; every class has its own look in the features and
its own vector, without any relation between the two. So nothing about an unseen class can be known from its
vector, and its attention is a blurred, misplaced, noisy hint.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as nnf

from scenewright.backbone.features import Features
from scenewright.ground.attention import attention_logits
from scenewright.ground.decide import decide
from scenewright.ground.head import GroundingConfig, GroundingHead

SIDE = 16
CHANNELS = (8, 8, 8, 8)
CLASSES = 12
SEEN, UNSEEN = range(8), range(8, CLASSES)


def looks() -> tuple[Tensor, Tensor]:
    """Of every class (and the background) its look in each level, and its vector."""
    generator = torch.Generator().manual_seed(0)
    look = torch.randn(CLASSES + 1, len(CHANNELS), CHANNELS[0], generator=generator)
    return look, torch.randn(CLASSES, 16, generator=generator)


def pictures(classes: range, count: int, seed: int) -> tuple[Features, Tensor, Tensor, Tensor]:
    """Features, vectors, attention [B, 2, 1, h, w] and masks [B, 2, h, w] of pictures of two classes."""
    rng = np.random.default_rng(seed)
    look, vectors = looks()
    masks = torch.zeros(count, 2, SIDE, SIDE)
    ids = torch.full((count, SIDE, SIDE), CLASSES)
    chosen = torch.zeros(count, 2, dtype=torch.long)
    for b in range(count):
        for k, name in enumerate(rng.choice(list(classes), 2, replace=False)):
            height, width = rng.integers(4, 9, 2)
            y, x = rng.integers(0, SIDE - height), rng.integers(k * 8, k * 8 + 9 - width)
            masks[b, k, y : y + height, x : x + width] = 1
            ids[b][masks[b, k] > 0] = int(name)
            chosen[b, k] = int(name)
    noise = torch.Generator().manual_seed(seed)
    levels = []
    for i in range(4):
        factor = 2 ** (3 - i)
        map_BChw = nnf.avg_pool2d(look[ids][:, :, :, i].permute(0, 3, 1, 2), factor)
        levels.append((map_BChw + 0.3 * torch.randn(map_BChw.shape, generator=noise),))
    hint = nnf.avg_pool2d(masks, 5, 1, 2).roll((1, -1), (2, 3))
    hint = (hint + 0.2 * torch.rand(hint.shape, generator=noise)).clamp(0, 1)
    return Features(tuple(levels)), vectors[chosen], hint.unsqueeze(2), masks


def trained(attention: int, steps: int = 150) -> GroundingHead:
    torch.manual_seed(1)
    config = GroundingConfig(
        channels=CHANNELS, text_width=16, stride=1, reduced=(4, 8, 8, 12), width=32, heads=4, layers=2,
        hidden=64, attention=attention, text_dropout=0.3 if attention else 0.0,
    )  # fmt: skip
    head = GroundingHead(config).train()
    adam = torch.optim.Adam(head.parameters(), lr=3e-3)
    for step in range(steps):
        features, words, hint, masks = pictures(SEEN, 16, 100 + step)
        logits = head(features, words, None, hint if attention else None)
        loss = nnf.binary_cross_entropy_with_logits(logits, masks)
        adam.zero_grad()
        loss.backward()
        adam.step()
    return head.eval()


def iou(logits: Tensor, masks: Tensor, threshold: float = 0.5) -> float:
    found, true = decide(logits, threshold=threshold), masks.bool()
    return ((found & true).sum((2, 3)) / (found | true).sum((2, 3)).clamp_min(1)).mean().item()


def test_attention_reaches_unseen_classes() -> None:
    seen, unseen = pictures(SEEN, 64, 1), pictures(UNSEEN, 64, 2)
    scores = {}
    for maps in (0, 1):
        head = trained(maps)
        with torch.no_grad():
            for name, (features, words, hint, masks) in (("seen", seen), ("unseen", unseen)):
                scores[name, maps] = iou(head(features, words, None, hint if maps else None), masks)
    hint, masks = unseen[2:]
    alone = max(iou(attention_logits(hint, (SIDE, SIDE)), masks, t) for t in (0.3, 0.4, 0.5, 0.6, 0.7))
    print(scores, alone)
    assert scores["seen", 0] > 0.7 and scores["seen", 1] > 0.8
    assert scores["unseen", 1] > max(alone + 0.1, scores["unseen", 0] + 0.2)
