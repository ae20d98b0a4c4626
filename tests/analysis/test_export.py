"""A study for other programs: written once or twice, whatever is in it, and read by each one's own reader."""

import hashlib
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from own_readers import by_its_own_reader, read_runs
from PIL import Image

from analysis.export import TARGETS, export, find_target
from analysis.export._base import replacing
from analysis.export._trials import StudyTrials, file_names
from orchestrator.ledger import Ledger, LedgerError, write_study
from trainables.errors import UserError
from trainables.names import wrong_name

Study = Callable[..., Path]
SMALL: dict[str, Any] = {
    "effects": {"pixel_channel": 0.6, "conv": 0.4},
    "num_seeds": 3,
    "epochs": 2,
    "batches": 4,
    "num_images": 1,
}
UGLY = ["../../up", 'a/b:c*"<|>', "a\nb \N{GRINNING FACE}", "a/b:c*?<|>", "con"]


def tree_of(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def ugly_study(tmp_path: Path) -> Path:
    """Names that no file can have, values of every type, numbers that are none, trials of every fate, odd samples."""
    values = [None, True, 3, 0.5, "x", "\u202e$^{}|`"]
    cells = [*UGLY, "left out"]
    document = {
        "schema_version": 1,
        "name": "ugly / study",
        "question": "---\nIs it | `safe`?",
        "axes": {"any/axis\n": values, "rate": [1, 0.5]},
        "primary": {"metric": "score", "margin": 0.1, "alpha": 0.05},
        "plan_hash": "0123",
        "space_file_text": "",
        "family": "mine",
        "metrics": {
            "score": {
                "label": "Score | *",
                "unit": "%",
                "higher_is_better": True,
                "description": "",
                "is_of_sets": False,
            }
        },
        "curve_columns": [],
        "cells": [
            {
                "cell": cell,
                "axis_values": {"any/axis\n": value},
                "is_baseline": index == 0,
                "trials": [{"seed": seed, "signature": f"{index}{seed}"} for seed in (0, 1)],
            }
            for index, (cell, value) in enumerate(zip(cells, values, strict=True))
        ],
    }
    folder = tmp_path / "ugly"
    write_study(folder, document)
    ledger = Ledger(folder / "ledger")
    picture = Path(tmp_path / "picture.tiff")
    Image.new("RGB", (3, 2)).save(picture)
    samples = [
        {"kind": "image/tiff", "image_id": "a/b\nc", "image": {"bytes": picture.read_bytes(), "path": None}},
        {"kind": "text/plain", "image_id": "note", "image": {"bytes": b"no picture", "path": None}},
        {"kind": "empty", "image_id": "nothing", "image": None},
    ]
    curves = [
        {"epoch": 1, "lo/ss\n": math.nan},
        {"epoch": 1, "lo/ss\n": 2.0},
        {"epoch": 2, "other": math.inf},
    ]
    fates = ("done", "failed", "skipped", "pruned", "interrupted")
    for index, status in enumerate(fates):
        for seed in (0, 1):
            signature, is_done = f"{index}{seed}", status == "done"
            if is_done:
                ledger.write_rows(signature, 1, curves=curves, evaluations=[], samples=samples)
            ledger.commit(
                {
                    "signature": signature, "attempt": 1, "cell": cells[index], "seed": seed, "status": status,
                    "reason": "\x1b[31mwhy\n---", "axis_values": {"any/axis\n": values[index]},
                    "config": {"a": {"b/c": [1, None]}, "seed": 7}, "notes": ["| note"],
                    **({"metric_score": math.nan if seed else 1.0} if is_done else {}),
                }
            )  # fmt: skip
    return folder


@pytest.mark.parametrize("target", ["tensorboard", "hf"])
def test_exported_twice_a_study_is_the_same(make_study: Study, target: str, tmp_path: Path) -> None:
    folder, out = make_study(**SMALL, failed={("conv", 1)}, missing={("conv", 2)}), tmp_path / "out"

    export(folder, target, out)
    first = tree_of(out)
    export(folder, target, out)

    assert tree_of(out) == first
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".out")] == []


@pytest.mark.parametrize("target", ["tensorboard", "hf"])
def test_an_export_changes_no_byte_of_the_study(make_study: Study, target: str, tmp_path: Path) -> None:
    folder = make_study(**SMALL)
    before = tree_of(folder)

    export(folder, target, tmp_path / "out")

    assert tree_of(folder) == before


