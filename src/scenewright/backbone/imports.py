"""Importing the libraries of the networks without pauses.

torch, diffusers and transformers make several hundred thousand objects while they are imported, and hardly
any garbage; Python's cyclic garbage collector looks at all of them again and again meanwhile. That is a fifth
of the way from a fresh process to a loaded model (`benchmarks/load.py`; figures in `docs/log.md`). Needs no
torch.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def without_collection() -> Iterator[None]:
    """No cyclic garbage collection inside the block; afterwards it is as it was, on or off.

    What was made inside counts as long-lived at the end, so that the next young collection does not look at
    all of it once more. Objects that the caller froze (`gc.freeze`) stay frozen. Nested blocks are one block.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            if not gc.get_freeze_count():  # moves everything into the oldest generation
                gc.freeze()
                gc.unfreeze()
            gc.enable()
