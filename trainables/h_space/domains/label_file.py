"""Tables of labels: a CSV with a column `image_id` and one for each label, as spreadsheets write it.

Read as they are: a byte order mark, UTF-8, UTF-16, Windows-1252; commas, semicolons, tabs or bars between the columns
(Excel's `sep=` line too); quoted cells, any line ends, empty rows and empty columns at the end. An id may leave out
the folder or the ending, and leading zeros that a spreadsheet has taken for a number's, while it is still one image's.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import Final

from trainables.errors import UserError

ID_COLUMN: Final = "image_id"
Labels = Mapping[str, str]
_BETWEEN: Final = ",;\t|"
_WORKBOOKS: Final = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
_WIDE_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")


class LabelFileError(UserError):
    """A table of labels that cannot be read; the message names file and line."""


@dataclass(frozen=True)
class LabelTable:
    """The labels of images, by the ids as the file writes them."""

    path: Path
    columns: tuple[str, ...]
    """The labels."""
    rows: Mapping[str, Labels]
    lines: Mapping[str, int] = field(repr=False)
    """Id as written -> its line of the file."""

    def of(self, image_id: str) -> Labels:
        """What the file says of an image; empty where it leaves the image out."""
        return next((self.rows[name] for name in _names_of(image_id) if name in self.rows), {})

    def check(self, image_ids: Iterable[str]) -> None:
        """Raises LabelFileError where a row's id fits several of these images, or no row fits any of them."""
        ids, by_name = set(image_ids), dict[str, list[str]]()
        for image_id in ids:
            for name in _names_of(image_id):
                by_name.setdefault(name, []).append(image_id)
            self._check_rows_of(image_id)
        for name, line in self.lines.items():
            found = sorted(by_name.get(name, ()))
            if len(found) > 1 and name not in ids:
                raise LabelFileError(
                    f"{self.path}:{line}  {ID_COLUMN} {name!r} fits {found[0]} and {found[1]}; write it in full"
                )
        if ids and self.lines and not any(name in by_name for name in self.lines):
            raise LabelFileError(
                f"{self.path}  none of its {len(self.lines)} ids is one of the images: found "
                f"{next(iter(self.lines))!r}, expected ids such as {min(ids)!r}"
            )

    def unknown(self, image_ids: Iterable[str]) -> str:
        """A sentence on the rows that are about none of these images; nothing where there are none."""
        known = {name for image_id in image_ids for name in _names_of(image_id)}
        unknown = [name for name in self.lines if name not in known]
        if not unknown:
            return ""
        first = unknown[0]
        return (
            f"{len(unknown)} of {len(self.lines)} rows of {self.path.name} are about no picture that is there, "
            f"such as {first!r} in line {self.lines[first]}"
        )

    def _check_rows_of(self, image_id: str) -> None:
        names = [name for name in _names_of(image_id) if name in self.rows]
        for name in names[1:]:
            if self.rows[name] != self.rows[names[0]]:
                first, second = sorted((self.lines[names[0]], self.lines[name]))
                raise LabelFileError(
                    f"{self.path}:{second}  {image_id} has other labels in line {first}; keep one of the two"
                )


def read_labels(path: Path) -> LabelTable:
    """Read a table of labels. Raises LabelFileError, naming file and line, for what is no such table."""
    cells = _cells(_text(path), path)
    try:
        header_line, header = next(cells, (1, []))
        columns = _columns(header, header_line, path)
        rows: dict[str, Labels] = {}
        lines: dict[str, int] = {}
        for line, row in cells:
            image_id, labels = _row(row, columns, line, path)
            if labels != rows.setdefault(image_id, labels):
                raise LabelFileError(
                    f"{path}:{line}  {image_id} has other labels in line {lines[image_id]}; keep one of the two"
                )
            lines.setdefault(image_id, line)
    except csv.Error as error:
        raise LabelFileError(f"{path} is no table of text: {error}") from error
    if not rows:
        raise LabelFileError(f"{path} has a header but no row")
    return LabelTable(path, tuple(name for name in columns if name not in ("", ID_COLUMN)), rows, lines)


