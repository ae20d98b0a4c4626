"""The noise schedule: betas, and alpha_bar, the share of the image's variance that is left at a timestep.

A timestep t runs from 0 (almost clean) to the schedule's last (noise); -1 stands for the clean image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # Plans read schedules too, and do without torch.
    from torch import Tensor


def linear_betas(num_timesteps: int = 1000, first: float = 1e-4, last: float = 2e-2) -> np.ndarray:
    """The noise schedule of the published models: `num_timesteps` evenly spaced betas, float64."""
    return np.linspace(first, last, num_timesteps, dtype=np.float64)


MAX_AMPLIFICATION = 200.0
"""How far an error of epsilon may grow in P_t; at the end of the published linear schedule it grows 157 times."""


def highest_timestep(alpha_bar: np.ndarray, prediction_type: str) -> int:
    """The noisiest timestep that can be used, by alpha_bar (T,) in 32 bits.

    The schedule's last, but for models that predict epsilon: P_t multiplies its error by
    sqrt((1 - alpha_bar_t) / alpha_bar_t), which a cosine schedule lets grow to 10^4 and more at its very end.
    """
    if prediction_type != "epsilon":
        return len(alpha_bar) - 1
    usable = 1 - alpha_bar <= alpha_bar * MAX_AMPLIFICATION**2
    return int(np.flatnonzero(usable)[-1]) if usable.any() else 0


def as_noisy(betas: np.ndarray, published_t: int) -> tuple[int, float]:
    """(t, alpha_bar) of the timestep of a schedule that is nearest in alpha_bar to one of the published schedule.

    Where P_t of two models is equally blurred, alpha_bar is equal, not t. Raises IndexError for a t beyond 0 to 999.
    """
    wanted = np.cumprod(1.0 - linear_betas())[published_t]
    alpha_bar = np.cumprod(1.0 - betas)
    t = int(np.abs(alpha_bar - wanted).argmin())
    return t, float(alpha_bar[t])


def alpha_bars(betas: Sequence[float] | np.ndarray | None = None) -> Tensor:
    """alpha_bar(t) = product over s = 0..t of (1 - beta_s), for every t.

    Computed in float64, returned in float32 (T,). Without `betas`, those of `linear_betas()`.
    """
    import torch

    values = linear_betas() if betas is None else np.asarray(betas, dtype=np.float64)
    if values.ndim != 1 or not ((values > 0) & (values < 1)).all():
        raise ValueError("betas must be one row of numbers between 0 and 1, both excluded")
    return torch.from_numpy(np.cumprod(1.0 - values)).to(torch.float32)


def alpha_bar_at(alpha_bar: Tensor, t: int | Tensor) -> Tensor:
    """alpha_bar(t), with alpha_bar(-1) := 1. A 0-d tensor for one t, (B, 1, 1, 1) for a batch of them."""
    if isinstance(t, int):
        return alpha_bar.new_ones(()) if t < 0 else alpha_bar[t]
    import torch

    return torch.where(t < 0, alpha_bar.new_ones(()), alpha_bar[t.clamp(min=0)]).reshape(-1, 1, 1, 1)
