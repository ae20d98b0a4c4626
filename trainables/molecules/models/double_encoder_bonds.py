"""Two encoders, one of atoms and one of bonds, and a joint one: DEMETAr's design, as far as it is published.

B molecules, N tokens of atoms with [CLS] first, M bonds of the molecule that has most, F width.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from trainables.molecules.elements import ATOMIC_NUMBERS, BOND_TOLERANCE_ANGSTROM, COVALENT_RADII_ANGSTROM
from trainables.molecules.models._attention import Attention, Stack, TwoEncoderSettings
from trainables.molecules.models._base import (
    NUM_ATOM_FEATURES,
    NUM_GAUSSIANS,
    Atoms,
    MoleculeNetwork,
    Token,
    differences,
    distances,
    gaussians,
)


class Config(TwoEncoderSettings):
    """Atoms attend to their own bonds ("edge enrichment"), which are all that is known of distances.

    Departures: the published code computes the enrichment on QM9 and throws it away, its mask of the cross-attention
    is the wrong way round, and nothing hides empty tokens; here they do what its text says. QM9 lists no bonds: they
    are found by distance, and a bond's token has its two elements and its length in place of its type.
    """

    kind: Literal["double_encoder_bonds"] = "double_encoder_bonds"

    def notes(self) -> list[str]:
        """What the model is, and is not."""
        return [
            *super().notes(),
            "double_encoder_bonds follows what is published of DEMETAr; it is not its code, and it corrects the "
            "enrichment that the published code discards",
            "bonds: two atoms no farther apart than their covalent radii and 0.25 Å; no other distance is seen",
        ]

    def network(self, length: float) -> MoleculeNetwork:
        """The network; distances to the centre are relative, and bonds are all of much the same length."""
        return BondEncoder(self)


class Bonds(NamedTuple):
    """Bonds of each molecule, as tokens."""

    features: Tensor
    """(B, M, 31): features of both atoms, summed, and the radial basis of the length."""
    is_bond: Tensor
    """(B, M)"""
    has_end: Tensor
    """(B, A, M): whether the atom is one of the bond's two."""


class BondEncoder(MoleculeNetwork):
    """An encoder of atoms and [CLS], an encoder of bonds, the enrichment, a joint encoder, and [CLS]'s answer."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        width, heads, depth = config.width, config.num_heads, config.encoder_depth
        self.cls = Token(width)
        self.atom_embedding = nn.Linear(NUM_ATOM_FEATURES + 1, width)
        self.bond_embedding = nn.Linear(NUM_ATOM_FEATURES + NUM_GAUSSIANS, width)
        self.atoms = Stack(depth, width, heads)
        self.bonds = Stack(depth, width, heads)
        self.enrichment = Attention(width, heads)
        self.joint = Stack(config.joint_depth, width, heads)
        self.head = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1))

    def predict(self, atoms: Atoms) -> Tensor:
        """(B,)"""
        bonds = find_bonds(atoms)
        tokens, is_token = self._atom_tokens(atoms)  # (B, N, F), (B, N)
        tokens = self.atoms(tokens, is_token)
        of_bonds = self.bonds(self.bond_embedding(bonds.features), bonds.is_bond)  # (B, M, F)
        own = nn.functional.pad(bonds.has_end, (0, 0, 1, 0))  # [CLS] has no bonds
        tokens = self.joint(tokens + self.enrichment(tokens, of_bonds, own), is_token)
        prediction: Tensor = self.head(tokens[:, 0]).squeeze(1)
        return prediction

    def _atom_tokens(self, atoms: Atoms) -> tuple[Tensor, Tensor]:
        """[CLS], then the atoms with their distance to the centre as a part of the largest."""
        from_centre = distances(atoms.positions.square().sum(-1, keepdim=True))  # (B, A, 1)
        relative = from_centre / from_centre.amax(1, keepdim=True)
        embedded = self.atom_embedding(torch.cat([atoms.features, relative], dim=-1))
        cls = self.cls.value.expand(len(embedded), 1, -1)
        return torch.cat([cls, embedded], dim=1), nn.functional.pad(atoms.has_atom, (1, 0), value=True)


def find_bonds(atoms: Atoms) -> Bonds:
    """The bonds of each molecule, in the order of its atoms, by the rule of `elements.BOND_TOLERANCE_ANGSTROM`."""
    apart = distances(differences(atoms.positions).square().sum(-1))  # (B, A, A)
    radii = torch.zeros(max(ATOMIC_NUMBERS) + 1).to(apart)
    radii[list(ATOMIC_NUMBERS)] = torch.tensor(COVALENT_RADII_ANGSTROM).to(apart)
    radius = radii[atoms.atomic_numbers]
    farthest = radius[:, :, None] + radius[:, None, :] + BOND_TOLERANCE_ANGSTROM
    is_bonded = ((apart <= farthest) & atoms.is_pair).triu()  # each bond once
    molecule, first, second = is_bonded.nonzero(as_tuple=True)
    counts = is_bonded.sum((1, 2))
    most = max(1, int(counts.max()))
    place = torch.arange(len(molecule), device=counts.device) - (counts.cumsum(0) - counts)[molecule]
    ends = atoms.features[molecule, first] + atoms.features[molecule, second]
    length = gaussians(apart[molecule, first, second][:, None])
    features = atoms.features.new_zeros(len(counts), most, NUM_ATOM_FEATURES + NUM_GAUSSIANS)
    features[molecule, place] = torch.cat([ends, length], dim=-1)
    is_bond = torch.arange(most, device=counts.device) < counts[:, None]
    has_end = torch.zeros(*atoms.has_atom.shape, most, dtype=torch.bool, device=counts.device)
    has_end[molecule, first, place] = has_end[molecule, second, place] = True
    return Bonds(features, is_bond, has_end)
