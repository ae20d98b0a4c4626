"""How an editor's weights are moved: the optimizers and their schedules (method.md section 8)."""

import math

import torch
from torch import nn

from trainables.h_space.config import OptimizerConfig

RELATIVE_STEP = 1e-6
"""Growth of the relative step while adafactor warms up (Shazeer and Stern 2018, section 9; published so)."""
ADAFACTOR_EPS = (1e-18, 1e-3)
"""Floor of the mean squared gradient, and of a weight's size. torch's own first one, 1e-7, is above the squared
gradients of an editor and would give the smallest of them the largest steps."""


def build_optimizer(settings: OptimizerConfig, editor: nn.Module) -> torch.optim.Optimizer:
    """The optimizer of an editor's weights; `learning_rate_at` sets its rate before every step.

    Departure: torch's Adafactor keeps squared gradients from zero where it divides by them, the paper (and the
    published code) where they are added up; this shows only for gradients below 1e-9.
    """
    weights, rate, decay = editor.parameters(), settings.learning_rate, settings.weight_decay
    if settings.kind == "sgd":
        return torch.optim.SGD(weights, lr=rate, momentum=settings.momentum, weight_decay=decay)
    if settings.kind == "adafactor":
        return torch.optim.Adafactor(weights, lr=rate, weight_decay=decay, eps=ADAFACTOR_EPS)
    return torch.optim.AdamW(weights, lr=rate, weight_decay=decay)


def learning_rate_at(settings: OptimizerConfig, epoch: int, num_done: int, num_in_all: int) -> float:
    """The scheduled learning rate after `num_done` of `num_in_all` optimizer steps, in an epoch counted from 0."""
    if settings.schedule == "step":
        return settings.learning_rate * settings.step_factor ** (epoch // settings.step_epochs)
    if settings.schedule == "cosine":
        return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * num_done / num_in_all))
    if settings.schedule == "relative":
        return RELATIVE_STEP * (num_done + 1)
    return settings.learning_rate
