"""The ledger holds what was committed, whatever is killed or damaged, and anything can read it."""

import io
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest
from PIL import Image

from orchestrator.ledger import (
    SCHEMA_VERSION,
    Ledger,
    LedgerError,
    LedgerLock,
    write_study,
)
from orchestrator.ledger.files import opened, sealed
from orchestrator.ledger.schemas import concatenated, to_arrow

START = datetime(2026, 1, 1, tzinfo=UTC)
NOBODY = 65534
"""The user without rights, on Linux and elsewhere."""


def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (200, 10, 10)).save(buffer, "PNG")
    return buffer.getvalue()


def rows() -> dict[str, list[dict[str, Any]]]:
    curve = {
        "epoch": 1,
        "batch": 1,
        "loss_total": 0.5,
        "timesteps": [999, 500],
        "loss_direction_per_t": [0.5, 0.4],
    }
    place = {"epoch": 1, "image_id": "face-1", "strength": 1.0, "num_sample_steps": 4}
    return {
        "curves": [curve, {**curve, "batch": 2}],
        "evaluations": [{**place, "s_dir": 0.25, "labels": {"smiling": True}}],
        "samples": [{**place, "kind": "edit", "image": {"bytes": png(), "path": "face-1.png"}}],
    }


def record(signature: str, attempt: int = 1, status: str = "done", **more: Any) -> dict[str, Any]:
    return {
        "signature": signature,
        "attempt": attempt,
        "cell": "baseline",
        "seed": 0,
        "status": status,
        "axis_values": {"encoder": "conv"},
        "config": {"domain": "tiny"},
        "provenance": {"host": "here"},
        "finished_at": START + timedelta(seconds=attempt),
        "notes": [],
        **more,
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "study" / "ledger"


@pytest.fixture
def ledger(root: Path) -> Ledger:
    return Ledger(root)


def run(ledger: Ledger, signature: str, attempt: int = 1, **more: Any) -> None:
    ledger.write_rows(signature, attempt, **rows())
    ledger.commit(record(signature, attempt, **more))


def standing(ledger: Ledger) -> dict[str, tuple[str, int]]:
    return {row["signature"]: (row["status"], row["attempt"]) for row in ledger.records()}


# What readers see


def test_further_columns_have_the_type_of_their_values_and_old_ones_are_read_beside_them() -> None:
    """Parts of earlier releases have whole numbers and short floats in columns that are one family's."""
    rows = [
        {"signature": "b", "num_steps": 12, "target": "alpha", "per_t": [1, 0.5], "shifts": {"b": 1, "a": 2}}
    ]
    new = to_arrow("evaluations", rows)
    old = pa.table({"signature": ["a"], "num_steps": pa.array([7], pa.int32()),
                    "per_t": pa.array([[2.0]], pa.list_(pa.float32()))})  # fmt: skip

    table = concatenated("evaluations", [old, new])

    assert table.column("num_steps").to_pylist() == [7.0, 12.0]
    assert table.column("per_t").to_pylist() == [[2.0], [1.0, 0.5]]
    assert table.column("target").to_pylist() == [None, "alpha"]
    assert table.column("shifts").to_pylist() == [None, '{"a": 2, "b": 1}']


def test_an_empty_ledger_has_empty_tables_with_their_columns(ledger: Ledger) -> None:
    assert ledger.records() == []
    assert ledger.table("curves").num_rows == 0
    assert {"signature", "epoch", "learning_rate"} <= set(ledger.table("curves").column_names)


def test_committed_rows_come_back_as_they_were_written(ledger: Ledger) -> None:
    run(ledger, "a", metric_s_dir=0.25, num_parameters=7)

    (trial,) = ledger.records()
    (evaluation,) = ledger.table("evaluations").to_pylist()
    (sample,) = ledger.table("samples").to_pylist()

    assert (trial["metric_s_dir"], trial["num_parameters"], trial["axis_encoder"]) == (0.25, 7, "conv")
    assert (json.loads(trial["axis_values"]), trial["finished_at"]) == (
        {"encoder": "conv"},
        START + timedelta(seconds=1),
    )
    assert (evaluation["s_dir"], json.loads(evaluation["labels"])) == (0.25, {"smiling": True})
    assert ledger.table("curves").column("timesteps").to_pylist() == [[999, 500], [999, 500]]
    assert sample["image"]["bytes"] == png()


def test_lists_can_be_left_out(ledger: Ledger) -> None:
    run(ledger, "a")
    whole, without = ledger.table("curves"), ledger.table("curves", lists=False)

    assert set(whole.column_names) - set(without.column_names) == {"timesteps", "loss_direction_per_t"}
    assert without.equals(whole.select(without.column_names))


def test_rows_do_not_exist_before_their_commit(ledger: Ledger, root: Path) -> None:
    ledger.write_rows("a", 1, **rows())

    assert ledger.table("curves").num_rows == 0
    assert Ledger(root).records() == []


def test_only_done_trials_have_rows(ledger: Ledger) -> None:
    ledger.write_rows("a", 1, **rows())
    ledger.commit(record("a", status="failed", reason="loss is nan"))

    assert ledger.table("curves").num_rows == 0
    assert ledger.records()[0]["reason"] == "loss is nan"


def test_a_signature_counts_once_however_often_it_was_committed(ledger: Ledger) -> None:
    run(ledger, "a", 1)
    run(ledger, "a", 2)
    ledger.commit(record("b", 1, "failed"))
    run(ledger, "b", 2)
    ledger.commit(record("b", 3, "interrupted"))
    ledger.commit(record("c", 1, "failed"))
    ledger.commit(record("c", 2, "interrupted"))

    assert standing(ledger) == {"a": ("done", 2), "b": ("done", 2), "c": ("failed", 1)}
    assert ledger.table("curves").num_rows == 4


def test_committing_the_same_attempt_again_changes_nothing(ledger: Ledger) -> None:
    run(ledger, "a")
    before = ledger.table("trials")
    run(ledger, "a")

    assert ledger.table("trials").equals(before)
    assert ledger.table("curves").num_rows == 2


def test_a_reader_sees_what_another_process_commits_later(ledger: Ledger, root: Path) -> None:
    reader = Ledger(root)
    assert reader.records() == []

    run(ledger, "a")

    assert standing(reader) == {"a": ("done", 1)}


def test_axes_and_metrics_that_come_later_are_null_before(ledger: Ledger) -> None:
    run(ledger, "a", axis_values={"heads": 1})
    run(ledger, "b", 2, axis_values={"heads": 0.5, "norm": "group"}, metric_s_dir=0.1)
    run(ledger, "c", 3, axis_values={"heads": 2, "norm": True})

    trials = ledger.table("trials")

    assert trials.column("axis_heads").to_pylist() == [1.0, 0.5, 2.0]
    assert trials.column("axis_norm").to_pylist() == [None, "group", "true"]
    assert trials.column("metric_s_dir").to_pylist() == [None, 0.1, None]


def test_a_column_that_the_table_does_not_have_is_refused(ledger: Ledger) -> None:
    with pytest.raises(
        ValueError, match="table trials has no column 'lose_total'; it has signature, attempt"
    ):
        ledger.commit(record("a", lose_total=1.0))
    with pytest.raises(
        ValueError, match=r"table samples has no column 'media_typ'; did you mean media_type?"
    ):
        ledger.write_rows("a", 1, curves=[], evaluations=[], samples=[{"image_id": "x", "media_typ": 1.0}])
    with pytest.raises(
        ValueError, match="status must be one of done, pruned, failed, skipped, interrupted; found 'ok'"
    ):
        ledger.commit(record("a", status="ok"))


# Killing and damage


def test_being_killed_between_rows_and_commit_loses_only_that_trial(root: Path, ledger: Ledger) -> None:
    run(ledger, "a")
    script = (
        "import os, signal, sys; from orchestrator.ledger import Ledger\n"
        "Ledger(sys.argv[1]).write_rows('b', 1, curves=[{'epoch': 1}], evaluations=[], samples=[])\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    repository = Path(__file__).parents[2]
    killed = subprocess.run([sys.executable, "-c", script, str(root)], cwd=repository)

    assert killed.returncode == -signal.SIGKILL
    assert standing(Ledger(root)) == {"a": ("done", 1)}
    assert sorted(Ledger(root).clean_uncommitted(unfinished={"b"})) == [
        "curves/part-b-1.parquet",
        "evaluations/part-b-1.parquet",
        "samples/part-b-1.parquet",
    ]
    assert Ledger(root).table("curves").num_rows == 2


def test_rows_are_deleted_only_where_a_checkpoint_gives_them_again(root: Path, ledger: Ledger) -> None:
    run(ledger, "a")
    ledger.write_rows("b", 1, **rows())
    content = (root / "curves" / "part-b-1.parquet").read_bytes()
    (root / "curves" / ".part-c-1.parquet.123.tmp").write_bytes(b"PAR1")

    removed = ledger.clean_uncommitted(unfinished={"c"})

    assert removed == ["curves/.part-c-1.parquet.123.tmp"]
    assert (root / "damaged" / "curves" / "part-b-1.parquet").read_bytes() == content
    assert [name for name in ledger.damaged if "curves" in name] == ["curves/part-b-1.parquet (no record)"]
    assert ledger.next_attempt("b") == 2


def test_rows_whose_record_is_damaged_are_set_aside_and_can_be_read_again(root: Path, ledger: Ledger) -> None:
    for signature in ("a", "b"):
        run(ledger, signature)
    kept = {path: path.read_bytes() for path in root.glob("*/part-a-1.parquet")}
    record_file = root / "trials" / "part-a-1.parquet"
    record_file.write_bytes(b"no parquet")

    assert Ledger(root).clean_uncommitted() == []

    for path, content in kept.items():
        aside = root / "damaged" / path.relative_to(root)
        assert not path.exists()
        assert aside.read_bytes() == (b"no parquet" if path == record_file else content)
    assert standing(Ledger(root)) == {"b": ("done", 1)}


def truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


def garbled(content: bytes) -> bytes:
    """A stretch of the data overwritten, the footer as it was: only a checksum can tell."""
    at = len(content) // 4
    return content[:at] + bytes(64) + content[at + 64 :]


@pytest.mark.parametrize("table", ["trials", "curves", "evaluations", "samples"])
@pytest.mark.parametrize("damage", [truncated, garbled, lambda content: b"", lambda content: b"no parquet"])
def test_a_damaged_part_is_named_and_its_trial_counts_as_not_run(
    root: Path, ledger: Ledger, table: str, damage: Callable[[bytes], bytes]
) -> None:
    run(ledger, "a")
    run(ledger, "b")
    part = root / table / "part-a-1.parquet"
    part.write_bytes(damage(part.read_bytes()))

    reader = Ledger(root)
    reader.table(table)

    assert standing(reader) == {"b": ("done", 1)}
    assert reader.damaged == [f"{table}/part-a-1.parquet"]
    assert part.exists()
    Ledger(root).clean_uncommitted()
    assert (root / "damaged" / table / "part-a-1.parquet").exists()
    assert not part.exists()


def test_a_damaged_trial_runs_again_under_a_new_number(root: Path, ledger: Ledger) -> None:
    run(ledger, "a")
    (root / "curves" / "part-a-1.parquet").write_bytes(b"")
    reader = Ledger(root)
    assert reader.records() == []

    attempt = reader.next_attempt("a")
    run(reader, "a", attempt)

    assert attempt == 2
    assert standing(Ledger(root)) == {"a": ("done", 2)}


def test_a_part_that_is_gone_is_named(root: Path, ledger: Ledger) -> None:
    run(ledger, "a")
    (root / "samples" / "part-a-1.parquet").unlink()

    reader = Ledger(root)

    assert reader.records() == []
    assert reader.damaged == ["samples/part-a-1.parquet (missing)"]


def test_an_earlier_attempt_stands_in_for_a_damaged_one(root: Path, ledger: Ledger) -> None:
    run(ledger, "a", 1)
    run(ledger, "a", 2)
    (root / "curves" / "part-a-2.parquet").write_bytes(b"")

    assert standing(Ledger(root)) == {"a": ("done", 1)}


def test_a_part_of_a_newer_version_is_no_damage(root: Path, ledger: Ledger) -> None:
    run(ledger, "a")
    path = root / "trials" / "part-a-1.parquet"
    table = pq.read_table(path)
    newer = {b"asyrp_sweep.schema_version": str(SCHEMA_VERSION + 1).encode()}
    pq.write_table(table.replace_schema_metadata(newer), path)

    with pytest.raises(LedgerError, match=r"written by a newer asyrp-sweep .* upgrade asyrp-sweep"):
        Ledger(root).records()


# Other readers


def test_pandas_and_pyarrow_read_the_parts_directly(root: Path, ledger: Ledger) -> None:
    run(ledger, "a", metric_s_dir=0.25)
    run(ledger, "b", metric_s_dir=0.5)

    frame = pd.read_parquet(root / "trials")
    curves = ds.dataset(root / "curves", format="parquet").to_table()

    assert sorted(frame["metric_s_dir"]) == [0.25, 0.5]
    assert str(frame["finished_at"].dt.tz) == "UTC"
    assert curves.num_rows == 4


def test_samples_say_that_they_are_images_to_hugging_face_datasets(root: Path, ledger: Ledger) -> None:
    run(ledger, "a")

    schema = pq.read_schema(root / "samples" / "part-a-1.parquet")

    assert json.loads(schema.metadata[b"huggingface"])["info"]["features"]["image"] == {"_type": "Image"}
    assert schema.field("image").type == pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def test_parts_are_compressed_with_zstd(root: Path, ledger: Ledger) -> None:
    run(ledger, "a")

    metadata = pq.read_metadata(root / "curves" / "part-a-1.parquet")

    assert metadata.row_group(0).column(2).compression == "ZSTD"


def test_files_without_rows_have_the_columns_of_their_own_table_and_are_sealed(tmp_path: Path) -> None:
    wider = {"further": pa.float64()}
    contents = {
        "plain": to_arrow("curves", []),
        "wider": to_arrow("curves", [], wider),
        "samples": to_arrow("samples", []),
    }

    for name in ("plain", "wider", "samples", "plain"):
        sealed(contents[name])(tmp_path / name)

    for name, content in contents.items():
        with opened(pafs.LocalFileSystem(), str(tmp_path / name), name, whole=True) as file:
            assert file.read().equals(content)
            assert file.schema_arrow.equals(content.schema, check_metadata=True)


def test_a_ledger_is_read_through_any_file_system_and_written_through_none_but_the_local(
    root: Path, ledger: Ledger
) -> None:
    run(ledger, "a")
    remote = Ledger("ledger", filesystem=pafs.SubTreeFileSystem(str(root.parent), pafs.LocalFileSystem()))

    assert standing(remote) == {"a": ("done", 1)}
    assert standing(Ledger(root.as_uri())) == {"a": ("done", 1)}
    with pytest.raises(LedgerError, match="it can only be read"):
        remote.commit(record("b"))


def test_the_ledger_needs_neither_torch_nor_anything_else_of_ours() -> None:
    script = (
        "import sys; import orchestrator.ledger\n"
        "ours = [m for m in sys.modules if m.split('.')[0] in ('trainables', 'analysis', 'search_spaces')]\n"
        "ours += [m for m in sys.modules if m.startswith('orchestrator.') and 'ledger' not in m]\n"
        "print(ours, 'torch' in sys.modules)"
    )

    said = subprocess.check_output([sys.executable, "-c", script], cwd=Path(__file__).parents[2], text=True)

    assert said == "[] False\n"


# Folders and locks


@pytest.fixture
def unwritable() -> Iterator[Path]:
    """A folder to look into and not to write to; root, who may write anywhere, is nobody meanwhile."""
    user = os.geteuid()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "locked")
        folder.mkdir(mode=0o555)
        folder.parent.chmod(0o755)
        if user == 0:
            os.seteuid(NOBODY)
        try:
            yield folder
        finally:
            os.seteuid(user)


def test_an_unwritable_folder_is_a_clear_error(unwritable: Path) -> None:
    with pytest.raises(LedgerError, match="cannot be written: Permission denied"):
        Ledger(unwritable / "ledger").commit(record("a"))
    with pytest.raises(LedgerError, match="cannot be written: Permission denied"):
        LedgerLock(unwritable / "ledger").__enter__()


def test_a_file_where_a_folder_should_be_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "study").write_text("")

    with pytest.raises(LedgerError, match=r"study is a file; a ledger is a folder"):
        Ledger(tmp_path / "study")
    with pytest.raises(LedgerError, match="cannot be written"):
        write_study(tmp_path / "study", {})
    with pytest.raises(LedgerError, match="cannot be written"):
        LedgerLock(tmp_path / "study" / "ledger").__enter__()


def test_a_second_launch_is_told_who_holds_the_study(root: Path) -> None:
    with LedgerLock(root), pytest.raises(LedgerError, match=rf"another launch .*\(process {os.getpid()} on "):
        LedgerLock(root).__enter__()

    with LedgerLock(root):
        pass
