"""From a space to cells and trials with their identities. Pure: reads nothing but the domain's summary."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from orchestrator.axes import AxisValue, AxisValues
from orchestrator.config import Setting, Space
from orchestrator.points import BASELINE, Point, baseline_values, point_name, select
from orchestrator.resolving import Summarise, resolve
from orchestrator.warm_starts import (
    Makers,
    Role,
    StartProblem,
    WarmStart,
    axes_with_controls,
    linked,
    parents_first,
)
from trainables.config import TRAINING_VERSION, CellConfig
from trainables.diffusion import training_timesteps
from trainables.domains import DomainSummary, domain_summary
from trainables.editors import num_parameters

STUDY_SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Cell:
    """One point of a space with its full configuration."""

    name: str
    axis_values: AxisValues
    config: CellConfig
    is_baseline: bool
    num_parameters: int
    """Weights the editor learns."""
    notes: tuple[str, ...] = ()
    """What a reader of this cell's results should be told."""
    coinciding: tuple[Point, ...] = ()
    """Other points with the very same configuration; they are this cell."""
    dropped: tuple[str, ...] = ()
    """Settings of the space that this cell's editor does not have, such as `editor.num_heads`."""
    role: Role = "design"
    start: WarmStart | None = None
    """What its weights start from; random ones where there is nothing."""

    @property
    def merged(self) -> tuple[str, ...]:
        """Names of the coinciding points."""
        return tuple(point.name for point in self.coinciding)


@dataclass(frozen=True)
class TrialSpec:
    """A cell with a seed."""

    cell: str
    seed: int
    signature: str
    """16 hex digits; equal exactly when the same numbers would come out."""
    parent: str | None
    """Signature of the trial whose editor this one starts from."""
    config: CellConfig
    parent_epoch: int | None = None
    """After which epoch of the parent's training; None for its last."""
    start_from: str | None = None
    """The editor file that this one starts from, where that is not a trial's."""
    start_digest: str | None = None
    """SHA-256 of that file."""


@dataclass(frozen=True)
class Plan:
    """Everything a space asks for, whether it has run or not."""

    name: str
    cells: tuple[Cell, ...]
    trials: tuple[TrialSpec, ...]
    """Seed by seed, so that an interrupted study holds complete pairs."""
    plan_hash: str
    """Covers what was decided before running: primary metric, margin, alpha, design, axes and claims."""
    fingerprints: Mapping[str, str]
    """Fingerprint of every domain that a cell uses, by `CellConfig.domain`."""
    excluded: tuple[Point, ...] = ()
    """Points that the space's constraints leave out, each with the reason."""


def build_plan(
    space: Space, *, num_seeds: Mapping[str, int] | None = None, summarise: Summarise = domain_summary
) -> Plan:
    """Cells and trials of a space that `orchestrator.loading` has checked.

    `num_seeds` says how many seeds each cell has where they are added while needed; the rule's `start` for
    cells that it does not name.
    """
    cells, problems, excluded = _linked_cells(space, summarise)
    if problems:
        raise ValueError(f"{problems[0].cell}: {problems[0].message}")
    fingerprints = {cell.config.domain: summarise(cell.config.domain).fingerprint for cell in cells}
    trials = [
        trial
        for seed, with_seed in _by_seed(space, cells, num_seeds or {})
        for trial in _trials(with_seed, seed, summarise)
    ]
    return Plan(space.name, cells, tuple(trials), plan_hash(space), fingerprints, excluded)


def _by_seed(
    space: Space, cells: Sequence[Cell], num_seeds: Mapping[str, int]
) -> Iterator[tuple[int, Sequence[Cell]]]:
    """Every seed with the cells that have it, and those that they start from."""
    rule = space.config.adaptive
    if rule is None:
        yield from ((seed, cells) for seed in space.config.first_seeds)
        return
    by_name = {cell.name: cell for cell in cells}
    for seed in range(rule.max):
        wanted = [cell for cell in cells if seed < num_seeds.get(cell.name, rule.start)]
        names = {name for cell in wanted for name in _with_ancestors(cell, by_name)}
        if names:
            yield seed, [cell for cell in cells if cell.name in names]


def _with_ancestors(cell: Cell, by_name: Mapping[str, Cell]) -> Iterator[str]:
    yield cell.name
    if cell.start is not None and cell.start.cell is not None:
        yield from _with_ancestors(by_name[cell.start.cell], by_name)


def resolve_cell(space: Space, values: AxisValues, *, summarise: Summarise = domain_summary) -> CellConfig:
    """Full configuration of the point with these axis values.

    Raises pydantic's ValidationError when it is not a valid one, DomainError when its domain is unknown.
    """
    return _canonical_config(resolve(space, values, summarise).settings)


