"""Ledgers to merge, and what is in them, for the tests of compaction."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from orchestrator.ledger import TABLES, Ledger

SIGNATURES = ("a", "b", "c")
LISTING = "orchestrator.ledger.index.files_in"
ROW_TABLES = ("curves", "evaluations", "samples")


def run(ledger: Ledger, signature: str, attempt: int = 1, status: str = "done", **more: Any) -> None:
    curves = [
        {"epoch": 1, "batch": number, "loss_total": ord(signature) + 0.5, "timesteps": [9]}
        for number in (1, 2)
    ]
    evaluation = {"epoch": 1, "image_id": "face", f"metric_of_{signature}": 1.0}
    sample = {"kind": "edit", "image_id": "face", "image": {"bytes": signature.encode(), "path": "face.png"}}
    if status == "done":
        ledger.write_rows(signature, attempt, curves=curves, evaluations=[evaluation], samples=[sample])
    record = {"signature": signature, "attempt": attempt, "cell": "baseline", "seed": 0, "status": status}
    ledger.commit({**record, "axis_values": {}, "finished_at": datetime(2026, 1, 1, tzinfo=UTC), **more})


def write_ledger(root: Path) -> Path:
    """A ledger of three done trials, one of which failed at first, and of one that failed for good."""
    ledger = Ledger(root)
    run(ledger, "a", status="failed", reason="loss is nan")
    run(ledger, "a", 2, metric_s_dir=0.25)
    for signature in ("b", "c"):
        run(ledger, signature, metric_s_dir=0.5)
    run(ledger, "e", status="failed", reason="loss is nan")
    return root


def content(ledger: Ledger) -> dict[str, Any]:
    """All that readers see, whatever the order of rows and columns."""
    tables = {name: ledger.table(name) for name in TABLES}
    frames = {name: table.select(sorted(table.column_names)).to_pylist() for name, table in tables.items()}
    return {name: sorted(rows, key=repr) for name, rows in frames.items()}


def counted_by_others(root: Path, table: str) -> Counter[tuple[Any, ...]]:
    """How often each row of a table is in its folder, for a reader that knows nothing of the ledger."""
    names = ("signature", "attempt", *(("batch",) if table == "curves" else ()))
    schema = pa.schema([TABLES[table].field(name) for name in names])
    rows = ds.dataset(root / table, schema=schema, format="parquet").to_table().to_pylist()
    return Counter(tuple(row.values()) for row in rows)


def names(root: Path, table: str) -> list[str]:
    return sorted(path.name for path in (root / table).iterdir())


def merged_file(root: Path, table: str) -> Path:
    (path,) = (root / table).glob("merged-*.parquet")
    return path


class Killed(BaseException):
    """Stands for the end of the process."""


def ending_at(number: int) -> Callable[[str], None]:
    """Ends the work after so many steps."""
    left = iter(range(number))

    def told(step: str) -> None:
        if next(left, None) is None:
            raise Killed

    return told