@pytest.mark.parametrize("target", ["tensorboard", "hf"])
def test_a_study_that_has_not_run_is_exported(make_study: Study, target: str, tmp_path: Path) -> None:
    lines = export(make_study(**SMALL, is_empty=True), target, tmp_path / "out")

    assert any("0 of 6 trials are done (6 missing)" in line for line in [*lines, card(tmp_path / "out")])


def card(folder: Path) -> str:
    return (folder / "README.md").read_text() if (folder / "README.md").exists() else ""


@pytest.mark.parametrize("target", ["hf", "evidence"])
def test_a_place_that_cannot_be_written_is_named_as_the_user_did(
    make_study: Study, tmp_path: Path, target: str
) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(UserError, match=r"file/out cannot be written: .*; name another place"):
        export(make_study(**SMALL), target, tmp_path / "file" / "out")


def test_a_folder_with_other_files_is_left_alone(make_study: Study, tmp_path: Path) -> None:
    folder, out = make_study(**SMALL), tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("mine")

    with pytest.raises(UserError, match=r"out holds other files, which are left alone; name another folder"):
        export(folder, "hf", out)
    (out / "thesis.tex").unlink()
    export(folder, "hf", out)
    with pytest.raises(UserError, match=r"holds another export \(hf, encoder\)"):
        export(folder, "tensorboard", out)
    with pytest.raises(UserError, match="is a file"):
        export(folder, "hf", folder / "study.json")


def test_an_export_that_fails_leaves_the_earlier_one(tmp_path: Path) -> None:
    place, mark = tmp_path / "out", {"exported to": "x"}
    with replacing(place, mark) as filled:
        (filled / "a").write_text("first")

    def fail() -> None:
        with replacing(place, mark) as filled:
            (filled / "a").write_text("second")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()

    assert (place / "a").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_cannot_be_exported_to_says_why(
    make_study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="found 'tensorbord'; did you mean tensorboard"):
        find_target("tensorbord")
    with pytest.raises(LedgerError, match="holds no study"):
        export(tmp_path, "hf", tmp_path / "out")
    for name, target in TARGETS.items():
        monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
        if target.packages:
            with pytest.raises(UserError, match=f"{name} needs .*; install with: pip install "):
                find_target(name)


def test_names_of_files_are_possible_and_apart() -> None:
    names = [*UGLY, "", ".", "..", "x" * 300, "é" * 300, "A", "a", "nul.txt", "-rf", "tail. ", "[1]"]

    found = file_names(names)

    assert [wrong_name(name) for name in found.values()] == [""] * len(names)
    assert len({name.casefold() for name in found.values()}) == len(names)
    assert file_names(["rate=0.01,heads=4"]) == {"rate=0.01,heads=4": "rate=0.01,heads=4"}


def test_curves_are_told_by_row_and_by_epoch(make_study: Study) -> None:
    trial = next(StudyTrials(make_study(**SMALL)).trials())

    rows, means = dict(trial.curves()), dict(trial.epoch_means())

    assert list(rows) == list(means) == ["loss_direction", "loss_total", "loss_recon", "learning_rate"]
    assert [point.step for point in rows["loss_total"]] == [8 * step for step in range(1, 9)]
    assert [point.step for point in means["loss_total"]] == [1, 2]
    values = [point.value for point in rows["loss_total"][:4]]
    assert means["loss_total"][0].value == pytest.approx(sum(values) / 4)


READ_EVENTS = """
import json, sys
from tensorboard.backend.event_processing import data_provider, event_multiplexer, plugin_event_multiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import api_pb2, backend_context, get_experiment, list_session_groups

kinds = (event_multiplexer, plugin_event_multiplexer)
multiplexers = [kind.EventMultiplexer().AddRunsFromDirectory(sys.argv[1]).Reload() for kind in kinds]
events, multiplexer = multiplexers
runs = {}
for run, tags in events.Runs().items():
    scalars = {tag: [(event.step, event.value) for event in events.Scalars(run, tag)] for tag in tags["scalars"]}
    images = {tag: [(event.step, event.width) for event in events.Images(run, tag)] for tag in tags["images"]}
    runs[run] = {"scalars": scalars, "images": images, "texts": tags["tensors"]}
provider = data_provider.MultiplexerDataProvider(multiplexer, sys.argv[1])
context = backend_context.Context(base_plugin.TBContext(logdir=sys.argv[1], data_provider=provider))
request = RequestContext()
columns = get_experiment.Handler(request, context, "x", api_pb2.GetExperimentRequest(experiment_name="x")).run()
wanted = [api_pb2.ColParams(hparam=column.name) for column in columns.hparam_infos]
wanted += [api_pb2.ColParams(metric=column.name) for column in columns.metric_infos]
asked = api_pb2.ListSessionGroupsRequest(
    start_index=0, slice_size=100, allowed_statuses=[0, 1, 2, 3], aggregation_type=1, col_params=wanted
)
groups = {
    group.name: {
        "hparams": {name: str(value).strip() for name, value in group.hparams.items()},
        "metrics": {value.name.tag: value.value for value in group.metric_values},
        "sessions": {session.name: session.status for session in group.sessions},
    }
    for group in list_session_groups.Handler(request, context, "x", asked).run().session_groups
}
print(json.dumps({"runs": runs, "groups": groups, "columns": [c.display_name for c in columns.metric_infos]}))
"""


