"""Writes an MLflow store. Run by the Python of an environment with `mlflow>=3`; imports nothing of ours.

    python _mlflow_store.py JOB OUT PLACE

JOB holds `experiment.json` (name and description), `runs.jsonl` (a run a line, each parent before its children),
`metrics.parquet` (run, key, step, milliseconds, value) and `artifacts/<run>/`, as `analysis.export.mlflow` leaves them.
OUT gets `mlflow.db` and `artifacts/`, for a store that will stand in PLACE. MLflow wants at most 1,000 metrics, 100
parameters and 100 tags at once.
"""

import json
import logging
import shutil
import sys
from pathlib import Path
from typing import Any

OLDEST = 3


def main(job: Path, out: Path, place: Path) -> None:
    """Write everything."""
    try:
        import mlflow
        import pyarrow.parquet as pq
    except ImportError as error:
        sys.exit(f"{error.name} is not installed for {sys.executable}")
    if int(mlflow.__version__.split(".")[0]) < OLDEST:
        sys.exit(f"expected mlflow {OLDEST} or later for {sys.executable}; found {mlflow.__version__}")
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param, RunTag

    logging.disable(logging.INFO)  # of every migration of the new data base
    client = MlflowClient(tracking_uri=f"sqlite:///{(out / 'mlflow.db').as_posix()}")
    about = json.loads((job / "experiment.json").read_text(encoding="utf-8"))
    tags = {"mlflow.note.content": about["description"]}
    experiment = client.create_experiment(about["name"], (place / "artifacts").as_uri(), tags)
    values: dict[str, list[list[Any]]] = {}
    for batch in pq.ParquetFile(job / "metrics.parquet").iter_batches():
        for run, *metric in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            values.setdefault(run, []).append(metric)
    ids: dict[str, str] = {}
    for line in (job / "runs.jsonl").read_text(encoding="utf-8").splitlines():
        run = json.loads(line)
        tags = run["tags"] | ({"mlflow.parentRunId": ids[run["parent"]]} if run["parent"] else {})
        made = client.create_run(experiment, run["started"], run_name=run["name"]).info.run_id
        ids[run["id"]] = made
        metrics = [Metric(key, value, at, step) for key, step, at, value in values.get(run["id"], [])]
        params = [Param(key, value) for key, value in run["params"].items()]
        for start in range(0, len(metrics), 1000):
            client.log_batch(made, metrics=metrics[start : start + 1000])
        for start in range(0, len(params), 100):
            client.log_batch(made, params=params[start : start + 100])
        client.log_batch(made, tags=[RunTag(key, value) for key, value in tags.items()])
        if (files := job / "artifacts" / run["id"]).is_dir():
            shutil.copytree(files, out / "artifacts" / made / "artifacts")
        client.set_terminated(made, run["status"], run["ended"])


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
