"""Many parts become one file, behind writers and readers, and all of them see what they saw before."""

import itertools
import shutil
from pathlib import Path

import pandas as pd
import pyarrow.fs as pafs
import pytest
from merges import (
    LISTING,
    Killed,
    content,
    counted_by_others,
    ending_at,
    names,
    run,
    write_ledger,
)

from orchestrator.ledger import TABLES, BackgroundCompaction, Ledger, LedgerLock
from orchestrator.ledger.compaction import compact
from orchestrator.ledger.index import files_in, read_index
from orchestrator.ledger.parts import parts_at


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ledger(tmp_path_factory.mktemp("written") / "ledger")


@pytest.fixture
def root(written: Path, tmp_path: Path) -> Path:
    shutil.copytree(written, tmp_path / "ledger")
    return tmp_path / "ledger"


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


def test_values_of_an_axis_of_numbers_and_texts_are_spelled_as_they_were_written(root: Path) -> None:
    ledger = Ledger(root)
    for attempt, value in enumerate((1, 2, 0.5, 1.5, "x", "y"), start=1):
        run(ledger, "f", attempt, status="failed", axis_values={"heads": value})

    compact(root, group_size=11)

    (merged,) = (root / "trials").iterdir()
    assert pd.read_parquet(merged)["axis_heads"].dropna().tolist() == ["1", "2", "0.5", "1.5", "x", "y"]


def test_rows_that_come_after_a_merge_are_merged_the_next_time(root: Path) -> None:
    compact(root, group_size=5)
    ledger = Ledger(root)
    for signature in ("f", "g"):
        run(ledger, signature)
    before = content(Ledger(root))

    compact(root, group_size=2)

    assert [len(names(root, table)) for table in TABLES] == [2, 2, 2, 2]
    assert content(Ledger(root)) == before


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


def test_a_merged_file_that_moves_after_it_was_listed_is_not_damaged(root: Path) -> None:
    with pytest.raises(Killed):
        compact(root, ending_at(6), group_size=5)
    parts = parts_at(root, None)
    (merged,) = parts.refresh("samples").merged.values()
    Path(root, merged.place, merged.file_name).replace(root / "samples" / merged.file_name)

    rows = parts.read("samples", merged.file_name, list(merged.spans))

    assert merged.place == "merging/samples"
    assert rows.num_rows == sum(span.num_rows for span in merged.spans.values())


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
