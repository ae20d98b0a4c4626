"""Distances between two sets of images, in any features.

Computed here in float64 rather than by torchmetrics, whose import takes every worker several seconds and whose KID
draws subsets from the global generator; the tests hold both against torchmetrics' values on the same features.

Legend: N images (M in the other set), F features.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

MIN_IMAGES = 2
KID_DEGREE = 3
CMMD_BANDWIDTH = 10.0
CMMD_SCALE = 1000.0
"""Both of Jayasumana et al. 2024, section 4."""


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """Fréchet distance of two sets of features, (N, F) and (M, F), as Gaussians (Heusel et al. 2017, section 1).

        |μ_a - μ_b|² + tr(Σ_a + Σ_b - 2 (Σ_a Σ_b)^½)

    NaN where a feature is not finite. Raises ValueError for a set of fewer than two.
    """
    a, b = _checked(a), _checked(b)
    if not (a.isfinite().all() and b.isfinite().all()):
        return float("nan")
    mean_a, mean_b = a.mean(0), b.mean(0)
    factor_a, factor_b = _covariance_factor(a - mean_a), _covariance_factor(b - mean_b)
    from torch import linalg

    # With Σ = RᵀR, tr (Σ_a Σ_b)^½ is the sum of the singular values of R_a R_bᵀ: exact however few images there are.
    roots = linalg.svdvals(factor_a @ factor_b.T).sum()
    traces = factor_a.square().sum() + factor_b.square().sum()
    return float((mean_a - mean_b).square().sum() + traces - 2 * roots)


def _covariance_factor(centred: Tensor) -> Tensor:
    """R (min(N, F), F) with RᵀR the covariance of (N, F)."""
    from torch import linalg

    factor: Tensor = linalg.qr(centred / (len(centred) - 1) ** 0.5, mode="r").R
    return factor


def kernel_distance(a: Tensor, b: Tensor) -> float:
    """Kernel distance of two sets of features, (N, F) and (M, F): KID where they are Inception's.

        MMD²(a, b) without bias, with the kernel k(x, y) = (x·y / F + 1)³       (Bińkowski et al. 2018, section 4)

    Its expectation does not depend on the number of images, unlike the Fréchet distance's; a single value may be
    negative. Raises ValueError for a set of fewer than two.
    """
    return _unbiased_mmd(a, b, _polynomial)


def gaussian_kernel_distance(a: Tensor, b: Tensor) -> float:
    """Kernel distance of two sets of features, (N, F) and (M, F): CMMD where they are unit CLIP embeddings.

        1000 MMD²(a, b) without bias, with the kernel k(x, y) = exp(-|x - y|² / (2 · 10²))
                                                                            (Jayasumana et al. 2024, section 4)

    Departure: the authors' code keeps the diagonals of the two kernels within a set (the biased estimate), which adds
    1000 (1 - mean k) / N for each set: nothing at their 30 000 images, most of the value at some dozens.
    Raises ValueError for a set of fewer than two.
    """
    return CMMD_SCALE * _unbiased_mmd(a, b, _gaussian)


def _unbiased_mmd(a: Tensor, b: Tensor, kernel: Callable[[Tensor, Tensor], Tensor]) -> float:
    """Squared maximum mean discrepancy without bias (Gretton et al. 2012, equation 3)."""
    a, b = _checked(a), _checked(b)
    within = _mean_off_diagonal(kernel(a, a)) + _mean_off_diagonal(kernel(b, b))
    return float(within - 2 * kernel(a, b).mean())


def _polynomial(x: Tensor, y: Tensor) -> Tensor:
    """(N, M)."""
    return (x @ y.T / x.shape[1] + 1) ** KID_DEGREE


def _gaussian(x: Tensor, y: Tensor) -> Tensor:
    """(N, M)."""
    squared = x.square().sum(1)[:, None] + y.square().sum(1) - 2 * x @ y.T
    return (squared / (-2 * CMMD_BANDWIDTH**2)).exp()


def _mean_off_diagonal(kernel: Tensor) -> Tensor:
    num = len(kernel)
    return (kernel.sum() - kernel.trace()) / (num * (num - 1))


def _checked(features: Tensor) -> Tensor:
    if features.ndim != 2 or len(features) < MIN_IMAGES:
        found = f"{len(features)}" if features.ndim == 2 else f"features of shape {tuple(features.shape)}"
        raise ValueError(
            f"the distance of two sets needs at least {MIN_IMAGES} images in each; found {found}"
        )
    return features.double()
