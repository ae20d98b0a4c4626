"""A study folder as tidy pandas frames: one row per trial, training batch, evaluated image, stored picture.

The plan (`study.json`) says which trials exist and in which order; the ledger says what became of them.
Axis values come from the plan, by signature: a space may have grown axes since a trial ran. A planned trial
without a record is a row with status `missing`, so nothing that was planned disappears from a count.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd

from analysis.labels import (
    axis_label,
    coordinates,
    known_curves,
    known_metrics,
    use_study,
    value_label,
    x_labels,
)
from orchestrator.ledger import Ledger, StudyPlan, comparisons, read_study
from trainables.wording import look_up

T = TypeVar("T")

MISSING = "missing"
"""Status of a planned trial that the ledger does not know (yet)."""
STOPPED = ("pruned", "stopped")
"""Statuses of a trial that a search ended before its last epoch."""

_IDENTITY = ["cell", "is_baseline", "seed", "signature"]
_COLUMNS: dict[str, tuple[str, ...]] = {
    "trials": (
        *("status", "reason", "attempt", "num_parameters", "wall_seconds", "train_seconds", "device"),
        *("started_at", "finished_at", "config", "provenance", "notes", "parent", "code"),
    ),
    "curves": ("epoch", "batch", "optimizer_step", "learning_rate"),
    "evaluations": ("epoch", "image_id", "subgroup"),
    "samples": ("kind", "image_id", "epoch", "image", "media_type", "content"),
}
"""Columns every frame has, even when the ledger is empty, beside the study's own curves and coordinates."""

PNG = "image/png"
"""What samples were before they said it."""

AxisValue = Any
"""str, int, float or bool, as written in the space."""


@dataclass(frozen=True, eq=False)
class StudyFrames:
    """A study as frames; each starts with `cell`, `is_baseline`, `seed`, `signature` and `axis_<name>`s.

    `cell` is an ordered categorical in the plan's order. Summary metrics are `metric_<name>` in `trials`.
    """

    study: StudyPlan
    trials: pd.DataFrame
    curves: pd.DataFrame
    evaluations: pd.DataFrame
    samples: pd.DataFrame
    num_unplanned: int = 0
    """Committed trials that belong to no cell of the present plan: of removed seeds, cells or settings."""
    num_removed_seeds: int = 0
    """How many of those are trials of a present cell with a seed that it no longer has."""
    folder: Path = Path()
    """Where the study lies; files that a figure names are looked for here first."""
    damaged: tuple[str, ...] = ()
    """Ledger files found damaged; their trials count as missing."""
    of_other_code: frozenset[str] = frozenset()
    """Signatures of planned trials that other source code has made than the plan's. They count as missing, unless the
    study reuses them."""

    @property
    def cells(self) -> list[str]:
        """Cell names, in the plan's order."""
        return [cell.cell for cell in self.study.cells]

    @property
    def baseline(self) -> str | None:
        """The cell all others are compared with; None where the plan has none."""
        baseline = self.study.baseline
        return None if baseline is None else baseline.cell

    @property
    def search_results(self) -> dict[str, Any]:
        """What a search that has ended found, as it left it in `tuning.json`; empty where there is none."""
        path = self.folder / "tuning.json"
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}

    @property
    def published(self) -> dict[str, str]:
        """What was published of the question, such as a figure's number; empty where the space says `none`."""
        return {name: str(value) for name, value in self.study.published.items() if value != "none"}

    @property
    def reference_label(self) -> str:
        """What the cells are compared with, in words."""
        axis = self.study.compare
        if axis is None:
            return "no baseline" if self.baseline is None else self.cell_label(self.baseline)
        return f"{value_label(comparisons.baseline_point(self.study).get(axis))}, all else equal"

    @property
    def primary_metric(self) -> str:
        """Name of the metric the verdicts are about."""
        return str(self.study.primary["metric"])

    @property
    def margin(self) -> float:
        """Smallest difference of the primary metric that matters, in its unit."""
        return float(self.study.primary["margin"])

    @property
    def alpha(self) -> float:
        """Error rate of the whole family of contrasts."""
        return float(self.study.primary["alpha"])

    @property
    def seeds(self) -> list[int]:
        """All planned seeds, in the plan's order."""
        return list(dict.fromkeys(trial.seed for cell in self.study.cells for trial in cell.trials))

    def axis_values(self, axis: str) -> list[AxisValue]:
        """Values of an axis in the space's order; `cell` is an axis too. Raises KeyError for others."""
        return list(self.cells) if axis == "cell" else list(self.study.axes[axis])

    def cells_along(
        self, axes: Sequence[str], fixed: Mapping[str, AxisValue] | None = None
    ) -> dict[tuple[AxisValue, ...], str]:
        """Values of `axes` -> the cell there, all other axes held at `fixed` or at the baseline's value.

        Cells that coincide with several points (a head count means nothing to a convolution) appear at each.
        """
        return comparisons.cells_along(self.study, axes, fixed)

    def cell_label(self, cell: str) -> str:
        """The shortest name that says what a cell changes: `conv`, or `encoder = conv, heads = 4`.

        Where cells are compared along one axis, what they have in common says as much: `conv, sad`.
        """
        base = comparisons.baseline_point(self.study)
        entry = comparisons.entry(self.study, cell)
        own = dict(entry.axis_values)
        if entry.role == "placebo":
            return "placebo"
        if entry.role == "parent":  # It stands where the axes may have no name for it.
            return value_label(cell.replace("=", " = ").replace(",", ", "))
        if len(own) == 1:
            return value_label(next(iter(own.values())))
        if self.study.compare is not None:
            return ", ".join(_short_label(axis, value) for axis, value in own.items())
        changed = {axis: value for axis, value in own.items() if base.get(axis) != value}
        if not changed:
            return "baseline"
        return ", ".join(_full_label(axis, value) for axis, value in changed.items())


