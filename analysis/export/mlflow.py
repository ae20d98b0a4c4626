"""An MLflow store in SQLite, written by the Python of another environment: its packages do not fit beside ours."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from analysis.export import _mlflow_store
from analysis.export._base import Options, Target
from analysis.export._trials import (
    DEVIATION,
    SEEDS_DONE,
    ExportedTrial,
    Spread,
    StudyTrials,
    file_names,
    plain_text,
)
from analysis.frames import MISSING
from trainables.errors import UserError

_STATUS = {"done": "FINISHED", "pruned": "FINISHED", "interrupted": "KILLED"}
"""Of MLflow; all others are FAILED."""
_MOST_LETTERS = {"key": 250, "value": 5_900}
_NOT_IN_KEYS = re.compile(r"[^\w\-. :/]", re.ASCII)
_METRICS = pa.schema(
    [
        pa.field("run", pa.string()),
        pa.field("key", pa.string()),
        pa.field("step", pa.int64()),
        pa.field("milliseconds", pa.int64()),
        pa.field("value", pa.float64()),
    ]
)
_INSTALL = 'python3 -m venv mlflow-env && mlflow-env/bin/pip install "mlflow>=3" pyarrow'


def write(study_folder: Path, out: Path, options: Options) -> Sequence[str]:
    """Write what the store is to hold as files, and let the other Python make the store of them."""
    python = _python(options)
    study = StudyTrials(study_folder)
    with TemporaryDirectory(prefix="asyrp-sweep-mlflow-") as job:
        _write_job(study, Path(job))
        # -I: nothing that a PYTHONPATH holds is meant for that Python.
        command = [str(python), "-I", _mlflow_store.__file__, job, str(out), str(options.place)]
        quiet = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=quiet)
    if done.returncode:
        said = "\n".join(done.stderr.strip().splitlines()[-5:]) or f"it ended with code {done.returncode}"
        raise UserError(f"{python} could not write the store: {said}\nAn environment that can: {_INSTALL}")
    store = f"sqlite:///{(options.place / 'mlflow.db').as_posix()}"
    return [f"Open it with: mlflow server --backend-store-uri {store}", *study.remarks()]


def _python(options: Options) -> Path:
    """The Python that has MLflow. Raises UserError where none is named, or what is named is no program."""
    if options.python is not None:
        found = options.python.absolute()  # no link is followed: an environment's python is one
        if not os.access(found, os.X_OK) or found.is_dir():
            raise UserError(f"--python: expected the python of an environment; found no program at {found}")
        return found
    if importlib.util.find_spec("mlflow") is not None:
        return Path(sys.executable)
    raise UserError(
        f"mlflow needs an environment of its own, as its packages and ours do not fit together. Make one: {_INSTALL}; "
        "then add: --python mlflow-env/bin/python"
    )


def _write_job(study: StudyTrials, job: Path) -> None:
    """Everything as `_mlflow_store` reads it."""
    about = {"name": plain_text(study.study.name), "description": study.study.question}
    (job / "experiment.json").write_text(json.dumps(about), encoding="utf-8")
    cells = {cell.cell: f"cell {number}" for number, cell in enumerate(study.study.cells)}
    spreads = study.spreads()
    with (
        (job / "runs.jsonl").open("w", encoding="utf-8") as runs,
        pq.ParquetWriter(job / "metrics.parquet", _METRICS) as metrics,
    ):
        for cell, name in cells.items():
            runs.write(json.dumps(_cell_run(cell, name)) + "\n")
            _write_metrics(metrics, name, _spread_rows(spreads.get(cell, {})))
        for trial in study.trials():
            if trial.status != MISSING:
                runs.write(json.dumps(_trial_run(trial, cells[trial.cell])) + "\n")
                _write_metrics(metrics, trial.signature, _metric_rows(trial))
                _write_artifacts(trial, job / "artifacts" / trial.signature)


def _cell_run(cell: str, name: str) -> dict[str, Any]:
    """The run that stands for a cell, above those of its seeds."""
    tags = {"cell": plain_text(cell), "kind": "cell"}
    return _run(name, plain_text(cell), "", "FINISHED", tags, {}, 0, 0)


def _trial_run(trial: ExportedTrial, parent: str) -> dict[str, Any]:
    tags = {
        "cell": plain_text(trial.cell),
        "kind": "trial",
        "seed": str(trial.seed),
        "status": trial.status,
        "reason": trial.reason,
        "signature": trial.signature,
        **{name: str(value) for name, value in trial.facts.items()},
    }
    began, ended = (_milliseconds(trial, share) for share in (0.0, 1.0))
    axes = {f"axis.{name}": value for name, value in trial.axes.items()}
    params = axes | dict(_flat(trial.config))
    status = _STATUS.get(trial.status, "FAILED")
    return _run(trial.signature, plain_text(trial.name), parent, status, tags, params, began, ended)


def _run(
    name: str,
    title: str,
    parent: str,
    status: str,
    tags: Mapping[str, str],
    params: Mapping[str, Any],
    *times: int,
) -> dict[str, Any]:
    keys = _keys(params)
    values = {
        keys[key]: value if isinstance(value, str) else json.dumps(value) for key, value in params.items()
    }
    most = _MOST_LETTERS["value"]
    return {
        "id": name,
        "name": title[: _MOST_LETTERS["key"]],
        "parent": parent,
        "status": status,
        "tags": {key: value[:most] for key, value in tags.items()},
        "params": {key: value[:most] for key, value in values.items()},
        "started": times[0],
        "ended": times[1],
    }


MetricRow = tuple[str, int, int, float]
"""Name, step, milliseconds since 1970, value."""


def _metric_rows(trial: ExportedTrial) -> Iterator[MetricRow]:
    for group, curves in (("epoch", trial.epoch_means()), ("curves", trial.curves())):
        for name, points in curves:
            for point in points:
                yield f"{group}/{name}", point.step, _milliseconds(trial, point.share), point.value
    for name, value in trial.metrics.items():
        yield name, 0, _milliseconds(trial, 1.0), value


def _spread_rows(spreads: Mapping[str, Spread]) -> Iterator[MetricRow]:
    """Mean and spread over the done seeds of a cell."""
    yield SEEDS_DONE, 0, 0, max((spread.num_seeds for spread in spreads.values()), default=0)
    for name, spread in spreads.items():
        yield name, 0, 0, spread.mean
        if spread.deviation is not None:
            yield f"{DEVIATION} {name}", 0, 0, spread.deviation


def _write_metrics(metrics: pq.ParquetWriter, run: str, rows: Iterable[MetricRow]) -> None:
    found = list(rows)
    keys = _keys(dict.fromkeys(name for name, *_ in found))
    table = [
        {"run": run, "key": keys[name], "step": step, "milliseconds": at, "value": float(value)}
        for name, step, at, value in found
    ]
    metrics.write_table(pa.Table.from_pylist(table, schema=_METRICS))


def _write_artifacts(trial: ExportedTrial, folder: Path) -> None:
    samples = folder / "samples"
    samples.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(dict(trial.config), indent=1), encoding="utf-8")
    titles = [f"{picture.name}, epoch {picture.epoch}" for picture in trial.pictures]
    names = file_names(titles)
    for title, picture in zip(titles, trial.pictures, strict=True):
        (samples / f"{names[title]}.{picture.format}").write_bytes(picture.content)


def _keys(names: Iterable[str]) -> dict[str, str]:
    """Names -> keys that MLflow takes, no two alike."""
    found: dict[str, str] = {}
    for name in names:
        key = _NOT_IN_KEYS.sub("_", name).strip(" /.")[: _MOST_LETTERS["key"] - 10] or "_"
        taken = set(found.values())
        choices = (key, *(f"{key}_{count}" for count in range(2, len(taken) + 3)))
        found[name] = next(choice for choice in choices if choice not in taken)
    return found


def _flat(content: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Settings by their dotted paths."""
    for name, value in content.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{above}{name}.")
        else:
            yield above + name, value


def _milliseconds(trial: ExportedTrial, share: float) -> int:
    return round(1000 * trial.time(share))


TARGET = Target("mlflow", "an MLflow store in SQLite, a run for every cell above those of its seeds", write)
