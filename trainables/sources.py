"""Modules made of the text of a user's file, the same on every machine."""

import ast
import hashlib
import linecache
import sys
import traceback
from importlib.util import decode_source
from pathlib import Path
from types import ModuleType

from trainables.errors import UserError
from trainables.paths import user_path

FAMILY_MODULE = "asyrp_sweep_family_"
"""Begins the name of the module that a family's file is imported as, on every machine the same."""


def read_source(named: str, folder: Path) -> tuple[str, str]:
    """Name and text of the Python file at a path, which may start from `folder`. Raises UserError."""
    path = user_path(named, folder)
    try:
        return path.name, decode_source(path.read_bytes())  # as Python does: a mark, a declared encoding
    except FileNotFoundError as error:
        raise UserError(f"expected a Python file; {path} is not there") from error
    except (OSError, UnicodeDecodeError, SyntaxError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error


def module_of_source(prefix: str, file_name: str, source: str) -> ModuleType:
    """The module of a Python file's text, under a name that follows from the text.

    So a worker that was sent the text has the same module as the process that sent it.
    Raises UserError with the line that cannot be imported.
    """
    module = ModuleType(f"{prefix}{hashlib.sha256(source.encode()).hexdigest()[:16]}")
    module.__file__ = file_name
    sys.modules[module.__name__] = module
    # What reads the source of a function, as `inspect` does, finds it here.
    linecache.cache[file_name] = (len(source), None, source.splitlines(keepends=True), file_name)
    try:
        exec(compile(source, file_name, "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[module.__name__]
        raise UserError(_import_message(file_name, error)) from error
    return module


def line_of(source: str, name: str) -> int:
    """The line where a module binds a name; 1 where none does."""
    lines = [
        node.lineno
        for node in ast.parse(source).body
        if name in ([node.name] if isinstance(node, ast.ClassDef) else _targets(node))
    ]
    return lines[-1] if lines else 1


def _targets(node: ast.stmt) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else []
    targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
    return [target.id for target in targets if isinstance(target, ast.Name)]


def error_in(file_name: str, error: BaseException) -> str:
    """What went wrong, after the file's line where it did."""
    lines = [
        frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file_name
    ]
    place = f"{file_name}:{lines[-1]}" if lines else file_name
    return f"{place} {type(error).__name__}: {error}"


def _import_message(file_name: str, error: BaseException) -> str:
    """What went wrong in a file, and at which of its lines."""
    if isinstance(error, SyntaxError):
        return f"{file_name}:{error.lineno} cannot be imported: {error.msg}"
    if isinstance(error, SystemExit):
        return f"{file_name} ends the program when it is imported; put what runs under `if __name__ == '__main__':`"
    place, _, said = error_in(file_name, error).partition(" ")
    return f"{place} cannot be imported: {said}"
