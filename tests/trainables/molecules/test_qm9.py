"""Reading qm9pack's files, from a folder that holds a few molecules as it does."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from trainables.molecules import qm9
from trainables.molecules.elements import TARGETS
from trainables.molecules.molecules import MoleculeError, read_splits
from trainables.molecules.qm9 import (
    COLUMNS,
    NUM_MOLECULES,
    full_splits,
    read_qm9pack,
    shipped_subset,
    with_published_split,
)

HEADER = ["XYZ_file", "Index", "SMILES", "InChi", "N_atoms", "Elements", "XYZ_Ang", *COLUMNS.values()]


def line(number: int, elements: str, positions: str) -> str:
    values = [f"{number}.{position}" for position in range(len(COLUMNS))]
    texts = [f'"dsgdb9nsd_{number:06}.xyz"', str(number), '"C"', '"InChI=1S/CH4/h1H4"', "2"]
    return ",".join([*texts, f'"{elements}"', f'"{positions}"', *values])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three parts, out of order, one with coordinates that are not JSON."""
    data = tmp_path / "qm9pack" / "data"
    data.mkdir(parents=True)
    lines = [
        line(4, "['C','H']", "[[0.,1.,-2.],[1e-05,.5,3.]]"),
        line(1, "['O','F']", "[[0.25,1.5,2.0],[3.0,4.0,5.0]]"),
        line(3, "['N','H']", "[[0.0,0.0,0.0],[1.0,1.0,1.0]]"),
    ]
    for part, text in enumerate(lines, start=1):
        (data / f"qm9_part{part}.csv").write_text("\n".join([",".join(HEADER), text]) + "\n")
    return data


def test_molecules_are_read_as_written_in_the_order_of_their_ids(folder: Path) -> None:
    table = read_qm9pack(folder)

    assert table["id"].to_pylist() == [1, 3, 4]
    assert table["atomic_numbers"].to_pylist() == [[8, 9], [7, 1], [6, 1]]
    with pytest.raises(json.JSONDecodeError):
        json.loads("[[0.,1.,-2.],[1e-05,.5,3.]]")
    assert np.array(table["coordinates_angstrom"].to_pylist()[2]) == pytest.approx(
        np.array([[0, 1, -2], [1e-5, 0.5, 3]])
    )
    assert table["homo_hartree"].to_pylist() == [1.2, 3.2, 4.2]


def test_a_folder_that_is_not_qm9pack_is_named(folder: Path) -> None:
    (folder / "qm9_part2.csv").write_text("Index\n1\n")

    with pytest.raises(MoleculeError, match=r"data is not the data of qm9pack 1\.0\.3: .*SMILES"):
        read_qm9pack(folder)


def test_the_split_is_the_published_permutation() -> None:
    np.random.seed(0)
    train, validation, test = np.split(np.random.permutation(NUM_MOLECULES), [100_000, 117_748])

    split = with_published_split(pa.table({"id": np.arange(NUM_MOLECULES)}))["split"].to_numpy()

    assert (split[train] == "train").all()
    assert (split[validation] == "validation").all()
    assert (split[test] == "test").all()


def test_a_split_of_anything_but_all_molecules_in_order_is_refused() -> None:
    ids = np.arange(NUM_MOLECULES)

    for wrong in (ids[:-1], ids[::-1]):
        with pytest.raises(MoleculeError, match="expected 130831 molecules in the order of their ids"):
            with_published_split(pa.table({"id": wrong}))


def test_the_subset_keeps_out_of_the_published_test_molecules_and_splits_no_tautomers() -> None:
    ids = np.arange(NUM_MOLECULES)
    table = with_published_split(pa.table({"id": ids, "inchi": [f"InChI={number // 2}" for number in ids]}))
    published = table["split"].to_numpy()

    subset = shipped_subset(table)

    chosen = subset["id"].to_numpy()
    assert set(published[chosen]) == {"train"}
    assert len(set((chosen // 2).tolist())) == len(chosen) == 6500


def test_without_the_package_a_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.path", [str(tmp_path)])

    with pytest.raises(MoleculeError, match=r"pip install 'asyrp-sweep\[molecules\]'"):
        full_splits(TARGETS["alpha"], tmp_path)


def test_all_of_qm9_is_read_once_and_kept(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder.parent / "__init__.py").write_text("raise RuntimeError('the package is not to be imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(qm9, "NUM_MOLECULES", 3)
    monkeypatch.setattr(qm9, "NUM_TRAIN", 1)
    monkeypatch.setattr(qm9, "NUM_TEST", 1)

    splits = full_splits(TARGETS["alpha"], tmp_path / "cache")
    (folder / "qm9_part1.csv").unlink()
    again = full_splits(TARGETS["alpha"], tmp_path / "cache")

    assert [len(split) for split in splits] == [len(split) for split in again] == [1, 1, 1]
    [kept] = (tmp_path / "cache" / "molecules").iterdir()
    assert read_splits(kept, TARGETS["u0"]).train.atomic_numbers.shape == (1, 2)
