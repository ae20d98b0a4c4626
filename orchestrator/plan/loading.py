"""From a YAML file to a `Space`, or one readable list of everything wrong with it."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError, create_model

from orchestrator.plan.checks.cells import Finding
from orchestrator.plan.checks.space import ExtraCheck, check_space
from orchestrator.plan.primary import with_told_primary
from orchestrator.space.config import ConfigError, Problem, Setting, Space, SpaceConfig
from orchestrator.space.designs import full_form
from orchestrator.space.extending import Sources, read_sources
from orchestrator.space.mappings import merge, nested, place_of
from search_spaces import shipped_spaces
from trainables.errors import UserError, without_echoes
from trainables.exchange import Outside
from trainables.families import DEFAULT_FAMILY, find_family
from trainables.family import Family
from trainables.names import wrong_name
from trainables.paths import absolute_path
from trainables.plugins import find_plugin
from trainables.registry import Plugin
from trainables.wording import validation_problems
from trainables.yaml_tree import Loc, read_yaml

# Stands in for what is missing or wrong, so that the rest of the file can still be checked.
_PLACEHOLDER = {
    "question": "",
    "baseline": {},
    "seeds": 1,
    "primary": {"metric": "loss_total", "margin": 1.0},
}


def load_space(
    space: str | Path | Sources,
    *,
    settings: Sequence[str] = (),
    domain: str | None = None,
    seeds: str | int | None = None,
    search: Mapping[str, Any] = MappingProxyType({}),
    extra_checks: Sequence[ExtraCheck] = (),
    family: Family | None = None,
) -> Space:
    """Read and check a search space.

    `space` is a shipped name or a path. `settings` are the texts after `--set` (`training.epochs=2`, the
    value being YAML), `domain` and `seeds` what follows `--domain` and `--seeds`, `search` options of `tune` that are
    settings of the design optuna (`trials`). `extra_checks` see the parsed space and give (place, message) of what
    else is wrong. `family` is the one that the file names when left out.
    Raises ConfigError with every problem.
    """
    sources = space if isinstance(space, Sources) else read_sources(space)
    file = sources.file
    given, wrong = _command_line(settings, domain)
    problems = [*sources.problems, *wrong]
    if unfit := wrong_name(file.name):
        problems.append(Problem(file.shown, 0, "", f"{unfit}; the study's folder is named after the file"))
    content, given, outside = _with_options(sources.content, given, seeds, search)
    family, unknown = (family, []) if family is not None else _family(content, file.folder)
    if unknown:  # all else would be held against another family
        problems += without_echoes(_located(unknown, sources), sources.problems)
        raise ConfigError(_in_reading_order(problems, sources))
    if str(space) in shipped_spaces() and isinstance(content.get("baseline"), dict):
        # What a shipped file names lies beside it; what the command line names, where the command is given.
        content = {**content, "baseline": family.absolute(content["baseline"], file.location.parent)}
    family, faulty = _with_plugins(family, content, file.folder)
    content, given = family.renamed(content, given, file.folder)
    config, findings = _validated(content, space_model(family))
    findings += faulty
    loaded = None
    if config is not None:
        extended = tuple((base.shown, base.tree.text) for base in sources.files[1:])
        loaded = Space(file.name, file.shown, file.tree.text, file.folder, config, family, given, extended)
        lost = {_block(place) for place, _ in findings if isinstance(place, tuple)}
        loaded = with_told_primary(loaded)
        checked = check_space(loaded, extra_checks)
        # Nothing counts that is said of what stands in for a lost block.
        findings += [
            (place, message)
            for place, message in checked
            if not (isinstance(place, tuple) and _block(place) in lost)
        ]
    findings = [(_by_option(place, outside), message) for place, message in findings]
    problems += without_echoes(_located(findings, sources), sources.problems)
    if problems or loaded is None:
        raise ConfigError(_in_reading_order(problems, sources))
    return loaded


# The command line


def _command_line(texts: Iterable[str], domain: str | None) -> tuple[tuple[Setting, ...], list[Problem]]:
    """The settings given as options, and what is wrong with them."""
    settings, problems = [], []
    for text in texts:
        path, equals, value = text.partition("=")
        tree = read_yaml(value)
        if not equals or not path:
            problems.append(
                Problem("", 0, f"--set {text}", "expected setting=value, such as training.epochs=2")
            )
        elif tree.problems:
            problems.append(Problem("", 0, f"--set {path}", tree.problems[0][2]))
        else:
            settings.append(Setting(f"--set {path}", path, tree.content))
    if domain is not None:
        path = absolute_path(domain, Path.cwd()) if domain.endswith((".yaml", ".yml")) else domain
        settings.append(Setting("--domain", "domain", path))
    return tuple(settings), problems


def _with_options(
    content: dict[str, Any], given: Sequence[Setting], seeds: str | int | None, search: Mapping[str, Any]
) -> tuple[dict[str, Any], tuple[Setting, ...], dict[Loc, str]]:
    """The file's content with what the command line says of the space itself: `--seeds`, `execution.*`, `primary.*`,
    and the options of a search.

    Also the settings that are left, which belong to cells, and the option behind each place that was changed.
    """
    outside: dict[Loc, str] = {}
    design = full_form(content.get("design"))
    if isinstance(design, dict) and design.get("kind") == "optuna":
        content = {**content, "design": {**design, **search}}
        outside |= {("design", name): f"--{name}" for name in search}
    if seeds is not None:
        content = {**content, "seeds": _seeds(seeds)}
        outside[("seeds",)] = "--seeds"
    of_space = [setting for setting in given if setting.path.startswith(("execution.", "primary."))]
    for setting in of_space:
        content = merge(content, nested(setting.path, setting.value))
        outside[place_of(setting.path)] = setting.option
    return content, tuple(setting for setting in given if setting not in of_space), outside


def _family(content: Mapping[str, Any], folder: Path) -> tuple[Family, list[Finding]]:
    """The family that a space names; the default one, and what is wrong, where that is none."""
    named = content.get("family", DEFAULT_FAMILY)
    try:
        return find_family(str(named), folder), []
    except UserError as error:
        return find_family(DEFAULT_FAMILY, folder), [(("family",), str(error))]


def _with_plugins(family: Family, content: Mapping[str, Any], folder: Path) -> tuple[Family, list[Finding]]:
    """The family with the plugins that a space names, and what is wrong with the others."""
    named = content.get("plugins")
    found: list[Plugin] = []
    findings: list[Finding] = []
    for index, one in enumerate(named if isinstance(named, list | tuple) else ()):
        try:
            plugin = find_plugin(str(one), folder)
            found += [plugin] if plugin is not None else []
            family = family.with_plugins(found)
        except UserError as error:
            findings.append((("plugins", index), str(error)))
            found = [plugin for plugin in found if plugin in family.plugins]
    try:
        return family.with_plugins(found), findings
    except UserError as error:
        return family, [*findings, (("plugins",), str(error))]


@lru_cache(maxsize=8)
def space_model(family: Family) -> type[SpaceConfig]:
    """What a space's file of this family may say."""
    bases: Any = (SpaceConfig, family.SpaceKeys)  # create_model is annotated for bases of one type
    found: type[SpaceConfig] = create_model("SpaceConfig", __base__=bases)
    return found


