"""The shipped molecules, their targets and units, and who sees which."""

from decimal import Decimal
from importlib.resources import files
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trainables.molecules.composition import CompositionFit, mean_absolute_error
from trainables.molecules.elements import ATOMIC_NUMBERS, HARTREE_IN_MEV, TARGETS
from trainables.molecules.molecules import (
    SPLITS,
    MoleculeError,
    Molecules,
    element_counts,
    read_molecules,
    read_splits,
    shipped_splits,
    training_subset,
)

ALL_OF_QM9 = {  # target: MAE of the mean and of the composition fit, 100,000 train and 13,083 test
    "mu": (1.169, 0.988),
    "alpha": (6.344, 2.168),
    "homo": (434, 408),
    "lumo": (1063, 769),
    "gap": (1079, 815),
    "r2": (202.8, 166.0),
    "zpve": (722.6, 38.2),
    "u0": (8196, 868),
    "u": (8270, 867),
    "h": (8329, 867),
    "g": (7536, 872),
    "cv": (3.227, 1.733),
}


def test_the_shipped_file_is_small_and_says_where_it_is_from() -> None:
    path = Path(str(files("trainables.molecules.data") / "subset.parquet"))

    assert path.stat().st_size <= 2_000_000
    assert b"qm9pack 1.0.3 (MIT" in pq.read_schema(path).metadata[b"source"]


@pytest.mark.parametrize("name", TARGETS)
def test_the_shipped_molecules_are_like_all_of_qm9(name: str) -> None:
    """Units, energies of atoms, split and fit at once: a mistake in any moves these figures by far more than 10 %."""
    splits = shipped_splits(TARGETS[name])
    mean, composition = ALL_OF_QM9[name]
    fit = CompositionFit.of(splits.train)

    of_mean = mean_absolute_error(np.full(len(splits.test), splits.train.values.mean()), splits.test)

    assert of_mean == pytest.approx(mean, rel=0.1)
    assert mean_absolute_error(fit.predict(splits.test), splits.test) == pytest.approx(composition, rel=0.1)


def test_splits_share_no_molecule_and_hold_every_element() -> None:
    splits = shipped_splits(TARGETS["alpha"])
    ids = np.concatenate([split.ids for split in splits])

    assert [len(split) for split in splits] == [5000, 500, 1000]
    assert len(set(ids.tolist())) == len(ids)
    assert all(element_counts(split.atomic_numbers).sum(0).min() > 0 for split in splits)


def test_atomisation_energy_of_methane(sample: pa.Table) -> None:
    methane = Molecules.of(sample.slice(0, 1), TARGETS["u0"])

    assert methane.values[0] == pytest.approx(-17_172.19, abs=0.01)


@pytest.mark.parametrize("name", ["u0", "u", "h", "g"])
def test_energies_of_atoms_are_subtracted_before_any_rounding(sample: pa.Table, name: str) -> None:
    target = TARGETS[name]
    molecules = Molecules.of(sample, target)

    for row in range(len(sample)):
        counts = element_counts(molecules.atomic_numbers[row : row + 1])[0]
        exact = Decimal(str(sample[target.column][row].as_py()))
        for count, reference in zip(counts, target.references, strict=True):
            exact -= int(count) * Decimal(str(reference))
        assert molecules.values[row] == pytest.approx(float(exact) * HARTREE_IN_MEV, abs=1e-4)
    recorded = np.array(sample[f"{name}_atomisation_ev"]) * 1000
    assert molecules.values == pytest.approx(recorded, rel=1e-6)  # Recorded with 27.2114 eV.


def test_a_total_energy_in_float32_would_be_worse(sample: pa.Table) -> None:
    """The trap this guards against: float32 totals lose up to a tenth of an error worth reporting."""
    target = TARGETS["u0"]
    rounded = sample.set_column(
        sample.column_names.index(target.column), target.column, sample[target.column].cast(pa.float32())
    )

    lost = np.abs(Molecules.of(rounded, target).values - Molecules.of(sample, target).values)

    assert 0.1 < lost.mean() < lost.max() < 2


def test_known_molecules_are_read_as_they_are(sample: pa.Table) -> None:
    molecules = Molecules.of(sample, TARGETS["alpha"])
    numbers = [row.as_py() for row in sample["atomic_numbers"]]
    positions = [np.array(row.as_py()) for row in sample["coordinates_angstrom"]]

    for row, (of_atom, where) in enumerate(zip(numbers, positions, strict=True)):
        assert molecules.atomic_numbers[row, : len(of_atom)].tolist() == of_atom
        assert not molecules.atomic_numbers[row, len(of_atom) :].any()
        assert molecules.positions[row, : len(of_atom)] == pytest.approx(where - where.mean(0), abs=1e-5)
        assert not molecules.positions[row, len(of_atom) :].any()


