"""The primary metric of a space whose cells cannot tell the one that its author would rather have.

What can be measured may depend on the data. One file serves several kinds of data when it also says what to judge
by `instead`. Which of the two it is, is settled before anything runs; the plan hash covers it.
"""

from dataclasses import replace

from pydantic import ValidationError

from orchestrator.plan.build import resolve_cell
from orchestrator.space.config import Space
from orchestrator.space.points import baseline_values, select
from trainables.errors import UserError
from trainables.settings import Settings


def with_told_primary(space: Space) -> Space:
    """The space with `primary.instead` as its primary where a cell cannot tell the first choice, and so on."""
    primary = space.config.primary
    if primary.instead is None:
        return space
    try:
        cells = _cells(space)
    except (ValidationError, UserError):
        return space  # its own check says so, with the line
    if not any(space.family.unmeasured(primary.metric, cell) for cell in cells):
        return space
    config = space.config.model_copy(update={"primary": primary.instead})
    return with_told_primary(replace(space, config=config, primary_place=(*space.primary_place, "instead")))


def _cells(space: Space) -> list[Settings]:
    """The configurations of the space's points; none where its baseline is not among the values of an axis."""
    baseline, missing = baseline_values(space)
    if missing or any(space.config.design.findings(space.config.axes, baseline)):
        return []
    return [resolve_cell(space, acting) for _, acting in select(space, baseline).points]
