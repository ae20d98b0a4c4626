"""What a command that has ended well leaves: metrics, rows per item, samples and a model."""

import math
import mimetypes
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

from trainables.command.config import METRICS_FILES, CommandConfig, MetricConfig
from trainables.command.curves import column_name
from trainables.command.reading import (
    Content,
    MetricMissing,
    is_csv,
    number_in,
    read_rows,
)
from trainables.errors import Unreadable
from trainables.names import visible
from trainables.run_logs.events import is_event_file, run_folder
from trainables.trials import Row
from trainables.wording import did_you_mean, shown

NUM_PARAMETERS = "num_parameters"
"""Key of a metrics file that says how many weights the script has trained."""
ITEM = "item"
MAX_ITEMS = 1_000_000
MEGABYTE = 1_000_000
_LISTED = 10


@dataclass
class Results:
    """Everything that a trial keeps of its folder."""

    summary: dict[str, float] = field(default_factory=dict)
    items: list[Row] = field(default_factory=list)
    num_parameters: int | None = None
    samples: list[Row] = field(default_factory=list)
    """Each with `name`, `media_type` and `content`, its bytes."""
    model: Path | None = None
    """A file in the trial's folder, or in a checkpoint."""
    notes: list[str] = field(default_factory=list)


def read_results(config: CommandConfig, folder: Path, output: str) -> Results:
    """Read what a script left in its folder, and what of its output is asked for. Raises Unreadable."""
    results = Results()
    named = {name: metric for name, metric in config.metrics.items() if metric.pattern is None}
    if named:
        path = _found_file(config.metrics_file, METRICS_FILES, folder, "metrics_file")
        columns, is_text = _columns(path)
        file = path.name if path.is_file() else "the script's log"
        for name, metric in named.items():
            results.summary[name] = _metric(name, metric, columns, file, is_text=is_text)
        content = {key: values[-1] for key, values in columns.items()}
        results.num_parameters = _num_parameters(content)
        if path.is_file():  # A log holds all sorts of numbers.
            results.notes += _not_declared(content, named, file)
    for name, metric in config.metrics.items():
        if metric.pattern is not None:
            results.summary[name] = _printed(name, metric, output)
    if config.items_file is not None:
        results.items = _items(config, _found_file(config.items_file, (), folder, "items_file"))
    results.samples, notes = _samples(config, folder)
    results.notes += notes
    results.model = _model(config, folder)
    return results


def files_matching(folder: Path, pattern: str) -> list[Path]:
    """Regular files of a folder that a glob matches, in the order of their names; none that a link leads out of it."""
    inside = folder.resolve()
    found = [
        path for path in folder.glob(pattern) if path.is_file() and path.resolve().is_relative_to(inside)
    ]
    return sorted(found)


def newest(paths: list[Path]) -> Path | None:
    """The file that was written last: of `version_0/` and `version_1/`, `epoch_9.pt` and `epoch_10.pt`.

    Of the files of TensorBoard and W&B, the folder of the run that began last.
    """
    if events := [path for path in paths if is_event_file(path)]:
        return run_folder(events)
    return max(paths, key=lambda path: path.stat().st_mtime_ns, default=None)


def _found_file(asked: str | None, usual: tuple[str, ...], folder: Path, setting: str) -> Path:
    patterns = usual if asked is None else (asked,)
    for pattern in patterns:
        if (found := newest(files_matching(folder, pattern))) is not None:
            return found
    there = [str(path.relative_to(folder)) for path in files_matching(folder, "**/*")]
    holds = f"it holds {_listed(there)}" if there else "it is empty"
    wanted = patterns[0] if asked is not None else f"one of {', '.join(patterns)}"
    near = did_you_mean(patterns[0], there) if asked is not None else f"; name it in {setting}"
    raise Unreadable(f"expected {wanted} in the trial's folder; {holds}{near}")


def _columns(path: Path) -> tuple[dict[str, list[object]], bool]:
    """Key -> its values in a file, in their order, and whether values are texts. An empty cell of several is none."""
    columns: dict[str, list[object]] = {}
    rows = read_rows(path)
    for row in rows:
        for key, value in row.items():
            if value is not None or len(rows) == 1:
                columns.setdefault(key, []).append(value)
    return columns, is_csv(path)


def _metric(
    name: str, metric: MetricConfig, columns: Mapping[str, list[object]], file: str, *, is_text: bool
) -> float:
    by_name = {key: key for key in columns} | {column_name(key): key for key in columns}
    wanted = metric.key or name
    key = by_name.get(wanted, by_name.get(column_name(wanted)))
    if key is None:
        found = _listed([*columns]) or "nothing"
        raise MetricMissing(
            f"{file}: the metric {wanted} is missing; found {found}{did_you_mean(wanted, by_name)}"
        )
    if metric.take != "last" and file.lower().endswith(".json") and len(columns[key]) == 1:
        raise Unreadable(
            f"{file} holds one value of {key}; `take: {metric.take}` needs rows: JSONL, CSV or a list"
        )
    return _taken(f"{file}: {key}", metric, columns[key], is_text=is_text)


