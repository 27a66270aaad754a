"""One batch of a data set: draw, keep the latents, label, filter. A pure function of its orders.

It knows nothing of folders and journals, so that any number of processes can share the batches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from scenewright.backbone.loop import StepInfo, Stopped
from scenewright.backbone.noise import Noise
from scenewright.backbone.schedulers import make_scheduler
from scenewright.data.latents import StoredLatent
from scenewright.errors import ScenewrightError, StorageError
from scenewright.flows.dataset.filters import Reason, reasons
from scenewright.flows.dataset.labelling import facts, labelled
from scenewright.flows.dataset.orders import Order
from scenewright.flows.dataset.rules import LabelRules
from scenewright.flows.generate import render
from scenewright.scene import Record

if TYPE_CHECKING:
    from scenewright.flows.options import GenerateOptions
    from scenewright.models.bundle import Bundle
    from scenewright.models.labellers.protocol import Checker, Labeller


@dataclass(frozen=True, eq=False)
class Tools:
    """What a batch is made with: a `Maker` whose labeller finds what is in the pictures."""

    bundle: Bundle
    labeller: Labeller
    checker: Checker | None
    options: GenerateOptions
    rules: LabelRules

    def make(
        self, wanted: Sequence[Order], on_step: Callable[[StepInfo], None] | None = None
    ) -> list[Made | Failed]:
        """See `make`."""
        return make(self, wanted, on_step)

    def facts(self) -> dict[str, Any]:
        """See `labelling.facts`."""
        return facts(self.labeller, self.checker, self.rules)


@dataclass(frozen=True)
class Made:
    """A labelled record with its latent (None: not stored), and why it is not kept (empty: it is)."""

    record: Record
    latent: StoredLatent | None
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class Failed:
    """A picture that could not be made."""

    error: str
    hint: str = ""


class Maker(Protocol):
    """What makes the pictures of a batch, in the order of the orders, and says how (`facts`)."""

    @property
    def bundle(self) -> Bundle:
        """The model."""

    @property
    def options(self) -> GenerateOptions:
        """How it samples."""

    def make(
        self, wanted: Sequence[Order], on_step: Callable[[StepInfo], None] | None = None
    ) -> list[Made | Failed]:
        """Pictures of one size, drawn together."""

    def facts(self) -> dict[str, Any]:
        """What the description of the data set says about its labels."""


class LastStep:
    """Remembers what the loop began its last evaluation with; told about every one (`on_step`)."""

    def __init__(self) -> None:
        self.info: StepInfo | None = None

    def __call__(self, info: StepInfo) -> None:
        """Keep it if it is of the last sampler step."""
        if info.step == info.steps - 1:
            self.info = info


def attempt(
    tools: Maker, wanted: Sequence[Order], on_step: Callable[[StepInfo], None] | None = None
) -> list[Made | Failed]:
    """As `tools.make`; of a batch that fails every picture is made again alone: only those fail that must.

    Whatever is wrong with a picture (`Exception`) is its result; a full disk (StorageError) is not the
    picture's fault and ends the run.
    """
    try:
        return tools.make(wanted, on_step)
    except (StorageError, Stopped):
        raise
    except Exception as fault:
        if len(wanted) > 1:
            return [attempt(tools, [one], on_step)[0] for one in wanted]
        return [failure(fault)]


def make(
    tools: Tools, wanted: Sequence[Order], on_step: Callable[[StepInfo], None] | None = None
) -> list[Made | Failed]:
    """Pictures of one size, drawn together; in the order of the orders."""
    last = LastStep()

    def told(info: StepInfo) -> None:
        last(info)
        if on_step is not None:
            on_step(info)

    scenes, seeds = [one.job.scene for one in wanted], [one.job.seed for one in wanted]
    drawn = render(tools.bundle, scenes, seeds, tools.options, on_step=told)
    z_BChw = shown(tools, last)
    results: list[Made | Failed] = []
    records = [one for one in drawn if isinstance(one, Record)]
    asked = [one.classes for one, record in zip(wanted, drawn, strict=True) if isinstance(record, Record)]
    found = iter(tools.labeller.label([one.image for one in records], asked))
    for b, (order, record) in enumerate(zip(wanted, drawn, strict=True)):
        if not isinstance(record, Record):
            results.append(failure(record))
            continue
        latent = _latent(tools, last, z_BChw[b], record)
        whole = labelled(record, order.wanted, next(found), tools.rules, tools.checker)
        said = {**whole.provenance, "labels": tools.facts()}
        kept = reasons(whole, order.wanted, tools.rules)
        results.append(Made(whole.replace(provenance=said), latent, kept))
    return results


def shown(tools: Tools, last: LastStep) -> Tensor:
    """What the network was shown of each whole picture in the last evaluation, on the CPU."""
    assert last.info is not None, "a run has at least one step"
    call = last.info.call
    whole = {one: row for row, one in enumerate(call.sample_R) if call.branch_R[row] == 0}
    z_BChw = last.info.z_RChw[[whole[one] for one in sorted(whole)]]
    scheduler: Any = tools.bundle.backbone.scheduler
    if tools.options.scheduler:
        scheduler = make_scheduler(tools.options.scheduler, scheduler)
    noise = Noise(scheduler, tools.options.steps)
    with torch.no_grad():
        return noise.scale(z_BChw, last.info.t).float().cpu()


def _latent(tools: Tools, last: LastStep, z_Chw: Tensor, record: Record) -> StoredLatent:
    assert last.info is not None
    return StoredLatent(
        z_Chw=z_Chw.numpy(),
        timestep=float(last.info.t),
        step=last.info.step,
        steps=last.info.steps,
        seed=int(record.provenance["seed"]),
        guidance=tools.options.guidance,
        scheduler=str(record.provenance["scheduler"]),
        fingerprint=tools.bundle.backbone.fingerprint,
    )


def failure(fault: BaseException) -> Failed:
    """An exception as a result; of errors that are not ours the first line, with their kind."""
    if isinstance(fault, ScenewrightError):
        return Failed(str(fault), fault.hint)
    first = (str(fault).strip().splitlines() or [""])[0]
    if (
        isinstance(fault, (RuntimeError, MemoryError))
        and "memory" in f"{type(fault).__name__} {fault}".lower()
    ):
        return Failed(f"out of memory: {first or 'nothing is left'}", "a smaller --size")
    return Failed(f"{type(fault).__name__}: {first}")
