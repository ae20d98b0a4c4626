"""HParams of TensorBoard: an axis a column, a cell a group, a seed a session of it, a metric a column with its spread.

TensorBoard shows a group by the mean over its sessions and has no spread (tensorboard#376), so every session also holds
what is the same for all of its cell: the standard deviation and the number of seeds. Their mean is themselves.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tensorboardX.proto.api_pb2 import Experiment
from tensorboardX.proto.plugin_hparams_pb2 import SessionEndInfo, SessionStartInfo

from analysis.export._events import EventFile
from analysis.export._trials import (
    DEVIATION,
    SEEDS_DONE,
    ExportedTrial,
    Spread,
    StudyTrials,
    metric_meaning,
    metric_title,
    plain_text,
)
from analysis.labels import axis_label

_UNKNOWN, _SUCCESS, _FAILURE = 0, 1, 2
_STATUS = {"done": _SUCCESS, "failed": _FAILURE, "skipped": _FAILURE}
_STRING, _BOOL, _FLOAT = 1, 2, 3

AxisTypes = Mapping[str, int]
"""Axis -> the type that holds all its values, as HParams names types."""


def axis_types(axes: Mapping[str, Sequence[Any]]) -> AxisTypes:
    """Numbers and truths where all values are; else text."""
    return {axis: _type_of(values) for axis, values in axes.items()}


def write_start(file: EventFile, trial: ExportedTrial, types: AxisTypes) -> None:
    """Say that a run is a session of its cell's group."""
    start = SessionStartInfo(group_name=plain_text(trial.cell), start_time_secs=trial.time(0.0))
    for axis, kind in types.items():
        match _held(trial.axes.get(axis), kind):
            case bool() as truth:
                start.hparams[axis].bool_value = truth
            case float() as number:
                start.hparams[axis].number_value = number
            case str() as text:
                start.hparams[axis].string_value = text
    file.hparams("session_start_info", session_start_info=start)


def write_end(file: EventFile, trial: ExportedTrial) -> None:
    """Say how a session ended."""
    end = SessionEndInfo(status=_STATUS.get(trial.status, _UNKNOWN), end_time_secs=trial.time(1.0))
    file.hparams("session_end_info", session_end_info=end)


def write_spreads(file: EventFile, spreads: Mapping[str, Spread]) -> None:
    """What is said of all done seeds of a run's cell."""
    file.number(SEEDS_DONE, max((spread.num_seeds for spread in spreads.values()), default=0))
    for name, spread in spreads.items():
        if spread.deviation is not None:
            file.number(f"{DEVIATION} {plain_text(name)}", spread.deviation)


def write_columns(file: EventFile, study: StudyTrials) -> None:
    """The columns of the table: axes, then every metric with its spread."""
    types = axis_types(study.study.axes)
    experiment = Experiment(name=plain_text(study.study.name), description=study.study.question)
    for axis, kind in types.items():
        values = [_held(value, kind) for value in study.study.axes[axis]]
        known = [value for value in values if value is not None]
        column = experiment.hparam_infos.add(name=axis, display_name=plain_text(axis_label(axis)), type=kind)
        column.domain_discrete.extend(known)
    for tag, title, description in _metric_columns(study.described_metrics):
        column = experiment.metric_infos.add(display_name=title, description=description)
        column.name.tag = tag
    file.hparams("experiment", experiment=experiment)


def _metric_columns(metrics: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """(tag, title, description) of every column."""
    yield SEEDS_DONE, "seeds done", "Means and standard deviations are over these."
    for name in metrics:
        title = metric_title(name)
        yield f"metric/{plain_text(name)}", title, metric_meaning(name)
        yield f"{DEVIATION} {plain_text(name)}", f"{title}, standard deviation over seeds", ""


def _type_of(values: Sequence[Any]) -> int:
    told = [value for value in values if value is not None]
    if told and all(isinstance(value, bool) for value in told):
        return _BOOL
    is_number = all(
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        for value in told
    )
    return _FLOAT if told and is_number else _STRING


def _held(value: Any, kind: int) -> Any:
    """A value of an axis as its column holds it; None where it has none."""
    if kind == _STRING:
        text = value if isinstance(value, str) else "none" if value is None else json.dumps(value)
        return plain_text(text)
    return value if kind == _BOOL or value is None else float(value)
