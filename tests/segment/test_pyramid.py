"""Noise of several resolutions: sizes, spread, annealing, determinism."""

from __future__ import annotations

import pytest
import torch

from scenewright.errors import InputError
from scenewright.segment.pyramid import ANNEALED, PUBLISHED, WHITE, Pyramid, level_sizes, pyramid_noise


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_sizes_of_every_strategy() -> None:
    three = lambda: 3.0  # noqa: E731
    assert level_sizes((48, 48), Pyramid(levels=10), three) == [(48, 48), (16, 16), (1, 1)]
    assert level_sizes((48, 20), Pyramid(levels=10, strategy="random_step"), three) == [
        (16, 6),
        (5, 2),
        (1, 1),
    ]
    assert level_sizes((48, 20), Pyramid(levels=10, strategy="power_of_two"), three) == [
        (48, 20), (24, 10), (6, 2), (1, 1)
    ]  # fmt: skip
    assert level_sizes((16, 32), Pyramid(levels=10, strategy="every_layer"), three) == [
        (8, 16), (4, 8), (2, 4), (1, 2)
    ]  # fmt: skip
    assert level_sizes((48, 48), Pyramid(levels=1), three) == [(48, 48)]


@pytest.mark.parametrize("pyramid", [WHITE, PUBLISHED, Pyramid(levels=10, discount=0.9)])
def test_unit_spread_and_the_same_for_the_same_seed(pyramid: Pyramid) -> None:
    one, two = (pyramid_noise((2, 4, 32, 32), pyramid, generator(5)) for _ in range(2))
    assert torch.equal(one, two) and one.shape == (2, 4, 32, 32)
    assert abs(float(one.std()) - 1) < 0.05


def test_little_noise_is_white_and_much_noise_is_not() -> None:
    noise = pyramid_noise((2, 4, 32, 32), ANNEALED, generator(1), torch.tensor([0.0, 1.0]))
    coarse = torch.nn.functional.avg_pool2d(noise, 8).var((1, 2, 3))
    assert coarse[1] > 4 * coarse[0]


def test_bad_values() -> None:
    with pytest.raises(InputError, match="timesteps"):
        pyramid_noise((1, 4, 8, 8), ANNEALED, generator())
    for wrong in ({"levels": -1}, {"discount": 0.0}):
        with pytest.raises(InputError, match="pyramid"):
            Pyramid(**wrong)  # type: ignore[arg-type]