def _canonical_config(settings: Mapping[str, Any]) -> CellConfig:
    """The configuration with what has no effect in it at its default, so that equal cells look equal."""
    config = CellConfig.model_validate(settings)
    init = None if config.init is None else config.init.for_attribute(config.attribute)
    return config.model_copy(
        update={
            "editor": config.editor.canonical(),
            "training": config.training.canonical(),
            "init": init,
        }
    )


# Cells


def _cells(
    space: Space, baseline: AxisValues, summarise: Summarise
) -> tuple[tuple[Cell, ...], tuple[Point, ...]]:
    """The points of the space, those with one configuration joined into one cell; and what was excluded."""
    selection = select(space, baseline)
    alike: dict[str, list[tuple[Point, Cell]]] = {}
    for point, acting in selection.points:
        cell = _cell(space, Point(point_name(acting, baseline), acting), summarise)
        alike.setdefault(_canonical(cell.config.model_dump(mode="json")), []).append((point, cell))
    return tuple(_joined(cells) for cells in alike.values()), selection.excluded


def _known_baseline(space: Space, summarise: Summarise) -> dict[str, AxisValue]:
    """The baseline's value on every axis of a checked space."""
    baseline, missing = baseline_values(space, summarise)
    if missing:
        raise ValueError(f"the baseline is not among the values of {', '.join(missing)}")
    return baseline


def _cell(space: Space, point: Point, summarise: Summarise) -> Cell:
    resolved = resolve(space, point.axis_values, summarise)
    config = _canonical_config(resolved.settings)
    return Cell(
        name=point.name,
        axis_values=point.axis_values,
        config=config,
        is_baseline=point.name == BASELINE,
        num_parameters=_num_parameters(
            config.editor, summarise(config.domain).shape, _trained_timesteps(config)
        ),
        notes=tuple(config.editor.notes()),
        dropped=resolved.dropped,
    )


_num_parameters = lru_cache(maxsize=4096)(num_parameters)
"""Building an editor without memory still takes milliseconds, and many cells have the same one."""


def _trained_timesteps(config: CellConfig) -> tuple[int, ...]:
    """What a cell trains; all timesteps of its sequence where t_edit is found only while preparing."""
    t_edit = config.training.t_edit
    lowest = t_edit if isinstance(t_edit, int) else 0
    return tuple(t for t, _ in training_timesteps(config.training.num_train_steps, lowest))


def warm_start_problems(space: Space, summarise: Summarise) -> list[StartProblem]:
    """What is wrong with the warm starts of a space whose cells are sound."""
    return _linked_cells(space, summarise)[1]


def _linked_cells(
    space: Space, summarise: Summarise
) -> tuple[tuple[Cell, ...], list[StartProblem], tuple[Point, ...]]:
    """The cells of the space, those that others start from or are held against; wrong starts; excluded points."""
    baseline = _known_baseline(space, summarise)

    def cell_at(name: str, values: AxisValues, settings: Sequence[Setting]) -> Cell:
        return _cell(
            replace(space, settings=(*space.settings, *settings)), Point(name, dict(values)), summarise
        )

    makers = Makers(
        cell=cell_at,
        key=lambda config: _canonical(config.model_dump(mode="json")),
        name=lambda values: point_name(values, baseline),
        epoch_cost=lambda config: config.training.num_images * len(_trained_timesteps(config)),
        summarise=summarise,
    )
    chosen, excluded = _cells(space, baseline, summarise)
    return (*linked(chosen, space.config.axes, makers), excluded)


def _joined(alike: Sequence[tuple[Point, Cell]]) -> Cell:
    """One cell for all that coincide, known by the baseline if it is among them, else by the first."""
    (_, first), *_ = sorted(alike, key=lambda pair: not pair[1].is_baseline)
    others = [point for point, _ in alike if point.axis_values != first.axis_values]
    return replace(first, coinciding=tuple(others))


# Identity


def _trials(cells: Sequence[Cell], seed: int, summarise: Summarise) -> Iterator[TrialSpec]:
    """A seed's trials, every parent before its children."""
    signatures: dict[str, str] = {}
    for cell in parents_first(cells):
        start = cell.start or WarmStart()
        parent = signatures[start.cell] if start.cell is not None else None
        origin = f"file {start.digest}" if start.digest else parent
        if start.epoch is not None:
            origin = f"{parent} epoch {start.epoch}"
        signature = trial_signature(cell.config, seed, parent=origin, domain=summarise(cell.config.domain))
        signatures[cell.name] = signature
        yield TrialSpec(
            cell.name, seed, signature, parent, cell.config, start.epoch, start.editor, start.digest
        )