def _taken(where: str, metric: MetricConfig, values: Sequence[object], *, is_text: bool) -> float:
    """The value that counts of several."""
    if metric.take == "last":
        return _finite(where, values[-1], is_text=is_text)
    numbers = [_finite(where, value, is_text=is_text) for value in values[-(metric.of_last or 0) :]]
    if metric.take == "mean":
        return fmean(numbers)
    return max(numbers) if metric.better == "higher is better" else min(numbers)


def _finite(where: str, value: object, *, is_text: bool) -> float:
    try:
        number = number_in(value, is_text=is_text)
    except ValueError as error:
        raise Unreadable(f"{where}: {error}") from error
    if number is None:
        raise Unreadable(f"{where}: expected a number; found {shown(value)}")
    if not math.isfinite(number):
        raise Unreadable(f"{where}: expected a finite number; found {number}")
    return number


def _num_parameters(content: Mapping[str, object]) -> int | None:
    value = content.get(NUM_PARAMETERS)
    return int(value) if isinstance(value, int | float) and 0 <= value < 2**63 else None


def _not_declared(content: Content, named: Mapping[str, MetricConfig], file: str) -> list[str]:
    """A note on the numbers that nobody asked for."""
    asked = {metric.key or name for name, metric in named.items()} | {NUM_PARAMETERS, "epoch", "step", "seed"}
    others = [
        key
        for key, value in content.items()
        if isinstance(value, int | float)
        and not isinstance(value, bool)
        and not {key, column_name(key)} & asked
    ]
    return [f"{file} also holds {_listed(others)}, which are not declared as metrics"] if others else []


def _printed(name: str, metric: MetricConfig, output: str) -> float:
    assert metric.pattern is not None
    found = re.findall(metric.pattern, output, re.MULTILINE)
    if not found:
        raise Unreadable(f"the output has no match of the pattern of {name}, {shown(metric.pattern)}")
    which = "last match" if metric.take == "last" else "matches"
    return _taken(f"the output's {which} of the pattern of {name}", metric, found, is_text=True)


def _items(config: CommandConfig, path: Path) -> list[Row]:
    is_text = is_csv(path)
    rows = [*_item_rows(config, path, is_text=is_text)]
    ids = [row["image_id"] for row in rows]
    if len(set(ids)) < len(ids):
        twice = next(one for number, one in enumerate(ids) if one in ids[:number])
        raise Unreadable(f"{path.name}: expected each item once; found {shown(twice)} twice")
    return rows


def _item_rows(config: CommandConfig, path: Path, *, is_text: bool) -> Iterator[Row]:
    for number, content in enumerate(read_rows(path), 1):
        if number > MAX_ITEMS:
            raise Unreadable(f"{path.name}: expected at most {MAX_ITEMS} items")
        if not isinstance(item := content.get(ITEM), str | int):
            raise Unreadable(
                f"{path.name}: row {number}: expected a column {ITEM}{did_you_mean(ITEM, content)}"
            )
        asked = {name: metric.key or name for name, metric in config.metrics.items()}
        values = {
            name: _finite(f"{path.name}: row {number}: {key}", content[key], is_text=is_text)
            for name, key in asked.items()
            if key in content
        }
        if not values:
            raise Unreadable(f"{path.name}: row {number}: expected a metric ({', '.join(asked)}); found none")
        yield {"image_id": str(item), **values}


def _samples(config: CommandConfig, folder: Path) -> tuple[list[Row], list[str]]:
    """The files to keep as samples, and notes on patterns without a file and files without room."""
    by_pattern = {pattern: files_matching(folder, pattern) for pattern in config.keep.samples}
    notes = [f"no file matches keep.samples {pattern}" for pattern, found in by_pattern.items() if not found]
    kept: list[Row] = []
    left_out: list[str] = []
    room = config.keep.max_sample_megabytes * MEGABYTE
    for path in dict.fromkeys(path for found in by_pattern.values() for path in found):
        name = path.relative_to(folder).as_posix()
        if (size := path.stat().st_size) > room:
            left_out.append(name)
            continue
        room -= size
        kept.append({"name": visible(name), "media_type": media_type(path), "content": path.read_bytes()})
    if left_out:
        most = f"{config.keep.max_sample_megabytes:g} MB (keep.max_sample_megabytes)"
        notes.append(f"samples left out, for together they may have {most}: {_listed(left_out)}")
    return kept, notes


def _model(config: CommandConfig, folder: Path) -> Path | None:
    if config.keep.model is None:
        return None
    path = _found_file(config.keep.model, (), folder, "keep.model")
    if (size := path.stat().st_size) > config.keep.max_model_megabytes * MEGABYTE:
        raise Unreadable(
            f"{path.name}: expected a model of at most {config.keep.max_model_megabytes:g} MB "
            f"(keep.max_model_megabytes); found {size / MEGABYTE:.0f} MB"
        )
    return path


def media_type(path: Path) -> str:
    """`image/png`, `text/csv` and the like, by the name of a file."""
    return mimetypes.guess_type(path.name)[0] or "application/octet-stream"


def _listed(names: list[str]) -> str:
    """The first of many names."""
    return ", ".join(names[:_LISTED]) + ", ..." * (len(names) > _LISTED)
