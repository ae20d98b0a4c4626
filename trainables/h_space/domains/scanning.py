"""Which files of a folder are taken as pictures, and what is left out and why."""

import os
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from trainables.errors import UserError

ENDINGS: Final = frozenset(
    [
        ".png",
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".webp",
        ".gif",
        ".bmp",
        ".tif",
        ".tiff",
        ".jp2",
        ".avif",
        ".ppm",
        ".pgm",
    ]
)
_UNREADABLE: Final = frozenset((".heic", ".heif", ".svg", ".dng", ".cr2", ".nef", ".arw", ".psd"))
_SYSTEM_FOLDERS: Final = frozenset(("__MACOSX", "@eaDir", "$RECYCLE.BIN", "lost+found"))
_NESTED: Final = "sub-folders with pictures"
_NAMED: Final = 3


class FolderError(UserError):
    """A folder of pictures that cannot be used; the message says what was found there and what to do."""


@dataclass(frozen=True)
class Scan:
    """The pictures of a folder by their path inside it, in order of names, and what was left out."""

    folder: Path
    names: tuple[str, ...]
    """With `/` between the parts, whatever the system."""
    left_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Reason -> names."""

    @property
    def summary(self) -> str:
        """What was left out and why, such as `2 hidden (._a.jpg, .DS_Store)`; nothing where nothing was."""
        return "; ".join(_counted(reason, names) for reason, names in self.left_out.items())

    @property
    def remark(self) -> str:
        """How many pictures there are and what was left out; nothing where nothing was."""
        offer = ", read with `recursive: true` under `images:`" if _NESTED in self.left_out else ""
        pictures = f"{self.folder}: {len(self.names)} pictures"
        return f"{pictures}; left out: {self.summary}{offer}" if self.left_out else ""

    def checked(self) -> "Scan":
        """Itself. Raises FolderError where it has no picture, with the way out where there is one."""
        if self.names:
            return self
        if _NESTED in self.left_out:
            raise FolderError(
                f"{self.folder} has no pictures of its own, but {self.summary}: write `recursive: true` under "
                "`images:` in the domain's file to read them"
            )
        found = f"; left out: {self.summary}" if self.left_out else ""
        raise FolderError(
            f"{self.folder} has no pictures (files ending in {', '.join(sorted(ENDINGS))}){found}"
        )


def scan(folder: Path, recursive: bool = False) -> Scan:
    """Look through a folder, with `recursive` through those inside it. Raises FolderError where it cannot be read."""
    names: list[tuple[str, ...]] = []
    left_out: dict[str, list[str]] = {}
    try:
        for parts, reason in _walk(folder, (), recursive, {_identity(folder)}):
            if reason is None:
                names.append(parts)
            else:
                left_out.setdefault(reason, []).append("/".join(parts))
    except OSError as error:
        raise FolderError(f"{error.filename or folder} cannot be read: {error.strerror}") from error
    ordered = tuple("/".join(parts) for parts in sorted(names))
    return Scan(folder, ordered, {reason: tuple(sorted(found)) for reason, found in sorted(left_out.items())})


def _walk(
    folder: Path, above: tuple[str, ...], recursive: bool, seen: set[tuple[int, int]]
) -> Iterator[tuple[tuple[str, ...], str | None]]:
    """(parts of the path, why it is left out or None) of everything in a folder."""
    with os.scandir(folder) as entries:
        for entry in entries:
            parts = (*above, entry.name)
            reason = _why_not(entry, recursive)
            if reason is not None or not entry.is_dir():
                yield parts, reason
                continue
            inside = Path(entry.path)
            if (own := _identity(inside)) in seen:
                yield parts, "folders that were already read"
                continue
            seen.add(own)
            yield from _walk(inside, parts, recursive, seen)


def _identity(folder: Path) -> tuple[int, int]:
    """Tells a folder that links lead back to."""
    stat = folder.stat()
    return stat.st_dev, stat.st_ino


def _why_not(entry: "os.DirEntry[str]", recursive: bool) -> str | None:
    """Why an entry is left out, in words that follow a number; None for a picture or a folder to look into."""
    ending = Path(entry.name).suffix.lower()
    if entry.name.startswith("."):
        return "hidden"
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in entry.name):
        return "with names of control characters or of bytes that are not UTF-8; rename them"
    if entry.is_dir():
        if entry.name in _SYSTEM_FOLDERS:
            return "folders of the system"
        return None if recursive else _folder_reason(Path(entry.path))
    if entry.is_symlink() and not Path(entry.path).exists():
        return "links to nothing"
    if ending in _UNREADABLE:
        return f"{ending} files, which cannot be read; save them as JPEG or PNG"
    if ending not in ENDINGS:
        return "of other kinds"
    if not entry.is_file():
        return "neither files nor folders"
    return "empty (0 bytes)" if entry.stat().st_size == 0 else None


def _folder_reason(folder: Path) -> str:
    """Whether a folder that is not looked into holds pictures; its first level alone."""
    try:
        with os.scandir(folder) as entries:
            has_pictures = any(_why_not(entry, True) is None for entry in entries)
    except OSError:
        return "folders that cannot be read"
    return _NESTED if has_pictures else "folders without pictures"


def _counted(reason: str, names: tuple[str, ...]) -> str:
    shown = ", ".join(printable(name) for name in names[:_NAMED])
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{len(names)} {reason} ({shown}{more})"


def printable(name: str) -> str:
    """A file's name for messages, titles and new files: what cannot be printed as question marks."""
    return "".join(letter if unicodedata.category(letter) not in ("Cc", "Cs") else "?" for letter in name)
