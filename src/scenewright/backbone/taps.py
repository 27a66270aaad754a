"""Reading features out of a UNet while it samples, by sampler step and block name.

A tap is a forward hook that writes into a named slot. Slots are filled per row, so it does not matter how
rows were batched, and a repeated evaluation of a step (PNDM, Heun) overwrites the first.

Letters: R rows, C feature channels, h w feature cells.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from scenewright.backbone.attach import refuse_compiled
from scenewright.backbone.call import COND, Call, Denoise, Window
from scenewright.errors import InputError, ModelError, nearest


@dataclass(frozen=True)
class RowId:
    """Which row a feature belongs to."""

    sample: int
    half: str
    branch: int
    window: Window | None


@dataclass(frozen=True)
class Tapped:
    """The output of one block at one step: features [R, C, h, w] (or [R, N, D]) and the row of each."""

    features_R: Tensor
    rows: tuple[RowId, ...]


class Taps:
    """Taps on named blocks (module paths of `unet`) at sampler steps `steps`; all steps if None.

    Wrap the innermost `Denoise` with `watch`, so that every evaluation is known by its call. Only rows of
    `halves` are kept. Raises ModelError for a compiled UNet or an unknown block. `close()` removes the hooks.
    """

    def __init__(
        self,
        unet: nn.Module,
        blocks: Sequence[str],
        steps: Collection[int] | None = None,
        halves: Collection[str] = (COND,),
    ) -> None:
        refuse_compiled(unet, "tap blocks")
        modules = dict(unet.named_modules())
        for block in blocks:
            if block not in modules:
                close = nearest(block, modules)
                raise ModelError(
                    f"the UNet has no block {block!r}", f"did you mean {close}?" if close else ""
                )
        self._steps = None if steps is None else frozenset(steps)
        self._halves = frozenset(halves)
        self._call: Call | None = None
        self._slots: dict[tuple[int, str], dict[RowId, Tensor]] = {}
        self._hooks = [modules[block].register_forward_hook(self._writer(block)) for block in blocks]

    def watch(self, inner: Denoise) -> Denoise:
        """`inner`, normally ``network(unet)``, with these taps listening. Other calls of the UNet are not."""

        def denoise(z_RChw: Tensor, call: Call) -> Tensor:
            self._call = call
            try:
                return inner(z_RChw, call)
            finally:
                self._call = None

        return denoise

    def read(self, step: int, block: str) -> Tapped:
        """What `block` gave at sampler step `step`, rows ordered by sample, branch, window and half."""
        slot = self._slots.get((step, block))
        if not slot:
            filled = sorted(self._slots)
            raise InputError(f"nothing was tapped at step {step} of {block!r}", f"filled are {filled[:6]}")
        rows = tuple(sorted(slot, key=_order))
        return Tapped(torch.stack([slot[row] for row in rows]), rows)

    def clear(self) -> None:
        """Empty all slots."""
        self._slots.clear()

    def close(self) -> None:
        """Remove the hooks; what was read stays readable."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def __enter__(self) -> Taps:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _writer(self, block: str) -> Any:
        def write(module: nn.Module, args: Any, output: Any) -> None:
            call = self._call
            if call is None or (self._steps is not None and call.step not in self._steps):
                return
            features = _first_tensor(output)
            if len(features) != call.rows:
                raise InputError(
                    f"{block} gave {len(features)} rows for {call.rows} that were watched",
                    "wrap the innermost denoise, watch(network(unet)), and limit rows around that",
                )
            slot = self._slots.setdefault((call.step, block), {})
            for row, half in enumerate(call.half_R):
                if half in self._halves:
                    name = RowId(call.sample_R[row], half, call.branch_R[row], call.window_R[row])
                    slot[name] = features[row].detach().clone()

        return write


def _first_tensor(output: Any) -> Tensor:
    while not isinstance(output, Tensor):
        output = output[0]
    return output


def _order(row: RowId) -> tuple[int, int, tuple[int, int], str]:
    window = (row.window.y0, row.window.x0) if row.window is not None else (0, 0)
    return row.sample, row.branch, window, row.half
