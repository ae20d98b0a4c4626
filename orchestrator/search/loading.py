"""From the command line of `tune` to a checked space of the design optuna, or everything wrong with it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from orchestrator.plan.cells import resolve_cell
from orchestrator.plan.checks.space import ExtraCheck
from orchestrator.plan.loading import load_space
from orchestrator.search.objectives import objective_findings, search_config
from orchestrator.search.results import PREFIX
from orchestrator.space.config import ConfigError, Problem, Space
from orchestrator.space.designs.optuna import Config as SearchConfig
from orchestrator.space.mappings import leaves, merge
from orchestrator.space.points import baseline_values
from trainables.family import Family
from trainables.wording import expected, look_up, validation_problems
from trainables.yaml_tree import Loc, dotted, read_yaml


@dataclass(frozen=True)
class Wish:
    """What the user wants tuned."""

    space: str
    """A shipped name, or the path of a file."""
    name: str | None = None
    """What the study is named after; the space when left out."""
    domain: str | None = None
    settings: Sequence[str] = ()
    """As after `--set`."""
    words: Mapping[str, tuple[str, str]] = field(default_factory=lambda: MappingProxyType({}))
    """Where a problem is, such as `--set width` -> what the user wrote it as, and a hint that ends the message."""
    objectives: tuple[str, ...] = ()
    """In the place of the space's own; the first one is what the winner is tested on."""
    design: tuple[tuple[str, Any], ...] = ()
    """Settings of the search itself given on the command line, such as ("trials", 30)."""


def load_tuning_space(
    wish: Wish, *, extra_checks: Sequence[ExtraCheck] = (), family: Family | None = None
) -> Space:
    """The space of a search, named after what is tuned. Raises ConfigError with every problem."""
    settings = list(wish.settings)
    if wish.objectives:
        settings.append(f"primary.metric={wish.objectives[0]}")
    try:
        space = load_space(
            wish.space,
            settings=settings,
            domain=wish.domain,
            extra_checks=extra_checks,
            family=family,
        )
    except ConfigError as error:
        raise ConfigError([_in_options_words(problem, wish) for problem in error.problems]) from error
    problems = list(_design_problems(space))
    if not problems:
        space, problems = _with_options(space, wish)
    if not problems:
        problems = [*_objective_problems(space)]
    if not problems:
        space, problems = _on_other_data(space)
    if problems:
        raise ConfigError(problems)
    return replace(space, name=f"{PREFIX}{(wish.name or space.name).removeprefix(PREFIX)}")


def _in_options_words(problem: Problem, wish: Wish) -> Problem:
    """The problem by the name of the option the user wrote."""
    if problem.where in ("primary.metric", "--set primary.metric"):
        hint = "" if wish.objectives else " (--objective takes another)"
        where = "--objective" if wish.objectives else problem.where
        return replace(problem, where=where, message=problem.message + hint)
    for place, (option, hint) in wish.words.items():
        if problem.where.startswith(place):
            where = option + problem.where.removeprefix(place)
            return replace(problem, where=where, message=problem.message + hint)
    return problem


def _design_problems(space: Space) -> Iterator[Problem]:
    if not isinstance(space.config.design, SearchConfig):
        yield _at(space, ("design",), expected("the design optuna", space.config.design.kind))
    if space.config.adaptive is not None:
        message = (
            "a search gives every point the same seeds: expected a count or a list; found {start, max, until}"
        )
        yield _at(space, ("seeds",), message)


def _with_options(space: Space, wish: Wish) -> tuple[Space, list[Problem]]:
    """The space with the search's settings of the command line."""
    design = space.config.design
    given = {name: value for name, value in wish.design if value is not None}
    if wish.objectives:
        given["objectives"] = wish.objectives
    try:
        changed = SearchConfig.model_validate({**design.model_dump(), **given})
    except ValidationError as error:
        found = validation_problems(error, SearchConfig, {**design.model_dump(), **given})
        return space, [Problem("", 0, f"--{dotted(place)}", message) for place, message in found]
    baseline, _ = baseline_values(space)
    findings = changed.findings(space.config.axes, baseline) if given else ()
    problems = [
        Problem("", 0, f"--{place[-1]}" if place[-1] in given else dotted(place), message)
        for place, message in findings
    ]
    return replace(space, config=space.config.model_copy(update={"design": changed})), problems


def _on_other_data(space: Space) -> tuple[Space, list[Problem]]:
    """The space measured on what a search may choose by, and what in it asks for anything else."""
    wanted = space.family.search_settings
    baseline = merge(space.config.baseline, wanted)
    changed = replace(space, config=space.config.model_copy(update={"baseline": baseline}))
    values, _ = baseline_values(changed)
    cell = resolve_cell(changed, values).model_dump(mode="json")
    for place, value in leaves(wanted):
        if (given := look_up(cell, place)) != value:
            why = "which a search chooses by and its winner is not tested on"
            return space, [Problem("", 0, dotted(place), f"expected {value}, {why}; found {given}")]
    return changed, []


def _objective_problems(space: Space) -> Iterator[Problem]:
    baseline, _ = baseline_values(space)
    for place, message in objective_findings(space, resolve_cell(space, baseline)):
        yield _at(space, place, message)
    design, columns = search_config(space.config), space.family.curve_columns()
    name = design.pruning.metric or space.family.pruned_by
    # A pruner that compares what no trial tells would stop none, without a word.
    if design.pruner != "none" and (not name or (columns and name not in columns)):
        message = expected("a column of the curves", name or None, columns)
        yield _at(space, ("design", "pruning", "metric"), message)


def _at(space: Space, place: Loc, message: str) -> Problem:
    return Problem(space.file, read_yaml(space.text).line_of(place), dotted(place), message)
