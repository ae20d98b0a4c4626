"""From a space to cells and trials with their identities. Pure: reads nothing but the domain's summary."""

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from orchestrator.config import AxisConfig, AxisValue, Space
from orchestrator.resolving import AxisValues, Summarise, resolve, value_at
from trainables.config import TRAINING_VERSION, CellConfig
from trainables.domains import DomainSummary, domain_summary
from trainables.editors import num_parameters

STUDY_SCHEMA_VERSION = 1
BASELINE = "baseline"
"""Name of the point where every axis has the baseline's value."""


@dataclass(frozen=True)
class Point:
    """A named place in a space."""

    name: str
    """What differs from the baseline, such as `encoder=conv`; `baseline` where nothing does."""
    axis_values: AxisValues


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


def build_plan(space: Space, *, summarise: Summarise = domain_summary) -> Plan:
    """Cells and trials of a space that `orchestrator.loading` has checked."""
    cells = _cells(space, summarise)
    fingerprints = {cell.config.domain: summarise(cell.config.domain).fingerprint for cell in cells}
    trials = [_trial(cell, seed, summarise) for seed, cell in itertools.product(space.config.seeds, cells)]
    return Plan(space.name, cells, tuple(trials), plan_hash(space), fingerprints)


def resolve_cell(space: Space, values: AxisValues, *, summarise: Summarise = domain_summary) -> CellConfig:
    """Full configuration of the point with these axis values.

    Raises pydantic's ValidationError when it is not a valid one, DomainError when its domain is unknown.
    """
    return _canonical_config(resolve(space, values, summarise).settings)


def _canonical_config(settings: Mapping[str, Any]) -> CellConfig:
    """The configuration with what has no effect in it at its default, so that equal cells look equal."""
    config = CellConfig.model_validate(settings)
    return config.model_copy(update={"editor": config.editor.canonical()})


# Designs: which points of the axes are run


def one_factor(axes: Mapping[str, AxisConfig], baseline: AxisValues) -> Iterator[dict[str, AxisValue]]:
    """The baseline, then each axis alone."""
    yield dict(baseline)
    for name, axis in axes.items():
        for value in axis.names:
            if value != baseline[name]:
                yield {**baseline, name: value}


def product(axes: Mapping[str, AxisConfig], baseline: AxisValues) -> Iterator[dict[str, AxisValue]]:
    """Every combination, the last axis changing fastest."""
    for values in itertools.product(*(axis.names for axis in axes.values())):
        yield dict(zip(axes, values, strict=True))


Design = Callable[[Mapping[str, AxisConfig], AxisValues], Iterator[dict[str, AxisValue]]]
DESIGNS: dict[str, Design] = {"one_factor": one_factor, "product": product}


def points(space: Space, baseline: AxisValues) -> list[Point]:
    """The points that the space's design asks for, coinciding ones included."""
    chosen = DESIGNS[space.config.design](space.config.axes, baseline)
    return [Point(_point_name(values, baseline), values) for values in chosen]


def baseline_value(space: Space, name: str, summarise: Summarise = domain_summary) -> AxisValue | None:
    """The value that an axis has in the baseline, or None where it is not among the axis's values.

    An axis whose setting the baseline's editor does not have stands at its first value.
    """
    axis = space.config.axes[name]
    if axis.path is not None:
        own = _baseline_setting(space, axis.path, summarise)
        matching = [value for value in axis.names if own is None or value == own]
    else:
        alone = _settled(space, {}, summarise)
        matching = [value for value in axis.names if _settled(space, {name: value}, summarise) == alone]
    return matching[0] if matching else None


def _baseline_setting(space: Space, path: str, summarise: Summarise) -> Any:
    """The baseline's setting, also where its own editor has no use for it (a head count beside `conv`)."""
    settled = value_at(_settled(space, {}, summarise), path)
    return value_at(space.config.baseline, path) if settled is None else settled


def _settled(space: Space, values: AxisValues, summarise: Summarise) -> dict[str, Any]:
    """A point's settings with every default filled in; as written where they do not validate."""
    settings = resolve(space, values, summarise).settings
    try:
        return CellConfig.model_validate(settings).model_dump()
    except ValidationError:
        return settings


