"""The shipped molecules, `subset.parquet`, made by `python -m trainables.molecules.qm9`."""