def _full_label(axis: str, value: AxisValue) -> str:
    return f"{axis_label(axis)} = {value_label(value)}"


def _short_label(axis: str, value: AxisValue) -> str:
    """A name speaks for itself; a number or a truth does not."""
    return value_label(value) if isinstance(value, str) else _full_label(axis, value)


def remembered(compute: Callable[[StudyFrames], T]) -> Callable[[StudyFrames], T]:
    """Compute something about a study once, for as long as its frames are in use."""
    known: WeakKeyDictionary[StudyFrames, T] = WeakKeyDictionary()

    @wraps(compute)
    def once(frames: StudyFrames) -> T:
        if frames not in known:
            known[frames] = compute(frames)
        return known[frames]

    return once


def load_frames(study_folder: Path, ledger: Ledger | None = None) -> StudyFrames:
    """Read a study folder. An empty or absent ledger gives empty frames and `missing` trials.

    `ledger` is the study's own, where somebody keeps it: it reads only what it has not read yet.
    """
    study = read_study(study_folder)
    use_study(study)
    ledger = ledger or Ledger(study_folder / "ledger")
    ledger.prefer(study.codes)
    records = ledger.records()
    tables = {
        name: ledger.table(name, lists=False).to_pandas() for name in ("curves", "evaluations", "samples")
    }
    return frames_of(study, records, tables, study_folder, tuple(ledger.damaged))


def frames_of(
    study: StudyPlan,
    trials: Sequence[Mapping[str, Any]],
    tables: Mapping[str, pd.DataFrame],
    folder: Path = Path(),
    damaged: tuple[str, ...] = (),
) -> StudyFrames:
    """The frames of a study from the rows of its ledger, wherever they come from.

    `trials` are records, one per signature; `tables` are `curves`, `evaluations` and `samples`.
    """
    planned = _planned(study)
    records = pd.DataFrame(list(trials))
    known = set(planned["signature"])
    other = study.of_other_code(trials) & known
    unplanned = 0 if records.empty else int((~records["signature"].isin(known)).sum())
    if other and not study.reuses_changed_code:
        records = records[~records["signature"].isin(other)]
    counting = planned if study.reuses_changed_code else planned[~planned["signature"].isin(other)]
    curves, evaluations, samples = (
        _joined(counting, tables[name], name) for name in ("curves", "evaluations", "samples")
    )
    samples["image"] = samples["image"].map(_png_bytes)
    is_said = samples["kind"].astype(str).str.contains("/")  # so commands' samples were told apart before
    told = samples["media_type"].where(samples["media_type"].notna(), samples["kind"].where(is_said, PNG))
    samples["media_type"] = told.astype("object")
    samples["content"] = samples["content"].where(samples["content"].notna(), samples["image"])
    own = _with_settings(_with_training_effort(_trials(planned, records), curves))
    return StudyFrames(
        study, own, curves, evaluations, samples, unplanned, _removed_seeds(study, records), folder, damaged,
        frozenset(other),
    )  # fmt: skip


def load_trials(study_folder: Path) -> pd.DataFrame:
    """The planned trials of a study with their summary metrics alone: no rows of curves, items or samples are read.

    Raises LedgerError where there is no study.
    """
    study = read_study(study_folder)
    use_study(study)
    return _trials(_planned(study), pd.DataFrame(Ledger(study_folder / "ledger").records()))


def primary_values(trials: pd.DataFrame, metric: str) -> pd.Series:
    """The summary of `metric` per row of `trials`, as floats; NaN where the trial has none."""
    column = f"metric_{metric}"
    if column not in trials:
        return pd.Series(np.nan, index=trials.index, dtype="float64")
    return trials[column].astype("float64")