def _point_name(values: AxisValues, baseline: AxisValues) -> str:
    differing = [f"{name}={axis_text(value)}" for name, value in values.items() if value != baseline[name]]
    return ",".join(differing) or BASELINE


def axis_text(value: AxisValue) -> str:
    """An axis value as YAML writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _cells(space: Space, summarise: Summarise) -> tuple[Cell, ...]:
    """The points of the space, those with one configuration joined into one cell."""
    baseline = {name: baseline_value(space, name, summarise) for name in space.config.axes}
    missing = [name for name, value in baseline.items() if value is None]
    if missing:
        raise ValueError(f"the baseline is not among the values of {', '.join(missing)}")
    known = {name: value for name, value in baseline.items() if value is not None}
    alike: dict[str, list[Cell]] = {}
    for point in points(space, known):
        cell = _cell(space, point, summarise)
        alike.setdefault(_canonical(cell.config.model_dump(mode="json")), []).append(cell)
    return tuple(_joined(cells) for cells in alike.values())


def _cell(space: Space, point: Point, summarise: Summarise) -> Cell:
    resolved = resolve(space, point.axis_values, summarise)
    config = _canonical_config(resolved.settings)
    return Cell(
        name=point.name,
        axis_values=point.axis_values,
        config=config,
        is_baseline=point.name == BASELINE,
        num_parameters=num_parameters(config.editor, summarise(config.domain).shape),
        notes=tuple(config.editor.notes()),
        dropped=resolved.dropped,
    )


def _joined(alike: Sequence[Cell]) -> Cell:
    """One cell for all that coincide, known by the baseline if it is among them, else by the first."""
    first, *others = sorted(alike, key=lambda cell: not cell.is_baseline)
    return replace(first, coinciding=tuple(Point(cell.name, cell.axis_values) for cell in others))


# Identity


def _trial(cell: Cell, seed: int, summarise: Summarise) -> TrialSpec:
    signature = trial_signature(cell.config, seed, parent=None, domain=summarise(cell.config.domain))
    return TrialSpec(cell.name, seed, signature, None, cell.config)


def trial_signature(config: CellConfig, seed: int, *, parent: str | None, domain: DomainSummary) -> str:
    """16 hex digits of everything that decides a trial's numbers.

    A domain counts by its name and fingerprint, so that moving its YAML changes nothing.
    """
    identity = {
        "config": {**config.model_dump(mode="json"), "domain": domain.name},
        "seed": seed,
        "parent": parent,
        "domain_fingerprint": domain.fingerprint,
        "training_version": TRAINING_VERSION,
    }
    return _digest(identity)


def plan_hash(space: Space) -> str:
    """16 hex digits of what is decided before running."""
    config = space.config.model_dump(mode="json")
    return _digest({key: config[key] for key in ("primary", "design", "axes", "claims")})


def _canonical(content: object) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _digest(content: object) -> str:
    return hashlib.sha256(_canonical(content).encode()).hexdigest()[:16]


# The study's own description of itself


def study_document(plan: Plan, space: Space) -> dict[str, Any]:
    """The content of `study.json`: what a reader of the ledger needs to know of the space."""
    config = space.config.model_dump(mode="json")
    return {
        "schema_version": STUDY_SCHEMA_VERSION,
        "name": plan.name,
        "question": config["question"],
        "published": config["published"],
        "axes": {name: list(axis.names) for name, axis in space.config.axes.items()},
        "design": config["design"],
        "seeds": list(space.config.seeds),
        "primary": config["primary"],
        "claims": [claim.model_dump(mode="json", exclude_none=True) for claim in space.config.claims],
        "figures": config["figures"],
        "plan_hash": plan.plan_hash,
        "space_file_text": space.text,
        "settings": {setting.path: setting.value for setting in space.settings},
        "cells": [_cell_document(cell, plan) for cell in plan.cells],
    }


def _cell_document(cell: Cell, plan: Plan) -> dict[str, Any]:
    return {
        "cell": cell.name,
        "axis_values": dict(cell.axis_values),
        "is_baseline": cell.is_baseline,
        "merged": [dict(point.axis_values) for point in cell.coinciding],
        "num_parameters": cell.num_parameters,
        "trials": [
            {"seed": trial.seed, "signature": trial.signature}
            for trial in plan.trials
            if trial.cell == cell.name
        ],
    }
