"""The files that decide what a command does, by their content: a changed script is another trial."""

import ast
import hashlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from trainables.command.config import CommandConfig
from trainables.command.filling import BUILT_IN, filled, names_in, words_of
from trainables.digests import file_digest, remembered


def source_digests(config: CommandConfig) -> dict[str, str]:
    """Path in `base_folder` -> sha256 of what a file there holds; of Python without comments and formatting.

    Files that the command names, and those that `sources` matches. Raises OSError where one cannot be read.
    """
    base = Path(config.base_folder).absolute()
    return {path.relative_to(base).as_posix(): _digest(path) for path in sorted({*_files(config, base)})}


def _files(config: CommandConfig, base: Path) -> Iterator[Path]:
    here = dict.fromkeys(BUILT_IN, "") | {"here": str(base)}
    for word in words_of(config):
        if not set(names_in(word)) - here.keys():
            for part in (word, word.partition("=")[2]):
                path = base / filled(part, here)
                if part and _is_file(path) and path.is_relative_to(base):
                    yield path
    for pattern in config.sources:
        yield from (path for path in base.glob(pattern) if path.is_file())


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # A word that is no path: too long, or with a NUL character.
        return False


def _digest(path: Path) -> str:
    if path.suffix != ".py":
        return file_digest(path)
    return remembered("python", [path], lambda: _python_digest(path))


def _python_digest(path: Path) -> str:
    content = path.read_bytes()
    with suppress(SyntaxError, ValueError):  # Its own Python will say so.
        content = ast.dump(ast.parse(content)).encode()
    return hashlib.sha256(content).hexdigest()