def summary_metrics(trials: pd.DataFrame) -> list[str]:
    """Names of the summary metrics that any trial has a value of."""
    columns = [column for column in trials.columns if column.startswith("metric_")]
    return [column.removeprefix("metric_") for column in columns if trials[column].notna().any()]


def _planned(study: StudyPlan) -> pd.DataFrame:
    """One row per planned trial: identity and axis values."""
    rows = [
        {"cell": cell.cell, "is_baseline": cell.is_baseline, "seed": trial.seed, "signature": trial.signature}
        | {f"axis_{axis}": cell.axis_values.get(axis) for axis in study.axes}
        for cell in study.cells
        for trial in cell.trials
    ]
    frame = pd.DataFrame(rows, columns=[*_IDENTITY, *(f"axis_{axis}" for axis in study.axes)])
    names = [cell.cell for cell in study.cells]
    return frame.assign(cell=pd.Categorical(frame["cell"], categories=names, ordered=True))


def _joined(planned: pd.DataFrame, table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Rows of a ledger table that belong to planned trials, in the plan's order."""
    own_names = [*known_curves(), *x_labels()] if name == "curves" else [one.name for one in coordinates()]
    expected = [*_COLUMNS[name], *own_names]
    own = [column for column in table.columns if column not in (*planned.columns, "schema_version")]
    table = table.reindex(columns=["signature", *dict.fromkeys([*expected, *own])])
    # A left join from the plan would add a row for trials without any; an inner one keeps the plan's order.
    return planned.merge(table.astype({"signature": "str"}), on="signature", how="inner").reset_index(
        drop=True
    )


def _trials(planned: pd.DataFrame, records: pd.DataFrame) -> pd.DataFrame:
    """Every planned trial with what the ledger says of it."""
    records = records.reindex(
        columns=list(dict.fromkeys(["signature", *_COLUMNS["trials"], *records.columns]))
    )
    own = [column for column in records.columns if column == "signature" or column not in planned.columns]
    own = [column for column in own if not column.startswith("axis_")]
    trials = planned.merge(records[own].astype({"signature": "str"}), on="signature", how="left")
    return trials.assign(
        status=trials["status"].astype("object").where(trials["status"].notna(), MISSING),
        reason=trials["reason"].astype("object").where(trials["reason"].notna(), ""),
    )


def _with_training_effort(trials: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """Add epochs and optimizer steps of each trial, and its last epoch's mean losses where not recorded."""
    last = curves.groupby("signature")[[*x_labels()]].max()
    last = last.rename(columns={"epoch": "epochs", "optimizer_step": "optimizer_steps"})
    trials = trials.merge(last, left_on="signature", right_index=True, how="left")
    in_last = curves["epoch"] == curves.groupby("signature")["epoch"].transform("max")
    judged = [name for name in known_metrics() if name in known_curves()]
    means = curves[in_last].groupby("signature")[judged].mean()
    for loss in means.columns:
        if f"metric_{loss}" not in trials:
            trials[f"metric_{loss}"] = trials["signature"].map(means[loss])
    return trials


def _removed_seeds(study: StudyPlan, records: pd.DataFrame) -> int:
    """Records of a cell that the plan still has, with a seed that it has no more."""
    if records.empty:
        return 0
    present = {cell.cell: {trial.seed for trial in cell.trials} for cell in study.cells}
    own = records[records["cell"].isin(present)]
    return sum(seed not in present[cell] for cell, seed in zip(own["cell"], own["seed"], strict=True))


def _with_settings(trials: pd.DataFrame) -> pd.DataFrame:
    """Add `is_stopped`, and for each coordinate the value that a trial is judged at, as its configuration says.

    The latter are in columns `primary_<coordinate>`, NaN where no setting says it. A trial is stopped early when it
    says so, or when it trained fewer epochs than it was configured for.
    """
    configs = [json.loads(text) if isinstance(text, str) else {} for text in trials["config"]]
    planned = [(config.get("training") or {}).get("epochs") for config in configs]
    asked = pd.Series(planned, index=trials.index, dtype="float64")
    return trials.assign(
        **{
            primary(one.name): pd.Series(
                [_judged_at(config, one.setting) for config in configs], index=trials.index, dtype="float64"
            )
            for one in coordinates()
            if not one.is_text
        },
        is_stopped=trials["status"].isin(STOPPED)
        | ((trials["status"] == "done") & (trials["epochs"] < asked)),
    )


def primary(coordinate: str) -> str:
    """The column of `trials` with the value of a coordinate that a trial is judged at."""
    return f"primary_{coordinate}"


def _judged_at(config: Mapping[str, Any], setting: str | None) -> Any:
    value = None if setting is None else look_up(config, tuple(setting.split(".")))
    return value[0] if isinstance(value, list) and value else value


def _png_bytes(image: Any) -> bytes | None:
    """The PNG of a Hugging Face image struct."""
    return image.get("bytes") if isinstance(image, dict) else None
