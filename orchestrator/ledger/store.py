"""The ledger of one study: rows in, commits, and what readers see."""

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.fs as pafs

from orchestrator.ledger.columns import shared_columns
from orchestrator.ledger.durable import NO_FILES, Fill
from orchestrator.ledger.files import DamagedPart, without_lists, writing
from orchestrator.ledger.index import PartKey
from orchestrator.ledger.merging import settle
from orchestrator.ledger.parts import parts_at
from orchestrator.ledger.schemas import TABLES, Row, concatenated, own_columns, to_arrow

ROW_TABLES = ("curves", "evaluations", "samples")
_RANK = {"done": 4, "pruned": 3, "failed": 2, "skipped": 1, "interrupted": 0}


class _Commit(NamedTuple):
    """Where the record of an attempt lies."""

    status: str
    code: str | None
    part: pa.Table
    row: int


class Ledger:
    """The tables `trials`, `curves`, `evaluations` and `samples` under one folder.

    Readers need no lock and see complete trials only. Reading works on any pyarrow file system, given as a
    URI or with `filesystem`; writing only on a local (or mounted) one.
    """

    def __init__(self, root: Path | str, filesystem: pafs.FileSystem | None = None) -> None:
        self._parts = parts_at(root, filesystem)
        self._commits: dict[PartKey, _Commit] = {}
        self._sound: set[PartKey] = set()
        self._broken: set[PartKey] = set()
        self._codes: Mapping[str, str] = {}
        self.damaged: list[str] = []
        """Files found damaged by this reader, each named; their trials count as not run."""

    # Writing

    def write_rows(
        self,
        signature: str,
        attempt: int,
        before: Mapping[Path, Fill] = NO_FILES,
        *,
        curves: Sequence[Row],
        evaluations: Sequence[Row],
        samples: Sequence[Row],
    ) -> None:
        """Write a trial's rows, seen by nobody before `commit`, and `before` them other files of it.

        Called by the worker. Raises as `commit` does.
        """
        named = {"signature": signature, "attempt": attempt}
        tables = zip(ROW_TABLES, (curves, evaluations, samples), strict=True)
        key = PartKey(signature, attempt)
        self._write({(table, key): [{**row, **named} for row in rows] for table, rows in tables}, before)

    def commit(self, *records: Row) -> None:
        """Record how attempts ended, in this order; their rows exist from here on. Called by the driver.

        `axis_values`, `config` and `provenance` may be mappings; `metric_<name>` keys become columns.
        Raises LedgerError when the folder cannot be written; then any number of the first ones may be recorded.
        """
        for record in records:
            if record["status"] not in _RANK:
                raise ValueError(f"status must be one of {', '.join(_RANK)}; found {record['status']!r}")
        ended = {PartKey.of(record): record for record in records}
        self._write({("trials", key): [record] for key, record in ended.items()})
        for key in ended:
            self._commits.pop(key, None)
            self._broken.discard(key)

    def _write(
        self, parts: Mapping[tuple[str, PartKey], Sequence[Row]], before: Mapping[Path, Fill] = NO_FILES
    ) -> None:
        with writing(Path(self._parts.root)):
            root = self._parts.local_folder("")
            shared = {table: shared_columns(root, table) for table in {table for table, _ in parts}}
            self._parts.write(
                {(table, key): to_arrow(table, rows, shared[table]) for (table, key), rows in parts.items()},
                before,
            )

    def clean_uncommitted(self, unfinished: Container[str] = ()) -> list[str]:
        """Make the ledger what a launch may count on; the names of what was deleted.

        Finishes merges that were cut short, holds every byte of every file against its digest and moves what is
        damaged to `damaged/`. Deleted are only files that a killed writer left half written, and rows without a record
        of a trial in `unfinished`: its checkpoint gives them again. Other rows without a record go to `damaged/`, too.
        Only for the holder of the `LedgerLock`, while no trial runs. Raises LedgerError when the folder cannot be
        written.
        """
        with writing(Path(self._parts.root)):
            removed = []
            for table in TABLES:
                removed += self._parts.remove_temporary(table)
                for name in settle(self._parts, table):
                    self._note(name)
            committed = set(self._read_commits())
            for table in ROW_TABLES:
                self._refresh(table)
                self._verify(table)
                removed += self._clear_uncommitted(table, committed, unfinished)
            for table in TABLES:
                for name in sorted(self._parts.damaged.get(table, ())):
                    self._parts.set_aside(table, name)
            return removed

    def _clear_uncommitted(
        self, table: str, committed: set[PartKey], unfinished: Container[str]
    ) -> list[str]:
        """Delete rows without a record that a checkpoint gives again, and count the others no more."""
        removed = []
        index = self._parts.index(table)
        ignored = [one.file_name for one in index.merged.values() if not committed & one.spans.keys()]
        for key in index.single.keys() - committed:
            if key.signature in unfinished:
                self._parts.local_folder(table).joinpath(key.file_name).unlink(missing_ok=True)
                removed.append(f"{table}/{key.file_name}")
            else:
                ignored.append(key.file_name)
        for name in ignored:
            self._parts.ignore(table, name)
            self._note(f"{table}/{name} (no record)")
        return removed

    # Reading

    def prefer(self, codes: Mapping[str, str]) -> None:
        """Let attempts made by this code stand before all others: signature -> fingerprint of a trial's source code."""
        self._codes = codes

    def records(self) -> list[dict[str, Any]]:
        """How every trial stands: one row of `trials` per signature, in the order they finished.

        Of the preferred code, done beats pruned beats failed beats skipped beats interrupted, and of equals the latest
        attempt counts; then so of any other code.
        """
        rows: list[dict[str, Any]] = self.table("trials").to_pylist()
        return rows

    def table(self, name: str, *, lists: bool = True) -> pa.Table:
        """A table as readers see it: the rows of done trials, and for `trials` one row per signature.

        Without `lists` its columns of lists, such as a loss per step, are left out: they are most of what there is
        to decode.
        """
        standing = self._standing()
        if name == "trials":
            chosen = concatenated(name, _chosen([self._commits[key] for key in standing]))
            return chosen.sort_by([("finished_at", "ascending"), ("signature", "ascending")])
        done = [key for key in standing if self._status(key) == "done"]
        table = concatenated(name, self._read(name, done, lists=lists))
        return table if lists else table.select(without_lists(table.schema))

    def num_bytes(self) -> dict[str, int]:
        """Signature -> bytes that its rows and records take."""
        found: Counter[str] = Counter()
        for table in TABLES:
            found.update(self._parts.num_bytes(table))
        return dict(found)

    def next_attempt(self, signature: str) -> int:
        """The number of the next attempt at a trial, from 1; never one that any file already carries."""
        return 1 + max(self.attempts().get(signature, []), default=0)

    def attempts(self) -> dict[str, list[int]]:
        """Signature -> attempts that any file of this ledger carries, from files' names and merged files' footers."""
        found: dict[str, set[int]] = {}
        for table in TABLES:
            for key in (*self._parts.refresh(table).held, *self._parts.damaged_keys(table)):
                found.setdefault(key.signature, set()).add(key.attempt)
        return {signature: sorted(numbers) for signature, numbers in found.items()}

    def done_attempt(self, signature: str, attempts: Sequence[int], code: str | None = None) -> int | None:
        """The latest of these attempts at a trial that ended well, made by this code where one is asked for.

        Reads their records alone.
        """
        for attempt in sorted(attempts, reverse=True):
            key = PartKey(signature, attempt)
            if key not in self._commits:
                self._load([key])
            found = self._commits.get(key)
            if found is not None and found.status == "done" and code in (None, found.code):
                return attempt
        return None

    def read_done(self, signature: str, attempt: int) -> tuple[Row, dict[str, list[Row]]] | None:
        """The record of a done attempt, and its rows by table; None where a part is damaged or gone."""
        key = PartKey(signature, attempt)
        try:
            parts = {}
            for table in TABLES:
                ((source, keys),) = self._parts.sources(table, [key]).items()
                parts[table] = own_columns(table, self._parts.read(table, source, keys)).to_pylist()
        except DamagedPart:
            return None
        (record,) = parts.pop("trials")
        return record, parts

    def _standing(self) -> list[PartKey]:
        """The attempt that counts for each signature."""
        best_first = sorted(self._read_commits(), key=self._preference, reverse=True)
        for table in ROW_TABLES:  # After the commits: whatever they commit is there.
            self._refresh(table)
        standing: dict[str, PartKey] = {}
        for key in best_first:
            if key.signature not in standing and (self._status(key) != "done" or self._is_sound(key)):
                standing[key.signature] = key
        return list(standing.values())

    def _preference(self, key: PartKey) -> tuple[bool, int, int]:
        code = self._commits[key].code
        return self._codes.get(key.signature, code) == code, _RANK[self._status(key)], key.attempt

    def _status(self, key: PartKey) -> str:
        return self._commits[key].status

    def _read_commits(self) -> list[PartKey]:
        """Keys of all committed attempts; parts never change, so each is read once."""
        keys = self._refresh("trials")
        self._commits = {key: self._commits[key] for key in keys if key in self._commits}
        self._load([key for key in keys if key not in self._commits])
        return list(self._commits)

    def _load(self, keys: Sequence[PartKey]) -> None:
        """Read records."""
        for part in self._read("trials", keys):
            columns = [part.column(name).to_pylist() for name in ("signature", "attempt", "status")]
            # Parts from before there was the column lack it.
            codes = part.column("code").to_pylist() if "code" in part.column_names else [None] * len(part)
            for row, (signature, attempt, status, code) in enumerate(zip(*columns, codes, strict=True)):
                self._commits[PartKey(signature, attempt)] = _Commit(status, code, part, row)

    def _is_sound(self, key: PartKey) -> bool:
        """Whether all parts of a done trial are there and end as they should."""
        if key in self._sound or key in self._broken:
            return key in self._sound
        for table in ROW_TABLES:
            try:
                self._parts.check(table, key)
            except DamagedPart as damage:
                self._note_missing(damage, table, key)
                return False
        self._sound.add(key)
        return True

    def _refresh(self, table: str) -> list[PartKey]:
        """List a table's files anew; the attempts they hold."""
        for name in self._parts.refresh(table).unreadable:
            self._parts.ignore(table, name)
            self._note(f"{table}/{name}")
        return list(self._parts.index(table).held)

    def _read(self, table: str, keys: Sequence[PartKey], *, lists: bool = True) -> list[pa.Table]:
        """The rows of attempts, file by file, without those that turn out damaged."""
        found = []
        for source, held in self._parts.sources(table, keys).items():
            try:
                found.append(self._parts.read(table, source, held, lists=lists))
            except DamagedPart as damage:
                self._note_damage(damage, table, source, held)
                # A merged file's parts may still be there, where its merge was cut short.
                now = self._parts.index(table).held
                again = [key for key in held if now.get(key, source) != source]
                found += self._read(table, again, lists=lists)
                self._broken.difference_update(again)
        return found

    def _verify(self, table: str) -> None:
        """Hold every byte of a table's files against its digest; what is damaged counts no more."""
        index = self._parts.index(table)
        files = {key.file_name: (table, [key]) for key in index.single}
        files |= {name: (merged.place, list(merged.spans)) for name, merged in index.merged.items()}
        for name, (place, keys) in files.items():
            try:
                self._parts.verify(table, place, name)
            except DamagedPart as damage:
                self._note_damage(damage, table, name, keys)

    def _note_damage(self, damage: DamagedPart, table: str, source: str, keys: Sequence[PartKey]) -> None:
        self._sound.difference_update(keys)
        self._broken.update(keys)
        self._parts.ignore(table, source)
        self._note(str(damage))

    def _note_missing(self, damage: DamagedPart, table: str, key: PartKey) -> None:
        """An attempt without sound rows: by its part, or by the merged file that was found damaged before."""
        merged = [] if key in self._parts.index(table).held else self._parts.merged_set_aside(table)
        if not merged:
            self._note_damage(damage, table, key.file_name, [key])
        self._broken.add(key)
        for name in merged:
            self._note(f"{table}/{name}")

    def _note(self, name: str) -> None:
        if name not in self.damaged:
            self.damaged.append(name)


def _chosen(commits: Sequence[_Commit]) -> list[pa.Table]:
    """The records of these commits, file by file."""
    rows: dict[int, list[int]] = {}
    parts = {id(commit.part): commit.part for commit in commits}
    for commit in commits:
        rows.setdefault(id(commit.part), []).append(commit.row)
    return [part if len(rows[name]) == len(part) else part.take(rows[name]) for name, part in parts.items()]
