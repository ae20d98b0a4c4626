"""Placeholders: the command and its environment for one trial, and what is wrong with a configuration."""

import json
import os
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from trainables.command.config import CommandConfig, Value
from trainables.wording import did_you_mean
from trainables.yaml_tree import Loc

PREFIX = "TRIAL_"
"""Prefix of the environment variables that carry values."""
BUILT_IN = ("seed", "folder", "config", "here", "python", "device", "start_from")
"""Placeholders of every command."""

_PLACEHOLDER = re.compile(r"\{\{([A-Za-z_]\w*)\}\}|\{([A-Za-z_]\w*)\}")


def words_of(config: CommandConfig) -> list[str]:
    """The command's words with their placeholders; with `shell`, one text. Raises ValueError for an open quotation."""
    if config.shell:
        return [config.command if isinstance(config.command, str) else " ".join(config.command)]
    return shlex.split(config.command) if isinstance(config.command, str) else list(config.command)


def filled_command(config: CommandConfig, values: Mapping[str, Value]) -> list[str]:
    """The command's words. A word that is one placeholder alone becomes as many as its list has members."""
    if config.shell:
        return [_filled(word, values, quoted=True) for word in words_of(config)]
    return [filled for word in words_of(config) for filled in _words(word, values)]


def filled(text: str, values: Mapping[str, Value]) -> str:
    """A text with its placeholders replaced."""
    return _filled(text, values)


def environment_of(config: CommandConfig, values: Mapping[str, Value]) -> dict[str, str]:
    """Environment variables of a trial's command, beside those it inherits.

    Output is not buffered, so that its last lines are known; a trial without a share of a GPU sees none, and as many
    threads as the worker has are the default.
    """
    carried = {
        f"{PREFIX}{name.upper()}": as_text(value) for name, value in values.items() if name != "python"
    }
    own = {name: _filled(text, values) for name, text in config.environment.items()}
    hidden = {"CUDA_VISIBLE_DEVICES": ""} if values["device"] == "cpu" else {}
    torch = sys.modules.get("torch")
    is_open = "OMP_NUM_THREADS" not in os.environ
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())} if torch is not None and is_open else {}
    return {"PYTHONUNBUFFERED": "1", **threads, **hidden, **carried, **own}


def values_of(
    config: CommandConfig,
    seed: int,
    folder: Path,
    config_file: Path,
    *,
    device: str = "cpu",
    start_from: Path | None = None,
) -> dict[str, Value]:
    """What every placeholder of a trial stands for."""
    return {
        **config.settings,
        "seed": seed,
        "folder": str(folder),
        "config": str(config_file),
        "here": str(Path(config.base_folder).absolute()),
        "python": sys.executable,
        "device": device,
        "start_from": None if start_from is None else str(start_from),
    }


def as_text(value: Value) -> str:
    """A value as a command line has it: truths as true and false, nothing as no text, a list as JSON."""
    if value is None:
        return ""
    if isinstance(value, bool | list):
        return json.dumps(value)
    return str(value)


def problems(config: CommandConfig) -> list[tuple[Loc, str]]:
    """(place, message) of what can be told before anything runs."""
    try:
        words = words_of(config)
    except ValueError as error:
        return [(("command",), f"cannot be split into words: {str(error).lower()}")]
    if not words or not words[0].strip():
        return [(("command",), "expected a program and its arguments; found nothing")]
    return [
        *_name_problems(config),
        *_unfilled(config, words),
        *_unused(config, words),
        *_reading_problems(config),
    ]


def _name_problems(config: CommandConfig) -> Iterator[tuple[Loc, str]]:
    by_variable: dict[str, str] = {}
    for name in config.settings:
        if name in BUILT_IN:
            yield ("settings", name), f"{{{name}}} has a meaning of its own; give the setting another name"
        elif (other := by_variable.setdefault(name.upper(), name)) != name:
            yield (
                ("settings", name),
                f"{name} and {other} would be one environment variable, {PREFIX}{name.upper()}",
            )


def _unfilled(config: CommandConfig, words: list[str]) -> Iterator[tuple[Loc, str]]:
    known = [*config.settings, *BUILT_IN]
    texts: list[tuple[Loc, str]] = [(("command",), word) for word in words]
    texts += [(("environment", name), text) for name, text in config.environment.items()]
    texts += [(("working_folder",), config.working_folder)]
    for place, text in texts:
        for name in names_in(text):
            if name not in known:
                near = did_you_mean(name, known) or f"; write {{{{{name}}}}} for the text {{{name}}} itself"
                yield place, f"no setting fills {{{name}}}{near}"


def _unused(config: CommandConfig, words: list[str]) -> Iterator[tuple[Loc, str]]:
    """Settings, and the seed, that cannot reach the script."""
    used = {name for text in (*words, *config.environment.values()) for name in names_in(text)}
    if config.reads or "config" in used:
        return
    if config.init is not None and "start_from" not in used:
        yield ("init",), "the model to start from does not reach the script: add {start_from} to the command"
    for name in (*config.settings, "seed"):
        if name not in used:
            place = ("command",) if name == "seed" else ("settings", name)
            what = "the seed does not reach the script" if name == "seed" else "does not reach the script"
            ways = f"add it, or {{config}}, or `reads: [environment]` where the script reads {PREFIX}{name.upper()}"
            near = did_you_mean(name, used - {*BUILT_IN})
            yield place, f"{what}: neither command nor environment has {{{name}}}{near}; {ways}"


def _reading_problems(config: CommandConfig) -> Iterator[tuple[Loc, str]]:
    """What is wrong with how metrics and curves are read."""
    for name, metric in config.metrics.items():
        if metric.pattern is not None:
            found = _compiled(metric.pattern)
            if isinstance(found, str) or found.groups != 1:
                told = (
                    found if isinstance(found, str) else "expected one group, such as `Accuracy: ([0-9.]+)`"
                )
                yield ("metrics", name, "pattern"), told
        if metric.of_last is not None and metric.take == "last":
            yield ("metrics", name, "of_last"), "needs `take: mean` or `take: best`; found take: last"
    if config.curves_pattern is not None:
        found = _compiled(config.curves_pattern)
        if isinstance(found, str) or not found.groupindex:
            told = (
                found if isinstance(found, str) else "expected named groups, such as `loss (?P<loss>[0-9.]+)`"
            )
            yield ("curves_pattern",), told
        if config.curves_file is not None:
            yield ("curves_pattern",), "expected one of curves_pattern and curves_file; found both"


def _compiled(pattern: str) -> re.Pattern[str] | str:
    """The regular expression, or what is wrong with it."""
    try:
        return re.compile(pattern)
    except re.error as error:
        return f"is no regular expression: {error}"


def names_in(text: str) -> Iterable[str]:
    """The placeholders of a text."""
    return [found[2] for found in _PLACEHOLDER.finditer(text) if found[2]]


def _words(word: str, values: Mapping[str, Value]) -> list[str]:
    alone = _PLACEHOLDER.fullmatch(word)
    value = values.get(alone[2]) if alone and alone[2] else ""
    if isinstance(value, list):
        return [as_text(member) for member in value]
    return [_filled(word, values)]


def _filled(text: str, values: Mapping[str, Value], *, quoted: bool = False) -> str:
    def value_of(found: re.Match[str]) -> str:
        if found[1]:
            return f"{{{found[1]}}}"
        value = values[found[2]]
        if not quoted:
            return as_text(value)
        return shlex.join(map(as_text, value)) if isinstance(value, list) else shlex.quote(as_text(value))

    return _PLACEHOLDER.sub(value_of, text)
