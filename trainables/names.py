"""Names that become names of files and folders, on any system, and labels in figures and tables."""

import re
import unicodedata
from collections.abc import Collection

MAX_LETTERS = 100
MAX_BYTES = 200
_RESERVED = {"con", "prn", "aux", "nul"} | {f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10)}
"""What Windows takes for devices, whatever their ending."""
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_JOINER = "\u200d"
"""Holds emoji together."""


def wrong_name(name: str) -> str:
    """Why a name cannot be that of a file on every system; nothing where it can."""
    reason = _reason(name)
    shown = repr(name if len(name) <= MAX_LETTERS else f"{name[:MAX_LETTERS]}...")
    return f"expected a name that a file can have on any system; found {shown}: {reason}" if reason else ""


def wrong_label(label: str) -> str:
    """Why a text cannot stand in the label of a cell; nothing where it can."""
    if not label.strip():
        return "expected a name; found nothing"
    if len(label) > MAX_LETTERS:
        return f"expected a name of at most {MAX_LETTERS} characters; found {len(label)}"
    if wrong := next((letter for letter in label if _is_invisible(letter)), ""):
        return f"expected a name on one line; found the character U+{ord(wrong):04X} in {label!r}"
    return ""


def visible(text: str) -> str:
    """The text with control characters, but tabs and line breaks, as they are written in code.

    The same goes for those that turn the direction of a text: neither a terminal nor a page can be led astray by them.
    """
    return _UNSEEN.sub(lambda found: ascii(found.group())[1:-1], text)


def folded(name: str) -> str:
    """Equal for names that a file system may take for the same one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def distinct(name: str, taken: Collection[str]) -> str:
    """The name, numbered where one of the folded names in `taken` is the same on some file system."""
    names = (name, *(f"{name}_{count}" for count in range(2, len(taken) + 2)))
    return next(choice for choice in names if folded(choice) not in taken)


def _reason(name: str) -> str:
    if not name:
        return "it is empty"
    if len(name) > MAX_LETTERS or len(name.encode("utf-8", "replace")) > MAX_BYTES:
        return f"it is longer than {MAX_LETTERS} characters or {MAX_BYTES} bytes"
    if name[0] in ".- " or name[-1] in ". ":
        return "it begins with a dot, a dash or a space, or ends with a dot or a space"
    if wrong := next((letter for letter in name if letter in '/\\:*?"<>|'), ""):
        return f"leave out {wrong}"
    if wrong := next((letter for letter in name if _is_invisible(letter)), ""):
        return f"leave out the character U+{ord(wrong):04X}"
    if folded(name.partition(".")[0]) in _RESERVED:
        return "Windows keeps that name for a device"
    return ""


def _is_invisible(letter: str) -> bool:
    """Control characters, line breaks, those that turn the direction of a text, and halves of characters."""
    return unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp") and letter != _JOINER
