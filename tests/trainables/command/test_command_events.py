"""Logs of TensorBoard and W&B, by the writers that people use, as metrics and curves of a command."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.proto.tensor_pb2 import TensorProto
from tensorboardX.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboardX.record_writer import RecordWriter
from torch.utils.tensorboard import SummaryWriter

from trainables.command.config import CommandConfig
from trainables.command.curves import Curves
from trainables.command.reading import read_rows
from trainables.command.results import Results, newest, read_results
from trainables.errors import Unreadable
from trainables.run_logs.events import is_event_file, run_folder
from trainables.run_logs.tail import EventTail

Rows = list[dict[str, float]]


def write(folder: Path, name: str, events: list[tuple[float, int, dict[str, Any]]]) -> Path:
    """A file of events: (seconds, step, tag -> number or tensor)."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"events.out.tfevents.{name}"
    writer = RecordWriter(str(file))
    for seconds, step, content in events:
        values = [
            Summary.Value(tag=tag, tensor=value)
            if isinstance(value, TensorProto)
            else Summary.Value(tag=tag, simple_value=value)
            for tag, value in content.items()
        ]
        writer.write(Event(wall_time=seconds, step=step, summary=Summary(value=values)).SerializeToString())
    writer.close()
    return file


def rows_in(folder: Path) -> Rows:
    found = newest([path for path in folder.rglob("*") if is_event_file(path)])
    assert found is not None
    return read_rows(found)


def results(folder: Path, **metrics: Any) -> Results:
    config = CommandConfig.model_validate({"command": ["true"], "metrics": metrics})
    return read_results(config, folder, "")


@pytest.fixture
def log(tmp_path: Path) -> Callable[[], Path]:
    """What a script of PyTorch logs with all that its writer can."""

    def logged() -> Path:
        with SummaryWriter(tmp_path / "runs" / "a") as writer:
            writer.add_text("about", "a text")
            for step in range(3):
                writer.add_scalar("train/loss", 0.9 / (step + 1), step)
                writer.add_scalar("acc", 0.1 * step, step, new_style=True)
                writer.add_scalars("both", {"train": step, "val": step + 1}, step)
                writer.add_histogram("weights", np.arange(9.0), step)
                writer.add_image("picture", np.zeros((3, 4, 4)), step)
            writer.add_hparams({"lr": 0.1}, {"hp/best": 0.75})
        return tmp_path

    return logged


def test_a_log_of_pytorch_is_a_row_for_each_step(log: Callable[[], Path]) -> None:
    assert rows_in(log()) == [
        {"step": 0, "train/loss": 0.9, "acc": 0.0, "both_train/both": 0.0, "both_val/both": 1.0},
        {"step": 1, "train/loss": 0.45, "acc": 0.1, "both_train/both": 1.0, "both_val/both": 2.0},
        {
            "step": 2,
            "train/loss": 0.3,
            "acc": 0.2,
            "both_train/both": 2.0,
            "both_val/both": 3.0,
            "hp/best": 0.75,
        },
    ]


def test_metrics_are_taken_from_a_log_where_there_is_no_other_file(log: Callable[[], Path]) -> None:
    found = results(
        log(),
        acc="higher is better",
        loss={"better": "lower is better", "key": "train/loss", "take": "mean"},
        hp_best="higher is better",
    )

    assert found.summary == {"acc": 0.2, "loss": pytest.approx(0.55), "hp_best": 0.75}
    assert found.notes == []


def test_a_metric_that_was_not_logged_is_told_with_the_nearest_tag(log: Callable[[], Path]) -> None:
    with pytest.raises(
        Unreadable, match=r"^the script's log: the metric train/lost is missing; found .*train/loss"
    ):
        results(log(), loss={"better": "lower is better", "key": "train/lost"})


@pytest.mark.parametrize("is_packed", [True, False])
@pytest.mark.parametrize(
    ("type_number", "numpy_type", "field"),
    [(1, "<f4", "float_val"), (2, "<f8", "double_val"), (3, "<i4", "int_val"), (9, "<i8", "int64_val")],
)
def test_tensors_of_tensorflow_are_numbers(
    tmp_path: Path, *, type_number: int, numpy_type: str, field: str, is_packed: bool
) -> None:
    value = np.array(7.5 if "f" in numpy_type else 7, numpy_type)
    packed = {"tensor_content": value.tobytes()} if is_packed else {field: [value.item()]}
    tensor = TensorProto(dtype=type_number, tensor_shape=TensorShapeProto(), **packed)
    vector = TensorProto(
        dtype=type_number, tensor_shape=TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)]), **packed
    )
    write(tmp_path, "1.host.0.v2", [(1.0, 4, {"epoch_loss": tensor, "histogram": vector})])

    assert rows_in(tmp_path) == [{"step": 4, "epoch_loss": value}]


