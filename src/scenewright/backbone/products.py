"""Linear layers without gradients on x86 processors, through oneDNN.

torch hands float32 products to MKL, which reaches less than half of what processors of other makers can do
(an AMD EPYC core with AVX-512: 105 against 240 GFLOP/s). oneDNN, which torch uses for half precision and
convolutions anyway, asks the processor what it can do and finishes bias, GELU and a factor in the same pass.
Everywhere else (gradients, autocast, other devices and number types, compiled code) these functions are
torch's own operations. Results agree to rounding.

Letters: X any leading shape, I width in, O width out.
"""

from __future__ import annotations

import platform

import torch
from torch import Tensor
from torch.nn import functional as nnf

_ON_X86 = platform.machine().lower() in ("x86_64", "amd64")
_FUSED = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if torch.backends.mkldnn.is_available() else None
_DTYPES = (torch.float32, torch.bfloat16)


def linear(x_XI: Tensor, weight_OI: Tensor, bias_O: Tensor | None = None) -> Tensor:
    """x times the transposed weight, plus the bias: [..., O]."""
    if _FUSED is None or not _fits(x_XI, weight_OI):
        return nnf.linear(x_XI, weight_OI, bias_O)
    product: Tensor = _FUSED(x_XI, weight_OI, bias_O, "none", [], "")
    return product


def geglu(x_XI: Tensor, weight_OI: Tensor, bias_O: Tensor) -> Tensor:
    """GEGLU (Shazeer 2020, arXiv 2002.05202): the first half of a linear layer times the exact GELU of the
    second half: [..., O/2]."""
    if _FUSED is None or not _fits(x_XI, weight_OI):
        value, gate = nnf.linear(x_XI, weight_OI, bias_O).chunk(2, dim=-1)
        return value * nnf.gelu(gate)
    (value_weight, gate_weight), (value_bias, gate_bias) = weight_OI.chunk(2), bias_O.chunk(2)
    gate = _FUSED(x_XI, gate_weight, gate_bias, "gelu", [], "none")
    product: Tensor = _FUSED.binary(x_XI, gate, value_weight, value_bias, "mul")
    return product


def _fits(x_XI: Tensor, weight_OI: Tensor) -> bool:
    """True where oneDNN may do it: plain tensors of one type on the CPU, nothing that watches operations."""
    return (
        _ON_X86
        and x_XI.device.type == "cpu"
        and weight_OI.device.type == "cpu"
        and x_XI.dtype == weight_OI.dtype
        and x_XI.dtype in _DTYPES
        and x_XI.numel() > 0
        and not torch.compiler.is_compiling()
        and not torch.is_autocast_enabled("cpu")
        and not (torch.is_grad_enabled() and (x_XI.requires_grad or weight_OI.requires_grad))
        and type(x_XI) is Tensor
        and type(weight_OI) in (Tensor, torch.nn.Parameter)
    )
