"""Timesteps: evenly spaced sequences of them, and the steps between neighbours. Plain numbers: plans need them too.

A timestep t runs from 0 (almost clean) to `t_max` (noise); -1 stands for the clean image. Sequences are ascending
lists; a reverse process walks them backwards.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

PUBLISHED_T_MAX = 999
"""The highest timestep of the published editors' models, 1000 steps long."""


def timestep_sequence(n: int, t_max: int) -> list[int]:
    """S(n, t_max): `n` evenly spaced reals from 0 to `t_max`, plus 1e-6, truncated. Ascending."""
    if not 2 <= n <= t_max + 1:
        raise ValueError(
            f"a sequence of {n} steps does not fit the timesteps 0..{t_max}: at least 2, at most all"
        )
    return [int(t + 1e-6) for t in np.linspace(0, 1, n) * t_max]


class Step(NamedTuple):
    """A reverse step from `t` to the less noisy `t_prev`; -1 is the clean image."""

    t: int
    t_prev: int


def reverse_steps(timesteps: Sequence[int]) -> list[Step]:
    """The steps that walk an ascending sequence down to the clean image, in the order they are taken."""
    ascending = list(timesteps)
    return [Step(t, t_prev) for t, t_prev in zip(ascending, [-1, *ascending[:-1]], strict=True)][::-1]


def training_timesteps(n: int, t_edit: int, t_max: int) -> list[Step]:
    """The steps of S(n, t_max) that are trained: those with t >= t_edit, from noisy to clean.

    As in the published code the lowest one jumps straight to -1. Nothing may use the image it leads to: the
    loss at that step needs only the predicted clean image, and so no unedited epsilon either.
    """
    trained = [t for t in timestep_sequence(n, t_max) if t >= t_edit]
    if not trained:
        raise ValueError(
            f"t_edit {t_edit} is above every timestep of S({n}, {t_max}): nothing would be trained"
        )
    return reverse_steps(trained)


def delta_h_scale(strength: float, num_train_steps: int, num_sample_steps: int) -> float:
    """The factor put on Delta-h: an editor trained on few long steps is weakened when it acts on many."""
    return strength * num_train_steps / num_sample_steps
