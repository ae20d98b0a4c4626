"""The state of an unfinished trial on disk: atomic to write, verified when read, and written by one worker at a time.

    checkpoints/<signature>/claim-00001-00002-<mark>    who may write: attempt, how many took the trial up before, mark
    checkpoints/<signature>/rows-<mark>.jsonl           rows of finished epochs; every epoch appends its own
    checkpoints/<signature>/epoch-00003-<mark>/{manifest.json, <whatever the trial saved>}

A worker that takes a trial up puts its claim there, and the latest claim counts: of a higher attempt, or of the same
one and later. A worker whose claim is not the latest, or is gone, has been superseded and writes nothing more; its
files carry its own mark, so what it wrote just before is in nobody's way.

A new epoch is written beside the old one under a temporary name, synced, and renamed; only then is the old one
removed. So there is a complete checkpoint at every moment after the first epoch. The manifest holds the SHA-256 of
every file, and of the rows so far: one flipped bit and the checkpoint is set aside, not resumed from.

Where the study's folder is a copy of what an object store holds, the same files are objects: claims count there, the
manifest is put last and removed first, and who takes a trial up fetches what it goes on from.
"""

import contextlib
import hashlib
import json
import shutil
import uuid
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.ledger import LedgerError
from orchestrator.ledger.copies import Copy, working_copy_of
from orchestrator.ledger.durable import fsync, sync
from orchestrator.ledger.files import writing
from trainables.model_files import MODEL_FOLDER

FOLDER = "checkpoints"
DAMAGED = "damaged"
MANIFEST = "manifest.json"
_LOOKS = 5
"""How often the newest checkpoint is looked for while an older worker still replaces it."""

Row = Mapping[str, Any]


class DamagedCheckpoint(Exception):
    """A checkpoint whose content is not what was written; the message says where it was put."""


class Superseded(LedgerError):
    """Another worker has taken the trial over; this one may write nothing more."""


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint: its folder, what the worker wrote beside the trial's own files, and the rows so far."""

    folder: Path
    extra: dict[str, Any]
    epoch: int
    rows: list[dict[str, Any]] = field(default_factory=list)


