"""How a family is found: by the name of one in this package or in an installed one, or in a Python file."""

import hashlib
import importlib
import importlib.util
import linecache
import pkgutil
import sys
import traceback
from dataclasses import asdict
from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import trainables
from trainables.errors import UserError
from trainables.family import Family
from trainables.paths import user_path
from trainables.source_code import text_digest
from trainables.wording import expected

DEFAULT_FAMILY = "h_space"
ENTRY_POINTS = "asyrp_sweep.families"
"""The group in which an installed package names its families: `name = module:FAMILY`."""
DECLARATION = "FAMILY"
MODULE_PREFIX = "asyrp_sweep_family_"
"""Begins the name of the module that a family's file is imported as, on every machine the same."""


@lru_cache(maxsize=1)
def family_names() -> dict[str, str]:
    """Name of every family that is installed -> `module:FAMILY`."""
    own = {
        info.name: f"trainables.{info.name}.family:{DECLARATION}"
        for info in pkgutil.iter_modules(trainables.__path__)
        if info.ispkg and importlib.util.find_spec(f"trainables.{info.name}.family") is not None
    }
    return own | {point.name: point.value for point in entry_points(group=ENTRY_POINTS)}


def find_family(named: str, folder: Path) -> Family:
    """The family of a name, or of the Python file at a path, which may start from `folder`.

    Raises UserError when there is none, or it cannot be imported.
    """
    if named.endswith(".py"):
        path = user_path(named, folder)
        try:
            return family_of_source(path.name, path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise UserError(f"expected a Python file; {path} is not there") from error
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{path} cannot be read: {error}") from error
    known = family_names()
    if named not in known:
        raise UserError(
            f"{expected('a family', named, known)}, or the path of a Python file, such as ./my_model.py"
        )
    module, _, name = known[named].partition(":")
    try:
        found = getattr(importlib.import_module(module), name or DECLARATION)
    except Exception as error:
        raise UserError(f"family {named} cannot be imported: {type(error).__name__}: {error}") from error
    return _checked(found, f"family {named}")


@lru_cache(maxsize=8)
def family_of_source(file_name: str, source: str) -> Family:
    """The family in a Python file's text, under a module name that follows from the text.

    So a worker that was sent the text has the same module as the process that sent it. Raises UserError.
    """
    digest = hashlib.sha256(source.encode()).hexdigest()
    module = ModuleType(f"{MODULE_PREFIX}{digest[:16]}")
    module.__file__ = file_name
    sys.modules[module.__name__] = module
    # What reads the source of a function, as `inspect` does, finds it here.
    linecache.cache[file_name] = (len(source), None, source.splitlines(keepends=True), file_name)
    try:
        exec(compile(source, file_name, "exec"), module.__dict__)
    except Exception as error:
        del sys.modules[module.__name__]
        raise UserError(_import_message(file_name, error)) from error
    if not hasattr(module, DECLARATION):
        raise UserError(
            f'{file_name} has no {DECLARATION}; end it with: FAMILY = Family("name", Config, train)'
        )
    found = _checked(getattr(module, DECLARATION), file_name)
    # A family made of a function has the digest of that.
    found.code_digest = found.code_digest or text_digest(source)[:16]
    found.source = (file_name, source)
    return found


def described(name: str) -> tuple[dict[str, dict[str, Any]], tuple[str, ...]]:
    """The metrics and the columns of the curves of an installed family, as `study.json` says them."""
    family = find_family(name, Path.cwd())
    metrics = {**family.metrics, **family.curve_metrics}
    said = {
        name: {part: value for part, value in vars(metric).items() if part != "name"}
        for name, metric in metrics.items()
    }
    return said, family.curve_columns()


def described_method(name: str) -> tuple[dict[str, dict[str, Any]], tuple[str, ...]]:
    """The published settings and the sentences of an installed family, as `study.json` says them."""
    family = find_family(name, Path.cwd())
    return {path: asdict(setting) for path, setting in family.published.items()}, family.sentences


def _checked(found: object, where: str) -> Family:
    if not isinstance(found, Family):
        raise UserError(f"{where}: {DECLARATION} is {type(found).__name__}; expected a Family")
    return found


def _import_message(file_name: str, error: Exception) -> str:
    """What went wrong in a file, and at which of its lines."""
    if isinstance(error, SyntaxError):
        return f"{file_name}:{error.lineno} cannot be imported: {error.msg}"
    lines = [
        frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file_name
    ]
    place = f"{file_name}:{lines[-1]}" if lines else file_name
    return f"{place} cannot be imported: {type(error).__name__}: {error}"
