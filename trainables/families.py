"""How a family is found: by the name of one in this package or in an installed one, or in a Python file."""

import importlib
import importlib.util
import pkgutil
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import trainables
from trainables.errors import UserError
from trainables.exchange import Metric
from trainables.family import Family
from trainables.source_code import text_digest
from trainables.sources import FAMILY_MODULE, module_of_source, read_source
from trainables.wording import expected

DEFAULT_FAMILY = "h_space"
ENTRY_POINTS = "asyrp_sweep.families"
"""The group in which an installed package names its families: `name = module:FAMILY`."""
DECLARATION = "FAMILY"


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
        return family_of_source(*read_source(named, folder))
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
    module = module_of_source(FAMILY_MODULE, file_name, source)
    if not hasattr(module, DECLARATION):
        raise UserError(
            f'{file_name} has no {DECLARATION}; end it with: FAMILY = Family("name", Config, train)'
        )
    found = _checked(getattr(module, DECLARATION), file_name)
    # A family made of a function has the digest of that.
    found.code_digest = found.code_digest or text_digest(source)[:16]
    found.source = (file_name, source)
    return found


def described(family: Family, metrics: Mapping[str, Metric]) -> dict[str, Any]:
    """What `study.json` says of a family and of these metrics, so that readers of results need not know it."""
    return {
        "metrics": {
            name: {part: value for part, value in vars(metric).items() if part != "name"}
            for name, metric in metrics.items()
        },
        "curve_columns": list(family.curve_columns()),
        "curve_labels": dict(family.curve_labels),
        "coordinates": [asdict(coordinate) for coordinate in family.coordinates],
        "sample_kinds": [asdict(kind) for kind in family.sample_kinds],
        "model_name": family.model_name,
        "fairness": dict(family.fairness),
        "confounding": list(family.confounding),
        "published_settings": {path: asdict(setting) for path, setting in family.published.items()},
        "sentences": list(family.sentences),
    }


@lru_cache(maxsize=8)
def described_by_name(name: str) -> dict[str, Any]:
    """The same of an installed family, for studies that do not say it; nothing where it is not installed."""
    try:
        family = find_family(name, Path.cwd())
    except UserError:  # such as one in a file of the user's
        return {}
    return described(family, {**family.metrics, **family.curve_metrics})


def _checked(found: object, where: str) -> Family:
    if not isinstance(found, Family):
        raise UserError(f"{where}: {DECLARATION} is {type(found).__name__}; expected a Family")
    return found
