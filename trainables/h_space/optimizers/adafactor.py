"""Adafactor (Shazeer and Stern 2018).

Departure: torch's keeps squared gradients from zero where it divides by them, the paper (and the published code) where
they are added up; this shows only for gradients below 1e-9.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.h_space.optimizers._base import Optimizer, OptimizerSettings

if TYPE_CHECKING:
    import torch
    from torch import nn

ADAFACTOR_EPS = (1e-18, 1e-3)
"""Floor of the mean squared gradient, and of a weight's size. torch's own first one, 1e-7, is above the squared
gradients of an editor and would give the smallest of them the largest steps."""


def _build(settings: OptimizerSettings, editor: nn.Module) -> torch.optim.Optimizer:
    import torch

    rate, decay = settings.learning_rate, settings.weight_decay
    return torch.optim.Adafactor(editor.parameters(), lr=rate, weight_decay=decay, eps=ADAFACTOR_EPS)


OPTIMIZER = Optimizer("adafactor", _build)
