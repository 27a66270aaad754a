"""The latent of a picture on disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from scenewright.data.latents import LATENT_SUFFIX, StoredLatent, latent_path
from scenewright.errors import InputError, StorageError

LATENT = StoredLatent(
    z_Chw=np.random.default_rng(0).standard_normal((4, 6, 8)).astype(np.float32),  # type: ignore[arg-type]
    timestep=1.0,
    step=19,
    steps=20,
    seed=2**53 - 1,
    guidance=4,
    scheduler="DDIMScheduler",
    fingerprint="0123456789abcdef",
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = LATENT.write(tmp_path / f"a{LATENT_SUFFIX}")
    assert path == latent_path(tmp_path / "a.png")
    found = StoredLatent.read(path)
    assert found.facts() == LATENT.facts()
    assert found.facts()["timestep"] == 1 and isinstance(found.facts()["timestep"], int)
    assert found.z_Chw.dtype == np.float16
    assert np.array_equal(found.z_Chw, LATENT.z_Chw)
    assert path.stat().st_size < 4 * 6 * 8 * 2 + 500


def test_equal_latents_are_equal_bytes_and_timesteps_need_not_be_whole() -> None:
    assert LATENT.to_bytes() == replace(LATENT).to_bytes()
    odd = replace(LATENT, timestep=0.25)
    assert StoredLatent.from_bytes(odd.to_bytes(), "it").timestep == 0.25


def test_the_array_given_is_not_kept() -> None:
    z_Chw = np.zeros((1, 2, 2), np.float16)
    latent = replace(LATENT, z_Chw=z_Chw)
    z_Chw += 1
    assert not latent.z_Chw.any()


@pytest.mark.parametrize(
    "bad", [np.zeros((2, 2)), np.zeros((0, 2, 2)), np.full((1, 1, 1), np.inf), np.full((1, 1, 1), 1e9)]
)
def test_arrays_that_are_no_latents_are_refused(bad) -> None:
    with pytest.raises(InputError, match="latent"):
        replace(LATENT, z_Chw=bad)


def test_damaged_and_foreign_files_are_refused(tmp_path: Path) -> None:
    content = LATENT.to_bytes()
    for cut in (0, 5, 40, len(content) - 1):
        with pytest.raises(StorageError, match="damaged"):
            StoredLatent.from_bytes(content[:cut], "it")
    path = tmp_path / "other.safetensors"
    save_file({"z": LATENT.z_Chw}, path)
    with pytest.raises(InputError, match="no latent of a picture"):
        StoredLatent.read(path)
    with pytest.raises(InputError, match="version 9"):
        StoredLatent.from_bytes(content.replace(b'latent_version\\": 1', b'latent_version\\": 9'), "it")
    with pytest.raises(StorageError, match="there is no file"):
        StoredLatent.read(tmp_path / "none.safetensors")
