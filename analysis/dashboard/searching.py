"""How a search goes, while it goes: its values in the order they came, which settings matter, what nothing beats."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.figures import importance
from analysis.figures._text import TextTable
from analysis.figures.pareto import costs
from analysis.frames import StudyFrames, primary_values
from analysis.labels import axis_label, metric_info, number, value_label
from analysis.page.payload import table_of
from analysis.stats import FloatArray

Shown = dict[str, Any]


def search_progress(frames: StudyFrames) -> Shown | None:
    """What a search's page draws beside its table of trials; None for a study that is no search."""
    if not frames.study.is_search:
        return None
    return {"history": _history(frames), "importance": _importance(frames), "trade_off": _trade_off(frames)}


def _history(frames: StudyFrames) -> Shown:
    """The value of every trial that is done, in the order they ended, and the best up to it."""
    info = metric_info(frames.primary_metric)
    done = _done(frames, [frames.primary_metric]).sort_values("finished_at", kind="stable")
    values = done[frames.primary_metric].to_numpy(dtype=float)
    best = np.maximum.accumulate(values) if info.higher_is_better else np.minimum.accumulate(values)
    names = [_settings(frames, cell) for cell in done["cell"]]
    rows = [
        [str(place), name, number(float(value)), number(float(top))]
        for place, (name, value, top) in enumerate(zip(names, values, best, strict=True), start=1)
    ]
    label = f"{info.label} {info.arrow}"
    return {
        "label": label,
        "values": values.tolist(),
        "best": best.tolist(),
        "names": names,
        "table": table_of(TextTable(["trial", "settings", label, "best so far"], rows, 2)),
    }


def _importance(frames: StudyFrames) -> Shown:
    config = importance.Config(kind="importance")
    shares = importance.compute(frames, config)
    return {
        "rows": [
            {"label": row["label"], "share": row["share"], "text": f"{number(100 * row['share'])} %"}
            for row in shares.to_dict("records")
        ],
        "caption": importance.meaning(shares),
        "table": table_of(importance.text(shares, config)),
    }


def _trade_off(frames: StudyFrames) -> Shown | None:
    """Done trials by the first two objectives, and which of them no other one beats in all; None for one objective."""
    asked = dict.fromkeys([frames.primary_metric, *frames.study.design_settings.get("objectives", ())])
    names = [name for name in asked if name in costs() or f"metric_{name}" in frames.trials]
    if len(names) < 2:
        return None
    done = _done(frames, names)
    is_front = unbeaten(np.column_stack([done[name] * _sign(name) for name in names]))
    points = [
        {"name": _settings(frames, cell), "x": float(x), "y": float(y), "is_front": bool(front)}
        for cell, x, y, front in zip(done["cell"], done[names[1]], done[names[0]], is_front, strict=True)
    ]
    rows = [
        [_settings(frames, cell), number(float(y)), number(float(x)), "yes" if front else ""]
        for cell, x, y, front in zip(done["cell"], done[names[1]], done[names[0]], is_front, strict=True)
    ]
    y_label, x_label = (_label(name) for name in names[:2])
    return {
        "points": points,
        "x_label": x_label,
        "y_label": y_label,
        "table": table_of(TextTable(["settings", y_label, x_label, "unbeaten"], rows)),
    }


def unbeaten(values: FloatArray) -> Sequence[bool]:
    """Whether no other row of (n, objectives) is as good in all and better in one; higher is better."""
    return [not bool(((values >= own).all(axis=1) & (values > own).any(axis=1)).any()) for own in values]


def _done(frames: StudyFrames, names: Sequence[str]) -> pd.DataFrame:
    """Trials that are done and have all of these metrics or costs, in columns of these names."""
    trials = frames.trials[(frames.trials["status"] == "done") & ~frames.trials["is_stopped"]]
    columns = {
        name: trials[name].astype("float64") if name in costs() else primary_values(trials, name)
        for name in names
    }
    is_whole = np.isfinite(np.column_stack(list(columns.values()))).all(axis=1)
    found: pd.DataFrame = trials.assign(**columns).loc[is_whole]
    return found


def _settings(frames: StudyFrames, cell: str) -> str:
    values = next(entry.axis_values for entry in frames.study.cells if entry.cell == cell)
    return ", ".join(f"{axis_label(axis)} {value_label(value)}" for axis, value in values.items()) or cell


def _sign(name: str) -> int:
    return -1 if name in costs() else metric_info(name).sign


def _label(name: str) -> str:
    return f"{costs()[name]} ↓" if name in costs() else f"{metric_info(name).label} {metric_info(name).arrow}"
