"""Which columns the rows of a plan's trials will have: known before the first of them ends, whatever its fate."""

from collections.abc import Mapping
from typing import Any

from orchestrator.plan.cells import Plan


def expected_rows(plan: Plan) -> Mapping[str, list[dict[str, Any]]]:
    """Table -> rows with the axis values of the plan's cells, and with the names of what they measure."""
    rows, summary = plan.family.measured_columns([cell.config for cell in plan.cells])
    return {
        "trials": [
            *({"axis_values": dict(cell.axis_values)} for cell in plan.cells),
            dict.fromkeys(f"metric_{name}" for name in summary),
        ],
        "evaluations": [dict.fromkeys(rows)],
        "curves": [dict.fromkeys(plan.family.curve_columns())],
    }
