"""Attaching fusers to an unmodified diffusers UNet, and taking them off again without a trace.

Every transformer block of diffusers has a slot: when the UNet is called with
``cross_attention_kwargs["gligen"]``, the block calls ``self.fuser(x, objs)`` after its self-attention. There
`objs` is what the UNet's `position_net` returned. A pass-through `position_net` brings tokens that were
computed once per picture to that place, as a `Grounding`.

A fuser is any module ``forward(x_RND, objs: Grounding) -> x_RND`` that adds ``objs.gate_R * residual``; with
gate 0 it must return x exactly. (R rows, N visual tokens, D width of the block.)
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import TracebackType
from typing import Any

from torch import nn

from scenewright.backbone.call import Grounding
from scenewright.errors import ModelError, nearest


class PassThrough(nn.Module):
    """Stands in the UNet's `position_net` slot and hands the grounding on. `name` is the adapter's."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, objs: Grounding) -> Grounding:
        """`objs` as it came."""
        return objs


class Handle:
    """An attached adapter. `close()` (or leaving a ``with`` block) restores the UNet exactly."""

    def __init__(self, unet: nn.Module, blocks: Mapping[str, nn.Module], name: str) -> None:
        self.name = name
        self._unet = unet
        self._blocks = dict(blocks)
        self._open = True

    @property
    def is_open(self) -> bool:
        """True until `close` was called."""
        return self._open

    def close(self) -> None:
        """Take the fusers off. A second call does nothing."""
        if not self._open:
            return
        for block in self._blocks.values():
            del block.fuser
        del self._unet.position_net
        del self._unet.__dict__["save_pretrained"]
        self._open = False

    def __enter__(self) -> Handle:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def transformer_blocks(unet: nn.Module) -> dict[str, nn.Module]:
    """Block path -> transformer block, in the order of the forward pass's registration."""
    from diffusers.models.attention import BasicTransformerBlock

    return {path: block for path, block in unet.named_modules() if isinstance(block, BasicTransformerBlock)}


def attach_fusers(unet: nn.Module, fusers: Mapping[str, nn.Module], name: str) -> Handle:
    """Put one fuser into every transformer block of `unet`, by block path (see `transformer_blocks`).

    `name` is used in messages. Nothing of the UNet's own changes: without grounding it computes what it did.
    While attached, `unet.save_pretrained` refuses, because the file would hold the adapter. Raises ModelError
    if the UNet is compiled, has fusers already, or if the paths do not match its blocks one to one.
    """
    refuse_compiled(unet, f"attach {name}")
    blocks = transformer_blocks(unet)
    _refuse_occupied(unet, blocks, name)
    _check_paths(list(blocks), list(fusers), name)
    for path, block in blocks.items():
        block.fuser = fusers[path]
    unet.position_net = PassThrough(name)
    unet.__dict__["save_pretrained"] = partial(_refuse_saving, name)
    return Handle(unet, blocks, name)


def refuse_compiled(unet: nn.Module, what: str) -> None:
    """Raise ModelError if `unet` or a part of it is compiled: what is added later is ignored there."""
    compiled: list[Any] = [
        module
        for module in unet.modules()
        if hasattr(module, "_orig_mod")
        or getattr(module, "_compiled_call_impl", None) is not None
        or hasattr(module.__dict__.get("forward"), "_torchdynamo_orig_callable")
    ]
    if compiled:
        raise ModelError(
            f"cannot {what}: the UNet is compiled, and compiled code ignores what is added later",
            f"{what} first, then call torch.compile",
        )


def _refuse_occupied(unet: nn.Module, blocks: Mapping[str, nn.Module], name: str) -> None:
    holder = getattr(unet, "position_net", None)
    if isinstance(holder, PassThrough):
        raise ModelError(
            f"cannot attach {name}: {holder.name} is attached to this UNet",
            "one adapter at a time; close the handle of the other first",
        )
    if holder is not None or any(hasattr(block, "fuser") for block in blocks.values()):
        raise ModelError(
            f"cannot attach {name}: this UNet has gated attention of its own",
            "load the plain UNet of the same family and convert the gated part to an adapter",
        )


def _check_paths(blocks: list[str], fusers: list[str], name: str) -> None:
    missing = [path for path in blocks if path not in fusers]
    unexpected = [path for path in fusers if path not in blocks]
    if not blocks:
        raise ModelError(f"cannot attach {name}: the UNet has no transformer blocks")
    if missing or unexpected:
        close = nearest(unexpected[0], blocks) if unexpected else None
        raise ModelError(
            f"the fusers of {name} do not fit this UNet: missing {missing[:3]}, unexpected {unexpected[:3]}",
            f"did you mean {close}?" if close else "every transformer block needs exactly one fuser",
        )


def _refuse_saving(name: str, *args: Any, **kwargs: Any) -> None:
    raise ModelError(
        f"cannot save the UNet while {name} is attached: the file would hold the adapter's weights",
        "close the adapter's handle first; adapters are saved in files of their own",
    )
