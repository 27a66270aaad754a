"""The optimiser over the groups of a task, and a learning rate that is a pure function of the step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from scenewright.errors import InputError
from scenewright.train.ema import trainable
from scenewright.train.muon import MuonAdamW
from scenewright.train.recipe import LoopConfig


def lr_factor(loop: LoopConfig, step: int) -> float:
    """The factor on ``loop.lr`` in optimiser step `step` (from 0): linear warm-up, then the schedule.

    The warm-up ends with factor 1 in step ``warmup_steps``; the decay would reach ``final_lr`` in the step
    after the last one, so that no step is wasted.
    """
    if step < loop.warmup_steps:
        return (step + 1) / (loop.warmup_steps + 1)
    if loop.schedule == "constant":
        return 1.0
    last = max(loop.decay_steps or loop.steps, loop.warmup_steps + 1)
    part = min((step - loop.warmup_steps) / (last - loop.warmup_steps), 1.0)
    fall = (1 + math.cos(math.pi * part)) / 2 if loop.schedule == "cosine" else 1 - part
    return loop.final_lr + (1 - loop.final_lr) * fall


def parameter_groups(modules: Mapping[str, nn.Module], *, lr_scale: float = 1.0) -> list[dict[str, Any]]:
    """The usual groups: weight decay for matrices and convolutions, none for biases, norms, gates, nulls."""
    parameters = list(trainable(modules).values())
    return [
        {"params": [p for p in parameters if p.ndim >= 2], "lr_scale": lr_scale, "name": "decayed"},
        {
            "params": [p for p in parameters if p.ndim < 2],
            "lr_scale": lr_scale,
            "weight_decay": 0.0,
            "name": "plain",
        },
    ]


def make_optimiser(
    groups: Sequence[Mapping[str, Any]], modules: Mapping[str, nn.Module], loop: LoopConfig
) -> torch.optim.Optimizer:
    """``loop.optimiser`` over `groups` (keys: params, lr_scale, weight_decay, betas, eps, name; only params
    is needed).

    Raises InputError unless every trainable parameter of `modules`, and nothing else, is in exactly one
    group.
    """
    wanted = [{"lr_scale": 1.0, **group, "params": list(group["params"])} for group in groups]
    names = {id(parameter): name for name, parameter in trainable(modules).items()}
    given = [id(parameter) for group in wanted for parameter in group["params"]]
    missing = [name for key, name in names.items() if key not in set(given)]
    if missing:
        raise InputError(
            f"{len(missing)} trainable parameters are in no group: {', '.join(missing[:3])}",
            "freeze them with requires_grad_(False) or add them to Task.groups()",
        )
    if len(given) != len(names):
        raise InputError(f"the groups hold {len(given)} parameters, but {len(names)} are trained, each once")
    used = [group for group in wanted if group["params"]]
    defaults: dict[str, Any] = {
        "lr": loop.lr,
        "betas": loop.betas,
        "eps": loop.epsilon,
        "weight_decay": loop.weight_decay,
    }
    if loop.optimiser == "adamw":
        return torch.optim.AdamW(used, **defaults)
    tables = [
        part for module in modules.values() for part in module.modules() if isinstance(part, nn.Embedding)
    ]
    return MuonAdamW(used, [table.weight for table in tables], **defaults)


def set_lr(optimiser: torch.optim.Optimizer, loop: LoopConfig, step: int) -> float:
    """Give every group its learning rate for `step`; returns that of a group with ``lr_scale`` 1."""
    lr = loop.lr * lr_factor(loop, step)
    for group in optimiser.param_groups:
        group["lr"] = lr * group["lr_scale"]
    return lr


def enable_checkpointing(owners: Sequence[Any]) -> None:
    """Turn on gradient checkpointing in every owner that knows how; InputError if none does."""
    names = ("enable_gradient_checkpointing", "gradient_checkpointing_enable")
    done = 0
    for switch in (getattr(owner, name) for owner in owners for name in names if hasattr(owner, name)):
        try:
            switch()
            done += 1
        except ValueError:  # diffusers: the method is there, but this class does not support it
            continue
    if not done:
        raise InputError(
            "loop.gradient_checkpointing is true, but nothing in this task supports it",
            "set it to false, or give the task an enable_gradient_checkpointing()",
        )
