"""The primary metric of a space whose cells cannot tell the one that its author would rather have.

What can be measured may depend on the data. One file serves several kinds of data when it also says what to judge
by `instead`. Which of the two it is, is settled before anything runs; the plan hash covers it.
"""

from dataclasses import replace

from orchestrator.plan.checks.cells import wrong_settings
from orchestrator.space.config import Space
from orchestrator.space.points import baseline_values, select
from orchestrator.space.resolving import resolve
from trainables.errors import UserError
from trainables.settings import Settings


def with_told_primary(space: Space) -> Space:
    """The space with `primary.instead` as its primary where a cell cannot tell the first choice, and so on."""
    primary = space.config.primary
    if primary.instead is None:
        return space
    try:
        cells = _cells(space)
    except UserError:
        return space  # its own check says so, with the line
    reason = next(filter(None, (space.family.unmeasured(primary.metric, cell) for cell in cells)), None)
    if reason is None:
        return space
    return with_told_primary(
        replace(
            space,
            config=space.config.model_copy(update={"primary": primary.instead}),
            primary_place=(*space.primary_place, "instead"),
            primary_because=(*space.primary_because, f"{primary.metric} {reason}"),
        )
    )


def _cells(space: Space) -> list[Settings]:
    """What is right in the configurations of the space's points, so that one mistake hides no other choice.

    None where the baseline is not among the values of an axis. Raises UserError where the family cannot read what it
    needs.
    """
    baseline, missing = baseline_values(space)
    if missing or any(space.config.design.findings(space.config.axes, baseline)):
        return []
    resolved = (resolve(space, acting) for _, acting in select(space, baseline).points)
    configs = (wrong_settings(one.settings, space.family)[1] for one in resolved)
    return [space.family.canonical(config) for config in configs if config is not None]