def test_a_loss_that_is_no_number_any_more_begins_no_row_of_its_own(tmp_path: Path) -> None:
    nan = float("nan")
    write(tmp_path, "100.host.0", [(1.0, 0, {"loss": nan}), (1.0, 0, {"acc": 0.5}), (2.0, 1, {"loss": nan})])

    first, second = rows_in(tmp_path)

    assert (first["step"], first["acc"], second["step"]) == (0, 0.5, 1)


def test_several_files_of_a_run_are_read_in_the_order_of_time(tmp_path: Path) -> None:
    """Hugging Face's trainer writes its last evaluation into a file of its own."""
    write(tmp_path, "100.host.1.0", [(1.0, 5, {"train/loss": 0.5}), (1.0, 5, {"train/epoch": 0.5})])
    write(tmp_path, "100.host.1.1", [(2.0, 5, {"eval/acc": 0.25}), (2.0, 5, {"train/epoch": 0.5})])

    assert rows_in(tmp_path) == [{"step": 5, "train/loss": 0.5, "epoch": 0.5, "eval/acc": 0.25}]


@pytest.mark.parametrize(
    ("first", "second"), [("version_0", "version_1"), ("train", "validation"), ("b", "a")]
)
def test_of_several_runs_the_one_that_began_last_counts(tmp_path: Path, first: str, second: str) -> None:
    write(tmp_path / second, "200.host.0", [(2.0, 0, {"loss": 2.0})])
    earlier = write(tmp_path / first, "100.host.0", [(1.0, 0, {"loss": 1.0})])
    os.utime(earlier, (2**32, 2**32))  # Which file was written to last says nothing: the two may take turns.

    assert rows_in(tmp_path) == [{"step": 0, "loss": 2.0}]


def test_a_growing_log_gives_each_step_once_it_is_whole(tmp_path: Path) -> None:
    events = [(1.0, 0, {"loss": 3.0}), (2.0, 0, {"acc": 0.5}), (3.0, 1, {"loss": 2.0})]
    whole = write(tmp_path / "whole", "100.host.0", events).read_bytes()
    (tmp_path / "log").mkdir()
    growing = tmp_path / "log" / "events.out.tfevents.100.host.0"
    tail = EventTail(tmp_path / "log")

    found = []
    for size in range(len(whole) + 1):
        growing.write_bytes(whole[:size])
        found += [*tail.new_rows()]

    assert found == [{"step": 0, "loss": 3.0, "acc": 0.5}]
    assert [*tail.new_rows(is_final=True)] == [{"step": 1, "loss": 2.0}]


def test_a_curve_goes_on_in_the_log_of_a_script_that_resumed(tmp_path: Path) -> None:
    """The first run logged two steps beyond its checkpoint."""
    write(tmp_path, "100.host.0", [(float(step), step, {"loss": 1.0}) for step in range(5)])
    curves = Curves()
    curves.take_up_file(tmp_path)
    write(tmp_path, "200.host.0", [(10.0 + step, step, {"loss": 2.0}) for step in range(3, 6)])
    curves.follow(tmp_path)
    curves.read(is_final=True)

    assert [(row["step"], row["loss"]) for row in curves.rows] == [
        (0, 1.0),
        (1, 1.0),
        (2, 1.0),
        (3, 2.0),
        (4, 2.0),
        (5, 2.0),
    ]


def test_the_last_step_of_a_run_is_kept_when_another_one_begins(tmp_path: Path) -> None:
    write(tmp_path / "warm_up", "100.host.0", [(float(step), step, {"loss": 1.0}) for step in range(3)])
    curves = Curves()
    curves.follow(tmp_path / "warm_up")
    curves.read()
    write(tmp_path / "main", "200.host.0", [(10.0, 9, {"loss": 2.0})])
    curves.follow(tmp_path / "main")
    curves.read(is_final=True)

    assert [row["step"] for row in curves.rows] == [0, 1, 2, 9]


