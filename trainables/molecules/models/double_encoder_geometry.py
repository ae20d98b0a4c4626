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
    MoleculeNetwork,
    Readout,
    Token,
    describe_pairs,
    differences,
)

GEOMETRY: Literal["radial_basis"] = "radial_basis"


class Config(TwoEncoderSettings):
    """The two-encoder transformer: each encoder is blind to what the other one sees, until they are fused."""

    kind: Literal["double_encoder_geometry"] = "double_encoder_geometry"
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
        """The network; its radial basis needs no scale."""
        return DoubleEncoder(self)


class DoubleEncoder(MoleculeNetwork):
    """An encoder of elements, an encoder of distances, their fusion, a joint encoder and the readout."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        width, heads, depth = config.width, config.num_heads, config.encoder_depth
        self._fusion = config.fusion
        self.embedding = nn.Linear(NUM_ATOM_FEATURES, width)
        self.any_atom = Token(width)
        self.elements = Stack(depth, width, heads)
        self.geometry = Stack(depth, width, heads, GEOMETRY_WIDTHS[GEOMETRY])
        if config.fusion == "concatenation":
            self.together = nn.Linear(2 * width, width)
        if config.fusion == "cross_attention":
            self.across = Attention(width, heads)
        self.joint = Stack(config.joint_depth, width, heads)
        self.readout = Readout(width, config.readout)

    def predict(self, atoms: Atoms) -> Tensor:
        """(B,)"""
        elements = self.elements(self.embedding(atoms.features), atoms.has_atom)
        pairs = describe_pairs(differences(atoms.positions), GEOMETRY, 1.0)
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
