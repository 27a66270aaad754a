"""The gated self-attention that GLIGEN and InstanceDiffusion put into every transformer block.

Li et al., "GLIGEN: Open-Set Grounded Text-to-Image Generation", CVPR 2023 (arXiv 2301.07093), eq. 8. The
released networks add a gated feed-forward to the published attention term; so does this file.

=================  ==========================================
name in code       symbol in the paper
=================  ==========================================
``x``              v, the visual tokens
``objs.tokens``    h^e, the grounding tokens
``alpha_attn``     gamma, the learnt gate (inside a tanh)
``objs.gate``      beta, the scale of scheduled sampling
=================  ==========================================

Letters: R rows, N visual tokens, M grounding tokens, C width of the block, D width of the grounding tokens,
H heads, F frequencies, K slots, S keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

from scenewright.backbone.attach import transformer_blocks
from scenewright.backbone.call import Grounding
from scenewright.backbone.products import geglu, linear
from scenewright.condition.membership import attend, cells_of
from scenewright.errors import ModelError


def fourier(coords_XD: Tensor, frequencies: int = 8) -> Tensor:
    """Sine and cosine code of coordinates, frequency by frequency; float32 whatever the input.

    Args:
        coords_XD: coordinates in [0,1], any leading shape, last axis D (4 for a box, 2 for a point).
        frequencies: F; the k-th frequency is 100^(k/F), without a factor 2 pi.

    Returns:
        [..., 2*F*D]: for each frequency the D sines, then the D cosines.
    """
    bands_F = 100 ** (torch.arange(frequencies, device=coords_XD.device, dtype=torch.float32) / frequencies)
    angles_XFD = coords_XD.to(torch.float32).unsqueeze(-2) * bands_F[:, None]
    return torch.stack((angles_XFD.sin(), angles_XFD.cos()), dim=-2).flatten(-3)


class _Attention(nn.Module):
    """Multi-head attention of the visual tokens over visual and grounding tokens."""

    def __init__(self, width: int, heads: int, head_width: int) -> None:
        super().__init__()
        self.heads = heads
        inner = heads * head_width
        self.to_q = nn.Linear(width, inner, bias=False)
        self.to_k = nn.Linear(width, inner, bias=False)
        self.to_v = nn.Linear(width, inner, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(inner, width)])

    def _heads(self, tokens_RSC: Tensor, layer: nn.Linear) -> Tensor:
        return linear(tokens_RSC, layer.weight).unflatten(2, (self.heads, -1)).transpose(1, 2)

    def forward(self, visual_RNC: Tensor, grounding_RMC: Tensor, cells_RKN: Tensor | None = None) -> Tensor:
        both_RSC = torch.cat([visual_RNC, grounding_RMC], dim=1)
        q_RHNc = self._heads(visual_RNC, self.to_q)
        k_RHSc, v_RHSc = self._heads(both_RSC, self.to_k), self._heads(both_RSC, self.to_v)
        if cells_RKN is None:
            out_RHNc = nnf.scaled_dot_product_attention(q_RHNc, k_RHSc, v_RHSc)
        else:
            out_RHNc = attend(q_RHNc, k_RHSc, v_RHSc, cells_RKN)
        last = self.to_out[0]
        return linear(out_RHNc.transpose(1, 2).flatten(2), last.weight, last.bias)


class _Geglu(nn.Module):
    """Linear to twice the width, one half times the exact GELU of the other."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, 2 * hidden)

    def forward(self, x: Tensor) -> Tensor:
        return geglu(x, self.proj.weight, self.proj.bias)


