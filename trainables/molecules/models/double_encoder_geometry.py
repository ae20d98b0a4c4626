"""Two encoders, one of elements and one of geometry, and a joint one. B molecules, A atoms, F width.

Our own reading of "a transformer with two encoders made equivariant", not a published model.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from trainables.molecules.models._attention import Attention, Stack, TwoEncoderSettings
from trainables.molecules.models._base import (
    GEOMETRY_WIDTHS,
    NUM_ATOM_FEATURES,
    Atoms,
    Geometry,
    MoleculeNetwork,
    Readout,
    Token,
    describe_pairs,
    differences,
)


class Config(TwoEncoderSettings):
    """The two-encoder transformer: each encoder is blind to what the other one sees, until they are fused."""

    kind: Literal["double_encoder_geometry"] = "double_encoder_geometry"
    geometry: Geometry = "squared_distance"
    """What the model is told of where two atoms are."""
    fusion: Literal["sum", "concatenation", "cross_attention"] = "sum"
    """How atoms of the two encoders meet. cross_attention: elements attend to geometry, and the answer is added."""
    readout: Literal["sum", "mean"] = "sum"
    """How atoms become a molecule."""

    def notes(self) -> list[str]:
        """Where the model is from."""
        return [
            "double_encoder_geometry is this package's own two-encoder transformer, not a published model"
        ]

    def network(self, length: float) -> MoleculeNetwork:
        """The network for molecules of this length scale."""
        return DoubleEncoder(self, length)


class DoubleEncoder(MoleculeNetwork):
    """An encoder of elements, an encoder of distances, their fusion, a joint encoder and the readout."""

    def __init__(self, config: Config, length: float) -> None:
        super().__init__()
        width, heads, depth = config.width, config.num_heads, config.encoder_depth
        self._geometry, self._length, self._fusion = config.geometry, length, config.fusion
        self.embedding = nn.Linear(NUM_ATOM_FEATURES, width)
        self.any_atom = Token(width)
        self.elements = Stack(depth, width, heads)
        self.geometry = Stack(depth, width, heads, GEOMETRY_WIDTHS[config.geometry])
        if config.fusion == "concatenation":
            self.together = nn.Linear(2 * width, width)
        if config.fusion == "cross_attention":
            self.across = Attention(width, heads)
        self.joint = Stack(config.joint_depth, width, heads)
        self.readout = Readout(width, config.readout)

    def predict(self, atoms: Atoms) -> Tensor:
        """(B,)"""
        elements = self.elements(self.embedding(atoms.features), atoms.has_atom)
        pairs = describe_pairs(differences(atoms.positions), self._geometry, self._length)
        any_atom = self.any_atom.value.expand_as(elements)
        geometry = self.geometry(any_atom, atoms.has_atom, pairs)
        h = self.joint(self._fused(elements, geometry, atoms.has_atom), atoms.has_atom)
        prediction: Tensor = self.readout(h, atoms.has_atom)
        return prediction

    def _fused(self, elements: Tensor, geometry: Tensor, has_atom: Tensor) -> Tensor:
        """(B, A, F)"""
        if self._fusion == "sum":
            return elements + geometry
        if self._fusion == "concatenation":
            fused: Tensor = self.together(torch.cat([elements, geometry], dim=-1))
            return fused
        may_attend = has_atom[:, None, :].expand(-1, has_atom.shape[1], -1)
        added: Tensor = elements + self.across(elements, geometry, may_attend)
        return added