class CheckpointStore:
    """The checkpoints of one trial, for one worker of an attempt at it."""

    def __init__(self, study_folder: Path, signature: str, attempt: int = 1) -> None:
        self.folder = study_folder / FOLDER / signature
        self._damaged = study_folder / FOLDER / DAMAGED
        self._copy = working_copy_of(study_folder)
        self._attempt = attempt
        self._mark = uuid.uuid4().hex[:12]
        self._claim = ""
        """Claim of this worker on its trial; it may write nothing before it has one."""
        self._rows = _RowFile(self.folder / f"rows-{self._mark}.jsonl")

    def claim(self) -> None:
        """Take the trial over from every worker before. Raises Superseded where a later attempt has."""
        if self._copy is not None:
            self._fetch(self._copy)
        self.folder.mkdir(parents=True, exist_ok=True)
        latest = max(self._claims(), default="claim-00000-00000-")
        _, attempt, number, _ = latest.split("-")
        if int(attempt) <= self._attempt:
            later = int(number) + 1 if int(attempt) == self._attempt else 0
            self._claim = f"claim-{self._attempt:05d}-{later:05d}-{self._mark}"
            self.folder.joinpath(self._claim).touch()
            if self._copy is not None:
                self._copy.push([self.folder / self._claim])
        self.check()

    def check(self) -> None:
        """Raise Superseded where another worker has taken the trial over, or its end is recorded."""
        if max(self._claims(), default=None) != self._claim:
            raise Superseded(
                f"{self.folder}: another worker has taken this trial over, or its end is recorded already; "
                f"this one, of attempt {self._attempt}, writes nothing more"
            )

    def revoke(self) -> None:
        """Let no worker write any more until one claims the trial anew.

        Only for the holder of the study's lock. Raises LedgerError when the folder cannot be written.
        """
        with writing(self.folder):
            claims = self._claims()
            for name in claims:
                self.folder.joinpath(name).unlink(missing_ok=True)
            self._unpublish(claims)

    def save(
        self,
        epoch: int,
        write: Callable[[Path], None],
        extra: dict[str, Any],
        rows_after: Callable[[int], Iterable[Row]] = lambda epoch: (),
    ) -> None:
        """Let `write` fill a folder and make it the trial's newest checkpoint. `extra` must be JSON-able.

        `rows_after` gives the rows, JSON-able as well, of epochs after one: mostly those of this epoch, all of them
        where nothing is kept yet. Raises Superseded, and OSError where it cannot be written: then the checkpoint before
        is as it was.
        """
        self.check()
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / f".writing-{uuid.uuid4().hex}"
        try:
            temporary.mkdir()
            write(temporary)
            written = sorted(path for path in temporary.rglob("*") if path.is_file())
            files = {str(path.relative_to(temporary)): _sha256(path) for path in written}
            self.check()
            rows = self._rows.append(epoch, rows_after)
            manifest = temporary / MANIFEST
            manifest.write_text(json.dumps({"epoch": epoch, "files": files, "rows": rows, "extra": extra}))
            sync([*written, manifest, temporary, self._rows.path])
            # Listed before the claim is looked at: what a later worker puts there is not among them.
            before = list(self.folder.iterdir())
            self.check()
            final = self.folder / f"epoch-{epoch:05d}-{self._mark}"
            if not final.exists():
                temporary.rename(final)
                fsync(self.folder)
            if self._copy is not None:
                self._publish(self._copy, final)
        except OSError:
            self.check()  # A later worker clears away what this one was writing.
            raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        for path in before:
            if path.name not in (final.name, self._rows.path.name, self._claim, temporary.name):
                remove_at_once(path)

    def newest(self) -> Checkpoint | None:
        """The newest complete checkpoint, or None.

        Raises DamagedCheckpoint after setting it aside, and OSError, which leaves it, where it may not be read.
        """
        for _ in range(_LOOKS):
            folders = sorted(self.folder.glob("epoch-*"), reverse=True)
            if not folders:
                return None
            try:
                return self._verified(folders[0])
            except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
                # An older worker's next epoch may just have taken its place, or the study's quota it.
                if folders[0].exists():
                    raise self.set_aside(folders[0], str(error)) from error
        return None

    def _verified(self, folder: Path) -> Checkpoint:
        """Read a checkpoint; raises ValueError where a byte of it has changed."""
        manifest = json.loads((folder / MANIFEST).read_text())
        found = {name: _sha256(folder / name) for name in manifest["files"]}
        if changed := [name for name in found if found[name] != manifest["files"][name]]:
            raise ValueError(f"{', '.join(changed)} is not what was written")
        # Checkpoints of earlier versions have no rows apart.
        rows = _RowFile.read(self.folder, manifest["rows"]) if "rows" in manifest else []
        return Checkpoint(folder, manifest["extra"], manifest["epoch"], rows)

    def set_aside(self, folder: Path, why: str) -> DamagedCheckpoint:
        """Move a checkpoint out of the way; the exception to raise, naming its new place."""
        self._damaged.mkdir(parents=True, exist_ok=True)
        place = self._damaged / f"{self.folder.name}-{folder.name}-{uuid.uuid4().hex[:8]}"
        if not folder.exists():
            return DamagedCheckpoint(f"the checkpoint {folder.name} was dropped while it was read ({why})")
        folder.rename(place)
        if self._copy is not None:
            self._copy.push(place.rglob("*"))
            self._unpublish(name for name in self._names() if name.startswith(f"{folder.name}/"))
        return DamagedCheckpoint(f"the checkpoint {folder.name} was damaged ({why}) and moved to {place}")

    def drop(self) -> None:
        """Remove what the trial could go on from, each at one stroke: it finds a checkpoint whole or not at all."""
        for path in (*self.folder.glob("epoch-*"), *self.folder.glob("rows-*")):
            remove_at_once(path)
        self._unpublish(name for name in self._names() if not name.startswith("claim-"))

    def remove(self) -> None:
        """Forget the trial: its end is recorded, and whoever still works at it has been superseded."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._unpublish(self._names())

    def _claims(self) -> list[str]:
        names = (path.name for path in self.folder.glob("claim-*")) if self._copy is None else self._names()
        return [name for name in names if name.startswith("claim-")]

    # In an object store, where the study's folder is a copy of what one holds

    def _names(self) -> list[str]:
        """Names of the trial's files in the store; none where there is no store."""
        return [] if self._copy is None else self._copy.names(self.folder)

    def _unpublish(self, names: Iterable[str]) -> None:
        """Remove files of the trial there: manifests first, for a checkpoint counts as long as it has one."""
        if self._copy is not None:
            manifests_first = sorted(names, key=lambda name: not name.endswith(f"/{MANIFEST}"))
            self._copy.remove(self.folder / name for name in manifests_first)

    def _fetch(self, copy: Copy) -> None:
        """Make the folder hold the trial's newest complete checkpoint, its rows and its claims, and nothing else."""
        for _ in range(_LOOKS):
            shutil.rmtree(self.folder, ignore_errors=True)
            names = self._names()
            complete = [name.split("/")[0] for name in names if name.endswith(f"/{MANIFEST}")]
            newest = max(complete, default=None)
            wanted = [name for name in names if name.split("/")[0] == newest or "/" not in name]
            if all(copy.pull(self.folder / name) for name in wanted):
                return  # Else an older worker's next epoch has just taken its place.

    def _publish(self, copy: Copy, checkpoint: Path) -> None:
        """Put a checkpoint, its manifest last, and remove what was there before it."""
        manifest = checkpoint / MANIFEST
        content = [path for path in checkpoint.rglob("*") if path.is_file() and path != manifest]
        content += [self._rows.path, self.folder / self._claim]
        copy.push(content)
        before = self._names()
        self.check()
        copy.push([manifest])
        kept = {path.relative_to(self.folder).as_posix() for path in (*content, manifest)}
        self._unpublish(set(before) - kept)


