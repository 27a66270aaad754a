"""Batches and random streams as pure functions of (seed, step, rank), which is what makes resuming exact.

A task never keeps a position in its data: batch number 7 of process 1 is the same batch whether or not the
run was interrupted before it, and whether or not worker processes made it.
"""

from __future__ import annotations

import dataclasses
import signal
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset


class Source(Protocol):
    """The part of a `Task` that makes batches."""

    def batch(self, step: int, rank: int, size: int) -> Any:
        """Batch number `step` of process `rank` of `size`."""


def stream_seed(seed: int, *keys: int | str) -> int:
    """A 63-bit seed for the stream named by `keys`, e.g. ``stream_seed(7, "data", rank, step)``.

    Different keys give independent streams (numpy's SeedSequence); texts enter as their CRC-32.
    """
    words = [zlib.crc32(key.encode()) if isinstance(key, str) else key for key in keys]
    state = np.random.SeedSequence(seed, spawn_key=tuple(words)).generate_state(2, np.uint32)
    return (int(state[0]) << 31) ^ int(state[1])


def stream_rng(seed: int, *keys: int | str) -> np.random.Generator:
    """A fresh numpy generator of the stream named by `keys`; see `stream_seed`."""
    return np.random.default_rng(stream_seed(seed, *keys))


def epoch_indices(count: int, step: int, rank: int, size: int, batch_size: int, seed: int) -> list[int]:
    """Indices into `count` items for one batch: each item once per epoch, over all processes, newly shuffled.

    The batches of one step over the ranks ``0 … size-1`` are consecutive pieces of one endless shuffled
    order.
    """
    first = (step * size + rank) * batch_size
    found: list[int] = []
    while len(found) < batch_size:
        epoch, offset = divmod(first + len(found), count)
        order = stream_rng(seed, "epoch", epoch).permutation(count)
        found += order[offset : offset + batch_size - len(found)].tolist()
    return found


class _Batches(Dataset[Any]):
    def __init__(self, source: Source, rank: int, size: int) -> None:
        self.source, self.rank, self.size = source, rank, size

    def __getitem__(self, step: int) -> Any:
        return self.source.batch(step, self.rank, self.size)


def _ignore_interrupts(worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the training process decides when to stop


def batches(
    source: Source,
    steps: range,
    rank: int,
    size: int,
    *,
    workers: int = 0,
    prefetch: int = 2,
    pin: bool = False,
) -> Iterator[Any]:
    """The batches of `steps` in order, made here or by `workers` processes, each `prefetch` batches ahead."""
    if workers == 0:
        return (source.batch(step, rank, size) for step in steps)
    loader = DataLoader(
        _Batches(source, rank, size),
        batch_size=None,
        sampler=steps,
        num_workers=workers,
        prefetch_factor=prefetch,
        pin_memory=pin,
        worker_init_fn=_ignore_interrupts,
        generator=torch.Generator(),  # otherwise the loader draws from the global random state
    )
    return iter(loader)


def to_device(batch: Any, device: torch.device) -> Any:
    """`batch` with every tensor on `device`; walks dicts, lists, tuples, named tuples and dataclasses."""
    if isinstance(batch, torch.Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, Mapping):
        return {key: to_device(value, device) for key, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(to_device(value, device) for value in batch))
    if isinstance(batch, (list, tuple)):
        return type(batch)(to_device(value, device) for value in batch)
    if dataclasses.is_dataclass(batch) and not isinstance(batch, type):
        names = [field.name for field in dataclasses.fields(batch) if field.init]
        return dataclasses.replace(batch, **{name: to_device(getattr(batch, name), device) for name in names})
    return batch
