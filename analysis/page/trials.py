"""The trials of a page: their table, their settings against the baseline's, the ends of their logs, their files."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from analysis.figures.parallel import is_logarithmic
from analysis.frames import MISSING, StudyFrames, primary_values, summary_metrics
from analysis.labels import axis_label, known_metrics, metric_info, value_label
from analysis.page.shape import Column, Failure, Group, Scalar, Trials
from orchestrator.ledger.study import end_of_log, log_file
from trainables.model_files import model_file

LINES_OF_FAILED = 20
LINES_OF_DONE = 3
"""Lines from the end of a log."""
MAX_LINE = 300
"""Letters of such a line."""
MAX_LOG_LETTERS = 300_000
"""Letters of the logs of trials that are done, all together: more are left to the files."""
_COSTS = {"num_parameters": "parameters", "epochs": "epochs", "train_seconds": "training seconds",
          "wall_seconds": "wall seconds"}  # fmt: skip


def trials_of(frames: StudyFrames) -> Trials:
    """Every planned trial."""
    trials = frames.trials
    configs = [_flat(text) for text in trials["config"]]
    base = _base(frames, configs)
    apart = [None if config is None else json.dumps(_apart(config, base)) for config in configs]
    changes = {text: index for index, text in enumerate(dict.fromkeys(text for text in apart if text))}
    signatures = [str(signature) for signature in trials["signature"]]
    statuses = [str(status) for status in trials["status"]]
    return {
        "cells": [int(code) for code in trials["cell"].cat.codes],
        "seeds": [int(seed) for seed in trials["seed"]],
        "signatures": signatures,
        "statuses": statuses,
        "reasons": [str(reason) for reason in trials["reason"]],
        "columns": list(_columns(frames)),
        "configs": [-1 if text is None else changes[text] for text in apart],
        "base": base,
        "changes": [json.loads(text) for text in changes],
        "log_ends": _log_ends(frames, signatures, statuses),
        "log_files": [_existing(frames, log_file(signature)) for signature in signatures],
        "model_files": [_existing(frames, model_file(signature)) for signature in signatures],
    }


def failures_of(trials: Trials) -> list[Failure]:
    """Trials that ended without a result, and those that cannot run."""
    fine = ("done", MISSING)
    return [
        {"trial": index, "status": status, "reason": trials["reasons"][index]}
        for index, status in enumerate(trials["statuses"])
        if status not in fine
    ]


def _columns(frames: StudyFrames) -> Iterator[Column]:
    trials, study = frames.trials, frames.study
    labels = [frames.cell_label(str(cell)) for cell in frames.cells]
    own = [labels[code] for code in trials["cell"].cat.codes]
    yield _words("cell", "cell", "identity", own, labels)
    yield _numbers("seed", "seed", "identity", trials["seed"])
    states = [_STATUS.get(str(status), str(status)) for status in trials["status"]]
    yield _words("status", "status", "identity", states, sorted(set(states)))
    for axis, values in study.axes.items():
        at = trials[f"axis_{axis}"]
        if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            yield _numbers(f"axis_{axis}", axis_label(axis), "setting", pd.to_numeric(at, errors="coerce"))
        else:
            shown = [None if pd.isna(value) else value_label(value) for value in at]
            yield _words(f"axis_{axis}", axis_label(axis), "setting", shown, [*map(value_label, values)])
    for name in _metrics(frames):
        info = metric_info(name)
        label = f"{info.label} {info.arrow}" + (f" ({info.unit})" if info.unit else "")
        yield _numbers(name, label, "metric", primary_values(trials, name))
    for column, label in _COSTS.items():
        if column in trials and trials[column].notna().any():
            yield _numbers(column, label, "cost", trials[column])


_STATUS = {MISSING: "not run"}


def _metrics(frames: StudyFrames) -> list[str]:
    """Metrics that some trial has a value of, the primary one first; spreads within a trial are no metrics."""
    found = [name for name in summary_metrics(frames.trials) if name in known_metrics()]
    return list(dict.fromkeys([frames.primary_metric, *found]))


def _numbers(name: str, label: str, group: Group, values: pd.Series) -> Column:
    held = [None if pd.isna(value) else float(f"{value:.7g}") for value in values]
    shown = [value for value in held if value is not None]
    return {
        "name": name,
        "label": label,
        "group": group,
        "is_number": True,
        "is_log": is_logarithmic(shown),
        "is_constant": len(set(shown)) < 2,
        "order": [],
        "values": [int(value) if value is not None and value.is_integer() else value for value in held],
    }


def _words(name: str, label: str, group: Group, values: list[Any], order: list[str]) -> Column:
    return {
        "name": name,
        "label": label,
        "group": group,
        "is_number": False,
        "is_log": False,
        "is_constant": len({value for value in values if value is not None}) < 2,
        "order": list(dict.fromkeys(order)),
        "values": values,
    }


def _flat(text: object) -> dict[str, Scalar] | None:
    """The settings of a trial by their dotted names; None where it has not run."""
    if not isinstance(text, str):
        return None
    return dict(_leaves(json.loads(text), ""))


def _leaves(content: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Scalar]]:
    for name, value in content.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            is_scalar = value is None or isinstance(value, str | int | float | bool)
            yield f"{prefix}{name}", value if is_scalar else json.dumps(value, ensure_ascii=False)


def _base(frames: StudyFrames, configs: list[dict[str, Scalar] | None]) -> dict[str, Scalar]:
    """Settings of a trial of the baseline; of the first one that ran, where no baseline has."""
    ran = [
        config for config, own in zip(configs, frames.trials["is_baseline"], strict=True) if own and config
    ]
    return next(iter([*ran, *(config for config in configs if config)]), {})


def _apart(config: dict[str, Scalar], base: dict[str, Scalar]) -> dict[str, Scalar]:
    """Settings that are not the base's; `None` for those that it does not have."""
    names = dict.fromkeys([*base, *config])
    return {name: config.get(name) for name in names if config.get(name) != base.get(name)}


def _log_ends(frames: StudyFrames, signatures: list[str], statuses: list[str]) -> list[str]:
    room = MAX_LOG_LETTERS
    ends = []
    for signature, status in zip(signatures, statuses, strict=True):
        has_failed = status not in ("done", MISSING)
        end = _end(frames, signature, LINES_OF_FAILED if has_failed else LINES_OF_DONE)
        room -= 0 if has_failed else len(end)
        ends.append(end if has_failed or room >= 0 else "")
    return ends


def _end(frames: StudyFrames, signature: str, num_lines: int) -> str:
    """The last lines of a trial's log, long ones cut."""
    try:
        lines = end_of_log(frames.folder, signature, num_lines).splitlines()
    except OSError:
        return ""
    return "\n".join(line if len(line) <= MAX_LINE else f"{line[:MAX_LINE]} ..." for line in lines)


def _existing(frames: StudyFrames, path: str) -> str:
    return path if (frames.folder / path).is_file() else ""
