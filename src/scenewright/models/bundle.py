"""A bundle: a backbone with the adapter that was asked for, ready to be used."""

from __future__ import annotations

from dataclasses import dataclass

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
