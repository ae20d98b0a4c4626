"""Which cells a study compares with which: what `study.json` says of it, and nothing of how it turns out."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from orchestrator.ledger.study import StudyCell, StudyPlan

Pair = tuple[str, str]
"""(cell, reference)."""
_NOT_IDENTITY = {"text", "source", "published", "axis", "better", "worse"}
"""What of a claim does not say which numbers it is about, beside its two cells."""


class Comparison(NamedTuple):
    """Two cells of a study that a verdict is about."""

    cell: str
    reference: str
    key: str
    """16 hex digits: the two cells whatever their order and names, what is measured, and by which margin and alpha."""
    is_primary: bool
    """Whether it is about the primary metric; else it is a claim about another."""

    @property
    def pair(self) -> Pair:
        """The two cells in this order."""
        return self.cell, self.reference


def comparisons(study: StudyPlan) -> list[Comparison]:
    """Every comparison of a study once: its contrasts in the plan's order, then claims about other pairs or metrics."""
    if study.is_search:
        return []
    found: dict[str, Comparison] = {}
    for contrast in contrasts(study):
        found.setdefault(contrast.key, contrast)
    for claim in study.claims:
        claimed = claim_comparison(study, claim)
        if claimed is not None:
            found.setdefault(claimed.key, claimed)
    return list(found.values())


def contrasts(study: StudyPlan) -> list[Comparison]:
    """The comparison of every cell that has one, in the plan's order."""
    return [_comparison(study, cell, reference, {}) for cell, reference in contrast_pairs(study)]


def claim_comparison(study: StudyPlan, claim: Mapping[str, Any]) -> Comparison | None:
    """The comparison that a claim is about; None where the plan has no cell for a side, or one cell for both."""
    points = [side(claim, role) for role in ("better", "worse")]
    better, worse = (cells_along(study, list(point)).get(tuple(point.values())) for point in points)
    if better is None or worse is None or better == worse:
        return None
    about = {name: value for name, value in claim.items() if name not in _NOT_IDENTITY and value is not None}
    if about.get("metric") == study.primary["metric"]:
        del about["metric"]
    return _comparison(study, better, worse, about)


def side(claim: Mapping[str, Any], role: str) -> dict[str, Any]:
    """The axis values that one side of a claim names."""
    value = claim[role]
    return dict(value) if isinstance(value, Mapping) else {claim["axis"]: value}


def contrast_pairs(study: StudyPlan) -> list[Pair]:
    """(cell, what it is compared with) in the plan's order; empty without a baseline.

    That is the baseline, or where the space names an axis to `compare`, each cell's counterpart along it.
    """
    base = study.baseline
    if base is None:
        return []
    if study.compare is not None:
        cells = [cell.cell for cell in study.cells if cell.role == "design"]
        pairs = ((cell, counterpart(study, cell)) for cell in cells)
        return [(cell, other) for cell, other in pairs if other is not None and other != cell]
    # A parent answers no question, and a control without an axis only that of the cell it belongs to.
    control = (base.starts_from or {}).get("control")
    compared = [cell.cell for cell in study.cells if cell.role == "design" or cell.cell == control]
    return [(cell, base.cell) for cell in compared if cell != base.cell]


def cells_along(
    study: StudyPlan, axes: Sequence[str], fixed: Mapping[str, Any] | None = None
) -> dict[tuple[Any, ...], str]:
    """Values of `axes` -> the cell there, all other axes held at `fixed` or at the baseline's value.

    Cells that coincide with several points (a setting that means nothing to a cell) appear at each.
    """
    if list(axes) == ["cell"]:
        return {(cell.cell,): cell.cell for cell in study.cells}
    base = baseline_point(study)
    held = {axis: value for axis, value in (base | dict(fixed or {})).items() if axis not in axes}
    found: dict[tuple[Any, ...], str] = {}
    for cell in study.cells:
        if cell.role != "design":  # Parents and controls stand at no point of the axes.
            continue
        for values in (cell.axis_values, *cell.merged):
            point = base | dict(values)
            if all(point.get(axis) == value for axis, value in held.items()):
                found.setdefault(tuple(point.get(axis) for axis in axes), cell.cell)
    return found


def counterpart(study: StudyPlan, cell: str) -> str | None:
    """The cell like this one but for the baseline's value of the axis `compare`; None without one."""
    axis, base = str(study.compare), baseline_point(study)
    own = dict(entry(study, cell).axis_values)
    if axis not in own or own[axis] == base.get(axis):
        return None
    return cells_along(study, [axis], own).get((base.get(axis),))


def baseline_point(study: StudyPlan) -> dict[str, Any]:
    """The baseline's value on every axis; empty without a baseline."""
    return {} if study.baseline is None else dict(study.baseline.axis_values)


def entry(study: StudyPlan, cell: str) -> StudyCell:
    """What the study says of a cell."""
    return next(one for one in study.cells if one.cell == cell)


def cell_identity(cell: StudyCell) -> str:
    """What decides a cell's numbers; the first trial's signature in studies from before cells had an identity."""
    return cell.identity or (cell.trials[0].signature if cell.trials else cell.cell)


def _comparison(study: StudyPlan, cell: str, reference: str, about: Mapping[str, Any]) -> Comparison:
    sides = sorted(cell_identity(entry(study, name)) for name in (cell, reference))
    content = json.dumps([sides, dict(study.primary), dict(about)], sort_keys=True)
    key = hashlib.sha256(content.encode()).hexdigest()[:16]
    return Comparison(cell, reference, key, is_primary=not about)
