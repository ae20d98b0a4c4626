"""The state of an unfinished trial on disk: atomic to write, verified when read.

    checkpoints/<signature>/epoch-00003/{manifest.json, <whatever the trial saved>}

A new epoch is written beside the old one under a temporary name, synced, and renamed; only then is the
old one removed. So there is a complete checkpoint at every moment after the first epoch. The manifest
holds the SHA-256 of every file: one flipped bit and the checkpoint is set aside, not resumed from.
"""

import contextlib
import hashlib
import json
import shutil
import uuid
from collections.abc import Callable, Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.ledger.durable import fsync

FOLDER = "checkpoints"
MANIFEST = "manifest.json"


class DamagedCheckpoint(Exception):
    """A checkpoint whose content is not what was written; the message says where it was put."""


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint: its folder, and what the worker wrote beside the trial's own files."""

    folder: Path
    extra: dict[str, Any]
    epoch: int


class CheckpointStore:
    """The checkpoints of one trial."""

    def __init__(self, study_folder: Path, signature: str) -> None:
        self.folder = study_folder / FOLDER / signature
        self._damaged = study_folder / FOLDER / "damaged"

    def save(self, epoch: int, write: Callable[[Path], None], extra: dict[str, Any]) -> None:
        """Let `write` fill a folder and make it the trial's newest checkpoint. `extra` must be JSON-able."""
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / f".writing-{uuid.uuid4().hex}"
        temporary.mkdir()
        write(temporary)
        written = sorted(path for path in temporary.rglob("*") if path.is_file())
        files = {str(path.relative_to(temporary)): _sha256(path) for path in written}
        manifest = temporary / MANIFEST
        manifest.write_text(json.dumps({"epoch": epoch, "files": files, "extra": extra}))
        for path in [*written, manifest, temporary]:
            fsync(path)
        final = self.folder / f"epoch-{epoch:05d}"
        if final.exists():  # A worker that was given up for lost got there first, with the same content.
            shutil.rmtree(temporary)
        else:
            temporary.rename(final)
            fsync(self.folder)
        self._remove_all_but(final)

    def newest(self) -> Checkpoint | None:
        """The newest complete checkpoint, or None. Raises DamagedCheckpoint after setting it aside."""
        folders = sorted(self.folder.glob("epoch-*"), reverse=True)
        if not folders:
            return None
        try:
            manifest = json.loads((folders[0] / MANIFEST).read_text())
            found = {name: _sha256(folders[0] / name) for name in manifest["files"]}
        except (OSError, ValueError, KeyError, TypeError) as error:
            if not folders[0].exists():  # Dropped while it was read, to keep the study's quota.
                return None
            raise self.set_aside(folders[0], str(error)) from error
        if found != manifest["files"]:
            changed = [name for name in found if found[name] != manifest["files"][name]]
            raise self.set_aside(folders[0], f"{', '.join(changed)} is not what was written")
        return Checkpoint(folders[0], manifest["extra"], manifest["epoch"])

    def set_aside(self, folder: Path, why: str) -> DamagedCheckpoint:
        """Move a checkpoint out of the way; the exception to raise, naming its new place."""
        self._damaged.mkdir(parents=True, exist_ok=True)
        place = self._damaged / f"{self.folder.name}-{folder.name}-{uuid.uuid4().hex[:8]}"
        if not folder.exists():
            return DamagedCheckpoint(f"the checkpoint {folder.name} was dropped while it was read ({why})")
        folder.rename(place)
        return DamagedCheckpoint(f"the checkpoint {folder.name} was damaged ({why}) and moved to {place}")

    @staticmethod
    def drop(folder: Path) -> None:
        """Remove a checkpoint at one stroke, so that its trial finds it whole or not at all."""
        dropped = folder.with_name(f".dropped-{uuid.uuid4().hex}")
        with contextlib.suppress(OSError):  # The next epoch may just have taken its place.
            folder.rename(dropped)
        shutil.rmtree(dropped, ignore_errors=True)

    def remove(self) -> None:
        """Forget the trial's checkpoints: it is committed."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _remove_all_but(self, newest: Path) -> None:
        for path in self.folder.iterdir():
            if path != newest:
                shutil.rmtree(path, ignore_errors=True)


def unfinished(study_folder: Path) -> set[str]:
    """Signatures of the trials that have a checkpoint to go on from."""
    return {path.parent.name for path in study_folder.joinpath(FOLDER).glob("*/epoch-*")}


def drop_committed(study_folder: Path, committed: Container[str]) -> None:
    """Remove what killed launches left: checkpoints of trials that are committed, and unfinished ones.

    Only for the holder of the study's lock, while no trial runs.
    """
    for folder in study_folder.joinpath(FOLDER).glob("*"):
        if folder.name in committed:
            shutil.rmtree(folder, ignore_errors=True)
            continue
        for unfinished in folder.glob(".*"):
            shutil.rmtree(unfinished, ignore_errors=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
