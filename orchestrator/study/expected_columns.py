"""Which columns the rows of a plan's trials will have: known before the first of them ends, whatever its fate."""

from collections.abc import Mapping
from typing import Any

from orchestrator.plan.cells import Plan
from orchestrator.plan.checks.metrics import untold
from orchestrator.space.resolving import Summarise
from trainables.h_space.domains import domain_summary
from trainables.h_space.metrics import METRICS

LOSSES = ("loss_total", "loss_direction", "loss_recon")


def expected_rows(plan: Plan, summarise: Summarise = domain_summary) -> Mapping[str, list[dict[str, Any]]]:
    """Table -> rows with the axis values of the plan's cells, and with the names of what they measure."""
    told = {
        name: metric
        for cell in plan.cells
        for name, metric in METRICS.items()
        if not untold(metric, cell.config, summarise(cell.config.domain))
    }
    measured = [name for metric in told.values() for name in metric.row_columns]
    summary = [
        *LOSSES,
        "train_seconds",
        *(name for metric in told.values() for name in metric.summary_columns),
    ]
    return {
        "trials": [
            *({"axis_values": dict(cell.axis_values)} for cell in plan.cells),
            dict.fromkeys(f"metric_{name}" for name in summary),
        ],
        "evaluations": [dict.fromkeys(measured)],
    }