def _seeds(seeds: str | int) -> Any:
    """A count, or the list in `0,1,5`, as YAML would give it; nonsense stays text, for validation to find."""
    text = str(seeds)
    tree = read_yaml(f"[{text}]" if "," in text else text)
    return text if tree.problems else tree.content


# Form


def _validated(content: dict[str, Any], model: type[SpaceConfig]) -> tuple[SpaceConfig | None, list[Finding]]:
    """The parsed space and what is wrong with its form.

    A space with mistakes comes back without the parts that hold them, so that its other parts can be
    checked too; None where that is impossible.
    """
    try:
        return model.model_validate(content), []
    except ValidationError as error:
        wrong = validation_problems(error, model, content)
    return _salvaged(content, [place for place, _ in wrong], model), [*wrong]


def _salvaged(content: dict[str, Any], wrong: Sequence[Loc], model: type[SpaceConfig]) -> SpaceConfig | None:
    """The space without the blocks that hold these places, and without what may refer to a lost axis or design."""
    lost = {_block(place) for place in wrong}
    if any(block[0] == "axes" for block in lost if block):
        lost |= {("claims",), ("figures",)}
    if ("design",) in lost:
        lost |= {("placebo",)}
    kept = {key: value for key, value in content.items() if (key,) not in lost}
    if isinstance(kept.get("axes"), dict):
        kept["axes"] = {name: axis for name, axis in kept["axes"].items() if ("axes", name) not in lost}
    if ("design",) in lost:  # A search takes any axis, of which it needs one, and all values are looked at.
        kept["design"] = "optuna" if kept.get("axes") else {"kind": "explicit", "cells": [{}]}
    try:
        return model.model_validate(merge(_PLACEHOLDER, kept))
    except ValidationError:
        return None


def _block(place: Loc) -> Loc:
    """The part of the file to leave out for a mistake at a place: one axis, or a whole top-level block."""
    return place[:2] if place[:1] == ("axes",) else place[:1]


# Places


def _by_option(place: Loc | Outside, outside: Mapping[Loc, str]) -> Loc | Outside:
    """The option that a place was changed by, if any was."""
    if isinstance(place, Outside):
        return place
    options = (option for start, option in outside.items() if place[: len(start)] == start)
    return next((Outside("", option) for option in options), place)


def _located(findings: Iterable[Finding], sources: Sources) -> list[Problem]:
    return [
        Problem(place.file, place.line, place.where, message)
        if isinstance(place, Outside)
        else sources.problem(place, message)
        for place, message in findings
    ]


def _in_reading_order(problems: Iterable[Problem], sources: Sources) -> list[Problem]:
    """Each problem once: the space's own from its top, then those of what it extends, then those elsewhere."""
    order = [file.shown for file in sources.files]

    def position(problem: Problem) -> tuple[int, int]:
        is_in_a_file = problem.line and problem.file in order
        return order.index(problem.file) if is_in_a_file else len(order), problem.line

    return sorted(dict.fromkeys(problems), key=position)
