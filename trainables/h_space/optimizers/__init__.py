"""Optimizers of an editor's weights: one file each, found by their names; those of plugins too."""

from trainables.h_space.optimizers._base import Optimizer, OptimizerSettings, fault
from trainables.registry import Registry

OPTIMIZERS: Registry[Optimizer] = Registry("optimizer", __name__, "OPTIMIZER", Optimizer, fault=fault)

__all__ = ["OPTIMIZERS", "Optimizer", "OptimizerSettings"]
