"""Points that did best in other searches, from the ledgers of the same results folder."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from orchestrator.ledger import LedgerError, read_study
from orchestrator.ledger.copies import copy_of
from orchestrator.ledger.study import STUDY_FILE
from orchestrator.search.results import RESULTS_FILE
from orchestrator.space.axes import AxisValues
from orchestrator.space.designs.optuna import EarlierConfig
from orchestrator.study.launch import Study

PREFIX = "tune_"
"""What the name of a search's study begins with; what was tuned follows."""


def earlier_points(study: Study, wanted: EarlierConfig) -> list[tuple[AxisValues, str]]:
    """(point, what was tuned) of the best trials of other searches with the same first objective."""
    if wanted.best == 0:
        return []
    if (copy := copy_of(study.folder)) is not None:
        for name in copy.studies():
            if name.startswith(PREFIX) and name != study.folder.name:
                for file in (STUDY_FILE, RESULTS_FILE):
                    copy.pull(name, file)
    metric = study.space.config.primary.metric
    found: list[tuple[AxisValues, str]] = []
    for folder in sorted(study.folder.parent.glob(f"{PREFIX}*")):
        tuned = folder.name.removeprefix(PREFIX)
        is_wanted = wanted.names == "all" or tuned in wanted.names
        if folder != study.folder and is_wanted:
            best = sorted(_trials(folder, metric), key=lambda trial: trial[0])[: wanted.best]
            found += [(values, tuned) for _, values in best]
    return found


def _trials(folder: Path, metric: str) -> Iterator[tuple[float, Mapping[str, Any]]]:
    """(badness, point) of a search's trials; nothing where the folder holds no search for this metric."""
    try:
        read_study(folder)
        content = json.loads((folder / RESULTS_FILE).read_text(encoding="utf-8"))
        first = content["objectives"][0]
        if first["name"] != metric:
            return
        sign = -1 if first["higher_is_better"] else 1
        for trial in content["trials"]:
            if math.isfinite(trial["values"][0]):
                yield sign * trial["values"][0], trial["axis_values"]
    except (OSError, ValueError, KeyError, IndexError, TypeError, LedgerError):
        return  # Another study's trouble is no reason not to search here.
