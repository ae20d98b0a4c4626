"""What the folders of a ledger's table hold: parts, merged files, and which file counts for an attempt."""

import json
import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow.fs as pafs

from orchestrator.ledger.files import DamagedPart, opened

MERGING_FOLDER = "merging"
ATTEMPTS_KEY = "asyrp_sweep.attempts"
"""Key in a merged file's footer: signature, attempt and number of rows of each attempt in it, as JSON."""
MERGED_NAME = re.compile(r"merged-[0-9a-f]+\.parquet")
_PART_NAME = re.compile(r"part-(?P<signature>.+)-(?P<attempt>\d+)\.parquet")


class PartKey(NamedTuple):
    """Which attempt at which trial rows belong to."""

    signature: str
    attempt: int

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "PartKey":
        """That of a record."""
        return cls(record["signature"], record["attempt"])

    @property
    def file_name(self) -> str:
        """The part's name in the folder of its table."""
        return f"part-{self.signature}-{self.attempt}.parquet"


class Span(NamedTuple):
    """Where an attempt's rows lie in a merged file."""

    start: int
    num_rows: int


@dataclass(frozen=True)
class Merged:
    """A file with the rows of many attempts."""

    place: str
    """Its folder under the ledger's."""
    file_name: str
    spans: Mapping[PartKey, Span]
    num_bytes: int


@dataclass(frozen=True)
class Index:
    """What the folders of a table hold."""

    single: Mapping[PartKey, int]
    """Attempts with a part of their own, and its size in bytes."""
    merged: Mapping[str, Merged]
    """Merged files by file name."""
    unreadable: tuple[str, ...]
    """Merged files without a record of what they hold."""
    held: Mapping[PartKey, str]
    """Attempt -> the file that counts for it."""


def files_in(filesystem: pafs.FileSystem, folder: str) -> list[pafs.FileInfo]:
    """The files of a folder, none where there is none."""
    selector = pafs.FileSelector(folder, allow_not_found=True)
    return [info for info in filesystem.get_file_info(selector) if info.is_file]


def part_keys(names: Iterable[str]) -> list[PartKey]:
    """Attempts whose parts have these names, in the order of names."""
    matches = map(_PART_NAME.fullmatch, names)
    return sorted(PartKey(match["signature"], int(match["attempt"])) for match in matches if match)


def read_index(
    filesystem: pafs.FileSystem,
    root: str,
    table: str,
    known: Mapping[str, Merged] | None = None,
    damaged: Container[str] = (),
) -> Index:
    """List a table's files but the `damaged` ones; of merged files that are not `known` yet the footer is read.

    Raises FileNotFoundError when one moves meanwhile.
    """
    # A merge may go by meanwhile: its file appears in the merging folder, the parts go from the other one, the file
    # moves there. Seen in this order, none of the states between is overlooked.
    found = {
        info.base_name: (place, info)
        for place in (table, f"{MERGING_FOLDER}/{table}", table)
        for info in files_in(filesystem, f"{root}/{place}")
        if info.base_name not in damaged
    }
    single = {key: found[key.file_name][1].size for key in part_keys(found)}
    merged: dict[str, Merged] = {}
    unreadable = []
    for name, (place, info) in sorted(found.items()):
        if not MERGED_NAME.fullmatch(name):
            continue
        try:
            if known and name in known:
                spans = known[name].spans
            else:
                spans = read_spans(filesystem, f"{root}/{place}/{name}", f"{table}/{name}")
            merged[name] = Merged(place, name, spans, info.size)
        except DamagedPart:
            unreadable.append(name)
    held = {key: key.file_name for key in single}
    held |= {key: name for name, file in merged.items() for key in file.spans}
    return Index(single, merged, tuple(unreadable), held)


def read_spans(filesystem: pafs.FileSystem, path: str, name: str) -> dict[PartKey, Span]:
    """What the footer of a merged file lists. Raises as `opened` does."""
    with opened(filesystem, path, name) as file:
        listed = json.loads((file.metadata.metadata or {}).get(ATTEMPTS_KEY.encode(), b""))
        spans, start = {}, 0
        for signature, attempt, num_rows in listed:
            spans[PartKey(signature, attempt)] = Span(start, num_rows)
            start += num_rows
        return spans
