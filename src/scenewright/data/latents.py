"""The latent of a picture at the tap step: what its network's features are made from again.

``NAME.latent.safetensors`` lies beside the record ``NAME.png``. It holds one tensor, ``z``: what the network
was shown in the last evaluation of the run, in half precision. Features are computed from it again by one
call of the network (`backbone.features.extract`): 32 kB in place of 50 MB for a picture of 512 x 512 pixels.
Everything else that the call needs stands in the metadata, or, like the prompt, in the record.

Letters: C latent channels, h w latent cells.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenewright.errors import InputError, StorageError
from scenewright.scene.files import atomic_write, read_bytes

LATENT_SUFFIX = ".latent.safetensors"
"""What the name of a latent's file ends with."""

MARK = "scenewright"
"""The one metadata key. A single one, because the order of several differs from run to run."""

KIND = "latent"
LATENT_VERSION = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredLatent:
    """A latent with the facts of its noise level.

    z_Chw        float16, as the network was shown it (after the scheduler's input scaling)
    timestep     the level's timestep, as the network is told
    step, steps  the sampler step it was taken at (from 0), of how many
    seed         the picture's seed
    guidance     the guidance scale of the run
    scheduler    the scheduler's class
    fingerprint  that of the backbone; features of another one mean something else

    Raises InputError for an array of another shape or with values that are not finite.
    """

    z_Chw: NDArray[np.float16]
    timestep: float
    step: int
    steps: int
    seed: int
    guidance: float
    scheduler: str
    fingerprint: str

    def __post_init__(self) -> None:
        z_Chw = np.asarray(self.z_Chw)
        if z_Chw.ndim != 3 or not z_Chw.size:
            raise InputError(f"a latent of shape {z_Chw.shape} was given; expected channels, height, width")
        with np.errstate(over="ignore"):
            half_Chw = np.array(z_Chw, np.float16)  # a copy of its own
        if not np.isfinite(half_Chw).all():
            raise InputError("a latent has values that half precision cannot hold")
        object.__setattr__(self, "z_Chw", half_Chw)

    def facts(self) -> dict[str, Any]:
        """Everything but the tensor, as JSON."""
        whole = float(self.timestep).is_integer()
        return {
            "timestep": int(self.timestep) if whole else float(self.timestep),
            "step": self.step,
            "steps": self.steps,
            "seed": self.seed,
            "guidance": float(self.guidance),
            "scheduler": self.scheduler,
            "fingerprint": self.fingerprint,
        }

    def to_bytes(self) -> bytes:
        """The content of its file: equal latents give equal bytes."""
        from safetensors.numpy import save

        mark = {"kind": KIND, "latent_version": LATENT_VERSION, **self.facts()}
        return bytes(save({"z": np.ascontiguousarray(self.z_Chw)}, {MARK: json.dumps(mark, sort_keys=True)}))

    def write(self, path: Path) -> Path:
        """Write it, whole or not at all. Raises StorageError."""
        return atomic_write(path, self.to_bytes())

    @classmethod
    def read(cls, path: Path) -> StoredLatent:
        """From its file. Raises StorageError (missing, damaged) or InputError (no latent of ours)."""
        return cls.from_bytes(read_bytes(path), str(path))

    @classmethod
    def from_bytes(cls, content: bytes, name: str) -> StoredLatent:
        """As `read`; `name` is how messages call the source."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        facts = _facts(content, name)
        try:
            tensors = load(content)
        except (SafetensorError, ValueError, KeyError) as fault:
            raise StorageError(f"{name} is damaged: {fault}", "build or copy it again") from fault
        if set(tensors) != {"z"} or tensors["z"].dtype != np.float16:
            raise InputError(f"{name} is no latent: expected one half-precision tensor, z")
        try:
            return cls(z_Chw=tensors["z"], **facts)
        except TypeError as fault:
            raise InputError(f"{name} is no latent of this version: {fault}") from fault


def latent_path(picture: Path) -> Path:
    """Where the latent of the record ``NAME.png`` lies."""
    return picture.with_name(picture.name.removesuffix(".png") + LATENT_SUFFIX)


def _facts(content: bytes, name: str) -> dict[str, Any]:
    """The metadata of a latent's file, checked."""
    damaged = StorageError(f"{name} is cut off or damaged", "build or copy it again")
    if len(content) < 8:
        raise damaged
    (length,) = struct.unpack("<Q", content[:8])
    if length > len(content) - 8:
        raise damaged
    try:
        header = json.loads(content[8 : 8 + length])
        mark = json.loads(header.get("__metadata__", {}).get(MARK, "{}"))
    except (ValueError, AttributeError) as fault:
        raise damaged from fault
    if not isinstance(mark, dict) or mark.pop("kind", None) != KIND:
        raise InputError(f"{name} is a safetensors file, but no latent of a picture")
    version = mark.pop("latent_version", None)
    if version != LATENT_VERSION:
        raise InputError(f"{name} is a latent of version {version!r}; this program reads {LATENT_VERSION}")
    return mark
