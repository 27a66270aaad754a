"""A diffusers UNet as a `Denoise`, and a limit on how many rows it sees at once.

Letters: R rows, C latent channels, h w latent cells.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from scenewright.backbone.call import Call, Denoise, Grounding
from scenewright.backbone.products import lend, lendable
from scenewright.errors import InputError

Residuals = Callable[[Tensor, Call], tuple[tuple[Tensor, ...], Tensor] | None]
"""What a second network adds to the UNet's skip connections and middle; None where it adds nothing."""


def network(unet: Any, beside: Residuals | None = None) -> Denoise:
    """The UNet as a `Denoise`: rows in, model output out, in the dtype of z (the UNet runs in its own).

    `beside` is asked in every evaluation what to add (a ControlNet); it sees latent and call, no grounding.

    The grounding of the call goes to the attached fusers. If no row has a gate above 0 they are skipped
    altogether and the result is the base network's. Without an attached adapter a call with grounding is an
    error rather than a picture that ignores its layout. Works the same under gradients (training).
    """
    layers = lendable(unet)

    def denoise(z_RChw: Tensor, call: Call) -> Tensor:
        parameter = next(iter(unet.parameters()))
        text = call.cond.text_RLD.to(parameter.device, parameter.dtype)
        kwargs: dict[str, Any] = {}
        grounding = _active(call)
        if grounding is not None:
            if getattr(unet, "position_net", None) is None and not hasattr(unet, "module"):
                raise InputError(
                    "the call has a layout but no adapter is attached to the UNet",
                    "attach the adapter first, or leave grounding out",
                )
            kwargs["cross_attention_kwargs"] = {"gligen": {"objs": grounding}}
        added = None if beside is None else beside(z_RChw, call)
        if added is not None:
            skips, middle = added
            kwargs["down_block_additional_residuals"] = tuple(one.to(parameter.dtype) for one in skips)
            kwargs["mid_block_additional_residual"] = middle.to(parameter.dtype)
        z = z_RChw.to(parameter.dtype)
        with lend(layers):
            output: Tensor = unet(z, call.t, encoder_hidden_states=text, return_dict=False, **kwargs)[0]
        return output.to(z_RChw.dtype)

    return denoise


def _active(call: Call) -> Grounding | None:
    grounding = call.cond.grounding
    if grounding is None or call.gate == 0 or not bool((grounding.gate_R != 0).any()):
        return None
    return grounding.scaled(call.gate)


def chunked(inner: Denoise, max_rows: int) -> Denoise:
    """At most `max_rows` rows per evaluation of `inner`. Put it right around `network` to bound memory."""
    if max_rows < 1:
        raise InputError(f"max_rows must be at least 1, got {max_rows}")

    def denoise(z_RChw: Tensor, call: Call) -> Tensor:
        if call.rows <= max_rows:
            return inner(z_RChw, call)
        parts = []
        for first in range(0, call.rows, max_rows):
            index = range(first, min(first + max_rows, call.rows))
            parts.append(inner(z_RChw[first : first + max_rows], call.take(index)))
        return torch.cat(parts)

    return denoise
