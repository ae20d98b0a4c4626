"""A transformer over atoms whose attention knows how far apart they are. B molecules, A atoms, F width."""

from typing import Literal

from torch import Tensor, nn

from trainables.molecules.models._attention import AttentionSettings, Stack
from trainables.molecules.models._base import (
    GEOMETRY_WIDTHS,
    NUM_ATOM_FEATURES,
    Atoms,
    Geometry,
    MoleculeNetwork,
    Readout,
    describe_pairs,
    differences,
)


class Config(AttentionSettings):
    """One encoder that sees elements and geometry together; a function of the pair shifts logits and gates values."""

    kind: Literal["transformer"] = "transformer"
    geometry: Geometry = "squared_distance"
    """What the model is told of where two atoms are."""
    readout: Literal["sum", "mean"] = "sum"
    """How atoms become a molecule."""

    def network(self, length: float) -> MoleculeNetwork:
        """The network for molecules of this length scale."""
        return Transformer(self, length)


class Transformer(MoleculeNetwork):
    """Embedding, blocks and readout."""

    def __init__(self, config: Config, length: float) -> None:
        super().__init__()
        self._geometry, self._length = config.geometry, length
        self.embedding = nn.Linear(NUM_ATOM_FEATURES, config.width)
        self.blocks = Stack(config.depth, config.width, config.num_heads, GEOMETRY_WIDTHS[config.geometry])
        self.readout = Readout(config.width, config.readout)

    def predict(self, atoms: Atoms) -> Tensor:
        """(B,)"""
        pairs = describe_pairs(differences(atoms.positions), self._geometry, self._length)
        h = self.blocks(self.embedding(atoms.features), atoms.has_atom, pairs)
        prediction: Tensor = self.readout(h, atoms.has_atom)
        return prediction
