"""Molecules as tensors. B molecules of a batch, A atoms of its largest."""

from collections.abc import Iterator
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from trainables.molecules.molecules import Molecules


class Batch(NamedTuple):
    """What a model reads. It may have any number of empty rows, and anything in their positions."""

    atomic_numbers: Tensor
    """(B, A), whole numbers; 0 where there is no atom."""
    positions: Tensor
    """(B, A, 3), in ångström."""

    @classmethod
    def of(cls, molecules: Molecules, device: torch.device | str = "cpu") -> Self:
        """All of these molecules, as one batch."""
        numbers, positions = torch.from_numpy(molecules.atomic_numbers), torch.from_numpy(molecules.positions)
        return cls(numbers.to(device), positions.to(device))

    @property
    def has_atom(self) -> Tensor:
        """Which rows are atoms, (B, A)."""
        return self.atomic_numbers > 0

    def rotated(self, rotations: Tensor) -> Self:
        """Each molecule turned by its own matrix of (B, 3, 3)."""
        return self._replace(positions=self.positions @ rotations.to(self.positions).mT)


def random_rotations(count: int, generator: torch.Generator) -> Tensor:
    """Rotations of three dimensions, all equally likely, (count, 3, 3): unit quaternions of four normal numbers."""
    quaternions = torch.randn(count, 4, generator=generator, dtype=torch.float64)
    w, x, y, z = (quaternions / quaternions.norm(dim=1, keepdim=True)).unbind(1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)


def batches_of(molecules: Molecules, size: int) -> Iterator[Molecules]:
    """The molecules in their order, `size` at a time; the last batch may be smaller."""
    for start in range(0, len(molecules), size):
        yield molecules.at(np.arange(start, min(start + size, len(molecules))))


def length_scale(molecules: Molecules) -> float:
    """Root mean square of x_i - x_j of one axis over all pairs of atoms of a molecule, in ångström.

    Differences divided by it have size 1, and squared distances divided by its square have mean 3.
    """
    has_atom = molecules.atomic_numbers > 0
    counts = has_atom.sum(1)
    # Positions are centred: the sum over pairs of |x_i - x_j|^2 is 2 A times the sum of |x_i|^2.
    squared = 2 * counts * (molecules.positions.astype(np.float64) ** 2).sum((1, 2))
    return float(np.sqrt(squared.sum() / (3 * counts * (counts - 1)).sum()))
