"""All of QM9, from the package qm9pack (the extra `molecules`), and the subset that is shipped.

python -m trainables.molecules.qm9 trainables/molecules/data/subset.parquet
"""

import importlib.util
import re
import sys
import uuid
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from trainables.molecules.elements import ATOMIC_NUMBERS, SYMBOLS, Target
from trainables.molecules.molecules import SPLITS, MoleculeError, MoleculeSplits, read_splits
from trainables.source_code import code_digest

NUM_MOLECULES = 130_831
"""133,885 less the 3,054 whose geometry was found inconsistent."""
NUM_TRAIN, NUM_TEST = 100_000, 13_083
SUBSET_SIZES = {"train": 5000, "validation": 500, "test": 1000}
SOURCE = (
    "qm9pack 1.0.3 (MIT, copyright 2024 Raghu), which holds QM9: Ramakrishnan, Dral, Rupp, von Lilienfeld, "
    "Scientific Data 1, 140022 (2014), of molecules from GDB-17: Ruddigkeit et al. (2012)"
)

COLUMNS = {
    "mu_debye": "Dipole_debye",
    "alpha_bohr3": "Polarizability_bohr3",
    "homo_hartree": "HOMO_au",
    "lumo_hartree": "LUMO_au",
    "gap_hartree": "HOMO_LUMO_gap_au",
    "r2_bohr2": "R2_bohr2",
    "zpve_hartree": "ZPVE_au",
    "u0_hartree": "InternalEnergy_0K_au",
    "u_hartree": "InternalEnergy_298K_au",
    "h_hartree": "Enthalphy_298K_au",  # As it is spelt there.
    "g_hartree": "GibbsFreeEnergy_298K_au",
    "cv_cal_per_mol_kelvin": "Heatcapacity_Cv_cal_mol_K",
}
"""Our column -> qm9pack's. Its energies are totals; nothing is subtracted there."""
_TEXTS = ("SMILES", "InChi", "Elements", "XYZ_Ang")
_COORDINATES = pa.list_(pa.list_(pa.float32(), 3))


def full_splits(target: Target, cache_dir: Path) -> MoleculeSplits:
    """All of QM9 in the published split; read from the package once, half a minute, and kept in the cache.

    Raises MoleculeError when the package qm9pack is not installed.
    """
    path = cache_dir / "molecules" / f"qm9_{code_digest(['trainables.molecules.qm9'])}.parquet"
    if not path.is_file():
        _write(with_published_split(read_qm9pack(qm9pack_folder())), path)
    return read_splits(path, target)


def qm9pack_folder() -> Path:
    """Where the package's data lie. It is not imported: that would need a part of setuptools that is going away."""
    spec = importlib.util.find_spec("qm9pack")
    if spec is None or spec.origin is None:
        raise MoleculeError(
            "data qm9 needs the package qm9pack, which is not installed: pip install 'asyrp-sweep[molecules]' "
            "(104 MB); data subset needs nothing"
        )
    return Path(spec.origin).parent / "data"


def read_qm9pack(folder: Path) -> pa.Table:
    """The three CSV files of a qm9pack folder as one table, in the order of ids, with the InChI of each molecule."""
    wanted = ["Index", *_TEXTS, *COLUMNS.values()]
    types = (
        {"Index": pa.int32()}
        | dict.fromkeys(_TEXTS, pa.string())
        | dict.fromkeys(COLUMNS.values(), pa.float64())
    )
    options = pyarrow.csv.ConvertOptions(include_columns=wanted, column_types=types)
    paths = [folder / f"qm9_part{part}.csv" for part in (1, 2, 3)]
    try:
        parts = [pyarrow.csv.read_csv(path, convert_options=options) for path in paths]
    except (OSError, pa.ArrowException, KeyError) as error:
        raise MoleculeError(f"{folder} is not the data of qm9pack 1.0.3: {error}") from error
    raw = pa.concat_tables(parts).sort_by("Index")
    return pa.table(
        {
            "id": raw["Index"],
            "smiles": raw["SMILES"],
            "inchi": raw["InChi"],
            "atomic_numbers": pa.array(map(_elements, raw["Elements"].to_pylist()), pa.list_(pa.int8())),
            "coordinates_angstrom": pa.array(map(_coordinates, raw["XYZ_Ang"].to_pylist()), _COORDINATES),
            **{ours: raw[theirs] for ours, theirs in COLUMNS.items()},
        }
    )


def with_published_split(table: pa.Table) -> pa.Table:
    """All of QM9, in the order of ids, with the split of Cormorant, EGNN and others: 100,000, 17,748, 13,083.

    Raises MoleculeError when the table is not all of QM9 in that order.
    """
    ids = table["id"].to_numpy()
    if len(ids) != NUM_MOLECULES or (np.diff(ids) <= 0).any():
        raise MoleculeError(f"expected {NUM_MOLECULES} molecules in the order of their ids; found {len(ids)}")
    permutation = np.random.RandomState(0).permutation(NUM_MOLECULES)
    names = np.full(NUM_MOLECULES, "validation", dtype=object)
    names[permutation[:NUM_TRAIN]] = "train"
    names[permutation[-NUM_TEST:]] = "test"
    return table.append_column("split", pa.array(names).dictionary_encode())


def shipped_subset(table: pa.Table) -> pa.Table:
    """The molecules that are shipped, a random part of the published training split, split anew.

    The published test molecules stay unseen. No two have one InChI: tautomers never lie in two splits.
    """
    pool = np.flatnonzero(table["split"].to_numpy() == "train")
    order = np.random.RandomState(1).permutation(pool)
    _, firsts = np.unique(table["inchi"].take(order).to_pylist(), return_index=True)
    rows = order[np.sort(firsts)[: sum(SUBSET_SIZES.values())]]
    names = np.repeat(SPLITS, [SUBSET_SIZES[name] for name in SPLITS])
    chosen = table.take(rows).drop_columns(["inchi", "split"])
    return chosen.append_column("split", pa.array(names).dictionary_encode()).sort_by("id")


def write_subset(path: Path) -> None:
    """Make the shipped file from the installed qm9pack."""
    _write(shipped_subset(with_published_split(read_qm9pack(qm9pack_folder()))), path)


def _write(table: pa.Table, path: Path) -> None:
    """Write a table, which appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        pq.write_table(
            table.replace_schema_metadata({"source": SOURCE}),
            temporary,
            compression="zstd",
            compression_level=19,
            use_dictionary=["split"],
            use_byte_stream_split=["coordinates_angstrom.list.element.list.element"],
        )
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _elements(text: str) -> list[int]:
    """Atomic numbers of `['C','H','H']`."""
    return [ATOMIC_NUMBERS[SYMBOLS.index(symbol)] for symbol in re.findall(r"[A-Z][a-z]?", text)]


def _coordinates(text: str) -> list[list[float]]:
    """Positions of `[[0.,1.5,2.],[...]]`, which is not always JSON: some numbers end in a point."""
    numbers = [float(number) for number in text.replace("[", "").replace("]", "").split(",")]
    return [numbers[start : start + 3] for start in range(0, len(numbers), 3)]


if __name__ == "__main__":
    write_subset(Path(sys.argv[1]))
