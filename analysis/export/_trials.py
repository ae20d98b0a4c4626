"""The trials of a study as exporters see them: names, settings, numbers, curves and samples of one at a time."""

import io
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from itertools import groupby, pairwise
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from analysis.escaping import on_one_line
from analysis.frames import MISSING
from analysis.labels import (
    axis_label,
    known_curves,
    known_metrics,
    metric_info,
    use_study,
    value_label,
    x_labels,
)
from orchestrator.ledger import Ledger, StudyCell, read_study
from orchestrator.ledger.schemas import Row
from trainables.names import distinct, folded, visible, wrong_name

METRIC = "metric_"
SEEDS_DONE, DEVIATION = "seeds/number done", "seeds/deviation of"
"""What is said of all done seeds of a cell together."""
_NO_CURVE = ("batch",)
"""Columns of the curves that say where a row is, beside those that curves are drawn along."""
_NO_PLACE = ("signature", "attempt", "kind", "image_id", "epoch", "image", "media_type", "content")
"""Columns of the samples that are no coordinate."""
_BROWSERS_SHOW = ("PNG", "JPEG", "GIF", "WEBP")


class Point(NamedTuple):
    """A number of a curve."""

    step: int
    value: float
    share: float
    """How much of the trial was over, from 0 to 1."""


class Picture(NamedTuple):
    """A sample that is a picture."""

    name: str
    """`output/item-1, temperature 0.5`: kind, item, and the coordinates that tell it from the trial's others."""
    kind: str
    """`edit`, `original`, `image/png`."""
    epoch: int
    content: bytes
    """A file that browsers show."""
    format: str
    """`png`, `jpeg`: the ending of its name."""
    width: int
    height: int


class Spread(NamedTuple):
    """A metric over the finished seeds of a cell."""

    mean: float
    deviation: float | None
    """Standard deviation; None of one seed."""
    num_seeds: int


@dataclass(frozen=True)
class ExportedTrial:
    """One trial, with its rows where it is done."""

    signature: str
    cell: str
    seed: int
    axes: Mapping[str, Any]
    """Every axis -> the value there, the baseline's where the cell leaves it."""
    status: str = MISSING
    attempt: int = 0
    reason: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    """Complete and resolved."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Summary metrics that it has a value of."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Device, times, weights: what the ledger knows besides."""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    curve_rows: pa.Table = field(default_factory=lambda: pa.table({}))
    sample_rows: pa.Table = field(default_factory=lambda: pa.table({}))

    @property
    def name(self) -> str:
        """Cell and seed."""
        return f"{self.cell}, seed {self.seed}"

    def time(self, share: float) -> float:
        """Seconds since 1970 when so much of it was over; 0 where it never began."""
        if self.started_at is None:
            return 0.0
        began = self.started_at.timestamp()
        ended = began if self.finished_at is None else self.finished_at.timestamp()
        return began + share * (ended - began)

    def curves(self) -> Iterator[tuple[str, list[Point]]]:
        """Every number of the curves by row; nothing where an epoch has one row, which `epoch_means` tells.

        The step is the optimizer's where it goes up from row to row, else the number of the row.
        """
        rows = self.curve_rows
        epochs = _column(rows, "epoch")
        if len(set(epochs)) == len(epochs):
            return
        steps = _column(rows, "optimizer_step")
        if None in steps or any(after <= before for before, after in pairwise(steps)):
            steps = list(range(1, len(rows) + 1))
        for name in self._numbers():
            told = enumerate(zip(steps, _column(rows, name), strict=True), 1)
            yield (
                name,
                [Point(step, value, row / len(rows)) for row, (step, value) in told if value is not None],
            )

    def epoch_means(self) -> Iterator[tuple[str, list[Point]]]:
        """The mean of every number of the curves by epoch; the step is the epoch."""
        epochs = [0 if epoch is None else epoch for epoch in _column(self.curve_rows, "epoch")]
        last = max(epochs, default=1)
        for name in self._numbers():
            by_epoch: dict[int, list[float]] = {}
            for epoch, value in zip(epochs, _column(self.curve_rows, name), strict=True):
                if value is not None:
                    by_epoch.setdefault(epoch, []).append(value)
            means = ((epoch, fmean(values)) for epoch, values in sorted(by_epoch.items()))
            yield name, [Point(epoch, mean, epoch / max(last, 1)) for epoch, mean in means]

    def _numbers(self) -> list[str]:
        """Columns of the curves that hold a number in any row."""
        rows, usual = self.curve_rows, known_curves()
        found = [
            column.name
            for column in rows.schema
            if column.name not in (*_NO_PLACE, *_NO_CURVE, *x_labels())
            and (pa.types.is_floating(column.type) or pa.types.is_integer(column.type))
            and rows.column(column.name).null_count < len(rows)
        ]
        return sorted(found, key=lambda name: usual.index(name) if name in usual else len(usual))

    @cached_property
    def pictures(self) -> list[Picture]:
        """The samples that are pictures, in the ledger's order."""
        coordinates = [name for name in self.sample_rows.column_names if name not in _NO_PLACE]
        varied = [name for name in coordinates if len(set(_column(self.sample_rows, name)) - {None}) > 1]
        seen = (
            (row, shown_picture((row.get("image") or {}).get("bytes")))
            for row in self.sample_rows.to_pylist()
        )
        return [
            Picture(_sample_name(row, varied), str(row.get("kind")), row.get("epoch") or 0, *found)
            for row, found in seen
            if found is not None
        ]


