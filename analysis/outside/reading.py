"""Files of results: CSV, Parquet, lines of JSON, what lm-evaluation-harness writes, and logs of runs."""

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any, TextIO

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from analysis.outside import lm_eval
from analysis.outside.rows import Rows, joined
from analysis.outside.runs import read_run
from trainables.errors import Problem, UserError
from trainables.run_logs.events import is_event_file, run_folders
from trainables.wording import one_of

_DELIMITERS = ",;\t|"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def read(paths: Sequence[Path], asked: Sequence[str]) -> Rows:
    """The asked columns of files of results; a folder stands for the files in it, or for the runs logged there.

    Beside their own columns, files of lm-evaluation-harness have `model`, `task` and the seeds of their run; where
    several files are read, each has `file` and `folder`, what it and its folder are called, and runs always have
    these. Raises UserError with file, line and column.
    """
    files = [file for path in paths for file in _files(path)]
    parts = [_read(file, asked) for file in files]
    if len(files) > 1:
        parts = [_with_names(part, file, asked) for part, file in zip(parts, files, strict=True)]
    rows = joined(parts, str(files[0]) if len(files) == 1 else f"{len(files)} files")
    if not any(len(part) or part.names for part in parts):
        raise UserError(
            f"{rows.source}  is empty; expected a line of column names, and a line for each result"
        )
    return rows


def _files(path: Path) -> list[Path]:
    if not path.exists():
        raise UserError(f"{path}  no such file")
    if not path.is_dir():
        return [path.parent if is_event_file(path) else path]
    for pattern in (f"{lm_eval.SAMPLES}*.jsonl", f"{lm_eval.RESULTS}*.json"):
        if found := sorted(path.rglob(pattern)):
            return found
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in _READERS)
    tables = [file for file in files if file.suffix.lower() != ".json"]
    found = tables or run_folders(path) or files  # Beside logs, a JSON file is about something else.
    if not found:
        raise UserError(
            f"{path}  holds no file of results; expected one ending in {one_of(_READERS)}, "
            "or logs of TensorBoard or W&B"
        )
    return found


def _read(path: Path, asked: Sequence[str]) -> Rows:
    if path.is_dir():
        return read_run(path, asked)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise UserError(
            f"{path}  cannot tell what kind of file this is; expected a name ending in {one_of(_READERS)}"
        )
    try:
        return reader(path, asked)
    except UnicodeDecodeError:
        raise _not_text(path) from None
    except OSError as error:
        raise UserError(f"{path}  cannot be read: {error.strerror or error}") from error


def _with_names(rows: Rows, path: Path, asked: Sequence[str]) -> Rows:
    """With the file's and its folder's name as columns, where it has no such columns."""
    named = {"file": path.stem, "folder": path.absolute().parent.name}
    own = {name: value for name, value in named.items() if name not in rows.names}
    columns = {name: pd.Series([value] * len(rows)) for name, value in own.items() if name in asked}
    return Rows(rows.source, rows.columns | columns, (*rows.names, *own), rows.place)


def _not_text(path: Path) -> UserError:
    """Where a file stops being UTF-8."""
    content = path.read_bytes()
    if content.startswith(_UTF_16):
        return UserError(f"{path}  is text in UTF-16; save it as UTF-8")
    try:
        content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        message = f"byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8"
        return UserError(str(Problem(str(path), line, "", message)))
    return UserError(f"{path}  was changed while it was read; try again")


def _read_csv(path: Path, asked: Sequence[str]) -> Rows:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        delimiter = _delimiter(stream, asked)
        reader = csv.reader(stream, delimiter=delimiter, strict=True)
        records = _records(reader, path)
        names = next(((_stripped(record)) for _, record in records), ())
        places = [_only(names, name, path, reader.line_num) for name in asked if name in names]
        pick: Callable[[Sequence[str]], Sequence[str]] = (
            itemgetter(*places) if len(places) > 1 else lambda record: [record[place] for place in places]
        )
        lines, picked = [], []
        for line, record in records:
            if len(record) != len(names):
                found = f"expected {len(names)} values, as in the line of column names; found {len(record)}"
                raise UserError(str(Problem(str(path), line, "", found)))
            lines.append(line)
            picked.append(pick(record))
    kept = [name for name in asked if name in names]
    values = zip(*picked, strict=True) if picked else ([] for _ in kept)
    columns = {name: pd.Series(column, dtype=object) for name, column in zip(kept, values, strict=True)}
    return Rows(str(path), columns, names, lambda row: (str(path), lines[row], ""))


def _delimiter(stream: TextIO, asked: Sequence[str]) -> str:
    """What stands between the values: that with which the first line has most of the asked columns."""
    first = next((line for line in stream if line.strip()), "")
    stream.seek(0)

    def score(delimiter: str) -> tuple[int, int]:
        try:
            names = _stripped(next(csv.reader([first], delimiter=delimiter), []))
        except csv.Error:
            return 0, 0
        return len(set(names) & set(asked)), len(names)

    return max(_DELIMITERS, key=score)


