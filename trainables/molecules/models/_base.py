"""What every model shares: its inputs, how it is built, and how atoms become one number.

B molecules, A atoms of the largest, F width, G numbers that describe a pair of atoms.
"""

import inspect
import math
from abc import abstractmethod
from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from trainables.molecules.batches import Batch
from trainables.molecules.elements import ATOMIC_NUMBERS
from trainables.registry import wrong_call
from trainables.settings import Settings

NUM_POWERS = 3
NUM_ATOM_FEATURES = len(ATOMIC_NUMBERS) * NUM_POWERS
NUM_GAUSSIANS, FARTHEST_ANGSTROM = 16, 8.0

Geometry = Literal["none", "squared_distance", "radial_basis", "differences"]
"""What a model is told of where two atoms are. none: nothing, the number in its place is 0; squared_distance:
|x_i - x_j|^2; radial_basis: 16 Gaussians of the distance; differences: x_i - x_j, which turn with the molecule."""
GEOMETRY_WIDTHS: dict[Geometry, int] = {
    "none": 1,
    "squared_distance": 1,
    "radial_basis": NUM_GAUSSIANS,
    "differences": 3,
}


class Atoms(NamedTuple):
    """A batch as networks see it: molecules centred, and nothing but 0 in empty rows."""

    features: Tensor
    """(B, A, 15)"""
    positions: Tensor
    """(B, A, 3), in ångström."""
    has_atom: Tensor
    """(B, A)"""
    atomic_numbers: Tensor
    """(B, A)"""

    @property
    def is_pair(self) -> Tensor:
        """Which pairs are of two different atoms, (B, A, A)."""
        pairs = self.has_atom[:, :, None] & self.has_atom[:, None, :]
        return pairs & ~torch.eye(pairs.shape[1], dtype=torch.bool, device=pairs.device)


class ModelSettings(Settings):
    """Settings of a model. Each kind adds a literal `kind`, what is its own, and `network`."""

    kind: str
    width: int = Field(default=32, ge=1)
    """Numbers that describe an atom between layers."""
    depth: int = Field(default=4, ge=1)
    """Layers from the atoms to the prediction."""

    @abstractmethod
    def network(self, length: float) -> "MoleculeNetwork":
        """The network, its weights not yet set; call `build` instead."""

    def inactive(self) -> tuple[str, ...]:
        """Settings without any effect beside the others: two models that differ only there are the same."""
        return ()

    def notes(self) -> list[str]:
        """What a reader of this model's results should be told."""
        turns = "geometry differences: predictions change when a molecule is turned"
        return [turns] if getattr(self, "geometry", "none") == "differences" else []

    def build(self, generator: torch.Generator, length: float = 1.0) -> "MoleculeNetwork":
        """The model on the CPU, initialised from `generator` alone: the same state gives the same weights.

        `length` is the scale of the training molecules (batches.length_scale), in ångström.
        """
        network = on_meta(self, length).to_empty(device="cpu")
        initialise(network, generator)
        return network


def fault(kind: type[ModelSettings]) -> str:
    """What is wrong with the class of a model from outside the package, or nothing."""
    if inspect.isabstract(kind):
        return "expected a method network(self, length) that makes the model; found none"
    return wrong_call(kind.network, ("self", "length"), "network")


class MoleculeNetwork(nn.Module):
    """Answers a batch with one number for each molecule, whatever empty rows and other molecules are in the batch."""

    @abstractmethod
    def predict(self, atoms: Atoms) -> Tensor:
        """(B,)"""

    def forward(self, batch: Batch) -> Tensor:
        """(B,)"""
        return self.predict(seen(batch))


def seen(batch: Batch) -> Atoms:
    """A batch with its molecules centred (far from 0 differences lose digits) and its empty rows cleared."""
    has_atom = batch.has_atom
    positions = batch.positions.masked_fill(~has_atom[..., None], 0)
    centre = positions.sum(1, keepdim=True) / has_atom.sum(1)[:, None, None]
    positions = (positions - centre).masked_fill(~has_atom[..., None], 0)
    return Atoms(atom_features(batch.atomic_numbers).to(positions), positions, has_atom, batch.atomic_numbers)


