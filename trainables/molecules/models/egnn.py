"""EGNN: a graph network over all pairs of atoms (Satorras, Hoogeboom, Welling 2021; code of vgsatorras/egnn).

B molecules, A atoms of the largest, F width, G numbers that describe a pair.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from trainables.molecules.models._base import (
    GEOMETRY_WIDTHS,
    NUM_ATOM_FEATURES,
    Atoms,
    Geometry,
    ModelSettings,
    MoleculeNetwork,
    NearZeroLinear,
    Readout,
    describe_pairs,
    differences,
    distances,
)

CoordinateUpdate = Literal["none", "mean", "sum", "normalized", "tanh"]


class Config(ModelSettings):
    """The published model, but for its width 128 and 7 layers, with switches for its parts.

    With geometry squared_distance, is_scaled false, gate on and no coordinate update it is the one that was run on QM9.
    """

    kind: Literal["egnn"] = "egnn"
    geometry: Geometry = "squared_distance"
    """What the model is told of where two atoms are."""
    is_scaled: bool = True
    """Bring squared distances and differences to size 1; published ones are in ångström and reach 130."""
    gate: bool = True
    """Weigh every message by a number between 0 and 1 ("edge inference"); nothing is normalised over the atoms."""
    coordinate_update: CoordinateUpdate = "none"
    """Move the positions in every layer. mean and sum: over the other atoms; normalized: a mean of directions, its
    distances divided out; tanh: a mean of bounded steps. Published on QM9: none."""
    node_attributes: bool = False
    """Show the atoms' features again in every layer. Published on QM9: off."""
    readout: Literal["sum", "mean"] = "sum"
    """How atoms become a molecule. Published: sum."""

    def inactive(self) -> tuple[str, ...]:
        """The scale has no effect on what has no unit."""
        return () if self.geometry in ("squared_distance", "differences") else ("is_scaled",)

    def network(self, length: float) -> MoleculeNetwork:
        """The network for molecules of this length scale."""
        return Egnn(self, length if self.is_scaled else 1.0)


class EgnnLayer(nn.Module):
    """One layer of EGNN.

        m_ij = φ_e(h_i, h_j, pair_ij) · gate(m_ij)
        x_i <- x_i + C Σ_j (x_i - x_j) φ_x(m_ij)        C = 1 / number of j, for a mean
        h_i <- h_i + φ_h(h_i, Σ_j m_ij [, attributes_i])

    Only pairs of two atoms count; positions are those before the step, messages those after the gate. Names of the
    weights are the published code's. Departure: its QM9 code builds the coordinate step and deletes it.
    """

    def __init__(
        self,
        width: int,
        hidden: int,
        pair_width: int,
        *,
        gate: bool,
        coordinate_update: CoordinateUpdate,
        attribute_width: int = 0,
        is_residual: bool = True,
    ) -> None:
        super().__init__()
        self._widths = [width, width, pair_width]
        self.edge_mlp = nn.Sequential(
            nn.Linear(sum(self._widths), hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU()
        )
        self.node_mlp = nn.Sequential(
            nn.Linear(width + hidden + attribute_width, hidden), nn.SiLU(), nn.Linear(hidden, width)
        )
        self.att_mlp = nn.Sequential(nn.Linear(hidden, 1), nn.Sigmoid()) if gate else None
        self._update, self._is_residual = coordinate_update, is_residual
        if coordinate_update != "none":
            step = [nn.Linear(hidden, hidden), nn.SiLU(), NearZeroLinear(hidden, 1, bias=False)]
            self.coord_mlp = nn.Sequential(*step, *([nn.Tanh()] if coordinate_update == "tanh" else []))

    def forward(
        self, h: Tensor, x: Tensor, pairs: Tensor, is_pair: Tensor, attributes: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The next h and x, of h (B, A, F), x (B, A, 3), pairs (B, A, A, G) and is_pair (B, A, A).

        The tensors given are left as they are; the published layer for QM9 changes x in place.
        """
        messages = self._messages(h, pairs) * is_pair[..., None]  # (B, A, A, hidden)
        if self._update != "none":
            x = x + self._step(x, messages, is_pair)
        inputs = [h, messages.sum(2), *([] if attributes is None else [attributes])]
        update = self.node_mlp(torch.cat(inputs, dim=-1))
        return h + update if self._is_residual else update, x

    def _messages(self, h: Tensor, pairs: Tensor) -> Tensor:
        """(B, A, A, hidden). The first layer is applied to h_i, h_j and the pair apart: no tensor holds all three."""
        first, *others = self.edge_mlp
        assert isinstance(first, nn.Linear)
        own, other, pair = torch.split(first.weight, self._widths, dim=1)
        messages = (h @ own.T + first.bias)[:, :, None] + (h @ other.T)[:, None] + pairs @ pair.T
        for part in others:
            messages = part(messages)
        return messages if self.att_mlp is None else messages * self.att_mlp(messages)

    def _step(self, x: Tensor, messages: Tensor, is_pair: Tensor) -> Tensor:
        """What is added to the positions, (B, A, 3); 0 for an atom without neighbours."""
        apart = differences(x)
        if self._update == "normalized":
            # The length is a constant to the gradient, as published.
            apart = apart / (distances(apart.square().sum(-1, keepdim=True)).detach() + 1e-8)
        steps: Tensor = (apart * self.coord_mlp(messages) * is_pair[..., None]).sum(2)
        if self._update != "sum":
            steps = steps / is_pair.sum(2).clamp(min=1)[..., None]
        return steps


class Egnn(MoleculeNetwork):
    """Embedding, layers and readout of the published QM9 model."""

    def __init__(self, config: Config, length: float) -> None:
        super().__init__()
        self._config, self._length = config, length
        self.embedding = nn.Linear(NUM_ATOM_FEATURES, config.width)
        self.layers = nn.ModuleList(
            EgnnLayer(
                config.width,
                config.width,
                GEOMETRY_WIDTHS[config.geometry],
                gate=config.gate,
                # Nothing reads the positions after the last layer.
                coordinate_update=config.coordinate_update if number < config.depth else "none",
                attribute_width=NUM_ATOM_FEATURES if config.node_attributes else 0,
            )
            for number in range(1, config.depth + 1)
        )
        self.readout = Readout(config.width, config.readout)

    def predict(self, atoms: Atoms) -> Tensor:
        """(B,)"""
        h, _ = self.encode(atoms)
        prediction: Tensor = self.readout(h, atoms.has_atom)
        return prediction

    def encode(self, atoms: Atoms) -> tuple[Tensor, Tensor]:
        """(h, x) after the layers, (B, A, F) and (B, A, 3). Empty rows of h hold anything."""
        h, x, is_pair = self.embedding(atoms.features), atoms.positions, atoms.is_pair
        attributes = atoms.features if self._config.node_attributes else None
        for layer in self.layers:
            pairs = describe_pairs(differences(x), self._config.geometry, self._length)
            h, x = layer(h, x, pairs, is_pair, attributes)
        return h, x
