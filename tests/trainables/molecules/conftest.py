from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

SHARED = Path(__file__).parents[4] / "shared" / "data"
"""Beside the checkout: what cannot be shipped with the package."""


@pytest.fixture(scope="session")
def shared() -> Path:
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is not there")
    return SHARED


@pytest.fixture(scope="session")
def sample(shared: Path) -> pa.Table:
    """300 molecules of QM9."""
    return pq.read_table(shared / "molecules_sample.parquet")