def test_a_selection_is_padded_to_its_own_largest_molecule(sample: pa.Table) -> None:
    molecules = Molecules.of(sample, TARGETS["alpha"])

    methane = molecules.first(1)

    assert methane.positions.shape == (1, 5, 3)
    assert methane.atomic_numbers.tolist() == [[6, 1, 1, 1, 1]]


def test_training_molecules_depend_on_the_seed_and_smaller_subsets_are_part_of_larger_ones() -> None:
    pool = shipped_splits(TARGETS["alpha"]).train

    small, large, other = (training_subset(pool, *given) for given in [(50, 0), (200, 0), (50, 1)])

    assert large.ids[:50].tolist() == small.ids.tolist()
    assert set(small.ids) != set(other.ids)
    assert set(large.ids) <= set(pool.ids)


def test_the_fit_knows_only_the_training_molecules() -> None:
    """Not those of the pool that a smaller subset leaves out: their labels must not leak into its scale."""
    pool = shipped_splits(TARGETS["alpha"]).train
    subset = training_subset(pool, 100, seed=0)
    spoilt = Molecules(pool.ids, pool.atomic_numbers, pool.positions, pool.values.copy())
    spoilt.values[~np.isin(pool.ids, subset.ids)] += 1e6

    fit = CompositionFit.of(training_subset(spoilt, 100, seed=0))

    assert fit.coefficients.tolist() == CompositionFit.of(subset).coefficients.tolist()
    assert np.abs(fit.normalised(subset)).mean() == pytest.approx(1)
    assert fit.normalised(subset).mean() == pytest.approx(0, abs=1e-9)
    assert fit.denormalised(subset, fit.normalised(subset)) == pytest.approx(subset.values)


def test_molecules_without_fluorine_have_the_same_inputs() -> None:
    pool = shipped_splits(TARGETS["alpha"]).train
    counts = element_counts(pool.atomic_numbers)
    fit = CompositionFit.of(pool.at(np.flatnonzero(counts[:, -1] == 0)[:100]))

    assert fit.coefficients.shape == (len(ATOMIC_NUMBERS) + 1,)
    assert fit.coefficients[4] == 0
    assert np.isfinite(fit.predict(pool)).all()


def test_too_few_molecules_are_named() -> None:
    splits = shipped_splits(TARGETS["alpha"])

    with pytest.raises(MoleculeError, match="num_train: expected at most 5000; found 5001"):
        training_subset(splits.train, 5001, seed=0)
    with pytest.raises(MoleculeError, match="expected at most 1000 molecules; found 2000"):
        splits.test.first(2000)


def test_a_subset_that_the_counts_explain_is_refused() -> None:
    pool = shipped_splits(TARGETS["alpha"]).train

    with pytest.raises(Exception, match="counts of atoms explain all 3 training molecules"):
        CompositionFit.of(pool.first(3))


def test_a_file_that_is_no_table_of_molecules_is_named(tmp_path: Path, sample: pa.Table) -> None:
    text, other, heavy = tmp_path / "text.parquet", tmp_path / "other.parquet", tmp_path / "heavy.parquet"
    text.write_text("not Parquet")
    pq.write_table(sample.drop_columns(["alpha_bohr3"]), other)
    pq.write_table(pa.table({"atomic_numbers": [[1, 35]]}), heavy)

    with pytest.raises(MoleculeError, match=r"text\.parquet cannot be read as Parquet"):
        read_molecules(text, ("id",))
    with pytest.raises(MoleculeError, match=r"other\.parquet: expected a column alpha_bohr3; found id"):
        read_molecules(other, ("id", "atomic_numbers", "alpha_bohr3"))
    with pytest.raises(MoleculeError, match="expected atoms of H, C, N, O, F; found atomic number 35"):
        read_molecules(heavy, ("atomic_numbers",))


def test_splits_come_in_the_order_of_ids_whatever_the_order_of_the_file(
    tmp_path: Path, sample: pa.Table
) -> None:
    names = pa.array([SPLITS[row % 3] for row in range(len(sample))])
    shuffled = sample.append_column("split", names).take(np.random.default_rng(0).permutation(len(sample)))
    pq.write_table(shuffled, tmp_path / "shuffled.parquet")

    splits = read_splits(tmp_path / "shuffled.parquet", TARGETS["alpha"])

    assert splits.train.ids.tolist() == sample["id"].to_pylist()[::3]
