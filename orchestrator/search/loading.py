"""From the command line of `tune` to a checked space of the design optuna, or everything wrong with it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from orchestrator.plan.cells import resolve_cell
from orchestrator.plan.checks.space import ExtraCheck, known_metrics
from orchestrator.plan.loading import load_space
from orchestrator.search.objectives import COSTS
from orchestrator.search.results import PREFIX
from orchestrator.space.config import ConfigError, Problem, Space, wrong_input
from orchestrator.space.designs.optuna import Config as SearchConfig
from orchestrator.space.mappings import leaves, merge
from orchestrator.space.points import baseline_values
from trainables.errors import UserError
from trainables.family import Family
from trainables.wording import expected, look_up
from trainables.yaml_tree import Loc, dotted


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
    search: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """Settings of the search itself given on the command line, such as {"trials": 30}; None for one that is not.

    `objectives` take the place of the space's own; the first one is what the winner is tested on.
    """


def load_tuning_space(
    wish: Wish, *, extra_checks: Sequence[ExtraCheck] = (), family: Family | None = None
) -> Space:
    """The space of a search, named after what is tuned. Raises ConfigError with every problem."""
    search = {name: value for name, value in wish.search.items() if value is not None}
    first = [f"primary.metric={name}" for name in search.get("objectives", ())[:1]]
    try:
        space = load_space(
            wish.space,
            settings=[*wish.settings, *first],
            domain=wish.domain,
            search=search,
            extra_checks=[*extra_checks, _search_findings],
            family=family,
        )
    except ConfigError as error:
        raise ConfigError([_in_options_words(problem, wish) for problem in error.problems]) from error
    return replace(_on_other_data(space), name=f"{PREFIX}{(wish.name or space.name).removeprefix(PREFIX)}")


def _in_options_words(problem: Problem, wish: Wish) -> Problem:
    """The problem by the name of the option the user wrote."""
    words = {"--objectives": ("--objective", ""), **wish.words}
    if wish.search.get("objectives"):
        words["--set primary.metric"] = ("--objective", "")
    else:
        hint = " (--objective takes another)"
        words |= {place: (place, hint) for place in ("primary.metric", "--set primary.metric")}
    for place, (option, hint) in words.items():
        if problem.where.startswith(place):
            where = option + problem.where.removeprefix(place)
            return replace(problem, where=where, message=problem.message + hint)
    return problem


def _search_findings(space: Space) -> Iterator[tuple[Loc, str]]:
    """What a search cannot do with a space that is sound apart from that."""
    design, family = space.config.design, space.family
    if not isinstance(design, SearchConfig):
        yield ("design",), expected("the design optuna", design.kind)
        return
    if space.config.adaptive is not None:
        message = (
            "a search gives every point the same seeds: expected a count or a list; found {start, max, until}"
        )
        yield ("seeds",), message
    yield from _objective_findings(space, design.objectives)
    columns = family.curve_columns()
    name = design.pruning.metric or family.pruned_by
    # A pruner that compares what no trial tells would stop none, without a word.
    if design.pruner != "none" and (not name or (columns and name not in columns)):
        yield ("design", "pruning", "metric"), expected("a column of the curves", name or None, columns)


def _objective_findings(space: Space, listed: Sequence[str]) -> Iterator[tuple[Loc, str]]:
    """What is wrong with the objectives; the primary metric is any space's, and is checked with it."""
    family, primary = space.family, space.config.primary.metric
    costs = {**family.work_unit, **COSTS}
    known = [*known_metrics(space), *costs]
    try:
        default = resolve_cell(space, baseline_values(space)[0])
        untold = {name: family.unmeasured(name, default) for name in listed if name in known}
    except (ValidationError, UserError):  # Told of the baseline.
        untold = {}
    for index, name in enumerate(listed):
        place: Loc = ("design", "objectives", index)
        if name not in known and name != primary:
            wrong = expected("an objective", name, known)
            yield place, f"{wrong} (asyrp-sweep list metrics; or {', '.join(costs)})"
        elif untold.get(name):
            yield place, f"{name} {untold[name]}"
    if listed and listed[0] != primary:
        message = f"expected the primary metric first, {primary}, which the winner is tested on; found {listed[0]!r}"
        yield ("design", "objectives", 0), message


def _on_other_data(space: Space) -> Space:
    """The space measured on what a search may choose by. Raises ConfigError where it asks for anything else."""
    wanted = space.family.search_settings
    baseline = merge(space.config.baseline, wanted)
    changed = replace(space, config=space.config.model_copy(update={"baseline": baseline}))
    values, _ = baseline_values(changed)
    cell = resolve_cell(changed, values).model_dump(mode="json")
    for place, value in leaves(wanted):
        if (given := look_up(cell, place)) != value:
            why = "which a search chooses by and its winner is not tested on"
            raise wrong_input(dotted(place), f"expected {value}, {why}; found {given}")
    return changed
