"""What every editor kind shares: how it is checked, told apart and built.

Settings need no torch, so that plans, which check and count editors, do without it: what networks are made of is
imported where one is built.
"""

from __future__ import annotations

import inspect
from abc import abstractmethod
from typing import TYPE_CHECKING, Self

from trainables.h_space.backbones.shapes import BottleneckShape
from trainables.registry import wrong_call
from trainables.settings import Settings

if TYPE_CHECKING:
    import torch
    from torch import nn


class EditorSettings(Settings):
    """Settings of an editor f_t, which answers h with Delta-h (Kwon et al. 2023, section 3.2).

    Each kind adds a literal `kind`, what is its own, and `network`.
    """

    kind: str

    @abstractmethod
    def network(self, shape: BottleneckShape, timesteps: tuple[int, ...]) -> nn.Module:
        """The network for bottlenecks of this shape, its weights not yet set; call `build` instead."""

    def check(self, shape: BottleneckShape) -> list[str]:
        """What does not fit bottlenecks of this shape, one sentence each. Does no torch work."""
        return []

    def inactive(self) -> tuple[str, ...]:
        """Settings without any effect beside the others: two editors that differ only there are the same."""
        return ()

    def canonical(self) -> Self:
        """The same editor with its inactive settings at their defaults."""
        active = {name: value for name, value in self if name not in self.inactive()}
        return type(self)(**active)

    def notes(self) -> list[str]:
        """What a reader of this editor's results should be told."""
        return []

    def build(
        self, shape: BottleneckShape, generator: torch.Generator, timesteps: tuple[int, ...]
    ) -> nn.Module:
        """The editor on the CPU, initialised from `generator` alone: the same state gives the same weights.

        `timesteps` are those it is trained at, descending. Called with h (B, C, H, W), the time embedding (B, E)
        and t, it answers with Delta-h, shaped like h.
        Raises ValueError naming the settings and sizes that do not fit.
        """
        from trainables.h_space.editors._initial import initialise

        if problems := self.check(shape):
            raise ValueError(f"editor {self.kind}: {'; '.join(problems)}")
        return initialise(on_meta(self, shape, timesteps).to_empty(device="cpu"), generator)


def fault(kind: type[EditorSettings]) -> str:
    """What is wrong with the class of an editor from outside the package, or nothing."""
    if inspect.isabstract(kind):
        return "expected a method network(self, shape, timesteps) that makes the editor; found none"
    return wrong_call(kind.network, ("self", "shape", "timesteps"), "network")


def group_problems(num_groups: int, shape: BottleneckShape) -> list[str]:
    """Why a group norm with so many groups does not fit, if it does not."""
    if shape.channels % num_groups == 0:
        return []
    return [f"num_groups {num_groups} does not divide the {shape.channels} channels of the bottleneck"]


def on_meta(settings: EditorSettings, shape: BottleneckShape, timesteps: tuple[int, ...]) -> nn.Module:
    """The editor without memory for its weights: their names and shapes."""
    import torch

    with torch.device("meta"):
        return settings.network(shape, timesteps)


def num_parameters(settings: EditorSettings, shape: BottleneckShape, timesteps: tuple[int, ...]) -> int:
    """How many weights the editor learns, without allocating any."""
    return sum(parameter.numel() for parameter in on_meta(settings, shape, timesteps).parameters())