@pytest.mark.parametrize(
    "content", [b"step,loss\n1,0.5\n" * 3, b"\0" * 64, b"\xff" * 12], ids=["text", "zeros", "ones"]
)
def test_a_file_that_is_no_log_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "events.out.tfevents.100.host.0").write_bytes(content)

    with pytest.raises(Unreadable, match=r"^events.out.tfevents.100.host.0, byte \d+: expected a record"):
        read_rows(tmp_path)


def test_a_record_that_is_no_event_is_told(tmp_path: Path) -> None:
    writer = RecordWriter(str(tmp_path / "events.out.tfevents.100.host.0"))
    writer.write(b"\xff\xff\xff")
    writer.close()

    with pytest.raises(Unreadable, match="expected an event of TensorBoard; found something else"):
        read_rows(tmp_path)


WANDB = """
import sys
import wandb

run = wandb.init(project="any", dir=sys.argv[1], mode="offline", name="first",
    config={"optim": {"lr": 0.1}, "sizes": [1, 2]})
for epoch in range(1, 4):
    run.log({"epoch": epoch, "val/loss": 1 / epoch, "deep": {"er": {"x": epoch, "why": "text"}}})
    if epoch == 2:
        run.log({"long": "0123456789" * 5000, "histogram": wandb.Histogram([1, 2]), "yes": True}, commit=False)
run.summary["test"] = 0.75
run.finish()
"""


@pytest.fixture(scope="module")
def wandb_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a script left that logs to W&B, with a record longer than a block of its file."""
    pytest.importorskip("wandb", reason="wandb is not installed: pip install 'asyrp-sweep[wandb]'")
    folder = tmp_path_factory.mktemp("wandb")
    environment = {**os.environ, "TMPDIR": str(folder), "WANDB_SILENT": "true"}
    subprocess.run([sys.executable, "-c", WANDB, folder], check=True, env=environment)
    (log,) = folder.rglob("*.wandb")
    assert log.stat().st_size > 1 << 16
    return log


def test_a_log_of_wandb_is_a_row_for_each_step_and_its_summary_belongs_to_the_last(wandb_log: Path) -> None:
    first, second, last = rows_in(wandb_log.parent)

    assert first == {"step": 0, "epoch": 1, "val/loss": 1.0, "deep.er.x": 1}
    assert second == {"step": 1, "epoch": 2, "val/loss": 0.5, "deep.er.x": 2}
    assert last == {"step": 2, "epoch": 3, "val/loss": 1 / 3, "deep.er.x": 3, "test": 0.75}


def test_the_config_of_wandb_is_the_settings_of_a_run(wandb_log: Path) -> None:
    tail = EventTail(wandb_log.parent)
    assert len([*tail.new_rows(is_final=True)]) == 3

    assert tail.settings == {"name": "first", "optim.lr": 0.1, "sizes": [1, 2]}


def test_a_growing_log_of_wandb_is_read_up_to_its_last_whole_record(wandb_log: Path, tmp_path: Path) -> None:
    whole = wandb_log.read_bytes()
    growing = tmp_path / wandb_log.name
    tail = EventTail(tmp_path)

    found = []
    for size in [*range(0, len(whole), 997), len(whole)]:
        growing.write_bytes(whole[:size])
        found += [*tail.new_rows()]

    assert [*found, *tail.new_rows(is_final=True)] == read_rows(wandb_log.parent)


def test_metrics_and_summary_of_wandb_are_metrics(wandb_log: Path) -> None:
    found = results(
        wandb_log.parents[2], test="higher is better", loss={"better": "lower is better", "key": "val/loss"}
    )

    assert found.summary == {"test": 0.75, "loss": 1 / 3}


def test_a_damaged_log_of_wandb_is_told(wandb_log: Path, tmp_path: Path) -> None:
    content = bytearray(wandb_log.read_bytes())
    content[200] ^= 1
    (tmp_path / "run-1.wandb").write_bytes(content)

    with pytest.raises(Unreadable, match=r"^run-1.wandb, byte \d+: expected a record of W&B"):
        read_rows(tmp_path)
    (tmp_path / "run-1.wandb").write_bytes(b"loss: 1\n" * 9)
    with pytest.raises(Unreadable, match=r"^run-1.wandb, byte 7: expected a log of W&B"):
        read_rows(tmp_path)


def test_the_run_of_wandb_that_began_last_counts(tmp_path: Path) -> None:
    names = ["offline-run-20261129_122645-zzz/run-zzz", "run-20261129_122646-aaa/run-aaa"]
    files = [tmp_path / "wandb" / f"{name}.wandb" for name in names]

    assert run_folder(files) == files[1].parent