class _FeedForward(nn.Module):
    """GEGLU of four times the width; the identity in the middle keeps the published numbering of keys."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(_Geglu(width, 4 * width), nn.Identity(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        last = self.net[2]
        return linear(self.net[0](x), last.weight, last.bias)


class GatedFuser(nn.Module):
    """Gated self-attention over visual and grounding tokens; state-dict keys as published.

    Fits the ``fuser`` slot of a diffusers ``BasicTransformerBlock``. Only visual tokens are queries: the
    outputs at grounding tokens are never used, so they are never computed.

    Args:
        width: C, the width of the block.
        context_width: D, the width of the grounding tokens.
        heads, head_width: those of the block.
    """

    def __init__(self, width: int, context_width: int, heads: int, head_width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(context_width, width)
        self.attn = _Attention(width, heads, head_width)
        self.ff = _FeedForward(width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.alpha_attn = nn.Parameter(torch.tensor(0.0))
        self.alpha_dense = nn.Parameter(torch.tensor(0.0))

    def forward(self, x_RND: Tensor, objs: Grounding) -> Tensor:
        """Visual tokens [R,N,C] moved towards the grounding; rows whose gate is 0 come back bit-equal.

        Where `objs.extra` says which tokens belong to which instance, attention is masked (`membership`).
        """
        cells_RKN = cells_of(objs.extra, x_RND.shape[1])
        if torch.compiler.is_compiling():
            gate_R = objs.gate_R.to(x_RND.device)
            fused_RND = self._fuse(x_RND, objs.tokens_RMD, gate_R, cells_RKN)
            return torch.where((gate_R != 0)[:, None, None], fused_RND, x_RND)
        active_R = objs.gate_R != 0
        if bool(active_R.all()):
            return self._fuse(x_RND, objs.tokens_RMD, objs.gate_R, cells_RKN)
        rows = active_R.nonzero().squeeze(1)
        if rows.numel() == 0:
            return x_RND
        gate_A, rows = objs.gate_R[rows], rows.to(x_RND.device)
        cells_AKN = None if cells_RKN is None else cells_RKN[rows]
        fused_AND = self._fuse(x_RND[rows], objs.tokens_RMD[rows], gate_A, cells_AKN)
        return x_RND.index_copy(0, rows, fused_AND.to(x_RND.dtype))

    def _fuse(
        self, x_RNC: Tensor, tokens_RMD: Tensor, gate_R: Tensor, cells_RKN: Tensor | None = None
    ) -> Tensor:
        dtype, gate_R11 = x_RNC.dtype, gate_R.to(x_RNC).view(-1, 1, 1)
        tokens_RMC = linear(tokens_RMD.to(dtype), self.linear.weight, self.linear.bias).to(dtype)
        attended: Tensor = self.attn(self.norm1(x_RNC), self.norm1(tokens_RMC), cells_RKN)
        scale_R11 = gate_R11 * self.alpha_attn.tanh().to(dtype)
        x_RNC = torch.addcmul(x_RNC, scale_R11, attended.to(dtype))
        dense: Tensor = self.ff(self.norm2(x_RNC))
        scale_R11 = gate_R11 * self.alpha_dense.tanh().to(dtype)
        return torch.addcmul(x_RNC, scale_R11, dense.to(dtype))


class FuserTree(nn.Module):
    """Base of an adapter whose parts are filed under the paths of the blocks they belong to.

    The tree of empty modules makes the state dict read ``<block path>.fuser.<key>``, the published names.
    """

    def __init__(self, fusers: Mapping[str, GatedFuser]) -> None:
        super().__init__()
        self._paths = tuple(fusers)
        for path, fuser in fusers.items():
            self.file(path, "fuser", fuser)

    def file(self, path: str, name: str, part: nn.Module) -> None:
        """Puts `part` at ``<path>.<name>``."""
        node: nn.Module = self
        for step in path.split("."):
            if step not in node._modules:
                node.add_module(step, nn.Module())
            node = node.get_submodule(step)
        node.add_module(name, part)

    @property
    def fusers(self) -> dict[str, GatedFuser]:
        """The fusers by the path of their block, in the order of the UNet's modules."""
        found: dict[str, GatedFuser] = {}
        for path in self._paths:
            fuser = self.get_submodule(f"{path}.fuser")
            assert isinstance(fuser, GatedFuser)
            found[path] = fuser
        return found

    def gates(self) -> dict[str, float]:
        """The learnt gates, tanh applied, in (-1,1): ``<block path>.attn`` and ``<block path>.dense``."""
        values: dict[str, float] = {}
        for path, fuser in self.fusers.items():
            values[f"{path}.attn"] = float(fuser.alpha_attn.detach().float().tanh())
            values[f"{path}.dense"] = float(fuser.alpha_dense.detach().float().tanh())
        return values


def fresh_fusers(unet: nn.Module, context_width: int) -> dict[str, GatedFuser]:
    """One untrained fuser (gates 0) per transformer block, found by walking `unet`.

    Widths and heads are read from each block's self-attention. Raises ModelError if there is no such block.
    """
    fusers: dict[str, GatedFuser] = {}
    for path, block in transformer_blocks(unet).items():
        attn: Any = block.attn1
        width, heads = attn.to_q.in_features, attn.heads
        fusers[path] = GatedFuser(width, context_width, heads, attn.to_q.out_features // heads)
    if not fusers:
        raise ModelError(
            "the network has no transformer block",
            hint="grounding needs a UNet such as Stable Diffusion's, with attention at some level",
        )
    return fusers


def context_width(unet: nn.Module) -> int:
    """Width of the text tokens that the UNet reads. Raises ModelError when it is not one number."""
    config: Any = unet.config
    width = config.cross_attention_dim
    if isinstance(width, (tuple, list)):
        if len(set(width)) != 1:
            raise ModelError(
                f"the blocks of the UNet read texts of different widths {tuple(width)}, one expected"
            )
        width = width[0]
    if not isinstance(width, int):
        raise ModelError(f"the UNet's cross_attention_dim is {width!r}, a whole number expected")
    return width
