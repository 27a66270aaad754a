"""How far a set of pictures is from another, by the features of a judge: FD-judge and KD-judge.

The formulas are those of FID, the squared Frechet distance between two normal distributions (Heusel et al.
2017), and of KID, the unbiased squared kernel discrepancy with a cubic kernel (Binkowski et al. 2018). The
features are not those of Inception, so neither is called so, and numbers are comparable only under one judge.

Letters: N, M pictures, D width of the features, B resamples.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenewright.errors import InputError
from scenewright.evaluate.bootstrap import Floats, Statistic

Features = NDArray[np.floating[Any]]


def frechet_distance(real_ND: Features, made_MD: Features) -> float:
    """Squared Frechet distance, >= 0: |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), C with N - 1.

    Falls with the number of pictures; compare sets of one size. Raises InputError for fewer than two
    pictures in either set, unequal widths, or features that are not finite.
    """
    return float(frechet_statistic(real_ND, made_MD)(np.ones((1, len(made_MD))))[0])


def frechet_statistic(real_ND: Features, made_MD: Features) -> Statistic:
    """`frechet_distance` as a function of weights [B, M] of the made pictures; `real_ND` stays as it is.

    A repeated picture narrows the covariance: use `estimate(..., centred=True)`.
    """
    real, made = _checked(real_ND, made_MD)
    root_DD, mean_D, trace = _root(np.cov(real, rowvar=False)), real.mean(0), real.var(0, ddof=1).sum()

    def one(weights_M: Floats) -> float:
        number = weights_M.sum()
        if number < 2:
            return np.nan
        other_D = weights_M @ made / number
        apart_MD = made - other_D
        cov_DD = (apart_MD * weights_M[:, None]).T @ apart_MD / (number - 1)
        cross = np.linalg.eigvalsh(root_DD @ cov_DD @ root_DD)
        shared = np.sqrt(np.clip(cross, 0, None)).sum()
        return float(max(0.0, ((mean_D - other_D) ** 2).sum() + trace + np.trace(cov_DD) - 2 * shared))

    return lambda weights_BM: np.array([one(weights_M) for weights_M in weights_BM])


def kernel_distance(real_ND: Features, made_MD: Features) -> float:
    """Unbiased squared discrepancy with the kernel (x . y / D + 1)^3; about 0, also below, for equal sets.

    Errors as in `frechet_distance`.
    """
    return float(kernel_statistic(real_ND, made_MD)(np.ones((1, len(made_MD))))[0])


def kernel_statistic(real_ND: Features, made_MD: Features) -> Statistic:
    """`kernel_distance` as a function of weights [B, M] of the made pictures; `real_ND` stays as it is.

    Copies of one picture are not pairs, as a picture is no pair with itself.
    """
    real, made = _checked(real_ND, made_MD)
    real_NN, made_MM = _kernel(real, real), _kernel(made, made)
    within = (real_NN.sum() - np.trace(real_NN)) / (len(real) * (len(real) - 1))
    between_M = _kernel(made, real).mean(axis=1)
    np.fill_diagonal(made_MM, 0.0)

    def values(weights_BM: Floats) -> Floats:
        number_B = weights_BM.sum(axis=1)
        pairs_B = number_B**2 - (weights_BM**2).sum(axis=1)
        own_B = ((weights_BM @ made_MM) * weights_BM).sum(axis=1)
        own_B = _ratio(own_B, pairs_B)
        return np.asarray(within + own_B - 2 * _ratio(weights_BM @ between_M, number_B))

    return values


def _checked(real_ND: Features, made_MD: Features) -> tuple[Floats, Floats]:
    for name, features in (("real", real_ND), ("made", made_MD)):
        if features.ndim != 2 or len(features) < 2 or not features.shape[1]:
            raise InputError(
                f"expected features [N, D] of at least 2 {name} pictures, got {list(features.shape)}"
            )
        if not np.isfinite(features).all():
            raise InputError(f"the features of the {name} pictures hold numbers that are not finite")
    if real_ND.shape[1] != made_MD.shape[1]:
        raise InputError(
            f"expected features of one width, got {real_ND.shape[1]} and {made_MD.shape[1]}",
            "Both sets must be seen by the same judge.",
        )
    return real_ND.astype(np.float64), made_MD.astype(np.float64)


def _kernel(a_ND: Floats, b_MD: Floats) -> Floats:
    return np.asarray((a_ND @ b_MD.T / a_ND.shape[1] + 1) ** 3)


def _ratio(part_B: Floats, whole_B: Floats) -> Floats:
    """NaN where there is nothing to divide by."""
    return np.asarray(np.divide(part_B, whole_B, out=np.full(part_B.shape, np.nan), where=whole_B > 0))


def _root(cov_DD: Floats) -> Floats:
    """The symmetric square root of a covariance matrix."""
    values, vectors = np.linalg.eigh(np.atleast_2d(cov_DD))
    return np.asarray((vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T)
