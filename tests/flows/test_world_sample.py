"""What `world sample` draws, apart from the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scenewright.errors import InputError
from scenewright.flows.world_sample import SampleOptions, drawings, parse_size, sample_world
from scenewright.scene import Record
from scenewright.world import town


def test_looks_are_taken_in_turn() -> None:
    found = list(drawings(SampleOptions(world="town", count=5, seed=10, looks=("fog", "snow"))))
    assert [drawn.scene.style for drawn in found] == ["fog", "snow", "fog", "snow", "fog"]
    assert [drawn.scene.seed for drawn in found] == [10, 11, 12, 13, 14]


def test_progress_counts_every_picture(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    written = sample_world(SampleOptions(world="town", count=3), tmp_path, lambda k, n: told.append((k, n)))
    assert told == [(1, 3), (2, 3), (3, 3)]
    record = Record.load(written.pictures[2])
    assert np.array_equal(record.image, town.draw(2).image)
    assert record.scene == town.draw(2).scene


@pytest.mark.parametrize(
    ("text", "size_wh"), [("192x96", (192, 96)), ("128", (128, 128)), (" 96 x 48 ", (96, 48))]
)
def test_sizes(text: str, size_wh: tuple[int, int]) -> None:
    assert parse_size(text) == size_wh


@pytest.mark.parametrize("text", ["", "x", "12x", "-8", "8x8x8", "1e2", "192*96"])
def test_bad_sizes(text: str) -> None:
    with pytest.raises(InputError, match="size"):
        parse_size(text)


@pytest.mark.parametrize(
    "wrong",
    [
        {"world": "twon"},
        {"layout": "kitti"},
        {"looks": ("fog",)},
        {"world": "town", "looks": ("flat",)},
        {"count": 0},
        {"seed": -1},
        {"layout": "gta"},
        {"size_wh": (192, 96)},
    ],
)
def test_wrong_options_are_refused_at_once(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError):
        SampleOptions(**wrong)  # type: ignore[arg-type]