def trial_signature(config: CellConfig, seed: int, *, parent: str | None, domain: DomainSummary) -> str:
    """16 hex digits of everything that decides a trial's numbers.

    A domain counts by its name and fingerprint, so that moving its YAML changes nothing; a warm start by
    `parent`, what it starts from, and not by how the space found it.
    """
    identity = {
        "config": {**config.model_dump(mode="json", exclude={"init"}), "domain": domain.name},
        "seed": seed,
        "parent": parent,
        "domain_fingerprint": domain.fingerprint,
        "training_version": TRAINING_VERSION,
    }
    return _digest(identity)


def plan_hash(space: Space) -> str:
    """16 hex digits of what is decided before running."""
    config = space.config.model_dump(mode="json")
    decided: dict[str, Any] = {"primary": _primary(space)}
    decided["claims"] = [_without_defaults(claim, ("strength", "published")) for claim in config["claims"]]
    decided["design"] = _short_design(space)
    decided["axes"] = {
        name: _without_defaults(axis, ("off", "when")) for name, axis in config["axes"].items()
    }
    if space.config.constraints:
        decided["constraints"] = config["constraints"]
    if space.config.adaptive is not None:
        decided["seeds"] = config["seeds"]
    return _digest(decided)


def _primary(space: Space) -> dict[str, Any]:
    """What the study is judged by; what it might have been judged by instead says nothing of it."""
    return space.config.primary.model_dump(mode="json", exclude={"instead"})


def _short_design(space: Space) -> Any:
    """The design as briefly as a space can write it."""
    design = space.config.design.model_dump(mode="json", exclude_defaults=True)
    return design["kind"] if len(design) == 1 else design


def _without_defaults(axis: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """An axis without these entries where they say nothing: they came later than the first studies."""
    return {key: value for key, value in axis.items() if key not in names or value not in (None, {})}


def _canonical(content: object) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _digest(content: object) -> str:
    return hashlib.sha256(_canonical(content).encode()).hexdigest()[:16]


# The study's own description of itself


def study_document(plan: Plan, space: Space) -> dict[str, Any]:
    """The content of `study.json`: what a reader of the ledger needs to know of the space."""
    config = space.config.model_dump(mode="json")
    trials = _by_cell(plan.trials)
    rule = space.config.adaptive
    return {
        "schema_version": STUDY_SCHEMA_VERSION,
        "name": plan.name,
        "question": config["question"],
        "published": config["published"],
        "axes": _axis_documents(space, plan),
        "design": space.config.design.kind,
        "design_settings": space.config.design.model_dump(mode="json", exclude={"kind"}),
        "seeds": list(dict.fromkeys(trial.seed for trial in plan.trials)),
        "adaptive": None if rule is None else {"max": rule.max, "schedule": list(rule.schedule)},
        "primary": _primary(space),
        "claims": [claim.model_dump(mode="json", exclude_none=True) for claim in space.config.claims],
        "figures": config["figures"],
        "plan_hash": plan.plan_hash,
        "space_file_text": space.text,
        "extended": [{"file": file, "text": text} for file, text in space.extended],
        "settings": {setting.path: setting.value for setting in space.settings},
        "cells": [_cell_document(cell, trials.get(cell.name, [])) for cell in plan.cells],
        "excluded": [
            {"axis_values": dict(point.axis_values), "because": point.because} for point in plan.excluded
        ],
    }


def _axis_documents(space: Space, plan: Plan) -> dict[str, list[AxisValue]]:
    """Axis -> its values; of a range those that cells have, in ascending order."""
    found = axes_with_controls(space.config.axes, plan.cells)
    for name, axis in space.config.axes.items():
        if axis.range is not None:
            found[name].sort(key=float)
    return found


def _by_cell(trials: Sequence[TrialSpec]) -> dict[str, list[TrialSpec]]:
    found: dict[str, list[TrialSpec]] = {}
    for trial in trials:
        found.setdefault(trial.cell, []).append(trial)
    return found


def _cell_document(cell: Cell, trials: Sequence[TrialSpec]) -> dict[str, Any]:
    return {
        "cell": cell.name,
        "axis_values": dict(cell.axis_values),
        "is_baseline": cell.is_baseline,
        "role": cell.role,
        "starts_from": None if cell.start is None else cell.start._asdict(),
        "merged": [dict(point.axis_values) for point in cell.coinciding],
        "num_parameters": cell.num_parameters,
        "trials": [{"seed": trial.seed, "signature": trial.signature} for trial in trials],
    }