class StudyTrials:
    """The planned trials of a study, as its files tell of them now.

    Raises LedgerError where the folder holds no study.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.study = read_study(folder)
        use_study(self.study)
        self.ledger = Ledger(folder / "ledger")
        self.ledger.prefer(self.study.codes)
        self._records = {record["signature"]: record for record in self.ledger.records()}
        self._cells = {
            trial.signature: (cell, trial.seed) for cell in self.study.cells for trial in cell.trials
        }
        self._num_other_samples = 0

    def trials(self, *, with_rows: bool = True) -> Iterator[ExportedTrial]:
        """Every planned trial, in the plan's order; those that have not run are `missing`."""
        tables = {"curve_rows": "curves", "sample_rows": "samples"} if with_rows else {}
        rows = {name: _by_trial(self.ledger.table(table)) for name, table in tables.items()}
        for signature in self._cells:
            own = {name: found[signature] for name, found in rows.items() if signature in found}
            trial = self.trial(signature, self._records.get(signature, {}), **own)
            self._num_other_samples += len(trial.sample_rows) - len(trial.pictures)
            yield trial

    def plans(self, signature: str) -> bool:
        """Whether a trial is one of the plan."""
        return signature in self._cells

    def records(self) -> list[Row]:
        """Of the planned trials that have one."""
        return [self._records[signature] for signature in self._cells if signature in self._records]

    def read(self, record: Row) -> ExportedTrial:
        """One trial that has just ended, with its rows, however many others there are."""
        signature = record["signature"]
        found = self.ledger.read_done(signature, record["attempt"]) if record["status"] == "done" else None
        if found is None:
            return self.trial(signature, record)
        record, rows = found
        return self.trial(
            signature, record, curve_rows=_table(rows["curves"]), sample_rows=_table(rows["samples"])
        )

    def trial(self, signature: str, record: Row, **rows: pa.Table) -> ExportedTrial:
        """A trial by its record, which may be empty for a planned one."""
        planned = self._cells.get(signature)
        cell, seed = (record["cell"], record["seed"]) if planned is None else (planned[0].cell, planned[1])
        own = _decoded(record.get("axis_values")) if planned is None else planned[0].axis_values
        facts = {name: record[name] for name in _FACTS if record.get(name) is not None}
        if "provenance" in facts:
            facts["provenance"] = _decoded(facts["provenance"])
        return ExportedTrial(
            signature,
            cell,
            seed,
            self._point(own, planned and planned[0]),
            record.get("status", MISSING),
            record.get("attempt", 0),
            record.get("reason") or "",
            _decoded(record.get("config")),
            {
                name.removeprefix(METRIC): value
                for name, value in record.items()
                if name.startswith(METRIC) and value is not None
            },
            facts,
            record.get("started_at"),
            record.get("finished_at"),
            **rows,
        )

    @property
    def metrics(self) -> list[str]:
        """Summary metrics that any planned trial has: those of the study first, the primary one before all."""
        found = {
            name.removeprefix(METRIC)
            for signature, record in self._records.items()
            if signature in self._cells
            for name, value in record.items()
            if name.startswith(METRIC) and value is not None
        }
        order = dict.fromkeys([str(self.study.primary["metric"]), *known_metrics(), *sorted(found)])
        return [name for name in order if name in found]

    @property
    def described_metrics(self) -> list[str]:
        """Those of `metrics` that the study says something about; all of them where it says nothing."""
        return [name for name in self.metrics if name in known_metrics()] or self.metrics

    def spreads(self) -> dict[str, dict[str, Spread]]:
        """Cell -> described metric -> mean and spread over its done seeds; NaN where a value is not finite."""
        values: dict[str, dict[str, list[float]]] = {}
        for signature, (cell, _) in self._cells.items():
            record = self._records.get(signature, {})
            if record.get("status") == "done":
                for name in self.described_metrics:
                    if (value := record.get(METRIC + name)) is not None:
                        values.setdefault(cell.cell, {}).setdefault(name, []).append(value)
        return {cell: {name: _spread(found) for name, found in own.items()} for cell, own in values.items()}

    def remarks(self) -> list[str]:
        """What a user should know of what was left out."""
        states = Counter(self._records.get(name, {}).get("status", MISSING) for name in self._cells)
        unfinished = {state: count for state, count in states.items() if state != "done"}
        lines = []
        if unfinished:
            told = ", ".join(f"{count} {state}" for state, count in unfinished.items())
            lines.append(
                f"{states['done']} of {len(self._cells)} trials are done ({told}); the rest has no curves yet"
            )
        if self._num_other_samples:
            lines.append(f"{self._num_other_samples} samples are no pictures, and left out")
        return [*lines, *(f"damaged, and left out: {name}" for name in self.ledger.damaged)]

    def _point(self, own: Mapping[str, Any], cell: StudyCell | None) -> dict[str, Any]:
        """A value for every axis; cells that stand outside the axes keep what they have."""
        base = self.study.baseline
        if base is None or (cell is not None and cell.role != "design"):
            return dict(own)
        return {axis: {**base.axis_values, **own}.get(axis) for axis in self.study.axes}