def atom_features(atomic_numbers: Tensor) -> Tensor:
    """Which element, times (Z/9)^p for p = 0, 1, 2, element by element: (B, A, 15), as published; 0 for no atom."""
    elements = torch.tensor(ATOMIC_NUMBERS, device=atomic_numbers.device)
    one_hot = (atomic_numbers[..., None] == elements).double()  # (B, A, 5)
    powers = (atomic_numbers[..., None] / max(ATOMIC_NUMBERS)) ** torch.arange(
        NUM_POWERS, device=elements.device
    )
    return (one_hot[..., None] * powers[..., None, :].double()).flatten(-2)


def differences(positions: Tensor) -> Tensor:
    """x_i - x_j of every pair, (B, A, A, 3)."""
    return positions[:, :, None] - positions[:, None, :]


def describe_pairs(apart: Tensor, geometry: Geometry, length: float) -> Tensor:
    """What a model is told of each pair, (B, A, A, G), from differences (B, A, A, 3) in ångström.

    Differences and distances are divided by `length`, in ångström; batches.length_scale brings them near 1.
    """
    if geometry == "differences":
        return apart / length
    squared = apart.square().sum(-1, keepdim=True)  # (B, A, A, 1)
    if geometry == "none":
        return torch.zeros_like(squared)
    if geometry == "squared_distance":
        return squared / length**2
    return gaussians(distances(squared))


def distances(squared: Tensor) -> Tensor:
    """Square roots that have a gradient at 0, where the root's own is infinite."""
    return squared.clamp(min=1e-12).sqrt()


def gaussians(distance: Tensor) -> Tensor:
    """Radial basis of distances (..., 1) in ångström: (..., 16), each one Gaussian as wide as they lie apart."""
    centres = torch.linspace(0, FARTHEST_ANGSTROM, NUM_GAUSSIANS).to(distance)
    spacing = FARTHEST_ANGSTROM / (NUM_GAUSSIANS - 1)
    return (-0.5 * ((distance - centres) / spacing).square()).exp()


class Readout(nn.Module):
    """From atoms (B, A, F) to a number for each molecule, (B,): Linear, SiLU, Linear; sum or mean; the same again."""

    def __init__(self, width: int, pooling: Literal["sum", "mean"]) -> None:
        super().__init__()
        self.node_dec = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.graph_dec = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1))
        self._is_mean = pooling == "mean"

    def forward(self, h: Tensor, has_atom: Tensor) -> Tensor:
        pooled = self.node_dec(h).masked_fill(~has_atom[..., None], 0).sum(1)  # (B, F)
        if self._is_mean:
            pooled = pooled / has_atom.sum(1, keepdim=True)
        prediction: Tensor = self.graph_dec(pooled).squeeze(1)
        return prediction


class Token(nn.Module):
    """A learned row that is the same for every molecule, (F,)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.empty(width))


class NearZeroLinear(nn.Linear):
    """A linear layer that starts near 0: Xavier-uniform with gain 0.001, as EGNN's step of the positions."""

    GAIN = 0.001


@torch.no_grad()
def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Set every weight from `generator` alone: linear layers as torch does by default, norms the identity."""
    for part in network.modules():
        if isinstance(part, nn.Linear):
            bound = 1 / math.sqrt(part.in_features)
            near_zero = NearZeroLinear.GAIN * math.sqrt(6 / (part.in_features + part.out_features))
            size = near_zero if isinstance(part, NearZeroLinear) else bound
            part.weight.uniform_(-size, size, generator=generator)
            if part.bias is not None:
                part.bias.uniform_(-bound, bound, generator=generator)
        elif isinstance(part, nn.LayerNorm):
            part.weight.fill_(1)
            part.bias.zero_()
        elif isinstance(part, Token):
            part.value.normal_(std=1 / math.sqrt(len(part.value)), generator=generator)


def on_meta(settings: ModelSettings, length: float = 1.0) -> MoleculeNetwork:
    """The model without memory for its weights: their names and shapes."""
    with torch.device("meta"):
        return settings.network(length)


def num_parameters(settings: ModelSettings) -> int:
    """How many weights the model learns, without allocating any."""
    return sum(parameter.numel() for parameter in on_meta(settings).parameters())