def read_events(folder: Path) -> dict[str, Any]:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    found: dict[str, Any] = by_its_own_reader(READ_EVENTS, folder)
    return found


def test_tensorboard_shows_curves_pictures_and_cells_with_their_seeds(
    make_study: Study, tmp_path: Path
) -> None:
    folder = make_study(**SMALL, failed={("conv", 1)}, missing={("conv", 2)})
    export(folder, "tensorboard", tmp_path / "out")

    found = read_events(tmp_path / "out")

    trials = {trial.cell + str(trial.seed): trial for trial in StudyTrials(folder).trials()}
    run = found["runs"]["baseline/seed=1"]
    by_row = dict(trials["baseline1"].curves())["loss_total"]
    assert run["scalars"]["curves/loss_total"] == [[p.step, pytest.approx(p.value)] for p in by_row]
    assert [step for step, _ in run["scalars"]["epoch/learning_rate"]] == [1, 2]
    assert run["images"]["samples/edit/face-0, strength 1"] == [[1, 32], [2, 32]]
    assert run["images"]["samples/edit/face-0, strength 0.5"] == [[2, 32]]
    assert "encoder=conv/seed=2" not in found["runs"]
    gains = [trials[f"baseline{seed}"].metrics["counterfactual_gain"] for seed in range(3)]
    groups = found["groups"]
    mean = sum(gains) / 3
    deviation = math.sqrt(sum((gain - mean) ** 2 for gain in gains) / 2)
    assert groups["baseline"]["sessions"] == {f"baseline/seed={seed}": 1 for seed in range(3)}
    assert groups["baseline"]["metrics"]["metric/counterfactual_gain"] == pytest.approx(mean)
    assert groups["baseline"]["metrics"]["seeds/deviation of counterfactual_gain"] == pytest.approx(deviation)
    assert groups["baseline"]["metrics"]["seeds/number done"] == 3
    assert groups["encoder=conv"]["sessions"] == {"encoder=conv/seed=0": 1, "encoder=conv/seed=1": 2}
    assert groups["encoder=conv"]["hparams"] == {"encoder": 'string_value: "conv"'}
    assert found["columns"][:2] == [
        "seeds done",
        "Counterfactual gain, training CLIP (share of the distance)",
    ]


def test_tensorboard_opens_what_is_ugly(ugly_study: Path, tmp_path: Path) -> None:
    lines = export(ugly_study, "tensorboard", tmp_path / "out")

    found = read_events(tmp_path / "out")

    (cell,) = {run.split("/")[0] for run in found["runs"] if "curves/lo/ss " in found["runs"][run]["scalars"]}
    run = found["runs"][f"{cell}/seed=0"]
    assert [step for step, _ in run["scalars"]["curves/lo/ss "]] == [1, 2]
    assert math.isnan(run["scalars"]["epoch/lo/ss "][0][1])
    assert run["scalars"]["curves/other"] == [[3, math.inf]]
    assert run["images"] == {"samples/image/tiff/a/b c": [[0, 3]]}
    assert len(found["groups"]) == 5
    assert any("4 samples are no pictures" in line for line in lines)
    assert {path.parent.parent.parent for path in (tmp_path / "out").rglob("*.seeds")} == {tmp_path / "out"}


WATCH_EVENTS = """
import json, sys
from pathlib import Path
from tensorboard.backend.event_processing import event_multiplexer
from analysis.export._trials import StudyTrials
from analysis.export.tensorboard import EventsSink

study, out = StudyTrials(Path(sys.argv[1])), Path(sys.argv[2])
trial, multiplexer, seen = next(study.trials()), event_multiplexer.EventMultiplexer(), []

def look():
    multiplexer.AddRunsFromDirectory(str(out))
    multiplexer.Reload()
    run = f"{trial.cell}/seed={trial.seed}"
    tags = multiplexer.Runs()[run]["scalars"]
    epochs = multiplexer.Scalars(run, "epoch/loss_total")
    seen.append([[event.step for event in epochs], epochs[0].value, "curves/loss_total" in tags])

for first, last in ((1, 2), (2, 2)):  # The second launch goes on from a checkpoint of epoch 1.
    with EventsSink(study.folder, out) as sink:
        for epoch in range(first, last + 1):
            sink.epoch(trial, epoch, {"loss_total": 100.0 * epoch})
            look()
with EventsSink(study.folder, out) as sink:
    sink.write(trial)
    look()
    sink.finish(study)
    look()
print(json.dumps(seen))
"""


