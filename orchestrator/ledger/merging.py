"""Many small parts become one file, and a kill at any moment leaves each row counted exactly once.

    1  the parts are read whole and compared with their digests
    2  merging/curves/merged-<id>.parquet is written like any part: temporary name, fsync, rename.
       The rename is the commit: from here on the merged file counts, and its parts no longer do
    3  it is read back whole, and only then its parts are removed from curves/
    4  it moves to curves/

A kill before 2 leaves the parts, one after it both, of which the merged file counts; `settle` then does 3 and 4. Who
reads curves/ with another tool never sees a row twice: from 3 to 4, some milliseconds, it sees fewer.
"""

import json
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa

from orchestrator.ledger.columns import shared_columns
from orchestrator.ledger.durable import fsync
from orchestrator.ledger.files import DamagedPart, write_sealed, writing
from orchestrator.ledger.index import ATTEMPTS_KEY, MERGING_FOLDER, Merged, PartKey
from orchestrator.ledger.parts import Parts
from orchestrator.ledger.schemas import concatenated

MAX_BYTES = 32_000_000
"""Largest total of the parts that become one file: it is read as a whole."""
MAX_PART_BYTES = 8_000_000
"""A larger part gains nothing from company."""

Told = Callable[[str], None]
"""Called after every single step, with its name; what it raises ends the merge there."""


def merge(parts: Parts, table: str, keys: Sequence[PartKey], told: Told) -> list[str]:
    """Merge the parts that some committed attempts have in a table; names of the new files.

    Only for the holder of the study's lock. Damaged parts are left as they are, for readers to name.
    Raises LedgerError when the folder cannot be written.
    """
    names = []
    for batch in _batches(parts, table, keys):
        held = _read(parts, table, batch, told)
        if len(held) > 1:
            names.append(_write(parts, table, held, told))
    settle(parts, table, told)
    return names


def settle(parts: Parts, table: str, told: Told = lambda step: None) -> list[str]:
    """Finish every merge of a table that has been committed; names of the damaged files that were set aside."""
    index = parts.refresh(table)
    damaged = []
    for merged in index.merged.values():
        copies = [key for key in merged.spans if key in index.single]
        if not copies and merged.place == table:
            continue
        try:
            parts.verify(table, merged.place, merged.file_name)
        except DamagedPart as damage:
            parts.set_aside(table, merged.file_name)  # Its parts count again, those that are still there.
            damaged.append(str(damage))
            continue
        with writing(parts.local_folder(table)):
            _finish(parts, table, merged, copies, told)
    parts.refresh(table)
    return damaged


def _finish(parts: Parts, table: str, merged: Merged, copies: Sequence[PartKey], told: Told) -> None:
    """Remove the parts of a merged file, then put it where they were."""
    target = parts.local_folder(table)
    for key in copies:
        target.joinpath(key.file_name).unlink(missing_ok=True)
        told("removed")
    if merged.place != table:
        source = parts.local_folder(merged.place)
        source.joinpath(merged.file_name).replace(target / merged.file_name)
        fsync(target)
        fsync(source)
        told("moved")


def _batches(parts: Parts, table: str, keys: Sequence[PartKey]) -> list[list[PartKey]]:
    """Attempts with small parts of their own, so many together as one file may hold."""
    single = parts.refresh(table).single
    batches: list[list[PartKey]] = []
    total = MAX_BYTES
    for key in keys:
        size = single.get(key, MAX_PART_BYTES)
        if size >= MAX_PART_BYTES or parts.index(table).held[key] != key.file_name:
            continue
        if total + size > MAX_BYTES:
            batches.append([])
            total = 0
        batches[-1].append(key)
        total += size
    return batches


def _read(parts: Parts, table: str, keys: Sequence[PartKey], told: Told) -> dict[PartKey, pa.Table]:
    found = {}
    for key in keys:
        try:
            found[key] = parts.read(table, key.file_name, [key])
        except DamagedPart:
            continue
        told("read")
    return found


def _write(parts: Parts, table: str, held: dict[PartKey, pa.Table], told: Told) -> str:
    name = f"merged-{uuid.uuid4().hex}.parquet"
    listed = json.dumps([[key.signature, key.attempt, part.num_rows] for key, part in held.items()])
    folder = parts.local_folder(f"{MERGING_FOLDER}/{table}")
    shared = shared_columns(Path(parts.root), table)
    write_sealed(folder, name, concatenated(table, list(held.values()), shared), {ATTEMPTS_KEY: listed})
    for above in (folder.parent, folder.parent.parent):
        fsync(above)
    told("written")
    return name