_FACTS = (
    *("device", "num_parameters", "wall_seconds", "train_seconds", "parent", "started_at", "finished_at"),
    *("provenance", "notes"),
)


def metric_title(name: str) -> str:
    """Label and unit of a metric; its name where the study does not describe it."""
    if name not in known_metrics():
        return name.replace("_", " ")
    info = metric_info(name)
    return f"{info.label} ({info.unit})" if info.unit else info.label


def metric_meaning(name: str) -> str:
    """Direction and meaning of a metric."""
    if name not in known_metrics():
        return ""
    info = metric_info(name)
    return " ".join(
        ["Higher is better." if info.higher_is_better else "Lower is better.", info.description]
    ).strip()


def file_names(names: Iterable[str]) -> dict[str, str]:
    """Names -> names of files or folders that any system can have, no two alike."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in dict.fromkeys(names):
        plain = "".join(
            "_" if letter in '/\\:*?"<>|' or not letter.isprintable() else letter for letter in name
        )
        plain = (
            plain.strip(". ")[:80].lstrip("-").encode("utf-8")[:150].decode("utf-8", "ignore").rstrip(". ")
        )
        if wrong_name(plain):
            plain = f"x_{plain}"
        found[name] = distinct(plain, taken)
        taken.add(folded(found[name]))
    return found


def plain_text(text: object) -> str:
    """A text on one line without anything invisible."""
    return on_one_line(visible(str(text)))


def _sample_name(row: Row, coordinates: Sequence[str]) -> str:
    told = [f"{axis_label(name)} {value_label(row[name])}" for name in coordinates if row[name] is not None]
    told = [text.replace("−", "-") for text in told]  # a name is typed and searched for
    return plain_text(f"{row.get('kind')}/{', '.join([str(row.get('image_id')), *told])}")


def shown_picture(content: bytes | None) -> tuple[bytes, str, int, int] | None:
    """A file that browsers show, its format, width and height; None for what is no picture."""
    from PIL import Image, UnidentifiedImageError

    if not content:
        return None
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            if image.format in _BROWSERS_SHOW:
                return content, image.format.lower(), *image.size
            buffer = io.BytesIO()
            image.convert("RGBA").save(buffer, format="PNG")
            return buffer.getvalue(), "png", *image.size
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def _by_trial(table: pa.Table) -> dict[str, pa.Table]:
    """Signature -> its rows, in their order."""
    table = table.take(pc.sort_indices(table, [("signature", "ascending")]))  # a stable sort
    found, start = {}, 0
    for name, same in groupby(table.column("signature").to_pylist()):
        count = sum(1 for _ in same)
        found[name] = table.slice(start, count)
        start += count
    return found


def _table(rows: Sequence[Row]) -> pa.Table:
    return pa.Table.from_pylist(list(rows))


def _column(table: pa.Table, name: str) -> list[Any]:
    return table.column(name).to_pylist() if name in table.column_names else [None] * len(table)


def _decoded(value: Any) -> dict[str, Any]:
    """A JSON column, or what it holds."""
    return dict(json.loads(value)) if isinstance(value, str) else dict(value or {})


def _spread(values: Sequence[float]) -> Spread:
    if not all(map(math.isfinite, values)):
        return Spread(math.nan, math.nan, len(values))
    return Spread(fmean(values), stdev(values) if len(values) > 1 else None, len(values))