def _records(reader: Any, path: Path) -> Iterator[tuple[int, list[str]]]:
    """(its first line, values) of every record that is not blank."""
    line = 1
    try:
        for record in reader:
            if len(record) > 1 or (record and record[0].strip()):
                yield line, record
            line = reader.line_num + 1
    except csv.Error as error:
        said = str(error)
        if said == "unexpected end of data":
            said = "a quotation mark is opened here and never closed"
        raise UserError(str(Problem(str(path), line, "", f"is not CSV: {said}"))) from error


def _stripped(record: Sequence[str]) -> tuple[str, ...]:
    return tuple(name.strip() for name in record)


def _only(names: Sequence[str], name: str, path: Path, line: int) -> int:
    if names.count(name) > 1:
        raise UserError(
            str(Problem(str(path), line, f"column {name}", "two columns have this name; rename one"))
        )
    return names.index(name)


def _read_parquet(path: Path, asked: Sequence[str]) -> Rows:
    try:
        names = tuple(pq.read_schema(path).names)
        wanted = [name for name in dict.fromkeys(asked) if name in names]
        table = pq.read_table(path, columns=wanted)
        columns = {name: table.column(name).to_pandas().astype(object) for name in wanted}
    except (pa.ArrowException, ValueError, NotImplementedError) as error:
        raise UserError(f"{path}  is not a Parquet file that can be read: {error}") from error
    return Rows(str(path), columns, names, lambda row: (str(path), 0, f"row {row + 1}, "))


def _read_json_lines(path: Path, asked: Sequence[str]) -> Rows:
    told = lm_eval.run_of_samples(path)
    lines, records = [], []
    with path.open(encoding="utf-8-sig") as stream:
        for line, text in enumerate(stream, 1):
            if text.strip():
                lines.append(line)
                records.append(told | dict(_mapping(_parsed(text, path, line), path, line)))
    return _of_records(records, path, asked, lambda row: (str(path), lines[row], ""))


def _read_json(path: Path, asked: Sequence[str]) -> Rows:
    content = _parsed(path.read_text(encoding="utf-8-sig"), path, 0)
    found = lm_eval.rows_of_results(content)
    if found is None and not isinstance(content, list):
        raise UserError(
            f"{path}  expected a list of objects, one for each result, or the results of lm-evaluation-harness; "
            "found neither"
        )
    records = [_mapping(record, path, 0) for record in (content if found is None else found)]
    return _of_records(records, path, asked, lambda row: (str(path), 0, f"entry {row + 1}, "))


def _parsed(text: str, path: Path, first: int) -> Any:
    """The JSON in a text that begins at a line of a file, or that is the file."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = first or error.lineno
        raise UserError(str(Problem(str(path), line, "", f"is not JSON: {error.msg}"))) from error
    except (ValueError, RecursionError) as error:
        raise UserError(
            str(Problem(str(path), first, "", f"is no JSON that can be read: {error}"))
        ) from error


def _mapping(record: Any, path: Path, line: int) -> Mapping[str, Any]:
    if not isinstance(record, Mapping):
        raise UserError(str(Problem(str(path), line, "", "expected an object with a value for each column")))
    return record


def _of_records(
    records: Sequence[Mapping[str, Any]],
    path: Path,
    asked: Sequence[str],
    place: Callable[[int], tuple[str, int, str]],
) -> Rows:
    """Rows of objects; a name with dots reaches into nested ones, a key that a row lacks is missing there."""
    names = dict.fromkeys(name for record in records[:1000] for name in _dotted(record))
    columns = {}
    for name in dict.fromkeys(asked):
        values = [_reach(record, name) for record in records]
        if name in names or any(value is not None for value in values):
            columns[name] = pd.Series(values, dtype=object)
            names[name] = None
    return Rows(str(path), columns, tuple(names), place)


def _dotted(record: Mapping[str, Any], before: str = "", depth: int = 3) -> Iterator[str]:
    for name, value in record.items():
        if isinstance(value, Mapping) and depth:
            yield from _dotted(value, f"{before}{name}.", depth - 1)
        else:
            yield f"{before}{name}"


def _reach(record: Any, name: str) -> Any:
    if name in record:
        return record[name]
    first, dot, rest = name.partition(".")
    inner = record.get(first) if dot else None
    return _reach(inner, rest) if isinstance(inner, Mapping) else None


_READERS: dict[str, Callable[[Path, Sequence[str]], Rows]] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".txt": _read_csv,
    ".parquet": _read_parquet,
    ".jsonl": _read_json_lines,
    ".json": _read_json,
}
