"""Files that a script writes, read with suspicion, also while they grow: JSON, JSONL, CSV, logs of trackers."""

import csv
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from trainables.errors import Unreadable
from trainables.run_logs.tail import EventTail
from trainables.wording import shown

MAX_FILE_BYTES = 64 << 20
"""Largest file that is read whole; a larger one hardly holds a few numbers."""
MAX_LINE_BYTES = 1 << 20
BLOCK = 1 << 18
CSV_SEPARATORS = {".csv": ",", ".tsv": "\t"}

Content = dict[str, Any]
"""Column or key -> value; mappings inside are flattened, `{"test": {"loss": 1}}` to `test.loss`. CSV has texts only."""


class MetricMissing(Unreadable):
    """A metric that was declared is not in what the script left."""


def read_rows(path: Path) -> list[Content]:
    """Every row of a JSON, JSONL or CSV file that grows no more, or of a folder of event files. Raises Unreadable.

    A JSON file is one object, a row, or a list of them; some programs write JSON lines under its name.
    """
    if path.is_dir():
        return [*EventTail(path).new_rows(is_final=True)]
    _check_size(path)
    if path.suffix.lower() != ".json":
        return [*Tail(path).new_rows(is_final=True)]
    try:
        content = json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        if isinstance(error, json.JSONDecodeError) and error.msg == "Extra data":
            return [*Tail(path).new_rows(is_final=True)]
        place = f"{path.name}:{error.lineno}" if isinstance(error, json.JSONDecodeError) else path.name
        raise Unreadable(f"{place} is not JSON: {_why(error)}") from error
    rows = content if isinstance(content, list) else [content]
    for row in rows:
        if not isinstance(row, dict):
            raise Unreadable(
                f'{path.name}: expected a JSON object such as {{"accuracy": 0.9}}; found {shown(row)}'
            )
    return [flattened(row) for row in rows]


def is_csv(path: Path) -> bool:
    """Whether the rows of a file are of texts."""
    return path.suffix.lower() in CSV_SEPARATORS


def number_in(value: object, *, is_text: bool) -> float | None:
    """A value as a number; None for what is none. In CSV, whose cells are texts, a text may be one.

    Raises ValueError for a text that would be a number without its quotes, and for one too large.
    """
    if isinstance(value, str):
        number = _as_number(value)
        if number is not None and not is_text:
            raise ValueError(f"expected a number; found the text {shown(value)}; write it without quotes")
        return number
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError as error:
        raise ValueError("expected a number; found one that is too large") from error


