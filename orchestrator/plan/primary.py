"""The primary metric of a space on a domain that cannot tell the one its author would rather have.

A counterfactual gain needs true edits, which drawn faces have and photographs do not. One file serves both when it
also says what to judge by `instead`. Which of the two it is, is settled before anything runs; the plan hash covers it.
"""

from dataclasses import replace

from pydantic import ValidationError

from orchestrator.plan.build import resolve_cell
from orchestrator.plan.checks.metrics import untold
from orchestrator.space.config import Space
from orchestrator.space.points import baseline_values, select
from orchestrator.space.resolving import Summarise
from trainables.h_space.config import CellConfig
from trainables.h_space.domains import DomainError
from trainables.h_space.metrics import METRICS


def with_told_primary(space: Space, summarise: Summarise) -> Space:
    """The space with `primary.instead` as its primary where a cell cannot tell the first choice."""
    primary = space.config.primary
    if primary.instead is None or primary.metric not in METRICS:
        return space
    try:
        cells = _cells(space, summarise)
    except (ValidationError, DomainError):
        return space  # its own check says so, with the line
    metric = METRICS[primary.metric]
    if not any(untold(metric, cell, summarise(cell.domain)) for cell in cells):
        return space
    config = space.config.model_copy(update={"primary": primary.instead})
    return replace(space, config=config, primary_place=(*space.primary_place, "instead"))


def _cells(space: Space, summarise: Summarise) -> list[CellConfig]:
    """The configurations of the space's points; none where its baseline is not among the values of an axis."""
    baseline, missing = baseline_values(space, summarise)
    if missing or any(space.config.design.findings(space.config.axes, baseline)):
        return []
    return [resolve_cell(space, acting, summarise=summarise) for _, acting in select(space, baseline).points]
