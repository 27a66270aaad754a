"""Muon for the matrices of a network, AdamW for everything else, behind one optimiser.

Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024 (momentum, orthogonalised by
Newton-Schulz steps); Liu et al., "Muon is Scalable for LLM Training", 2025, section 2.2 (updates scaled to
the size of AdamW's, so that one learning rate serves both). `torch.optim.Muon` takes matrices only: a
convolution's kernel [out, in, y, x] is given to it as the matrix [out, in * y * x].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim.optimizer import Optimizer

SMALLEST = 16
"""A weight with fewer rows or columns than this is left to AdamW: its spectrum says little."""
MOMENTUM = 0.95


class MuonAdamW(Optimizer):
    """Both optimisers over the groups of a task; each group's ``lr``, ``weight_decay`` hold for both.

    groups    keys params, lr, weight_decay, betas, eps; others (name, lr_scale) are kept.
    vectors   parameters that AdamW gets whatever their shape (embeddings).
    """

    def __init__(
        self, groups: Sequence[Mapping[str, Any]], vectors: Sequence[nn.Parameter], **defaults: Any
    ) -> None:
        super().__init__([dict(group) for group in groups], defaults)
        apart = {id(one) for one in vectors}
        self._flat: list[tuple[nn.Parameter, nn.Parameter]] = []
        matrices, rest = [], []
        for group in self.param_groups:
            mine = [one for one in group["params"] if id(one) not in apart and is_matrix(one)]
            flat = [nn.Parameter(_flattened(one)) for one in mine]
            self._flat += zip(mine, flat, strict=True)
            own = {id(one) for one in mine}
            matrices.append({"params": flat, **_decay(group)})
            others = [one for one in group["params"] if id(one) not in own]
            rest.append({"params": others, **_decay(group), "betas": group["betas"], "eps": group["eps"]})
        self._matrices = torch.optim.Muon(matrices, momentum=MOMENTUM, adjust_lr_fn="match_rms_adamw")
        self._rest = torch.optim.AdamW(rest)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        """One step of both with the groups' present learning rates. `closure` is not supported."""
        assert closure is None
        for one, flat in self._flat:
            flat.data = _flattened(one)
            flat.grad = None if one.grad is None else one.grad.reshape(flat.shape)
        for inner in (self._matrices, self._rest):
            for mine, group in zip(inner.param_groups, self.param_groups, strict=True):
                mine["lr"], mine["weight_decay"] = group["lr"], group["weight_decay"]
            inner.step()
        for _, flat in self._flat:
            flat.grad = None

    def state_dict(self) -> dict[str, Any]:
        """The states of both, and this one's groups in torch's form."""
        return {
            **super().state_dict(),
            "muon": self._matrices.state_dict(),
            "adamw": self._rest.state_dict(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over what `state_dict` gave."""
        super().load_state_dict({key: state_dict[key] for key in ("state", "param_groups")})
        self._matrices.load_state_dict(state_dict["muon"])
        self._rest.load_state_dict(state_dict["adamw"])


def is_matrix(parameter: torch.Tensor) -> bool:
    """Whether a parameter is a weight with at least `SMALLEST` rows and columns once it is flattened."""
    rows = parameter.shape[0] if parameter.ndim >= 2 else 0
    return rows >= SMALLEST and parameter.numel() // rows >= SMALLEST


def _flattened(parameter: nn.Parameter) -> torch.Tensor:
    """The parameter's own memory as a matrix: what changes one changes the other."""
    return parameter.detach().view(parameter.shape[0], -1)


def _decay(group: Mapping[str, Any]) -> dict[str, Any]:
    return {"lr": group["lr"], "weight_decay": group["weight_decay"]}
