"""Other tools read a folder of parts as it is: every row and every column, whichever file sorts first."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from orchestrator.ledger import TABLES, Ledger, share_columns
from orchestrator.ledger.compaction import compact

Rows = list[dict[str, Any]]
EXPECTED: dict[str, Rows] = {"trials": [{"axis_values": {"norm": "group"}}]}
PAGE = (Path(__file__).parents[2] / "docs" / "ledger.md").read_text(encoding="utf-8")
PICTURE = {"bytes": b"PNG", "path": "face.png"}


def commit(ledger: Ledger, signature: str, values: dict[str, Any], status: str = "done", **more: Any) -> None:
    ledger.commit(
        {
            "signature": signature,
            "attempt": 1,
            "status": status,
            "axis_values": values,
            "finished_at": datetime(2026, 1, 1, tzinfo=UTC),
            "notes": [],
            **more,
        }
    )


def write_rows(ledger: Ledger, signature: str, **metrics: float) -> None:
    row = {"epoch": 1, "image_id": "face", "strength": 1.0}
    curve = {
        "epoch": 1,
        "batch": 1,
        "loss_total": 0.5,
        "timesteps": [9, 5],
        "loss_direction_per_t": [0.5, 0.25],
    }
    ledger.write_rows(
        signature,
        1,
        curves=[curve],
        evaluations=[{**row, **metrics}],
        samples=[{**row, "kind": "edit", "image": PICTURE}],
    )


def without(path: Path, *columns: str) -> None:
    """Make a part one of a release that did not have these columns yet."""
    part = pq.ParquetFile(path).read().replace_schema_metadata(None)
    pq.write_table(part.drop_columns(list(columns)), path)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trials of every fate, each written as if it were the only one, as earlier releases did."""
    root = tmp_path_factory.mktemp("study") / "ledger"
    ledger = Ledger(root)
    commit(ledger, "0", {"rate": 1, "heads": None, "flag": None}, "failed", reason="loss is nan")
    commit(ledger, "1", {"rate": 1, "heads": 500, "flag": True}, metric_s_dir=0.25)
    commit(
        ledger,
        "2",
        {"rate": 0.5, "heads": "auto", "flag": "x", "later": 3},
        metric_s_dir=0.5,
        metric_lpips=1.0,
    )
    commit(ledger, "3", {"rate": 2}, "skipped", reason="its parent failed")
    write_rows(ledger, "1", s_dir=0.25)
    write_rows(ledger, "2", s_dir=0.5, lpips=1.0)
    without(root / "evaluations" / "part-1-1.parquet", "subgroup", "num_images", "image_set")
    without(root / "trials" / "part-0-1.parquet", "num_parameters", "parent")
    share_columns(root, EXPECTED)
    write_rows(ledger, "4", s_dir=0.125)  # A trial that runs: nothing commits it.
    commit(ledger, "5", {"rate": 4}, "interrupted")
    return root


@pytest.fixture(scope="module", params=["parts", "merged"])
def folder(root: Path, request: pytest.FixtureRequest) -> Path:
    """The ledger before and after its parts are merged."""
    if request.param == "merged":
        compact(root, group_size=5)
        assert len(list((root / "trials").iterdir())) == 1
    return root


def by_pandas(folder: Path) -> Rows:
    return pa.Table.from_pandas(pd.read_parquet(folder, dtype_backend="pyarrow")).to_pylist()


def by_arrow(folder: Path) -> Rows:
    return ds.dataset(folder, format="parquet").to_table().to_pylist()


def by_polars(folder: Path) -> Rows:
    polars = pytest.importorskip("polars", reason="polars is not installed")
    return polars.read_parquet(folder / "*.parquet").to_dicts()


def by_lazy_polars(folder: Path) -> Rows:
    polars = pytest.importorskip("polars", reason="polars is not installed")
    return polars.scan_parquet(folder / "*.parquet").collect().to_dicts()


def by_duckdb(folder: Path) -> Rows:
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")
    return duckdb.sql(f"from read_parquet('{folder}/*.parquet')").to_arrow_table().to_pylist()


def by_duckdb_by_name(folder: Path) -> Rows:
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")
    query = f"from read_parquet('{folder}/*.parquet', union_by_name=true)"
    return duckdb.sql(query).to_arrow_table().to_pylist()


def by_datasets(folder: Path) -> Rows:
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    files = str(folder / "*.parquet")
    found = datasets.load_dataset(
        "parquet", data_files=files, split="train", cache_dir=folder.parents[1] / "cache"
    )
    return found.with_format("arrow")[:].to_pylist()


@pytest.fixture(
    params=[by_pandas, by_arrow, by_polars, by_lazy_polars, by_duckdb, by_duckdb_by_name, by_datasets]
)
def read(request: pytest.FixtureRequest) -> Callable[[Path], Rows]:
    return request.param


def column(rows: Rows, name: str) -> list[Any]:
    return [row[name] for row in sorted(rows, key=lambda row: row["signature"])]


