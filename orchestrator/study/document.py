"""What is known of a study's results before any is there: `study.json`, and the columns of the ledger's tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.plan.cells import Cell, Plan, TrialSpec
from orchestrator.plan.checks.space import known_metrics
from orchestrator.plan.identity import cell_identity, primary_identity
from orchestrator.plan.warm_starts import axes_with_controls
from orchestrator.space.axes import AxisValue
from orchestrator.space.config import Space
from trainables.families import described
from trainables.family import Family

STUDY_SCHEMA_VERSION = 1


def study_document(plan: Plan, space: Space, *, counts_parameters: bool = True) -> dict[str, Any]:
    """The content of `study.json`: what a reader of the ledger needs to know of the space.

    Counting parameters imports torch; whoever only looks at the plan leaves that out.
    """
    config = space.config.model_dump(mode="json")
    trials: dict[str, list[TrialSpec]] = {cell.name: [] for cell in plan.cells}
    for trial in plan.trials:
        trials[trial.cell].append(trial)
    rule = space.config.adaptive
    return {
        "schema_version": STUDY_SCHEMA_VERSION,
        "name": plan.name,
        "family": space.family.name,
        "plugins": config["plugins"],
        **described(space.family, known_metrics(space)),
        "question": config["question"],
        "published": config["published"],
        "axes": _axis_documents(space, plan),
        "design": space.config.design.kind,
        "design_settings": space.config.design.model_dump(mode="json", exclude={"kind"}),
        "seeds": list(dict.fromkeys(trial.seed for trial in plan.trials)),
        "adaptive": None if rule is None else {"max": rule.max, "schedule": list(rule.schedule)},
        "primary": primary_identity(space),
        "compare": space.config.compare,
        "claims": [claim.model_dump(mode="json", exclude_none=True) for claim in space.config.claims],
        "figures": config["figures"],
        "plan_hash": plan.plan_hash,
        "space_file_text": space.text,
        "extended": [{"file": file, "text": text} for file, text in space.extended],
        "settings": {setting.path: setting.value for setting in space.settings},
        "cells": [
            _cell_document(plan.family, cell, trials[cell.name], counts_parameters) for cell in plan.cells
        ],
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


def cell_head(cell: Cell) -> dict[str, Any]:
    """What `study.json` and `plan --json` both say of a cell first."""
    return {
        "cell": cell.name,
        "axis_values": dict(cell.axis_values),
        "is_baseline": cell.is_baseline,
        "role": cell.role,
        "starts_from": None if cell.start is None else cell.start._asdict(),
    }


def _cell_document(
    family: Family, cell: Cell, trials: Sequence[TrialSpec], counts_parameters: bool
) -> dict[str, Any]:
    head = cell_head(cell)
    return {
        **head,
        "identity": cell_identity(family, cell.config, head["starts_from"]),
        "merged": [dict(point.axis_values) for point in cell.coinciding],
        "num_parameters": family.num_parameters(cell.config) if counts_parameters else None,
        "code": trials[0].code if trials else cell.code,
        "trials": [{"seed": trial.seed, "signature": trial.signature} for trial in trials],
    }


def expected_rows(plan: Plan) -> Mapping[str, list[dict[str, Any]]]:
    """Table -> rows with the axis values of the plan's cells, and with the names of what they measure."""
    family = plan.family
    rows, summary = family.measured_columns([cell.config for cell in plan.cells])
    coordinates = {one.name: "" if one.is_text else 0.0 for one in family.coordinates}
    further = family.further_columns()
    return {
        "trials": [
            *({"axis_values": dict(cell.axis_values)} for cell in plan.cells),
            dict.fromkeys(f"metric_{name}" for name in summary),
        ],
        "evaluations": [{**dict.fromkeys(rows, 0.0), **coordinates, **further.get("evaluations", {})}],
        "samples": [{**coordinates, **further.get("samples", {})}],
        "curves": [{**dict.fromkeys(family.curve_columns(), 0.0), **further.get("curves", {})}],
    }
