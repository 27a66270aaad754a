"""What a denoiser is trained towards, and what each noise level counts.

**Words learnt from boxes.** A denoiser is trained towards one picture, though what it can know at best is the
mean over all pictures that fit the noisy one and the text. With boxes z is explained much better, and by the
law of total expectation

    E[x | z, text] = E[ E[x | z, text, boxes] | z, text ],

so the network's own answer with the boxes of the picture is as good a target as the picture, with far less
variance: what neither could know is averaged out already. Where a thing can be made out in the noise, what is
left to learn is what the boxes' phrases say and the caption says too. (The argument of Xu et al., "Stable
Target Field for Reduced Variance Score Estimation in Diffusion Models", ICLR 2023, with the boxes in place of
a reference batch.) The answer is only as good as the network is, so the picture keeps a share.

The same holds inside: what the transformer blocks say with boxes is a target for what they say without
(Romero et al., "FitNets: Hints for Thin Deep Nets", ICLR 2015), and reaches the attention to words directly.

**Weights.** Hang et al., "Efficient Diffusion Training via Min-SNR Weighting Strategy", 2023, section 3.4.

Letters: B batch, C latent channels, h w cells, N visual tokens of a block, D their width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scenewright.backbone.attach import transformer_blocks
from scenewright.backbone.call import Call, Conditioning, Denoise
from scenewright.backbone.noise import Noise


class States:
    """What the transformer blocks of a UNet in training mode gave since `clear`, in the order of the pass."""

    def __init__(self, unet: Any) -> None:
        self._seen: list[Tensor] | None = None
        self._hooks = [block.register_forward_hook(self._see) for block in transformer_blocks(unet).values()]

    def _see(self, block: Any, inputs: tuple[Any, ...], output_BND: Tensor) -> None:
        if self._seen is not None and block.training:
            self._seen.append(output_BND)

    def clear(self) -> None:
        """Starts watching."""
        self._seen = []

    def take(self, more: bool) -> list[Tensor]:
        """The states [B,N,D] of all blocks since the last call; goes on watching if there is `more`."""
        seen, self._seen = self._seen or [], [] if more else None
        return seen


def unlike(own: Sequence[Tensor], wanted: Sequence[Tensor], counted_B: Tensor) -> Tensor:
    """Squared difference of states [B,N,D] over the variance of the wanted ones, mean over blocks."""
    parts = []
    for own_BND, wanted_BND in zip(own, wanted, strict=True):
        wanted_BND = wanted_BND.float()
        error_B = (own_BND.float() - wanted_BND).square().mean((1, 2)) / wanted_BND.var().clamp(min=1e-6)
        parts.append((error_B * counted_B).sum() / counted_B.sum().clamp(min=1))
    return torch.stack(parts).mean()


@dataclass(kw_only=True)
class Taught:
    """Conditioning that holds the boxes, rows that have any (bool [B]), and the answer's share in [0,1].

    `states`, where given, watches both passes; `loss` compares them after the pass without boxes.
    """

    cond: Conditioning
    boxed_B: Tensor
    share: float
    states: States | None = None

    def target(self, denoise: Denoise, z_BChw: Tensor, t_B: Tensor, target_BChw: Tensor) -> Tensor:
        """`target_BChw` moved by `share` towards the network's answer with boxes; no gradients."""
        if self.states is not None:
            self.states.clear()
        with torch.no_grad():
            answer_BChw = denoise(z_BChw, Call.plain(t_B, self.cond)).float()
            mixed_BChw = torch.lerp(target_BChw, answer_BChw, self.share)
        self._wanted = [] if self.states is None else self.states.take(more=True)
        return torch.where(self.boxed_B.view(-1, 1, 1, 1), mixed_BChw, target_BChw)

    def loss(self) -> Tensor:
        """How unlike the states of the last pass are to those with boxes; needs `states`."""
        assert self.states is not None
        return unlike(self.states.take(more=False), self._wanted, self.boxed_B)


def min_snr(noise: Noise, t_B: Tensor, gamma: float | None) -> Tensor:
    """min(SNR, gamma) over the weight [B] that the prediction itself gives the clean latent's error.

    None for `gamma`: ones, the plain loss of the prediction.
    """
    if gamma is None:
        return torch.ones_like(t_B, dtype=torch.float32)
    a_B, s_B = (level.float().flatten() for level in noise.levels(t_B))
    snr_B = (a_B / s_B) ** 2
    own_B = snr_B if noise.prediction == "eps" else snr_B + 1
    return snr_B.clamp(max=gamma) / own_B
