"""Token states of a text encoder brought to zero mean and unit spread, folded into its last layer norm.

A contrastive loss reads directions of one state, the end mark's, and does not care about what all states have
in common: after training, the states of all tokens of all captions can be one long vector and a difference
of a few per cent. A denoiser's cross-attention reads them through linear maps without a bias and learns from
such inputs very slowly: all words give it nearly the same keys and values. Per dimension the states become
``(x - mean) / deviation``, which the last layer norm gives with its weight over the deviation and
``(bias - mean) / deviation`` as its bias. A linear reader with a bias can undo it, so nothing is lost.

Letters: B texts, L tokens, D width, K tokens of all texts.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scenewright.errors import InputError

SMALLEST = 1e-4
"""The smallest deviation of a dimension, as a share of the largest: below it there is nothing to read."""


def word_states(hidden_BLD: Tensor, ends_B: Tensor) -> Tensor:
    """The states [K,D] after the start mark, which is the same in every text, up to the end mark included."""
    place_L = torch.arange(hidden_BLD.shape[1], device=hidden_BLD.device)
    return hidden_BLD[(place_L > 0) & (place_L <= ends_B.to(hidden_BLD.device)[:, None])]


@torch.no_grad()
def standardise(encoder: nn.Module, states_KD: Tensor) -> None:
    """Changes the last layer norm of a CLIPTextModel in place so that `states_KD`, its own, are standardised.

    Raises InputError for fewer than two states or an encoder that does not end in one layer norm.
    """
    if len(states_KD) < 2:
        raise InputError(f"standardising needs at least two states, got {len(states_KD)}")
    norm = last_norm(encoder)
    mean_D, deviation_D = states_KD.double().mean(0), states_KD.double().std(0)
    deviation_D = deviation_D.clamp(min=SMALLEST * float(deviation_D.max()))
    norm.weight.copy_(norm.weight.double() / deviation_D)
    norm.bias.copy_((norm.bias.double() - mean_D) / deviation_D)


def last_norm(encoder: nn.Module) -> nn.LayerNorm:
    """The layer norm that a CLIPTextModel ends in."""
    found = [module for name, module in encoder.named_modules() if name.endswith("final_layer_norm")]
    if len(found) != 1 or not isinstance(found[0], nn.LayerNorm):
        raise InputError("the text encoder has no final layer norm", "expected a CLIPTextModel")
    return found[0]