def test_a_tensorboard_at_work_follows_a_trial_and_shows_no_epoch_twice(
    make_study: Study, tmp_path: Path
) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    folder = make_study(**SMALL)

    *going_on, whole, finished = by_its_own_reader(WATCH_EVENTS, folder, tmp_path / "out")

    first = dict(next(StudyTrials(folder).trials()).epoch_means())["loss_total"][0].value
    assert going_on == [[[1], 100.0, False], [[1, 2], 100.0, False], [[1, 2], 100.0, False]]
    assert whole == finished == [[1, 2], pytest.approx(first), True]


def test_datasets_loads_every_table(make_study: Study, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    folder = make_study(**SMALL, failed={("conv", 1)}, missing={("conv", 2)})
    export(folder, "hf", tmp_path / "out")

    found = {
        name: datasets.load_dataset(
            str(tmp_path / "out"), name, split="train", cache_dir=str(tmp_path / "cache")
        )
        for name in ("trials", "curves", "evaluations", "samples")
    }

    assert (
        datasets.load_dataset(
            str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache")
        ).num_rows
        == 6
    )
    assert sorted(found["trials"]["status"]) == ["done"] * 4 + ["failed", "missing"]
    assert set(found["curves"]["cell"]) == {"baseline", "encoder=conv"}
    assert found["curves"].num_rows == 4 * 8
    assert found["samples"][0]["image"].size == (32, 32)
    assert json.loads(found["trials"][0]["config"])["editor"] == {"kind": "pixel_channel"}
    assert "encoder=conv" in found["trials"]["cell"]


def test_datasets_loads_what_is_ugly(ugly_study: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    export(ugly_study, "hf", tmp_path / "out")

    trials, samples = (
        datasets.load_dataset(str(tmp_path / "out"), name, split="train", cache_dir=str(tmp_path / "cache"))
        for name in ("trials", "samples")
    )
    assert trials.num_rows == 12
    assert math.isnan(trials["metric_score"][1])
    assert [sample["file"] for sample in samples][:3] == [None, b"no picture", None]
    assert samples[0]["image"].size == (3, 2)
    assert "\x1b" not in card(tmp_path / "out")


def exported_twice_by_a_process(folder: Path, out: Path) -> str:
    """W&B's threads and exit handlers are not for the process of all tests."""
    pytest.importorskip("wandb", reason="wandb is not installed: pip install 'asyrp-sweep[wandb]'")
    program = (
        "import json, sys; from pathlib import Path; from analysis.export import export; "
        "twice = [export(Path(sys.argv[1]), 'wandb', Path(sys.argv[2])) for _ in range(2)]; "
        "assert twice[0] == twice[1]; print(json.dumps(list(twice[1])))"
    )
    return "\n".join(by_its_own_reader(program, folder, out))


def test_wandb_holds_a_run_for_every_trial_grouped_by_cell(make_study: Study, tmp_path: Path) -> None:
    folder, out = make_study(**SMALL, failed={("conv", 1)}, missing={("conv", 2)}), tmp_path / "out"

    told = exported_twice_by_a_process(folder, out)

    runs = read_runs(out)
    assert len(list(out.glob("offline-run-20260301_1200*"))) == len(list(out.iterdir())) - 1 == 5
    assert f"Upload with: wandb sync {out}/offline-run-*" in told
    assert sorted(runs) == [
        *(f"baseline, seed {seed}" for seed in range(3)),
        "encoder=conv, seed 0",
        "encoder=conv, seed 1",
    ]
    trial = next(StudyTrials(folder).trials())
    run = runs["baseline, seed 0"]
    assert (run["group"], run["project"], run["tags"], run["exit"]) == ("baseline", "encoder", ["done"], 0)
    assert (runs["encoder=conv, seed 1"]["tags"], runs["encoder=conv, seed 1"]["exit"]) == (["failed"], 1)
    assert {name: run["config"][name] for name in trial.config} == trial.config
    assert run["config"]["asyrp_sweep"]["axes"] == {"encoder": "pixel_channel"}
    rows = [row for row in run["history"] if "curves/step" in row]
    assert [(row["curves/step"], row["curves/loss_total"]) for row in rows] == [
        (point.step, pytest.approx(point.value)) for point in dict(trial.curves())["loss_total"]
    ]
    assert [row["epoch/step"] for row in run["history"] if "epoch/step" in row] == [1, 2]
    assert run["summary"]["counterfactual_gain"] == pytest.approx(trial.metrics["counterfactual_gain"])
    assert len(run["files"]) == len(trial.pictures)


def test_wandb_takes_what_is_ugly(ugly_study: Path, tmp_path: Path) -> None:
    exported_twice_by_a_process(ugly_study, tmp_path / "out")

    runs = read_runs(tmp_path / "out")

    assert len(runs) == 10
    assert {run["project"] for run in runs.values()} == {"ugly _ study"}
    assert {path.parent for path in (tmp_path / "out").glob("offline-run-*")} == {tmp_path / "out"}


READ_STORE = """
import json, sys
from mlflow import MlflowClient

client = MlflowClient(tracking_uri=f"sqlite:///{sys.argv[1]}/mlflow.db")
(experiment,) = [found for found in client.search_experiments() if found.name != "Default"]
runs = client.search_runs([experiment.experiment_id], max_results=1000)
names = {run.info.run_id: run.info.run_name for run in runs}
print(json.dumps({
    run.info.run_name: {
        "parent": names.get(run.data.tags.get("mlflow.parentRunId")),
        "status": run.info.status,
        "params": run.data.params,
        "metrics": run.data.metrics,
        "epochs": [[m.step, m.value] for m in client.get_metric_history(run.info.run_id, "epoch/loss_total")],
        "samples": [file.path for file in client.list_artifacts(run.info.run_id, "samples")],
    }
    for run in runs
}))
"""
MLFLOW = "ASYRP_SWEEP_MLFLOW_PYTHON"


@pytest.fixture
def mlflow_python() -> Path:
    if MLFLOW not in os.environ:
        pytest.skip(f"{MLFLOW} does not name the python of an environment with mlflow>=3 and pyarrow")
    return Path(os.environ[MLFLOW])


def read_store(python: Path, folder: Path) -> dict[str, Any]:
    command = [str(python), "-I", "-c", READ_STORE, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.slow
def test_mlflow_reads_its_store(make_study: Study, tmp_path: Path, mlflow_python: Path) -> None:
    folder, out = make_study(**SMALL, failed={("conv", 1)}, missing={("conv", 2)}), tmp_path / "out"

    for _ in range(2):
        export(folder, "mlflow", out, mlflow_python)

    runs = read_store(mlflow_python, out)
    trial = next(StudyTrials(folder).trials())
    assert len(runs) == 2 + 5
    run = runs["baseline, seed 0"]
    assert (run["parent"], run["status"]) == ("baseline", "FINISHED")
    assert runs["encoder=conv, seed 1"]["status"] == "FAILED"
    assert run["params"]["axis.encoder"] == run["params"]["editor.kind"] == "pixel_channel"
    assert run["metrics"]["counterfactual_gain"] == pytest.approx(trial.metrics["counterfactual_gain"])
    assert run["epochs"] == [
        [p.step, pytest.approx(p.value)] for p in dict(trial.epoch_means())["loss_total"]
    ]
    assert len(run["samples"]) == len(trial.pictures)
    gains = [
        found.metrics["counterfactual_gain"]
        for found in StudyTrials(folder).trials()
        if found.cell == "baseline"
    ]
    assert runs["baseline"]["metrics"]["counterfactual_gain"] == pytest.approx(sum(gains) / 3)
    assert runs["baseline"]["metrics"]["seeds/number done"] == 3


@pytest.mark.slow
def test_mlflow_takes_what_is_ugly(ugly_study: Path, tmp_path: Path, mlflow_python: Path) -> None:
    export(ugly_study, "mlflow", tmp_path / "out", mlflow_python)

    assert len(read_store(mlflow_python, tmp_path / "out")) == 6 + 10


def test_mlflow_says_which_environment_it_needs(make_study: Study, tmp_path: Path) -> None:
    folder, out = make_study(**SMALL), tmp_path / "out"

    with pytest.raises(UserError, match=r'pip install "mlflow>=3" pyarrow; then add: --python'):
        export(folder, "mlflow", out)
    with pytest.raises(UserError, match=r"found no program at .*nowhere"):
        export(folder, "mlflow", out, tmp_path / "nowhere")
    with pytest.raises(UserError, match="could not write the store: mlflow is not installed for"):
        export(folder, "mlflow", out, Path(sys.executable))

    assert not out.exists()
