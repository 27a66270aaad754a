"""Shared fixtures: where the recorded outputs and the real pictures are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def _shared(variable: str, name: str) -> Path:
    folder = Path(os.environ.get(variable, ROOT.parent / "shared" / name))
    if not folder.is_dir():
        pytest.skip(f"{variable} is not set and {folder} does not exist")
    return folder


@pytest.fixture(scope="session")
def golden_dir() -> Path:
    """Folder of recorded outputs of the original networks."""
    return _shared("SCENEWRIGHT_GOLDEN", "golden")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of real annotated pictures and published scenes."""
    return _shared("SCENEWRIGHT_DATA", "data")
