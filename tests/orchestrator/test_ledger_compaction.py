"""Many parts become one file, and whatever is killed or damaged on the way, every row counts exactly once."""

import itertools
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs as pafs
import pytest

from orchestrator.ledger import TABLES, BackgroundCompaction, Ledger, LedgerLock
from orchestrator.ledger.compaction import compact
from orchestrator.ledger.index import files_in, read_index

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


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger of three done trials, one of which failed at first, and of one that failed for good."""
    root = tmp_path_factory.mktemp("written") / "ledger"
    ledger = Ledger(root)
    run(ledger, "a", status="failed", reason="loss is nan")
    run(ledger, "a", 2, metric_s_dir=0.25)
    for signature in ("b", "c"):
        run(ledger, signature, metric_s_dir=0.5)
    run(ledger, "e", status="failed", reason="loss is nan")
    return root


@pytest.fixture
def root(written: Path, tmp_path: Path) -> Path:
    shutil.copytree(written, tmp_path / "ledger")
    return tmp_path / "ledger"


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


# What readers see


def test_merged_trials_read_as_before_by_the_ledger_and_by_others(root: Path, written: Path) -> None:
    before = content(Ledger(root))

    compact(root, group_size=5)

    for table in TABLES:
        (name,) = names(root, table)
        assert name.startswith("merged-")
        assert counted_by_others(root, table) == counted_by_others(written, table)
    assert content(Ledger(root)) == before
    assert sorted(pd.read_parquet(root / "trials")["attempt"]) == [1, 1, 1, 1, 2]
    assert (
        content(Ledger("ledger", pafs.SubTreeFileSystem(str(root.parent), pafs.LocalFileSystem()))) == before
    )


def test_a_merged_trial_can_be_read_alone_as_it_was_written(root: Path, written: Path) -> None:
    before = Ledger(written)
    compact(root, group_size=5)
    after = Ledger(root)

    assert after.done_attempt("b", after.attempts()["b"]) == 1
    assert after.read_done("b", 1) == before.read_done("b", 1)
    assert after.attempts() == before.attempts()
    assert after.next_attempt("a") == 3
    assert after.num_bytes().keys() == before.num_bytes().keys()


def test_a_reader_finds_parts_that_were_merged_since_it_looked(root: Path) -> None:
    reader = Ledger(root)
    before = content(reader)
    found = reader.read_done("b", 1)

    compact(root, group_size=5)

    assert reader.read_done("b", 1) == found
    assert content(reader) == before


def test_fewer_trials_than_a_group_keep_their_parts(root: Path, written: Path) -> None:
    assert compact(root, group_size=6) == []
    assert names(root, "curves") == names(written, "curves")


def test_parts_whose_columns_differ_in_type_keep_their_own_text(root: Path) -> None:
    ledger = Ledger(root)
    for attempt, value in enumerate((1, 2, 0.5, 1.5, "x", "y"), start=1):
        run(ledger, "f", attempt, status="failed", axis_values={"heads": value})

    compact(root, group_size=11)

    frames = [pd.read_parquet(path) for path in (root / "trials").iterdir()]
    heads = [frame["axis_heads"].dropna().tolist() for frame in frames if "axis_heads" in frame]
    assert sorted(heads, key=repr) == [["x", "y"], [0.5, 1.5], [1.0, 2.0]]


def test_rows_that_come_after_a_merge_are_merged_the_next_time(root: Path) -> None:
    compact(root, group_size=5)
    ledger = Ledger(root)
    for signature in ("f", "g"):
        run(ledger, signature)
    before = content(Ledger(root))

    compact(root, group_size=2)

    assert [len(names(root, table)) for table in TABLES] == [2, 2, 2, 2]
    assert content(Ledger(root)) == before


# Kills


class Killed(BaseException):
    """Stands for the end of the process."""


def ending_at(number: int) -> Callable[[str], None]:
    """Ends the work after so many steps."""
    left = iter(range(number))

    def told(step: str) -> None:
        if next(left, None) is None:
            raise Killed

    return told


def steps_of(root: Path, tmp_path: Path) -> list[str]:
    shutil.copytree(root, tmp_path / "counting")
    steps: list[str] = []
    compact(tmp_path / "counting", steps.append, group_size=5)
    return steps


def check_after_a_kill(root: Path, written: Path, step: str) -> None:
    before = content(Ledger(written))
    assert content(Ledger(root)) == before, step
    for table in TABLES:
        seen, once = counted_by_others(root, table), counted_by_others(written, table)
        assert seen <= once, (step, table)  # Perhaps fewer rows, never one twice.
    Ledger(root).clean_uncommitted()
    for table in TABLES:
        assert counted_by_others(root, table) == counted_by_others(written, table), (step, table)
    assert content(Ledger(root)) == before, step
    assert not list((root / "merging").rglob("*.parquet")), step


def test_an_end_at_any_step_leaves_every_row_counted_once(root: Path, written: Path, tmp_path: Path) -> None:
    steps = steps_of(root, tmp_path)
    assert set(steps) == {"read", "written", "removed", "moved"}
    first = [n for n, step in enumerate(steps) if n == 0 or step != steps[n - 1]]
    halfway = [n + 1 for n in first if steps[n] == "removed"]

    for number in (*first, *halfway):
        place = tmp_path / f"after{number}"
        shutil.copytree(root, place)
        with pytest.raises(Killed):
            compact(place, ending_at(number), group_size=5)
        check_after_a_kill(place, written, f"{number} {steps[number]}")
        shutil.rmtree(place)


def test_a_process_that_dies_during_a_merge_leaves_every_row_counted_once(
    root: Path, written: Path, tmp_path: Path
) -> None:
    steps = steps_of(root, tmp_path)
    chosen = [steps.index("written"), steps.index("removed"), len(steps) - 2]
    places = [tmp_path / f"after{number}" for number in chosen]
    script = """
