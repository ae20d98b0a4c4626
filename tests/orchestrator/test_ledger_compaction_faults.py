"""Whatever is killed or damaged during a merge or after it, every row counts exactly once."""

import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow.fs as pafs
import pytest
from merges import SIGNATURES, Killed, content, counted_by_others, ending_at, merged_file, run, write_ledger

from orchestrator.ledger import TABLES, Ledger
from orchestrator.ledger.compaction import compact


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ledger(tmp_path_factory.mktemp("written") / "ledger")


@pytest.fixture
def root(written: Path, tmp_path: Path) -> Path:
    shutil.copytree(written, tmp_path / "ledger")
    return tmp_path / "ledger"


# Kills


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
    later = Ledger(root)
    later.clean_uncommitted()
    assert (root / "damaged" / table / path.name).exists()
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
