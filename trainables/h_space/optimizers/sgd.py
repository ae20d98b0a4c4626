"""Stochastic gradient descent; the published one has no momentum (method.md section 8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.h_space.optimizers._base import Optimizer, OptimizerSettings

if TYPE_CHECKING:
    import torch
    from torch import nn


def _build(settings: OptimizerSettings, editor: nn.Module) -> torch.optim.Optimizer:
    import torch

    rate, decay = settings.learning_rate, settings.weight_decay
    return torch.optim.SGD(editor.parameters(), lr=rate, momentum=settings.momentum, weight_decay=decay)


OPTIMIZER = Optimizer("sgd", _build)
