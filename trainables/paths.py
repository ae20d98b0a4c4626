"""Paths as users write them: `~/data`, `$HOME/data`, `${DATA}/faces`, relative to the file that names them."""

import os
import re
from pathlib import Path

from trainables.errors import UserError

MAX_PART_BYTES = 255
"""Longest file name on any common file system; asking for a longer one is an error there."""
_VARIABLE = re.compile(r"\$(?:\{([^}]*)\}|([A-Za-z_]\w*))")


def user_path(text: str | Path, base: Path = Path()) -> Path:
    """The path that a text means, under `base` where it is relative.

    What exists as it is written is meant as it is written; else `~` and variables are expanded.
    Raises UserError naming a variable that is not set, and for a name that is too long for a file.
    """
    written = str(text)
    if os.path.exists(base / written):  # noqa: PTH110 - Path.exists raises for a name that is too long
        return base / written
    for in_braces, bare in _VARIABLE.findall(written):
        if (in_braces or bare) not in os.environ:
            name = in_braces or bare
            raise UserError(
                f"{written!r}: the environment variable {name} is not set, and no such path exists"
            )
    if any(len(part.encode("utf-8", "replace")) > MAX_PART_BYTES for part in Path(written).parts):
        raise UserError(f"{written[:50]!r}...: no part of a path is longer than {MAX_PART_BYTES} bytes")
    expanded = _VARIABLE.sub(lambda found: os.environ[found[1] or found[2]], written)
    return base / os.path.expanduser(expanded)  # noqa: PTH111 - Path's raises for a user that does not exist


def home() -> Path:
    """The user's home folder, also of a user whom the system knows by no name, for whom Path.home() raises."""
    return Path(os.path.expanduser("~"))  # noqa: PTH111 - as said


def absolute_path(text: str, base: Path) -> str:
    """`user_path` from anywhere; the text itself where a variable is not set, which its reader will tell."""
    try:
        return str(user_path(text, base).absolute())
    except UserError:
        return text