@dataclass
class _RowFile:
    """Rows of finished epochs, a line each; an epoch appends its own and hashes no others."""

    path: Path
    _epoch: int = 0
    """The last one whose rows are in the file."""
    _num_bytes: int = 0
    _digest: Any = field(default_factory=hashlib.sha256)

    def append(self, epoch: int, rows_after: Callable[[int], Iterable[Row]]) -> dict[str, Any]:
        """Write the rows that are new, on the disk once the file is synced; what a manifest says of them."""
        if self._num_bytes and not self.path.exists():  # Dropped, to keep the study's quota.
            self._epoch, self._num_bytes, self._digest = 0, 0, hashlib.sha256()
        content = "".join(json.dumps(row) + "\n" for row in rows_after(self._epoch)).encode()
        self.path.touch()
        with self.path.open("r+b") as file:
            file.seek(self._num_bytes)  # A write that was cut short may have left more than counts.
            file.write(content)
            file.truncate()
        self._digest.update(content)
        self._epoch, self._num_bytes = epoch, self._num_bytes + len(content)
        return {"file": self.path.name, "num_bytes": self._num_bytes, "sha256": self._digest.hexdigest()}

    @staticmethod
    def read(folder: Path, listed: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The rows that a manifest lists. Raises ValueError where they are not what was written, OSError."""
        with (folder / listed["file"]).open("rb") as file:
            content = file.read(listed["num_bytes"])
        if hashlib.sha256(content).hexdigest() != listed["sha256"]:
            raise ValueError(f"{listed['file']} is not what was written")
        return [json.loads(line) for line in content.splitlines()]


def unfinished(study_folder: Path) -> set[str]:
    """Signatures of the trials that have a checkpoint to go on from."""
    if (copy := working_copy_of(study_folder)) is not None:
        found = copy.names(study_folder / FOLDER)
        return {name.split("/")[0] for name in found if name.endswith(f"/{MANIFEST}")} - {DAMAGED}
    return {path.parent.name for path in study_folder.joinpath(FOLDER).glob("*/epoch-*")}


def drop_committed(study_folder: Path, committed: Container[str]) -> None:
    """Remove what killed launches left: checkpoints of trials that are committed, claims, and half-written files.

    Workers of theirs that are still alive have been superseded from here on. Only for the holder of the study's lock,
    while no trial runs.
    """
    signatures = {folder.name for folder in study_folder.joinpath(FOLDER).glob("*")}
    if (copy := working_copy_of(study_folder)) is not None:
        signatures |= {name.split("/")[0] for name in copy.names(study_folder / FOLDER)}
    for signature in signatures - {DAMAGED}:
        store = CheckpointStore(study_folder, signature)
        if signature in committed:
            store.remove()
            continue
        store.revoke()
        for left in store.folder.glob(".*"):
            remove_at_once(left)
        with contextlib.suppress(OSError):  # It holds something.
            store.folder.rmdir()
    for half_written in (".*.tmp", "ledger/.*.tmp", f"{MODEL_FOLDER}/.*"):
        for left in study_folder.glob(half_written):
            remove_at_once(left)


def remove_at_once(path: Path) -> None:
    """Remove a file, or a folder at one stroke; nothing where another has removed it."""
    dropped = path.with_name(f".dropped-{uuid.uuid4().hex}")
    with contextlib.suppress(OSError):
        if not path.is_dir():
            path.unlink()
            return
        path.rename(dropped)
    shutil.rmtree(dropped, ignore_errors=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
