"""Linear layers without gradients on x86 processors, through oneDNN: our own, and those of a foreign network
while it runs (`lend`).

torch hands float32 products to MKL, which reaches less than half of what processors of other makers can do
(an AMD EPYC core with AVX-512: 105 against 240 GFLOP/s). oneDNN, which torch uses for half precision and
convolutions anyway, asks the processor what it can do and finishes bias, GELU and a factor in the same pass.
Everywhere else (gradients, autocast, other devices, half precision, compiled code) these functions are
torch's own operations. Results agree to rounding. A UNet of 11 million parameters takes 0.77 of its time.

Letters: X any leading shape, I width in, O width out.
"""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

_ON_X86 = platform.machine().lower() in ("x86_64", "amd64")
_FUSED: Any = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if torch._C._has_mkldnn else None


def linear(x_XI: Tensor, weight_OI: Tensor, bias_O: Tensor | None = None) -> Tensor:
    """x times the transposed weight, plus the bias: [..., O]."""
    if _FUSED is None or not _fits(x_XI, weight_OI):
        return nnf.linear(x_XI, weight_OI, bias_O)
    dense_O = None if bias_O is None else bias_O.contiguous()  # oneDNN ignores the stride of a bias
    product: Tensor = _FUSED(x_XI, weight_OI, dense_O, "none", [], "")
    return product


def geglu(x_XI: Tensor, weight_OI: Tensor, bias_O: Tensor) -> Tensor:
    """GEGLU (Shazeer 2020, arXiv 2002.05202): the first half of a linear layer times the exact GELU of the
    second half: [..., O/2]."""
    if _FUSED is None or not _fits(x_XI, weight_OI):
        value, gate = nnf.linear(x_XI, weight_OI, bias_O).chunk(2, dim=-1)
        return value * nnf.gelu(gate)
    (value_weight, gate_weight), (value_bias, gate_bias) = weight_OI.chunk(2), bias_O.contiguous().chunk(2)
    gate = _FUSED(x_XI, gate_weight, gate_bias, "gelu", [], "none")
    product: Tensor = _FUSED.binary(x_XI, gate, value_weight, value_bias, "mul")
    return product


def lendable(network: nn.Module) -> list[tuple[nn.Module, Callable[[Tensor], Tensor]]]:
    """The linear layers and diffusers' GEGLUs of `network`, each with what can stand in for its forward.

    Layers of derived classes (quantised, with low-rank additions) are left alone. Empty where oneDNN is not
    used at all.
    """
    from diffusers.models.activations import GEGLU

    found: list[tuple[nn.Module, Callable[[Tensor], Tensor]]] = []
    if _FUSED is None or not _ON_X86:
        return found
    for module in network.modules():
        if type(module) is nn.Linear:
            found.append((module, partial(_linear_of, module)))
        elif type(module) is GEGLU and type(module.proj) is nn.Linear:
            found.append((module, partial(_geglu_of, module)))
    return found


@contextlib.contextmanager
def lend(layers: Sequence[tuple[nn.Module, Callable[[Tensor], Tensor]]]) -> Iterator[None]:
    """Inside the block the `layers` (see `lendable`) multiply through oneDNN; afterwards they are as before.

    Does nothing under gradients. Layers whose forward was replaced by someone else keep that one.
    """
    free = [] if torch.is_grad_enabled() else [pair for pair in layers if "forward" not in pair[0].__dict__]
    try:
        for module, forward in free:
            module.__dict__["forward"] = forward
        yield
    finally:
        for module, _ in free:
            module.__dict__.pop("forward", None)


def _linear_of(layer: nn.Linear, x_XI: Tensor) -> Tensor:
    return linear(x_XI, layer.weight, layer.bias)


def _geglu_of(layer: Any, x_XI: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    proj = layer.proj
    if args or kwargs or proj.bias is None or proj._forward_hooks or proj._forward_pre_hooks:
        return type(layer).forward(layer, x_XI, *args, **kwargs)  # type: ignore[no-any-return]
    return geglu(x_XI, proj.weight, proj.bias)


def _fits(x_XI: Tensor, weight_OI: Tensor) -> bool:
    """True where oneDNN may do it: plain float32 tensors on the CPU, nothing that watches operations."""
    return (
        _ON_X86
        and x_XI.device.type == "cpu"
        and weight_OI.device.type == "cpu"
        and x_XI.dtype == weight_OI.dtype == torch.float32
        and x_XI.numel() > 0
        and x_XI.shape[-1] == weight_OI.shape[1]  # torch says it more clearly
        and not torch.compiler.is_compiling()
        and not torch.is_autocast_enabled("cpu")
        and not (torch.is_grad_enabled() and (x_XI.requires_grad or weight_OI.requires_grad))
        and type(x_XI) is Tensor
        and type(weight_OI) in (Tensor, torch.nn.Parameter)
    )
