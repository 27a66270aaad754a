"""What the loop tells a network about each row of the batch it evaluates.

A *row* is one latent of one forward pass. Guidance, windows and branches multiply rows; `Call` says for every
row which sample, guidance half, branch and window it serves, so a wrapper never has to guess from positions.
All types are frozen; `take` and `cat` return new objects.

Letters: R rows, L text tokens, M grounding tokens, D width, C latent channels, h w latent cells, B samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from scenewright.errors import InputError

COND = "cond"
UNCOND = "uncond"


@dataclass(frozen=True)
class Window:
    """A rectangle of latent cells, half-open: rows y0..y1, columns x0..x1."""

    y0: int
    x0: int
    y1: int
    x1: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """The two slices (rows, columns) that cut this window out of ``[..., h, w]``."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)


def _rows_of(tensor: Tensor, index: Sequence[int]) -> Tensor:
    if list(index) == list(range(tensor.shape[0])):
        return tensor
    return tensor.index_select(0, torch.as_tensor(list(index), dtype=torch.long, device=tensor.device))


def _cat_extra(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    names = set(parts[0])
    if any(set(part) != names for part in parts):
        given = sorted({name for part in parts for name in part})
        raise InputError(
            f"conditionings with different extra fields cannot share a batch: {given}",
            "give every conditioning, the negative one included, the same extra fields",
        )
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _cat_tensors(name: str, tensors: Sequence[Tensor]) -> Tensor:
    shapes = {tuple(tensor.shape[1:]) for tensor in tensors}
    if len(shapes) > 1:
        raise InputError(
            f"{name} of different shapes cannot share a batch: {sorted(shapes)}",
            "pad the tokens to one length, for the negative prompt as for the prompt",
        )
    return torch.cat(list(tensors))


@dataclass(frozen=True)
class Grounding:
    """What the fusers get: tokens of the layout and how strongly each row follows them.

    `tokens_RMD` are computed once per picture; `gate_R` is in [0, 1] and 0 means *no layout*: that row is the
    base network. Adapters with more inputs add tensors (rows first) under names of their own in `extra`.
    """

    tokens_RMD: Tensor
    gate_R: Tensor
    extra: Mapping[str, Tensor] = field(default_factory=dict)

    def take(self, index: Sequence[int]) -> Grounding:
        """The rows `index`, in that order; a row may occur more than once."""
        extra = {name: _rows_of(value, index) for name, value in self.extra.items()}
        return Grounding(_rows_of(self.tokens_RMD, index), _rows_of(self.gate_R, index), extra)

    def scaled(self, gate: float) -> Grounding:
        """The same tokens with every row's gate multiplied by `gate`."""
        return self if gate == 1.0 else replace(self, gate_R=self.gate_R * gate)

    def off(self, rows: int) -> Grounding:
        """`rows` rows without a layout: zeros of the same widths, gate 0."""
        extra = {name: value.new_zeros((rows, *value.shape[1:])) for name, value in self.extra.items()}
        tokens = self.tokens_RMD.new_zeros((rows, *self.tokens_RMD.shape[1:]))
        return Grounding(tokens, self.gate_R.new_zeros(rows), extra)

    @staticmethod
    def cat(parts: Sequence[Grounding]) -> Grounding:
        """Rows of all parts, in order. Raises InputError when token counts or widths differ."""
        tokens = _cat_tensors("grounding tokens", [part.tokens_RMD for part in parts])
        gates = torch.cat([part.gate_R for part in parts])
        return Grounding(tokens, gates, _cat_extra([part.extra for part in parts]))


@dataclass(frozen=True)
class Conditioning:
    """Everything a row is conditioned on. `grounding` None means no layout for any row.

    `text_RLD` are the text encoder's hidden states. `extra` holds further tensors (rows first) by name.
    """

    text_RLD: Tensor
    grounding: Grounding | None = None
    extra: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """How many rows this conditions."""
        return int(self.text_RLD.shape[0])

    def take(self, index: Sequence[int]) -> Conditioning:
        """The rows `index`, in that order; a row may occur more than once."""
        grounding = None if self.grounding is None else self.grounding.take(index)
        extra = {name: _rows_of(value, index) for name, value in self.extra.items()}
        return Conditioning(_rows_of(self.text_RLD, index), grounding, extra)

    @staticmethod
    def cat(parts: Sequence[Conditioning]) -> Conditioning:
        """Rows of all parts, in order. Parts without grounding get gate 0 beside parts that have one."""
        given = next((part.grounding for part in parts if part.grounding is not None), None)
        grounding = None
        if given is not None:
            grounding = Grounding.cat([part.grounding or given.off(part.rows) for part in parts])
        text = _cat_tensors("text tokens", [part.text_RLD for part in parts])
        return Conditioning(text, grounding, _cat_extra([part.extra for part in parts]))


@dataclass(frozen=True)
class Rows:
    """Which sample and which branch each row of a run belongs to. Branch 0 is the whole picture."""

    sample_R: tuple[int, ...]
    branch_R: tuple[int, ...]

    @staticmethod
    def plain(samples: int) -> Rows:
        """One row per sample."""
        return Rows(tuple(range(samples)), (0,) * samples)

    @staticmethod
    def branched(branches_B: Sequence[int]) -> Rows:
        """`branches_B[i]` rows for sample i, sample by sample, branch 0 first."""
        if any(count < 1 for count in branches_B):
            raise InputError(f"every sample needs at least one branch, got {list(branches_B)}")
        pairs = [(i, branch) for i, count in enumerate(branches_B) for branch in range(count)]
        return Rows(tuple(i for i, _ in pairs), tuple(branch for _, branch in pairs))


@dataclass(frozen=True)
class Call:
    """One evaluation of a `Denoise`.

    `t` is the timestep as the scheduler lists it (0-d while sampling; one per row, [R], in training). `entry`
    counts the scheduler's timesteps, `step` the sampler steps, `steps` is their number: PNDM and Heun
    evaluate some steps more than once, so schedules are indexed by `step`. Edits are also called once with
    ``step == steps``, after the last step. `half_R` is "cond" or "uncond"; `window_R` is the part of the
    latent a row covers (None: all of it). `gate` multiplies the gates of all rows.
    """

    t: Tensor
    cond: Conditioning
    entry: int
    step: int
    steps: int
    sample_R: tuple[int, ...]
    half_R: tuple[str, ...]
    branch_R: tuple[int, ...]
    window_R: tuple[Window | None, ...]
    gate: float = 1.0

    @staticmethod
    def plain(
        t: Tensor,
        cond: Conditioning,
        *,
        entry: int = 0,
        step: int = 0,
        steps: int = 1,
        rows: Rows | None = None,
    ) -> Call:
        """A call with one conditional row per row of `cond`, each a whole latent; `rows` says which."""
        count = cond.rows
        rows = Rows.plain(count) if rows is None else rows
        if len(rows.sample_R) != count:
            raise InputError(f"conditioning has {count} rows, the batch has {len(rows.sample_R)}")
        return Call(
            t, cond, entry, step, steps, rows.sample_R, (COND,) * count, rows.branch_R, (None,) * count
        )

    @property
    def rows(self) -> int:
        """How many rows the latent of this call has."""
        return len(self.sample_R)

    @property
    def final(self) -> bool:
        """True only for the edits after the last step."""
        return self.step >= self.steps

    def take(self, index: Sequence[int]) -> Call:
        """The call for the rows `index`, in that order; a row may occur more than once."""
        return replace(
            self,
            t=_rows_of(self.t, index) if self.t.ndim else self.t,
            cond=self.cond.take(index),
            sample_R=tuple(self.sample_R[i] for i in index),
            half_R=tuple(self.half_R[i] for i in index),
            branch_R=tuple(self.branch_R[i] for i in index),
            window_R=tuple(self.window_R[i] for i in index),
        )

    @staticmethod
    def cat(calls: Sequence[Call]) -> Call:
        """Rows of several calls of the same step, in order."""
        first = calls[0]
        return replace(
            first,
            t=torch.cat([call.t for call in calls]) if first.t.ndim else first.t,
            cond=Conditioning.cat([call.cond for call in calls]),
            sample_R=tuple(i for call in calls for i in call.sample_R),
            half_R=tuple(half for call in calls for half in call.half_R),
            branch_R=tuple(branch for call in calls for branch in call.branch_R),
            window_R=tuple(window for call in calls for window in call.window_R),
        )


Denoise = Callable[[Tensor, Call], Tensor]
"""``(z_RChw, call) -> model output [R, C, h, w]``; z is already scaled for the network."""

Edit = Callable[[Tensor, Call], Tensor]
"""``(z_RChw, call) -> z_RChw`` at the start of a sampler step, and once after the last."""
