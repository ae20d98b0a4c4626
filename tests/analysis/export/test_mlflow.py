"""An export to MLflow, as MLflow's own client reads it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from export_studies import SMALL, Study

from analysis.export import export
from analysis.export._trials import StudyTrials
from trainables.errors import UserError

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
