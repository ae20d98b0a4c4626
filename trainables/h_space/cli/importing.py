"""`import-editor`: a checkpoint of the public repositories becomes an editor file of ours; `export-editor`: back."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.console import Console

from orchestrator.space.config import ConfigError, Problem
from orchestrator.views.live import say
from trainables.h_space.attributes import ATTRIBUTES
from trainables.h_space.config import AttributeText, CellConfig
from trainables.h_space.domains import shipped_domains
from trainables.h_space.domains.files import read_domain_file
from trainables.h_space.editor_file import EditorFileError, LoadedEditor, load_editor, save_editor
from trainables.h_space.editors import EDITORS, BlockSettings
from trainables.h_space.editors_export import public_state, unsaid, write_public
from trainables.h_space.editors_import import import_editor
from trainables.h_space.released_editors import FACES, published_edit, published_edits, released
from trainables.h_space.timesteps import PUBLISHED_T_MAX, training_timesteps
from trainables.names import wrong_label
from trainables.paths import absolute_path
from trainables.wording import did_you_mean, one_of

EDITOR_OPTIONS = ("kind", "num_heads", "temporal", "norm", "activation")
TRAINING_OPTIONS = ("t_edit", "num_train_steps")
DEFAULT_DOMAIN = "celebahq"
PUBLIC_SHAPE = (512, 8, 8)
"""Channels, height and width that the editors of the public repositories are written for."""


def import_command(options: argparse.Namespace, console: Console, command_line: str) -> int:
    """Convert a published editor."""
    for line in convert(options):
        say(console, line)
    return 0


def export_command(options: argparse.Namespace, console: Console, command_line: str) -> int:
    """Write an editor of ours in the public layout.

    Raises EditorFileError for one that it cannot hold, ConfigError for a place that cannot be written.
    """
    loaded = load_editor(options.file)
    try:
        state = public_state(loaded)
    except EditorFileError as error:
        raise EditorFileError(f"{options.file}: {error}") from error
    out: Path = options.out or options.file.with_suffix(".pth")
    try:
        write_public(state, out)
    except OSError as error:
        raise _wrong("out", f"{out} cannot be written: {error.strerror}") from error
    for line in _exported(loaded):
        say(console, line)
    say(console, f"Checkpoint: {out}")
    return 0


def _exported(loaded: LoadedEditor) -> Iterator[str]:
    """What the checkpoint does not hold, and who can read it."""
    config, shape, settings = loaded.metadata.config, loaded.metadata.shape, loaded.settings
    assert isinstance(settings, BlockSettings)
    given = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in unsaid(settings).items())
    yield f"{config.attribute}: from {config.edit.source!r} to {config.edit.target!r}"
    yield f"not stored in a checkpoint; give when it is read again: --attribute {config.attribute} {given}"
    if shape[:3] != PUBLIC_SHAPE:
        found, known = (" x ".join(map(str, one)) for one in (shape[:3], PUBLIC_SHAPE))
        yield f"note: the public code has its sizes written in, {known}; this editor is for {found}"


def convert(options: argparse.Namespace) -> Iterator[str]:
    """Write the editor file; lines that say what was found, assumed and left out.

    Raises ConfigError for options that name nothing, EditorFileError for a file that does not fit them.
    """
    _check_names(options)
    edit = _edit(options)
    given = {name: vars(options)[name] for name in EDITOR_OPTIONS if vars(options)[name] is not None}
    imported = import_editor(options.file, **given)
    config = _config(options, edit, imported.settings.model_dump())
    out: Path = options.out or options.file.with_suffix(".safetensors")
    extra = {"imported_from": options.file.name, "assumed": ", ".join(imported.assumed)}
    try:
        save_editor(out, imported.editor, config, imported.shape, _trained(config), extra)
    except OSError as error:
        raise _wrong("out", f"{out} cannot be written: {error.strerror}") from error

    shape = imported.shape
    yield f"{config.attribute}: from {config.edit.source!r} to {config.edit.target!r}"
    yield f"{imported.settings.kind}, for a bottleneck of {shape.channels} x {shape.height} x {shape.width}"
    if imported.assumed:
        yield f"assumed, not stored in the checkpoint: {', '.join(imported.assumed)}"
    if imported.dropped:
        yield f"left out, never used by the published editor: {', '.join(imported.dropped)}"
    name = released(options.file.name)
    if name is not None and name.images != FACES and options.domain == DEFAULT_DOMAIN:
        yield (
            f"note: by its file name it was trained on {name.images}, and its domain is now {options.domain}; "
            "give edit a domain with that diffusion model: --domain FILE.yaml"
        )
    yield f"Editor: {out}"


def _trained(config: CellConfig) -> tuple[int, ...]:
    """The timesteps that a training of these settings visits."""
    steps = training_timesteps(config.training.num_train_steps, config.training.lowest_t, PUBLISHED_T_MAX)
    return tuple(t for t, _ in steps)


def _edit(options: argparse.Namespace) -> dict[str, Any]:
    """The settings `attribute` and `texts`, by the options or else by the name of a released file."""
    by_file_name = released(options.file.name)
    name = options.attribute or (by_file_name and by_file_name.edit)
    if not name:
        raise _wrong(
            "attribute",
            "name the edit that this editor was trained for (asyrp-sweep list attributes), or give "
            "any name with its two texts: --attribute NAME --source TEXT --target TEXT",
        )
    if problem := wrong_label(name):
        raise _wrong("attribute", problem)
    if (options.source is None) != (options.target is None):
        missing = "source" if options.source is None else "target"
        raise _wrong(missing, "an edit has two texts, from what and to what; give both or none")
    texts = _texts(options, name)
    return {"attribute": name} if texts is None else {"attribute": name, "texts": texts}


def _texts(options: argparse.Namespace, name: str) -> AttributeText | None:
    """The edit's texts by the options, the domain, or the published list; None where the table has them."""
    if options.source is not None:
        for option in ("source", "target"):
            if not vars(options)[option].strip():
                raise _wrong(option, "expected a text, such as person; found nothing")
        return AttributeText(source=options.source, target=options.target)
    if (declared := read_domain_file(options.domain)[0].per_attribute.get(name, {}).get("texts")) is not None:
        return AttributeText.model_validate(declared)
    if name in ATTRIBUTES:
        return None
    if (edit := published_edit(name)) is not None:
        return AttributeText(source=edit.source, target=edit.target, domain=edit.domain)
    raise _wrong(
        "attribute",
        f"{name!r} is no published edit{did_you_mean(name, published_edits()) or '.'} Give its two texts, such as "
        "--source person --target goblin",
    )


def _wrong(option: str, message: str) -> ConfigError:
    return ConfigError([Problem("", 0, f"--{option}", message)])


def _config(options: argparse.Namespace, edit: dict[str, Any], editor: dict[str, Any]) -> CellConfig:
    training = {name: vars(options)[name] for name in TRAINING_OPTIONS if vars(options)[name] is not None}
    try:
        return CellConfig.model_validate(
            {"domain": options.domain, **edit, "editor": editor, "training": training}
        )
    except ValidationError as error:
        wrong = [(detail["loc"], detail["msg"]) for detail in error.errors()]
        raise ConfigError(
            [Problem("", 0, f"--{str(place[-1]).replace('_', '-')}", message) for place, message in wrong]
        ) from error


def _check_names(options: argparse.Namespace) -> None:
    is_file = options.domain.endswith((".yaml", ".yml"))
    named: list[tuple[str, str | None, list[str]]] = [("kind", options.kind, list(EDITORS))]
    if not is_file and options.domain not in shipped_domains():
        named.append(("domain", options.domain, list(shipped_domains())))
        if options.source is None:  # Of a domain that is there, it may be one that the domain declares.
            named.append(("attribute", options.attribute, list(published_edits())))
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
