"""What decides the numbers of a command: its settings, and the files that it reads, by their content."""

import hashlib
import os
import shlex
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

from trainables.command.config import CommandConfig, Kept, Value
from trainables.command.filling import BUILT_IN, as_text, filled, names_in, words_of
from trainables.digests import file_digest, remembered
from trainables.source_code import imported_by, text_digest

_NO_IDENTITY = {"base_folder", "reads", "time_limit_seconds", "grace_seconds", "init"}
"""Settings that decide no number of a trial that ends well; what lies in `base_folder` counts by its content, a start
by its parent."""


def identity(config: CommandConfig) -> dict[str, Any]:
    """JSON-able: the same for trials of a seed and a parent that give the same numbers. Raises OSError.

    What words and judges metrics, and a limit, enter as their defaults, so that signatures of earlier releases stand.
    """
    dumped = config.model_dump(mode="json", exclude=_NO_IDENTITY)
    dumped["keep"]["max_model_megabytes"] = Kept().max_model_megabytes
    for metric in dumped["metrics"].values():
        metric |= {"label": None, "unit": ""}
        if metric["take"] != "best":
            metric["better"] = "higher is better"
    return {"config": dumped, "sources": source_digests(config)}


def source_digests(config: CommandConfig) -> dict[str, str]:
    """Path in `base_folder` -> sha256 of what a file there holds; of Python without comments and formatting.

    Files that the command, its settings and its environment name (those elsewhere by their absolute paths, programs
    left out), modules that its Python files import from beside them, and what `sources` matches. Raises OSError where
    one cannot be read.
    """
    base = Path(config.base_folder).absolute()
    named = {*_named(config, base)}
    files = named | {one for path in named for one in _imported(path, base)}
    files |= {path for pattern in config.sources for path in base.glob(pattern) if path.is_file()}
    return {_name(path, base): _digest(path) for path in sorted(files)}


def _name(path: Path, base: Path) -> str:
    return (path.relative_to(base) if path.is_relative_to(base) else path).as_posix()


def _named(config: CommandConfig, base: Path) -> Iterator[Path]:
    values = {**config.settings, **dict.fromkeys(BUILT_IN, ""), "here": str(base)}
    words = _words(config, values)
    texts = [*words, *_filled(config.environment.values(), values)]
    texts += [as_text(one) for value in config.settings.values() for one in _each(value)]
    for part in (part for text in texts for part in (text, text.partition("=")[2])):
        path = Path(os.path.normpath(base / part))
        if part and _is_file(path) and (path.is_relative_to(base) or not os.access(path, os.X_OK)):
            yield path
    for option, module in pairwise(words):
        if option == "-m":
            yield from _module_files(module, base)


def _words(config: CommandConfig, values: Mapping[str, Value]) -> list[str]:
    words = [*_filled(words_of(config), values)]
    with suppress(ValueError):  # The shell will say so.
        return shlex.split(words[0]) if config.shell and words else words
    return []


def _filled(texts: Iterable[str], values: Mapping[str, Value]) -> Iterator[str]:
    """The texts that these values fill; a check says of the others that nothing does."""
    return (filled(text, values) for text in texts if values.keys() >= {*names_in(text)})


def _each(value: Value) -> list[Value]:
    return [*value] if isinstance(value, list) else [value]


def _imported(script: Path, base: Path) -> Iterator[Path]:
    """Modules in `base` that a Python file imports from its own folder, and they in turn."""
    folder, seen = script.parent, {script}
    ahead = [script]
    while ahead:
        path = ahead.pop()
        package = ".".join(path.relative_to(folder).parts[:-1])
        with suppress(SyntaxError, ValueError):  # Its own Python will say so.
            names = imported_by(path.read_bytes(), package) if path.suffix == ".py" else ()
            found = {one for name in names for one in _module_files(name, folder)}
            new = sorted(one for one in found - seen if one.is_relative_to(base))
            seen.update(new)
            ahead += new
    yield from seen


def _module_files(name: str, folder: Path) -> Iterator[Path]:
    """Files of a module in a folder, and of the packages that it is in."""
    place = folder
    for part in name.split("."):
        place /= part
        files = (place.with_suffix(".py"), place / "__init__.py", place / "__main__.py")
        yield from (file for file in files if _is_file(file))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # A word that is no path: too long, or with a NUL character.
        return False


def _digest(path: Path) -> str:
    if path.suffix != ".py":
        return file_digest(path)
    return remembered("source code", [path], lambda: _python_digest(path))


def _python_digest(path: Path) -> str:
    content = path.read_bytes()
    with suppress(SyntaxError, ValueError):  # Its own Python will say so.
        return text_digest(content)
    return hashlib.sha256(content).hexdigest()