def test_every_tool_reads_every_trial_and_every_column(folder: Path, read: Callable[[Path], Rows]) -> None:
    trials = read(folder / "trials")

    assert column(trials, "status") == ["failed", "done", "done", "skipped", "interrupted"]
    assert column(trials, "axis_rate") == [1.0, 1.0, 0.5, 2.0, 4.0]
    assert column(trials, "axis_heads") == [None, "500", "auto", None, None]
    assert column(trials, "axis_flag") == [None, "true", "x", None, None]
    assert column(trials, "axis_later") == [None, None, 3, None, None]
    assert column(trials, "axis_norm") == [None] * 5
    assert column(trials, "metric_s_dir") == [None, 0.25, 0.5, None, None]
    assert column(trials, "metric_lpips") == [None, None, 1.0, None, None]
    assert column(trials, "num_parameters") == [None] * 5


def test_every_tool_reads_every_row_of_a_trial(folder: Path, read: Callable[[Path], Rows]) -> None:
    evaluations, curves, samples = (read(folder / table) for table in ("evaluations", "curves", "samples"))

    assert column(evaluations, "s_dir") == [0.25, 0.5, 0.125]
    assert column(evaluations, "lpips") == [None, 1.0, None]
    assert column(evaluations, "subgroup") == [None] * 3
    assert column(curves, "timesteps") == [[9, 5]] * 3
    assert column(samples, "image") == [PICTURE] * 3


def test_the_page_on_the_ledger_reads_the_rows_of_done_trials_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder.parents[1] / "results").mkdir(exist_ok=True)
    encoder = folder.parents[1] / "results" / "encoder"
    if not encoder.exists():
        encoder.symlink_to(folder.parent)
    monkeypatch.chdir(folder.parents[1])
    found: dict[str, Any] = {}

    block = PAGE.split("```python\n")[1].partition("assert ")[0]
    exec(block.replace("results/features/", "results/encoder/"), found)

    assert found["done"]["signature"].tolist() == ["1", "2"]
    assert found["curves"]["signature"].tolist() == ["1", "2"]


def test_all_files_of_a_table_have_one_schema(root: Path) -> None:
    for table in TABLES:
        schemas = [pq.read_schema(path).remove_metadata() for path in (root / table).iterdir()]
        assert all(schema.equals(schemas[0]) for schema in schemas)


def test_giving_parts_their_columns_twice_writes_nothing(root: Path) -> None:
    before = {path: path.stat().st_ino for path in root.rglob("*.parquet")}

    share_columns(root, EXPECTED)

    assert {path: path.stat().st_ino for path in root.rglob("*.parquet")} == before


def test_our_own_reader_sees_what_was_written(folder: Path) -> None:
    ledger = Ledger(folder)
    trials = {row["signature"]: row for row in ledger.records()}

    assert json.loads(trials["2"]["axis_values"]) == {"rate": 0.5, "heads": "auto", "flag": "x", "later": 3}
    assert "axis_norm" not in trials["0"]
    assert ledger.table("evaluations").num_rows == 2
    assert ledger.damaged == []


def test_a_damaged_part_keeps_its_bytes_while_the_others_get_their_columns(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    commit(ledger, "1", {"rate": 1})
    commit(ledger, "2", {"rate": 0.5})
    damaged = tmp_path / "trials" / "part-1-1.parquet"
    content = bytearray(damaged.read_bytes())
    content[40] ^= 1
    damaged.write_bytes(content)

    share_columns(tmp_path, {"trials": [{"metric_s_dir": None}]})

    assert damaged.read_bytes() == content
    assert "metric_s_dir" in pq.read_schema(tmp_path / "trials" / "part-2-1.parquet").names


def test_a_part_without_rows_is_written_once_with_the_columns_that_are_expected(tmp_path: Path) -> None:
    expected = {"curves": [{"loss": 0.0, "steps": [0.0]}], "evaluations": [{"editor": "a"}]}
    share_columns(tmp_path, expected)

    Ledger(tmp_path).write_rows("1", 1, curves=[], evaluations=[], samples=[])

    written = {path: path.stat().st_ino for path in tmp_path.glob("*/part-*")}
    share_columns(tmp_path, expected)
    assert {path: path.stat().st_ino for path in tmp_path.glob("*/part-*")} == written
    assert pq.read_schema(tmp_path / "curves" / "part-1-1.parquet").field("steps").type == pa.list_(
        pa.float64()
    )


def test_a_lost_list_of_columns_is_made_again(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    commit(ledger, "1", {"rate": 0.5})
    share_columns(tmp_path)
    (tmp_path / "columns.json").write_text('{"trials": {"axis_rate": ')

    commit(ledger, "2", {"rate": 1})
    share_columns(tmp_path)

    assert pq.read_schema(tmp_path / "trials" / "part-2-1.parquet").field("axis_rate").type == pa.float64()
    assert json.loads((tmp_path / "columns.json").read_text())["trials"] == {"axis_rate": "double"}
