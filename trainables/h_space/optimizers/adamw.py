"""Adam with decoupled weight decay (Loshchilov and Hutter 2019): the default."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.h_space.optimizers._base import Optimizer, OptimizerSettings

if TYPE_CHECKING:
    import torch
    from torch import nn


def _build(settings: OptimizerSettings, editor: nn.Module) -> torch.optim.Optimizer:
    import torch

    return torch.optim.AdamW(
        editor.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )


OPTIMIZER = Optimizer("adamw", _build)
