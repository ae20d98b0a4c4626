"""What an optimizer is: a name, and what makes it of an editor's weights and the settings of a cell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from trainables.registry import wrong_call

if TYPE_CHECKING:
    import torch
    from torch import nn


class OptimizerSettings(Protocol):
    """The settings in `training.optimizer` that say how weights are moved; its schedule sets the rate of each step."""

    @property
    def learning_rate(self) -> float:
        """The highest one."""

    @property
    def weight_decay(self) -> float:
        """0 for none."""

    @property
    def momentum(self) -> float:
        """0 for none."""


@dataclass(frozen=True)
class Optimizer:
    """One kind of optimizer; its file's name is what a cell writes as `training.optimizer.kind`."""

    name: str
    build: Callable[[OptimizerSettings, nn.Module], torch.optim.Optimizer]
    """Makes it of the settings and the editor whose weights are moved."""


def fault(optimizer: Optimizer) -> str:
    """What is wrong with an optimizer from outside the package, or nothing."""
    return wrong_call(optimizer.build, ("settings", "editor"), "build")
