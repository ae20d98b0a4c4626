"""Molecules read from Parquet, and which of them a training may see.

M molecules, A atoms of the largest one. A table has a row per molecule: `id` of QM9, `smiles`, `split`,
`atomic_numbers` (list), `coordinates_angstrom` (list of three numbers each), and a column per target that ends in
its unit.
"""

from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from trainables.errors import UserError
from trainables.molecules.elements import ATOMIC_NUMBERS, SYMBOLS, Target
from trainables.randomness import generator_for

TRAINING_MOLECULES = "training molecules"
"""Purpose of the random stream that draws them."""
SPLITS = ("train", "validation", "test")


class MoleculeError(UserError):
    """Molecules that cannot be read, or fewer than asked for."""


@dataclass(frozen=True, eq=False)
class Molecules:
    """M molecules and the value of one target, padded to their largest one."""

    ids: NDArray[np.int64]
    """(M,)"""
    atomic_numbers: NDArray[np.int64]
    """(M, A); 0 where there is no atom."""
    positions: NDArray[np.float32]
    """(M, A, 3), in ångström, the centre of each molecule's atoms at 0; 0 where there is no atom."""
    values: NDArray[np.float64]
    """(M,), in the target's unit."""

    def xyz(self, row: int, comment: str) -> str:
        """One molecule as an XYZ file: number of atoms, a comment, an element and its place on every line."""
        is_atom = self.atomic_numbers[row] > 0
        symbols = [
            SYMBOLS[ATOMIC_NUMBERS.index(number)] for number in self.atomic_numbers[row][is_atom].tolist()
        ]
        places = self.positions[row][is_atom].tolist()
        atoms = [
            f"{symbol} {x:.4f} {y:.4f} {z:.4f}" for symbol, (x, y, z) in zip(symbols, places, strict=True)
        ]
        return "\n".join([str(len(atoms)), comment, *atoms]) + "\n"

    @classmethod
    def of(cls, table: pa.Table, target: Target) -> Self:
        """The molecules of a table, in its order. Energies of atoms are subtracted in float64, before any rounding."""
        numbers, coordinates = _column(table, "atomic_numbers"), _column(table, "coordinates_angstrom")
        lengths = pc.list_value_length(numbers).to_numpy(zero_copy_only=False)
        has_atom = np.arange(lengths.max(initial=0)) < lengths[:, None]  # (M, A)
        atomic_numbers = np.zeros(has_atom.shape, dtype=np.int64)
        atomic_numbers[has_atom] = numbers.flatten().to_numpy()
        positions = np.zeros((*has_atom.shape, 3))
        positions[has_atom] = coordinates.flatten().flatten().to_numpy().reshape(-1, 3)
        positions -= positions.sum(1, keepdims=True) / lengths[:, None, None]
        positions[~has_atom] = 0
        raw = _column(table, target.column).to_numpy().astype(np.float64)
        atoms = element_counts(atomic_numbers) @ np.array(target.references)
        return cls(
            ids=_column(table, "id").to_numpy().astype(np.int64),
            atomic_numbers=atomic_numbers,
            positions=positions.astype(np.float32),
            values=target.factor * (raw - atoms),
        )

    def __len__(self) -> int:
        return len(self.ids)

    def at(self, rows: NDArray[np.int64]) -> Self:
        """The molecules at these rows, padded to the largest of them."""
        atomic_numbers = self.atomic_numbers[rows]
        most = (atomic_numbers > 0).sum(1).max(initial=0)
        return type(self)(
            self.ids[rows], atomic_numbers[:, :most], self.positions[rows, :most], self.values[rows]
        )

    def first(self, count: int) -> Self:
        """The first `count` molecules. Raises MoleculeError where there are fewer."""
        if count > len(self):
            raise MoleculeError(f"expected at most {len(self)} molecules; found {count}")
        return self.at(np.arange(count))


class MoleculeSplits(NamedTuple):
    """What a training learns from, what its learning rate is chosen on, and what it is measured on."""

    train: Molecules
    validation: Molecules
    test: Molecules


def element_counts(atomic_numbers: NDArray[np.int64]) -> NDArray[np.float64]:
    """Atoms of each element of SYMBOLS, (M, 5), from numbers (M, A)."""
    return np.stack([(atomic_numbers == number).sum(1) for number in ATOMIC_NUMBERS], axis=1).astype(float)


def read_molecules(path: Path, columns: tuple[str, ...]) -> pa.Table:
    """These columns of a Parquet file of molecules. Raises MoleculeError when it has not all of them."""
    try:
        known = pq.read_schema(path).names
        if missing := [name for name in columns if name not in known]:
            raise MoleculeError(f"{path}: expected a column {missing[0]}; found {', '.join(known)}")
        table = pq.read_table(path, columns=list(columns))
    except (OSError, pa.ArrowException) as error:
        raise MoleculeError(f"{path} cannot be read as Parquet: {error}") from error
    unknown = set(_column(table, "atomic_numbers").flatten().unique().to_pylist()) - set(ATOMIC_NUMBERS)
    if unknown:
        raise MoleculeError(
            f"{path}: expected atoms of {', '.join(SYMBOLS)}; found atomic number {min(unknown)}"
        )
    return table


def read_splits(path: Path, target: Target) -> MoleculeSplits:
    """The molecules of a file by its column `split`, in the order of their ids.

    Raises MoleculeError when the file has not what it needs.
    """
    columns = ("id", "split", "atomic_numbers", "coordinates_angstrom", target.column)
    table = read_molecules(path, columns).sort_by("id")
    split = table["split"].cast(pa.string())
    return MoleculeSplits(*(Molecules.of(table.filter(pc.equal(split, name)), target) for name in SPLITS))


def shipped_splits(target: Target) -> MoleculeSplits:
    """The molecules that come with the package: 5,000 to train on, 500 to validate, 1,000 to test."""
    with as_file(files("trainables.molecules.data") / "subset.parquet") as path:
        return read_splits(path, target)


def training_subset(pool: Molecules, count: int, seed: int) -> Molecules:
    """`count` molecules that the seed draws. The smaller of two subsets of one seed is part of the larger one.

    Raises MoleculeError when the pool has fewer.
    """
    if count > len(pool):
        raise MoleculeError(f"num_train: expected at most {len(pool)}; found {count}")
    order = torch.randperm(len(pool), generator=generator_for(seed, TRAINING_MOLECULES)).numpy()
    return pool.at(order[:count])


def _column(table: pa.Table, name: str) -> Any:
    return table[name].combine_chunks()
