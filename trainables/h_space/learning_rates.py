"""How large an optimizer's steps are over a training: the schedules (method.md section 8)."""

import math

from trainables.h_space.config import OptimizerConfig

RELATIVE_STEP = 1e-6
"""Growth of the relative step while adafactor warms up (Shazeer and Stern 2018, section 9; published so)."""


def learning_rate_at(settings: OptimizerConfig, epoch: int, num_done: int, num_in_all: int) -> float:
    """The scheduled learning rate after `num_done` of `num_in_all` optimizer steps, in an epoch counted from 0."""
    if settings.schedule == "step":
        return settings.learning_rate * settings.step_factor ** (epoch // settings.step_epochs)
    if settings.schedule == "cosine":
        return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * num_done / num_in_all))
    if settings.schedule == "relative":
        return RELATIVE_STEP * (num_done + 1)
    return settings.learning_rate
