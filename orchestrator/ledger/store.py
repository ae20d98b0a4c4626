"""The ledger of one study: rows in, commits, and what readers see."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs

from orchestrator.ledger.errors import LedgerError
from orchestrator.ledger.parts import DAMAGED_FOLDER, DamagedPart, PartKey, Parts
from orchestrator.ledger.schemas import TABLES, Row, concatenated, to_arrow

ROW_TABLES = ("curves", "evaluations", "samples")
_RANK = {"done": 4, "pruned": 3, "failed": 2, "skipped": 1, "interrupted": 0}


class Ledger:
    """The tables `trials`, `curves`, `evaluations` and `samples` under one folder.

    Readers need no lock and see complete trials only. Reading works on any pyarrow file system, given as a
    URI or with `filesystem`; writing only on a local (or mounted) one.
    """

    def __init__(self, root: Path | str, filesystem: pafs.FileSystem | None = None) -> None:
        self._parts = _parts_at(root, filesystem)
        self._commits: dict[PartKey, pa.Table] = {}
        self._sound: set[PartKey] = set()
        self._broken: set[PartKey] = set()
        self.damaged: list[str] = []
        """Parts found damaged by this reader, each named; their trials count as not run."""

    # Writing

    def write_rows(
        self,
        signature: str,
        attempt: int,
        *,
        curves: Sequence[Row],
        evaluations: Sequence[Row],
        samples: Sequence[Row],
    ) -> None:
        """Write a trial's rows, which nobody sees before `commit`. Called by the worker.

        Raises LedgerError when the folder cannot be written.
        """
        key = PartKey(signature, attempt)
        for table, rows in zip(ROW_TABLES, (curves, evaluations, samples), strict=True):
            identified = [{**row, "signature": signature, "attempt": attempt} for row in rows]
            self._parts.write(table, key, to_arrow(table, identified))

    def commit(self, record: Row) -> None:
        """Record how an attempt ended; its rows exist from here on. Called by the driver.

        `axis_values`, `config` and `provenance` may be mappings; `metric_<name>` keys become columns.
        Raises LedgerError when the folder cannot be written.
        """
        if record["status"] not in _RANK:
            raise ValueError(f"status must be one of {', '.join(_RANK)}; found {record['status']!r}")
        key = PartKey(record["signature"], record["attempt"])
        self._parts.write("trials", key, to_arrow("trials", [record]))
        self._commits.pop(key, None)
        self._broken.discard(key)

    def clean_uncommitted(self, keep: Collection[str] = ()) -> list[str]:
        """Delete what killed writers left: unfinished files, and rows that nothing commits.

        `keep` are signatures to leave alone. Only for the holder of the `LedgerLock`, while no trial runs.
        """
        committed = set(self._read_commits())
        removed = []
        for table in TABLES:
            removed += [f"{table}/{name}" for name in self._parts.remove_temporary(table)]
        for table in ROW_TABLES:
            for key in self._parts.keys(table):
                if key not in committed and key.signature not in keep:
                    self._parts.remove(table, key)
                    removed.append(f"{table}/{key.file_name}")
        return removed

    # Reading

    def records(self) -> list[dict[str, Any]]:
        """How every trial stands: one row of `trials` per signature, in the order they finished.

        Done beats pruned beats failed beats skipped beats interrupted, and of equals the latest attempt counts.
        """
        rows: list[dict[str, Any]] = self.table("trials").to_pylist()
        return rows

    def table(self, name: str) -> pa.Table:
        """A table as readers see it: the rows of done trials, and for `trials` one row per signature."""
        standing = self._standing()
        if name == "trials":
            chosen = concatenated(name, [self._commits[key] for key in standing])
            return chosen.sort_by([("finished_at", "ascending"), ("signature", "ascending")])
        done = [key for key in standing if self._status(key) == "done"]
        parts = [self._read(name, key) for key in done]
        return concatenated(name, [part for part in parts if part is not None])

    def next_attempt(self, signature: str) -> int:
        """The number of the next attempt at a trial, from 1; never one that any file already carries."""
        return 1 + max(self.attempts().get(signature, []), default=0)

    def attempts(self) -> dict[str, list[int]]:
        """Signature -> attempts that any file of this ledger carries, from the files' names alone."""
        places = [*TABLES, *(f"{DAMAGED_FOLDER}/{table}" for table in TABLES)]
        found: dict[str, set[int]] = {}
        for key in (key for place in places for key in self._parts.keys(place)):
            found.setdefault(key.signature, set()).add(key.attempt)
        return {signature: sorted(numbers) for signature, numbers in found.items()}

    def done_attempt(self, signature: str, attempts: Sequence[int]) -> int | None:
        """The latest of these attempts at a trial that ended well, reading their records alone."""
        for attempt in sorted(attempts, reverse=True):
            key = PartKey(signature, attempt)
            part = self._commits.get(key) or self._read_if_there("trials", key)
            if part is not None and part["status"][0].as_py() == "done":
                self._commits[key] = part
                return attempt
        return None

    def read_done(self, signature: str, attempt: int) -> tuple[Row, dict[str, list[Row]]] | None:
        """The record of a done attempt, and its rows by table; None where a part is damaged or gone."""
        key = PartKey(signature, attempt)
        record, *parts = (self._read_if_there(table, key) for table in ("trials", *ROW_TABLES))
        if record is None or any(part is None for part in parts):
            return None
        rows = {table: part.to_pylist() for table, part in zip(ROW_TABLES, parts, strict=True) if part}
        return record.to_pylist()[0], {table: rows.get(table, []) for table in ROW_TABLES}

    def _read_if_there(self, table: str, key: PartKey) -> pa.Table | None:
        """A part of another writer's ledger, which is left as it is; None where it cannot be read."""
        try:
            return self._parts.read(table, key)
        except DamagedPart:
            return None

    def _standing(self) -> list[PartKey]:
        """The attempt that counts for each signature."""
        best_first = sorted(self._read_commits(), key=self._preference, reverse=True)
        standing: dict[str, PartKey] = {}
        for key in best_first:
            if key.signature not in standing and (self._status(key) != "done" or self._is_sound(key)):
                standing[key.signature] = key
        return list(standing.values())

    def _preference(self, key: PartKey) -> tuple[int, int]:
        return _RANK[self._status(key)], key.attempt

    def _status(self, key: PartKey) -> str:
        return str(self._commits[key]["status"][0])

    def _read_commits(self) -> list[PartKey]:
        """Keys of all committed attempts; parts never change, so each is read once."""
        keys = self._parts.keys("trials")
        self._commits = {key: self._commits[key] for key in keys if key in self._commits}
        for key in keys:
            if key not in self._commits and (part := self._read("trials", key)) is not None:
                self._commits[key] = part
        return list(self._commits)

    def _is_sound(self, key: PartKey) -> bool:
        """Whether all parts of a done trial are there and end as they should."""
        if key in self._sound or key in self._broken:
            return key in self._sound
        try:
            for table in ROW_TABLES:
                self._parts.check(table, key)
        except DamagedPart as damage:
            self._note_damage(damage, table, key)
            return False
        self._sound.add(key)
        return True

    def _read(self, table: str, key: PartKey) -> pa.Table | None:
        """A part's rows, or None when it turns out damaged."""
        try:
            return self._parts.read(table, key)
        except DamagedPart as damage:
            self._note_damage(damage, table, key)
            return None

    def _note_damage(self, damage: DamagedPart, table: str, key: PartKey) -> None:
        self._sound.discard(key)
        self._broken.add(key)
        self._parts.set_aside(table, key)
        if str(damage) not in self.damaged:
            self.damaged.append(str(damage))


def _parts_at(root: Path | str, filesystem: pafs.FileSystem | None) -> Parts:
    if filesystem is not None:
        return Parts(str(root).rstrip("/"), filesystem)
    if isinstance(root, str) and "://" in root:
        found, path = pafs.FileSystem.from_uri(root)
        return Parts(path.rstrip("/"), found)
    if Path(root).exists() and not Path(root).is_dir():
        raise LedgerError(f"{root} is a file; a ledger is a folder")
    return Parts(str(Path(root).absolute()), pafs.LocalFileSystem())
