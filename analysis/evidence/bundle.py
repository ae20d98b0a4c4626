"""The file of a bundle: a zip of plain files under a manifest of their SHA-256, the same bytes for the same content.

Nothing in it is compressed by zip, nothing is unpacked to disk, and no code is in it: a bundle of a stranger is read
without running anything of theirs.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainables.errors import UserError

MANIFEST = "manifest.json"
FORMAT = "asyrp-sweep evidence"
VERSION = 1
"""Raised when a file changes its meaning, or another one is needed."""
_TIME = (1980, 1, 1, 0, 0, 0)
"""The earliest that zip knows: no clock is in a bundle."""
_ZIP = b"PK\x03\x04"


@dataclass(frozen=True)
class Bundle:
    """What a file of evidence holds."""

    files: Mapping[str, bytes]
    """Name -> content, the manifest left out; empty where the file cannot be read."""
    damage: tuple[str, ...]
    """What is not as the manifest says, each in a line."""
    digest: str
    """SHA-256 of the manifest, and so of everything in the bundle: its name, wherever it is quoted."""


def sha256(content: bytes) -> str:
    """In hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def json_bytes(content: Any) -> bytes:
    """JSON as it stands in a bundle."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False, sort_keys=True)
    return text.encode() + b"\n"


def packed(files: Mapping[str, bytes]) -> bytes:
    """A bundle of these files."""
    listed = {name: {"sha256": sha256(files[name]), "bytes": len(files[name])} for name in sorted(files)}
    manifest = json_bytes({"format": FORMAT, "version": VERSION, "files": listed})
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, content in ((MANIFEST, manifest), *sorted(files.items())):
            info = zipfile.ZipInfo(name, _TIME)
            info.create_system, info.external_attr = 3, 0o644 << 16
            archive.writestr(info, content, zipfile.ZIP_STORED)
    return written.getvalue()


def unpacked(path: Path) -> Bundle:
    """The content of a bundle, held against its manifest.

    Raises UserError for a file that is no bundle, or one of another version.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder; expected a file that `export STUDY --to evidence FILE` wrote")
    content = path.read_bytes()
    if not content.startswith(_ZIP) or MANIFEST.encode() not in content[:200]:
        raise UserError(
            f"{path} is no evidence bundle; `asyrp-sweep export STUDY --to evidence FILE` writes one"
        )
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            files, damage = _members(archive)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, ValueError) as error:
        return Bundle({}, (f"the file cannot be unpacked: {error}",), "")
    manifest = files.pop(MANIFEST, b"")
    listed = _listed(manifest, path)
    if listed is None:
        return Bundle({}, (*damage, f"{MANIFEST} cannot be read"), "")
    told = " ".join(damage)
    damage += [f"{name} is missing" for name in listed if name not in files and name not in told]
    damage += [f"{name} is in no manifest" for name in files if name not in listed]
    damage += [
        f"{name} has another SHA-256 than the manifest says"
        for name, entry in listed.items()
        if name in files and entry != {"sha256": sha256(files[name]), "bytes": len(files[name])}
    ]
    if not damage and packed(files) != content:
        damage.append("bytes beside the files differ from those that were written")
    return Bundle(files, tuple(damage), sha256(manifest))


def _members(archive: zipfile.ZipFile) -> tuple[dict[str, bytes], list[str]]:
    """Content by name, and what cannot be read of it."""
    files: dict[str, bytes] = {}
    damage = []
    for info in archive.infolist():
        if info.filename in files:
            damage.append(f"{info.filename} is there twice")
        elif info.compress_type != zipfile.ZIP_STORED:
            damage.append(f"{info.filename} is compressed, as no bundle writes it")
        else:
            try:
                files[info.filename] = archive.read(info)
            except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError) as error:
                damage.append(f"{info.filename} cannot be read: {error}")
    return files, damage


def _listed(manifest: bytes, path: Path) -> dict[str, Any] | None:
    """Name -> what the manifest says of it; None where it says nothing that can be read.

    Raises UserError for a bundle of another version.
    """
    try:
        content = json.loads(manifest)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        return None
    if content.get("version") != VERSION:
        raise UserError(
            f"{path} is an evidence bundle of version {content.get('version')!r}; this asyrp-sweep reads version "
            f"{VERSION}: check it with the release that wrote it, or export the study again"
        )
    listed = content.get("files")
    return listed if isinstance(listed, dict) else None
