"""A bundle: a backbone with the adapter that was asked for, ready to be used."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import nn

from scenewright.backbone.model import Backbone


@dataclass(frozen=True, eq=False)
class Bundle:
    """What `load_bundle` gives, and what the flows take."""

    backbone: Backbone
    adapter: nn.Module | None
    """The added network (e.g. `condition.gligen.Gligen`), None without one."""
    name: str
    """What was asked for, e.g. ``nano+gligen``."""
    kind: str = ""
    """Kind of the adapter, e.g. ``gligen``; empty without one."""
    notices: tuple[str, ...] = ()
    """What the user should know about how the name was resolved."""

    @cached_property
    def adapter_fingerprint(self) -> str:
        """The `fingerprint` of the adapter; empty without one. Computed once, on first use."""
        return "" if self.adapter is None else fingerprint(self.adapter)


def fingerprint(module: nn.Module) -> str:
    """16 hex digits that name a module's weights: SHA-256 over names, shapes and half-precision values."""
    digest = hashlib.sha256()
    for key, tensor in sorted(module.state_dict().items()):
        half = tensor.detach().to(device="cpu", dtype=torch.float16).contiguous()
        digest.update(f"{key}:{tuple(half.shape)};".encode())
        digest.update(half.numpy().data)
    return digest.hexdigest()[:16]