def flattened(content: Mapping[str, Any], prefix: str = "") -> Content:
    """Mappings inside a mapping become keys with dots."""
    flat: Content = {}
    for key, value in content.items():
        if isinstance(value, dict):
            flat |= flattened(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


@dataclass
class Tail:
    """The rows of a JSONL or CSV file as they appear; with a `pattern`, of any text: named groups are columns.

    A last line without its line break is left for next time. A file that was written anew, which shows where the last
    line was read, is read from its first line again: then `times_restarted` rises, and the rows before count no more.
    """

    path: Path
    pattern: re.Pattern[str] | None = None
    times_restarted: int = 0
    _offset: int = 0
    _line: int = 0
    _last: bytes = b""
    """The last line that was read."""
    _header: list[str] = field(default_factory=list)
    """Column names of a CSV file."""
    _comment: list[str] = field(default_factory=list)
    """Cells of the last comment before them."""

    @property
    def is_text(self) -> bool:
        """Whether the values of rows are texts."""
        return self.pattern is not None or is_csv(self.path)

    def new_rows(self, *, is_final: bool = False) -> Iterator[Content]:
        """Rows since the last call; when the file is `final`, a last line counts without its line break too.

        Raises Unreadable for a line that is broken.
        """
        try:
            file = self.path.open("rb")
        except OSError:
            return
        with file:
            if self._is_another(file):
                self.times_restarted += 1
                self._offset, self._line, self._last = 0, 0, b""
                self._header, self._comment = [], []
                file.seek(0)
            for line in self._lines(file, is_final=is_final):
                self._line += 1
                self._offset += len(line)
                self._last = line
                if text := line.decode("utf-8-sig", "replace").strip():
                    yield from self._parsed(text)

    def _is_another(self, file: BinaryIO) -> bool:
        file.seek(self._offset - len(self._last))
        return file.read(len(self._last)) != self._last

    def _lines(self, file: BinaryIO, *, is_final: bool) -> Iterator[bytes]:
        rest = b""
        while block := file.read(BLOCK):
            *lines, rest = (rest + block).split(b"\n")
            yield from (line + b"\n" for line in lines)
            if len(rest) > MAX_LINE_BYTES:
                raise Unreadable(f"{self.place(1)}: expected lines of at most {MAX_LINE_BYTES} bytes")
        if is_final and rest:
            yield rest

    def place(self, ahead: int = 0) -> str:
        """File and line of the row that was read last."""
        return f"{self.path.name}:{self._line + ahead}"

    def _parsed(self, text: str) -> Iterator[Content]:
        separator = CSV_SEPARATORS.get(self.path.suffix.lower())
        if self.pattern is not None:
            yield from (found.groupdict() for found in self.pattern.finditer(text))
        else:
            yield from self._from_json(text) if separator is None else self._from_csv(text, separator)

    def _from_json(self, text: str) -> Iterator[Content]:
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise Unreadable(f"{self.place()} is not JSON ({_why(error)}): {shown(text)}") from error
        if not isinstance(content, dict):
            raise Unreadable(f"{self.place()}: expected a JSON object; found {shown(content)}")
        yield flattened(content)

    def _from_csv(self, text: str, separator: str) -> Iterator[Content]:
        """Lines above the header that begin with # are comments; of rows of numbers, the last one may be the header."""
        is_comment = text.startswith("#") and not self._header
        try:
            reader = csv.reader([text.lstrip("#") if is_comment else text], delimiter=separator)
            cells = [cell.strip() for cell in next(reader)]
        except csv.Error as error:
            raise Unreadable(f"{self.place()} is not CSV: {error}") from error
        if is_comment:
            self._comment = cells
            return
        if not self._header:
            is_numbers = all(_as_number(cell) is not None for cell in cells)
            self._header = self._comment if is_numbers and len(cells) == len(self._comment) else cells
        if cells == self._header:  # A script that goes on may write its header again.
            return
        if len(cells) != len(self._header):
            raise Unreadable(f"{self.place()}: expected {len(self._header)} cells; found {len(cells)}")
        yield {name: cell for name, cell in zip(self._header, cells, strict=True) if cell}


def tail_of(path: Path, pattern: re.Pattern[str] | None = None) -> Tail | EventTail:
    """How a file, or a folder of event files, is read while it grows."""
    return EventTail(path) if path.is_dir() else Tail(path, pattern)


def cut_half_line(path: Path) -> None:
    """Take a last line without its line break off a file: whoever wrote it was killed over it."""
    with path.open("r+b") as file:
        end = size = file.seek(0, os.SEEK_END)
        while end > 0:
            begin = max(0, end - BLOCK)
            file.seek(begin)
            if (found := file.read(end - begin).rfind(b"\n")) >= 0:
                end = begin + found + 1
                break
            end = begin
        if end < size:
            file.truncate(end)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable(f"{path.name} is not UTF-8 text") from error
    except OSError as error:
        raise Unreadable(f"{path.name} cannot be read: {error.strerror}") from error


def _check_size(path: Path) -> None:
    if path.stat().st_size > MAX_FILE_BYTES:
        raise Unreadable(f"{path.name}: expected at most {MAX_FILE_BYTES} bytes; found {path.stat().st_size}")


def _as_number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _why(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return error.msg if isinstance(error, json.JSONDecodeError) else str(error)