def _names_of(image_id: str) -> list[str]:
    """What a file may call an image, in full first: `train/a/7.png`, `a/7.png`, `7.png`, without ending or zeros."""
    whole = PurePosixPath(image_id)
    paths = (whole, PurePosixPath(*whole.parts[1:]), PurePosixPath(whole.name))
    names = [str(name) for path in paths if path.name for name in (path, path.with_suffix(""))]
    if whole.stem.isdecimal():
        names.append(whole.stem.lstrip("0") or "0")
    return list(dict.fromkeys(names))


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise LabelFileError(f"{path} cannot be read: {error.strerror}") from error
    if content.startswith(_WORKBOOKS):
        raise LabelFileError(f"{path} is a workbook of a spreadsheet, whatever its name; save it as CSV")
    is_wide = content.startswith(_WIDE_MARKS)
    if b"\0" in content and not is_wide:
        raise LabelFileError(f"{path} is no text: it holds zero bytes; save it as CSV in UTF-8")
    for encoding in ("utf-16",) if is_wide else ("utf-8-sig", "cp1252"):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise LabelFileError(f"{path} is text in an unknown encoding; save it as CSV in UTF-8")


def _cells(text: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line, cells without the spaces around them) of every row that is not empty."""
    skipped = 0
    between = _between(text)
    if text[:4].lower() == "sep=" and len(text) > 4:
        between, skipped = text[4], 1
        text = text.partition("\n")[2]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=between)
    for row in reader:
        cells = [cell.strip() for cell in row]
        if any(cells):
            yield reader.line_num + skipped, cells


def _between(text: str) -> str:
    """What stands between the columns: what makes a column of ids of the first row that is not empty."""
    first = next((line for line in text.splitlines() if line.strip(" \t,;|")), "")
    for between in _BETWEEN:
        if ID_COLUMN in map(_column_name, next(csv.reader([first], delimiter=between), [])):
            return between
    return max(_BETWEEN, key=first.count)


def _column_name(text: str) -> str:
    """The column of ids whatever its capitals, others as written."""
    name = text.strip()
    return ID_COLUMN if name.lower().replace(" ", "_") == ID_COLUMN else name


def _columns(header: Sequence[str], line: int, path: Path) -> tuple[str, ...]:
    columns = tuple(map(_column_name, header))
    if ID_COLUMN not in columns:
        near = get_close_matches(ID_COLUMN, columns, n=1)
        hint = f"; is it {near[0]!r}?" if near else ""
        found = ", ".join(filter(None, columns)) or "nothing"
        raise LabelFileError(f"{path}:{line}  expected a column {ID_COLUMN}; found {found}{hint}")
    twice = next((name for name in columns if name and columns.count(name) > 1), None)
    if twice is not None:
        raise LabelFileError(f"{path}:{line}  column {twice} is there twice; keep one of the two")
    return columns


def _row(row: Sequence[str], columns: Sequence[str], line: int, path: Path) -> tuple[str, Labels]:
    """(id, labels); a cell that is missing is an empty one, as spreadsheets leave those at the end of a row out."""
    names = [*columns, *[""] * (len(row) - len(columns))]
    cells = [*row, *[""] * (len(columns) - len(row))]
    for name, cell in zip(names, cells, strict=True):
        if not name and cell:
            raise LabelFileError(
                f"{path}:{line}  expected {len(columns)} cells, one a column; found {cell!r} beside them"
            )
    labels = {name: cell for name, cell in zip(names, cells, strict=True) if name}
    image_id = labels.pop(ID_COLUMN).replace("\\", "/").removeprefix("./")
    if not image_id:
        raise LabelFileError(f"{path}:{line}  the row has no {ID_COLUMN}")
    return image_id, labels
