"""The ledger's files: a part per table, trial and attempt, and merged files that hold many of them.

    curves/part-<signature>-<attempt>.parquet    one attempt
    curves/merged-<id>.parquet                   many; its footer lists them, in the order of their rows
    merging/curves/merged-<id>.parquet           counts, but its parts are still being removed from curves/

Where an attempt is in a part and in a merged file, the merged file counts (`orchestrator.ledger.merging`).
"""

import contextlib
import re
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from os.path import commonpath
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs

from orchestrator.ledger.durable import NO_FILES, Fill, write_together
from orchestrator.ledger.errors import LedgerError
from orchestrator.ledger.files import DamagedPart, opened, sealed, without_lists, writing
from orchestrator.ledger.index import (
    MERGED_NAME,
    MERGING_FOLDER,
    Index,
    Merged,
    PartKey,
    files_in,
    part_keys,
    read_index,
    read_spans,
)

DAMAGED_FOLDER = "damaged"
_TEMP_NAME = re.compile(r"\..+\.tmp")
_LOOKS = 5
"""How often a folder is listed again when files move meanwhile."""


@dataclass(frozen=True)
class Parts:
    """The part files under a ledger's folder, on any file system; written only on the local one."""

    root: str
    filesystem: pafs.FileSystem
    use_threads: bool = True
    """Whether Arrow may use threads of its own to read."""
    damaged: dict[str, set[str]] = field(default_factory=dict, compare=False)
    """Table -> files that were found damaged and count no more; they stay where they are until `set_aside`."""
    _indexes: dict[str, Index] = field(default_factory=dict, compare=False)
    _last: dict[tuple[str, bool], tuple[str, pa.Table]] = field(default_factory=dict, compare=False)
    """(table, with lists) -> the merged file read last, and what it holds: one trial after another is asked for."""

    # Which files there are

    def refresh(self, table: str) -> Index:
        """List the table's files anew."""
        known = self._indexes[table].merged if table in self._indexes else {}
        for _ in range(_LOOKS):
            with contextlib.suppress(FileNotFoundError):
                damaged = self.damaged.get(table, ())
                self._indexes[table] = read_index(self.filesystem, self.root, table, known, damaged)
                return self._indexes[table]
        raise LedgerError(f"{self.root}/{table} changes all the time; try again")

    def index(self, table: str) -> Index:
        """As listed last."""
        return self._indexes.get(table) or self.refresh(table)

    def damaged_keys(self, table: str) -> list[PartKey]:
        """Attempts that files found damaged, or set aside earlier, carry, as far as they still tell."""
        place = f"{DAMAGED_FOLDER}/{table}"
        names = {info.base_name for info in self._files(place)}
        found = part_keys(names | self.damaged.get(table, set()))
        for name in filter(MERGED_NAME.fullmatch, names):
            with contextlib.suppress(DamagedPart, FileNotFoundError):
                found += read_spans(self.filesystem, f"{self.root}/{place}/{name}", name)
        return found

    def sources(self, table: str, keys: Iterable[PartKey]) -> dict[str, list[PartKey]]:
        """File name -> those of the attempts that it counts for; an attempt not listed yet has a part of its own."""
        held = self.index(table).held
        found: dict[str, list[PartKey]] = {}
        for key in keys:
            found.setdefault(held.get(key, key.file_name), []).append(key)
        return found

    def num_bytes(self, table: str) -> dict[str, int]:
        """Signature -> bytes that its rows take; in a file shared with others, its share by rows."""
        found: Counter[str] = Counter()
        index = self.refresh(table)
        for key, size in index.single.items():
            found[key.signature] += size
        for merged in index.merged.values():
            num_rows = sum(span.num_rows for span in merged.spans.values())
            for key, span in merged.spans.items():
                found[key.signature] += merged.num_bytes * span.num_rows // max(num_rows, 1)
        return dict(found)

    # Reading and writing

    def read(self, table: str, file_name: str, keys: Sequence[PartKey], *, lists: bool = True) -> pa.Table:
        """Rows of attempts that a file counts for; without `lists`, without its columns of lists.

        Raises DamagedPart when a byte of the file has changed, LedgerError when it is too new.
        """
        merged = self.index(table).merged.get(file_name)
        try:
            if merged is not None:
                return _rows(self._content(table, merged, lists), merged, keys)
            return self._whole(table, table, file_name, lists)
        except FileNotFoundError as error:
            self.refresh(table)
            now = self.sources(table, keys)
            has_moved = self.index(table).merged.get(file_name) != merged  # As a merge ends.
            if now == {file_name: list(keys)} and not has_moved:
                raise DamagedPart(f"{table}/{file_name} (missing)") from error
            return pa.concat_tables(
                [self.read(table, name, held, lists=lists) for name, held in now.items()],
                promote_options="default",
            )

    def check(self, table: str, key: PartKey) -> None:
        """Look at the footer of an attempt's file, which is written last. Raises as `read` does."""
        name = key.file_name
        held = self.index(table).held.get(key)
        try:
            if held is None:
                raise FileNotFoundError(name)
            if held == name:  # The footer of a merged file was read for the index.
                with opened(self.filesystem, self._path(table, name), f"{table}/{name}"):
                    pass
        except FileNotFoundError as error:
            if held is None or self.refresh(table).held.get(key, name) == name:
                raise DamagedPart(f"{table}/{name} (missing)") from error

    def verify(self, table: str, place: str, file_name: str) -> None:
        """Hold every byte of a file against its digest. Raises DamagedPart when it is not what was written."""
        with opened(self.filesystem, self._path(place, file_name), f"{table}/{file_name}", whole=True):
            pass

    def write(
        self, parts: Mapping[tuple[str, PartKey], pa.Table], before: Mapping[Path, Fill] = NO_FILES
    ) -> None:
        """Write parts of tables, in this order, each of them completely or not at all, whatever is killed when.

        Files to be written `before` them wait for the disk with them. Raises LedgerError where one cannot be written.
        """
        places = {self.local_folder(table) / key.file_name: part for (table, key), part in parts.items()}
        files = {**before, **{path: sealed(content) for path, content in places.items()}}
        with writing(Path(commonpath(path.parent for path in files))):
            write_together(files)

    def ignore(self, table: str, file_name: str) -> None:
        """Count a damaged file no more. Nothing on disk changes."""
        self.damaged.setdefault(table, set()).add(file_name)
        self._indexes.pop(table, None)

    def set_aside(self, table: str, file_name: str) -> None:
        """Move a file that counts no more to the folder of damaged ones. Only for the holder of the study's lock.

        Raises LedgerError when the folder cannot be written.
        """
        target = self.local_folder(f"{DAMAGED_FOLDER}/{table}") / file_name
        if target.exists():
            target = target.with_name(f"{uuid.uuid4().hex}-{file_name}")
        with writing(Path(self.root)):
            target.parent.mkdir(parents=True, exist_ok=True)
            for place in (f"{MERGING_FOLDER}/{table}", table):
                with contextlib.suppress(FileNotFoundError):
                    self.local_folder(place).joinpath(file_name).rename(target)
        self.damaged.get(table, set()).discard(file_name)
        self._indexes.pop(table, None)

    def merged_set_aside(self, table: str) -> list[str]:
        """Names of the merged files of a table that were found damaged, now or earlier."""
        names = {info.base_name for info in self._files(f"{DAMAGED_FOLDER}/{table}")}
        return sorted(filter(MERGED_NAME.fullmatch, names | self.damaged.get(table, set())))

    def remove_temporary(self, table: str) -> list[str]:
        """Delete what writers left unfinished for a table, and name it."""
        found = []
        for place in (table, f"{MERGING_FOLDER}/{table}"):
            names = [info.base_name for info in self._files(place) if _TEMP_NAME.fullmatch(info.base_name)]
            for name in sorted(names):
                self.local_folder(place).joinpath(name).unlink(missing_ok=True)
                found.append(f"{place}/{name}")
        return found

    def local_folder(self, place: str) -> Path:
        """A folder under the ledger's. Raises LedgerError when it is on a file system that is only read."""
        if not isinstance(self.filesystem, pafs.LocalFileSystem):
            raise LedgerError(
                f"{self.root} is on a {self.filesystem.type_name} file system: it can only be read"
            )
        return Path(self.root, place)

    def _files(self, place: str) -> list[pafs.FileInfo]:
        return files_in(self.filesystem, f"{self.root}/{place}")

    def _path(self, place: str, file_name: str) -> str:
        return f"{self.root}/{place}/{file_name}"

    def _content(self, table: str, merged: Merged, lists: bool) -> pa.Table:
        name, content = self._last.get((table, lists), ("", None))
        if name != merged.file_name:
            self._last.pop((table, lists), None)
            content = self._whole(table, merged.place, merged.file_name, lists)
            self._last[table, lists] = (merged.file_name, content)
        return content

    def _whole(self, table: str, place: str, file_name: str, lists: bool) -> pa.Table:
        """All rows of a file, each byte of which is as it was written."""
        path = self._path(place, file_name)
        with opened(self.filesystem, path, f"{table}/{file_name}", whole=True) as file:
            schema = file.schema_arrow
            names = schema.names if lists else without_lists(schema)
            if (
                not file.metadata.num_rows
            ):  # most trials have no rows in some table, and decoding takes a while
                return schema.empty_table().select(names)
            return file.read(columns=None if lists else names, use_threads=self.use_threads)


def _rows(content: pa.Table, merged: Merged, keys: Sequence[PartKey]) -> pa.Table:
    """The rows of some of a merged file's attempts."""
    if len(keys) == len(merged.spans):
        return content
    return pa.concat_tables([content.slice(*merged.spans[key]) for key in keys])


def parts_at(root: Path | str, filesystem: pafs.FileSystem | None) -> Parts:
    """The parts of a ledger at a path, or at a URI that pyarrow knows. Raises LedgerError when it is a file."""
    if filesystem is not None:
        return Parts(str(root).rstrip("/"), filesystem)
    if isinstance(root, str) and "://" in root:
        found, path = pafs.FileSystem.from_uri(root)
        return Parts(path.rstrip("/"), found)
    if Path(root).exists() and not Path(root).is_dir():
        raise LedgerError(f"{root} is a file; a ledger is a folder")
    return Parts(str(Path(root).absolute()), pafs.LocalFileSystem())