import os, sys
from pathlib import Path
from orchestrator.ledger.compaction import compact
from orchestrator.ledger.index import files_in, read_index

for number, place in zip(sys.argv[1::2], sys.argv[2::2]):
    child = os.fork()
    if child == 0:
        left = iter(range(int(number)))
        compact(Path(place), lambda step: next(left, None) is None and os._exit(9), group_size=5)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
"""
    for place in places:
        shutil.copytree(root, place)
    arguments = [text for pair in zip(chosen, places, strict=True) for text in map(str, pair)]

    subprocess.run([sys.executable, "-c", script, *arguments], cwd=Path(__file__).parents[2], check=True)

    for number, place in zip(chosen, places, strict=True):
        check_after_a_kill(place, written, f"{number} {steps[number]}")


def test_a_file_cut_short_before_it_counts_is_cleared_away(root: Path, written: Path) -> None:
    folder = root / "merging" / "curves"
    folder.mkdir(parents=True)
    (folder / ".merged-0a.parquet.0b.tmp").write_bytes(b"PAR1")

    assert Ledger(root).clean_uncommitted() == ["merging/curves/.merged-0a.parquet.0b.tmp"]
    assert content(Ledger(root)) == content(Ledger(written))


# Damage


def garbled(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 4] ^= 1
    path.write_bytes(data)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def gone(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize(
    ("table", "damage"),
    [*((table, garbled) for table in TABLES), ("trials", truncated), ("curves", truncated)],
)
def test_a_damaged_merged_file_is_named_and_its_trials_run_again(
    root: Path, table: str, damage: Callable[[Path], None]
) -> None:
    compact(root, group_size=5)
    run(Ledger(root), "f")
    path = merged_file(root, table)
    damage(path)

    reader = Ledger(root)
    reader.table(table)

    assert {row["signature"] for row in reader.records() if row["status"] == "done"} == {"f"}
    assert reader.damaged == [f"{table}/{path.name}"]
    assert (root / "damaged" / table / path.name).exists()
    later = Ledger(root)
    later.clean_uncommitted()
    for signature in SIGNATURES:
        run(later, signature, later.next_attempt(signature))
    done = {row["signature"]: row["attempt"] for row in Ledger(root).records() if row["status"] == "done"}
    assert done.keys() == {*SIGNATURES, "f"}
    curves = Ledger(root).table("curves")
    assert Counter(curves["signature"].to_pylist()) == dict.fromkeys(done, 2)
    assert {(row["signature"], row["attempt"]) for row in curves.to_pylist()} == set(done.items())


def test_a_merged_file_that_is_gone_costs_its_trials_only(root: Path) -> None:
    compact(root, group_size=5)
    run(Ledger(root), "f")
    gone(merged_file(root, "samples"))

    reader = Ledger(root)

    assert {row["signature"] for row in reader.records() if row["status"] == "done"} == {"f"}
    assert reader.damaged == [
        f"samples/part-{s}-{2 if s == 'a' else 1}.parquet (missing)" for s in SIGNATURES
    ]


def test_damage_where_nothing_can_be_set_aside_is_named_all_the_same(root: Path) -> None:
    compact(root, group_size=5)
    path = merged_file(root, "curves")
    garbled(path)
    remote = Ledger("ledger", pafs.SubTreeFileSystem(str(root.parent), pafs.LocalFileSystem()))

    assert remote.table("curves").num_rows == 0
    assert remote.damaged == [f"curves/{path.name}"]
    assert path.exists()


def test_damage_before_the_parts_are_removed_costs_nothing(root: Path, written: Path) -> None:
    def end(step: str) -> None:
        if step == "written":
            raise Killed

    with pytest.raises(Killed):
        compact(root, end, group_size=5)
    (path,) = (root / "merging").rglob("merged-*.parquet")
    garbled(path)
    reader = Ledger(root)

    assert content(reader) == content(Ledger(written))
    assert reader.damaged == [f"{path.parent.name}/{path.name}"]


def test_a_damaged_part_stays_for_readers_to_name(root: Path) -> None:
    garbled(root / "curves" / "part-b-1.parquet")

    compact(root, group_size=5)

    reader = Ledger(root)
    assert Counter(reader.table("curves")["signature"].to_pylist()) == {"a": 2, "c": 2}
    assert reader.damaged == ["curves/part-b-1.parquet"]


# In the background


@pytest.mark.parametrize("moment", range(1, 4))
@pytest.mark.parametrize("moves_at", range(1, 5))
def test_a_reader_that_lists_while_a_merge_goes_by_overlooks_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch, moment: int, moves_at: int
) -> None:
    """Before its listing number `moment` the parts go, before number `moves_at` the merged file moves."""
    before = read_index(pafs.LocalFileSystem(), str(root), "samples").held
    count = itertools.count(1)

    def listed(filesystem: pafs.FileSystem, folder: str) -> list[pafs.FileInfo]:
        number = next(count)
        if number == moment:
            with monkeypatch.context() as merging:
                merging.setattr(LISTING, files_in)
                with pytest.raises(Killed):
                    compact(root, ending_at(6), group_size=5)
            assert not list((root / "samples").iterdir())
        if number == max(moment, moves_at):
            (moving,) = (root / "merging" / "samples").iterdir()
            moving.replace(root / "samples" / moving.name)
        return files_in(filesystem, folder)

    monkeypatch.setattr(LISTING, listed)

    assert read_index(pafs.LocalFileSystem(), str(root), "samples").held.keys() == before.keys()


def test_a_ledger_is_compacted_behind_its_writer_and_its_reader(tmp_path: Path) -> None:
    root = tmp_path / "ledger"
    ledger, reader = Ledger(root), Ledger(root)
    with LedgerLock(root), BackgroundCompaction(root, group_size=4) as compaction:
        for number in range(10):
            run(ledger, chr(ord("a") + number))
            compaction.committed()
            assert reader.table("curves").num_rows == 2 * (number + 1)

    assert compaction.problem is None
    assert len(reader.records()) == 10
    assert [len(list((root / table).glob("merged-*"))) for table in TABLES] == [2, 2, 2, 2]
    assert [len(list((root / table).glob("part-*"))) for table in TABLES] == [2, 2, 2, 2]
    assert reader.damaged == []


def test_compaction_that_is_off_or_stopped_leaves_parts_alone(root: Path, written: Path) -> None:
    with BackgroundCompaction(root, is_on=False, group_size=2) as compaction:
        compaction.committed()
    with BackgroundCompaction(root, group_size=2) as compaction:
        compaction.stop()

    Ledger(root).clean_uncommitted()
    assert content(Ledger(root)) == content(Ledger(written))
    assert names(root, "trials") == names(written, "trials")


def test_a_ledger_that_cannot_be_written_is_left_alone_with_the_reason(root: Path, written: Path) -> None:
    (root / "merging").write_text("in the way")

    with BackgroundCompaction(root, group_size=5) as compaction:
        pass

    assert compaction.problem is not None
    assert f"{root}/merging" in compaction.problem
    assert content(Ledger(root)) == content(Ledger(written))
