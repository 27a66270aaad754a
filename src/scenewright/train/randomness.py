"""The global random states of a process: python, numpy, torch on the CPU and on the accelerator.

The loop gives every task its own generators; the global states matter for what cannot take one, such as
dropout. They are kept in checkpoints, and whatever is not training (validation, export) runs inside
`preserved`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def seed_everything(seed: int, device: torch.device) -> None:
    """Seed all global random states from one number."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(seed)


def capture(device: torch.device) -> dict[str, Any]:
    """The global random states as values that ``torch.load(weights_only=True)`` accepts."""
    name, words, position, has_gauss, gauss = np.random.get_state(legacy=True)
    found = {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(np.asarray(words, np.int64)), position, has_gauss, gauss),
        "torch": torch.get_rng_state(),
    }
    if device.type != "cpu":
        found["device"] = torch.get_device_module(device).get_rng_state()
    return found


def restore(state: dict[str, Any], device: torch.device) -> None:
    """Set the global random states to what `capture` found."""
    version, words, gauss_next = state["python"]
    random.setstate((version, tuple(words), gauss_next))
    name, words_64, position, has_gauss, gauss = state["numpy"]
    np.random.set_state((name, words_64.numpy().astype(np.uint32), position, has_gauss, gauss))
    torch.set_rng_state(state["torch"])
    if "device" in state and device.type != "cpu":
        torch.get_device_module(device).set_rng_state(state["device"])


@contextmanager
def preserved(device: torch.device) -> Iterator[None]:
    """Whatever happens inside leaves the global random states as they were."""
    state = capture(device)
    try:
        yield
    finally:
        restore(state, device)
