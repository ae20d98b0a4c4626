"""`import-editor`: a checkpoint of the two public repositories becomes an editor file of ours."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from orchestrator.config import ConfigError, Problem
from trainables.attributes import ATTRIBUTES
from trainables.config import CellConfig
from trainables.diffusion import training_timesteps
from trainables.domains import shipped_domains
from trainables.editor_file import save_editor
from trainables.editors import EDITORS
from trainables.editors_import import import_editor
from trainables.paths import absolute_path
from trainables.wording import did_you_mean, one_of

EDITOR_OPTIONS = ("kind", "num_heads", "temporal", "norm", "activation")
TRAINING_OPTIONS = ("t_edit", "num_train_steps")


def convert(options: argparse.Namespace) -> Iterator[str]:
    """Write the editor file; lines that say what was found, assumed and left out.

    Raises ConfigError for options that name nothing, EditorFileError for a file that does not fit them.
    """
    _check_names(options)
    given = {name: vars(options)[name] for name in EDITOR_OPTIONS if vars(options)[name] is not None}
    imported = import_editor(options.file, **given)
    config = _config(options, imported.settings.model_dump())
    out: Path = options.out or options.file.with_suffix(".safetensors")
    extra = {"imported_from": options.file.name, "assumed": ", ".join(imported.assumed)}
    save_editor(out, imported.editor, config, imported.shape, _trained(config), extra)

    shape = imported.shape
    yield f"{imported.settings.kind}, for a bottleneck of {shape.channels} x {shape.height} x {shape.width}"
    if imported.assumed:
        yield f"assumed, for the weights do not tell: {', '.join(imported.assumed)}"
    if imported.dropped:
        yield f"left out, for the published editor never used them: {', '.join(imported.dropped)}"
    yield f"Editor: {out}"


def _trained(config: CellConfig) -> tuple[int, ...]:
    """The timesteps that a training of these settings visits."""
    steps = training_timesteps(config.training.num_train_steps, config.training.lowest_t)
    return tuple(t for t, _ in steps)


def _config(options: argparse.Namespace, editor: dict[str, Any]) -> CellConfig:
    training = {name: vars(options)[name] for name in TRAINING_OPTIONS if vars(options)[name] is not None}
    try:
        return CellConfig.model_validate(
            {"domain": options.domain, "attribute": options.attribute, "editor": editor, "training": training}
        )
    except ValidationError as error:
        wrong = [(detail["loc"], detail["msg"]) for detail in error.errors()]
        raise ConfigError(
            [Problem("", 0, f"--{str(place[-1]).replace('_', '-')}", message) for place, message in wrong]
        ) from error


def _check_names(options: argparse.Namespace) -> None:
    is_file = options.domain.endswith((".yaml", ".yml"))
    named: list[tuple[str, str | None, list[str]]] = [
        ("attribute", options.attribute, list(ATTRIBUTES)),
        ("kind", options.kind, list(EDITORS)),
    ]
    if not is_file:
        named.append(("domain", options.domain, list(shipped_domains())))
    problems = [
        Problem(
            "", 0, f"--{option}", f"expected {one_of(names)}; found {value!r}{did_you_mean(value, names)}"
        )
        for option, value, names in named
        if value is not None and value not in names
    ]
    if problems:
        raise ConfigError(problems)
    if is_file:
        options.domain = absolute_path(options.domain, Path.cwd())
