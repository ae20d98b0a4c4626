"""What is known of the elements in QM9, and of the twelve targets (Ramakrishnan et al. 2014)."""

from typing import NamedTuple

SYMBOLS = ("H", "C", "N", "O", "F")
"""The elements of QM9. Fixed, so that a subset without fluorine has the same inputs as all of QM9."""
ATOMIC_NUMBERS = (1, 6, 7, 8, 9)

HARTREE_IN_MEV = 27_211.386245988
"""CODATA 2018. Departure: the published EGNN code takes 27,211.4, which moves an atomisation energy by 0.04 meV."""

COVALENT_RADII_ANGSTROM = (0.31, 0.76, 0.71, 0.66, 0.57)
"""In the order of SYMBOLS (Cordero et al. 2008)."""
BOND_TOLERANCE_ANGSTROM = 0.25
"""Two atoms are bonded when no farther apart than their radii and this together; QM9 lists no bonds. Of the 6,500
shipped molecules all but two then have as many bonds as their SMILES; with Open Babel's 0.45 one in twenty has more."""


class Target(NamedTuple):
    """A property that a model predicts: `factor` times (column minus the atoms' `references`) is in `unit`."""

    label: str
    unit: str
    column: str
    """In a table of molecules; its ending is the unit that is stored there."""
    factor: float = 1.0
    references: tuple[float, ...] = (0.0,) * len(SYMBOLS)
    """What a free atom of each element has, in the column's unit: what is left is the atomisation energy."""


TARGETS = {
    "mu": Target("Dipole moment", "D", "mu_debye"),
    "alpha": Target("Polarizability", "bohr³", "alpha_bohr3"),
    "homo": Target("HOMO energy", "meV", "homo_hartree", HARTREE_IN_MEV),
    "lumo": Target("LUMO energy", "meV", "lumo_hartree", HARTREE_IN_MEV),
    "gap": Target("HOMO-LUMO gap", "meV", "gap_hartree", HARTREE_IN_MEV),
    "r2": Target("Electronic spatial extent", "bohr²", "r2_bohr2"),
    "zpve": Target("Zero-point energy", "meV", "zpve_hartree", HARTREE_IN_MEV),
    "u0": Target(
        "Atomisation energy at 0 K",
        "meV",
        "u0_hartree",
        HARTREE_IN_MEV,
        (-0.500273, -37.846772, -54.583861, -75.064579, -99.718730),
    ),
    "u": Target(
        "Atomisation energy at 298 K",
        "meV",
        "u_hartree",
        HARTREE_IN_MEV,
        (-0.498857, -37.845355, -54.582445, -75.063163, -99.717314),
    ),
    "h": Target(
        "Atomisation enthalpy at 298 K",
        "meV",
        "h_hartree",
        HARTREE_IN_MEV,
        (-0.497912, -37.844411, -54.581501, -75.062219, -99.716370),
    ),
    "g": Target(
        "Atomisation free energy at 298 K",
        "meV",
        "g_hartree",
        HARTREE_IN_MEV,
        (-0.510927, -37.861317, -54.598897, -75.079532, -99.733544),
    ),
    "cv": Target("Heat capacity at 298 K", "cal/(mol K)", "cv_cal_per_mol_kelvin"),
}
"""The targets as the tables of EGNN and its successors report them. u0, u, h and g are one target in all but name:
u, h and g differ from u0 by thermal terms alone. Departure: the published code subtracts 2.981 for each atom from cv
too; that is a function of the composition, which the fit of `composition.py` takes out anyway."""
