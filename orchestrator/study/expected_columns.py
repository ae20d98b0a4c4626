"""Which columns the rows of a plan's trials will have: known before the first of them ends, whatever its fate."""

from collections.abc import Mapping
from typing import Any

from orchestrator.plan.cells import Plan


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
