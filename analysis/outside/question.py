"""What is asked of results: which columns say what, against what, and how large a difference matters."""

import math
import re
from dataclasses import dataclass, field
from typing import Literal, cast

import numpy as np

from analysis.stats.crossed import Over
from trainables.errors import UserError
from trainables.wording import expected, one_of

Missing = Literal["refuse", "count"]
Direction = Literal["higher", "lower"]
OVER: tuple[Over, ...] = ("seeds", "items", "both")
MISSING: tuple[Missing, ...] = ("refuse", "count")
DIRECTIONS: tuple[Direction, ...] = ("higher", "lower")
OF_BASELINE = "% of baseline"

_LOWER = re.compile(
    r"(^|[^a-z])(loss|losses|err|error|errors|nll|ppl|perplexity|rmse|mse|mae|fid|kid|wer|cer|latency|seconds|regret)"
    r"([^a-z]|$)",
    re.IGNORECASE,
)
"""Names of metrics of which less is better, nearly always."""


@dataclass(frozen=True)
class Question:
    """The roles of the columns, and what a difference is judged by."""

    variant: str
    metric: str
    baseline: str
    margin: float
    """In the metric's unit, or where `margin_is_relative` in hundredths of the baseline's mean."""
    seed: str | None = None
    """None where every row is of one training run; then there is an `item`."""
    item: str | None = None
    cluster: str | None = None
    higher_is_better: bool = True
    alpha: float = 0.05
    over: Over | None = None
    """What the verdicts are to speak for; what the columns allow, where it is None."""
    missing: Missing = "refuse"
    margin_is_relative: bool = False
    where: tuple[tuple[str, str], ...] = field(default=())
    """(column, value): only rows with these values count."""

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that are read; several with commas between stand for their values together."""
        asked = [name for name in (self.variant, self.seed, self.item, self.cluster) if name is not None]
        parts = [part for name in asked for part in (name, *name.split(","))]
        return tuple(dict.fromkeys([*parts, self.metric, *(column for column, _ in self.where)]))


def ask(
    *,
    variant: str,
    metric: str,
    baseline: object,
    margin: float | str,
    seed: str | None = None,
    item: str | None = None,
    cluster: str | None = None,
    direction: str | None = None,
    alpha: float = 0.05,
    over: str | None = None,
    missing: str = "refuse",
    where: tuple[tuple[str, str], ...] = (),
) -> Question:
    """The question in a user's words. Raises UserError for what is wrong in itself, whatever the results are."""
    roles = {"variant": variant, "metric": metric, "seed": seed, "item": item, "cluster": cluster}
    taken: dict[str, str] = {}
    for role, column in roles.items():
        if column in taken:
            raise UserError(f"--{role}: column {column!r} is the {taken[column]} already; name another")
        if column is not None:
            taken[column] = role
    if seed is None and item is None:
        raise UserError("--seed: required without --item: name the column that says which run a row is of")
    if cluster is not None and item is None:
        raise UserError("--cluster: groups items, so name their column with --item")
    for option, given, known in (
        ("direction", direction, DIRECTIONS),
        ("over", over, OVER),
        ("missing", missing, MISSING),
    ):
        if given is not None and given not in known:
            raise UserError(f"--{option}: {expected(one_of(known), given, known)}")
    if over in ("items", "both") and item is None:
        raise UserError(f"--over {over}: needs --item, the column that says which item a row is of")
    if over in ("seeds", "both") and seed is None:
        raise UserError(f"--over {over}: needs --seed, the column that says which run a row is of")
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not 0 < alpha < 1:
        raise UserError(f"--alpha: {expected('a number between 0 and 1', alpha)}")
    if direction is None and (found := _LOWER.search(metric)):
        raise UserError(
            f"--direction: say whether {metric!r} is better lower or higher; its name has {found[2]!r} in it"
        )
    size, is_relative = margin_of(margin)
    return Question(
        variant=variant,
        metric=metric,
        baseline=text_of(baseline) or "",
        margin=size,
        seed=seed,
        item=item,
        cluster=cluster,
        higher_is_better=direction != "lower",
        alpha=float(alpha),
        over=cast(Over | None, over),
        missing=cast(Missing, missing),
        margin_is_relative=is_relative,
        where=where,
    )


def margin_of(given: float | str) -> tuple[float, bool]:
    """(size, whether it is in per cent of the baseline). Raises UserError where its unit is open."""
    text = str(given).strip()
    is_relative = text.endswith(OF_BASELINE)
    number = text.removesuffix(OF_BASELINE).strip()
    wanted = f'a number above 0 in the unit of the metric, or such as "1{OF_BASELINE}"'
    try:
        size = float(number)
    except ValueError:
        if number.endswith("%"):
            raise UserError(
                f"--margin: {number} of what? Write a number in the unit of the metric, such as 0.01, or "
                f'"{number[:-1].strip()}{OF_BASELINE}" for a share of the baseline\'s mean'
            ) from None
        raise UserError(f"--margin: {expected(wanted, given)}") from None
    if isinstance(given, bool) or not (math.isfinite(size) and size > 0):
        raise UserError(f"--margin: {expected(wanted, given)}")
    return size, is_relative


def text_of(value: object) -> str | None:
    """A name, seed or item as text, the same from every kind of file: 3, 3.0 and " 3" are one; None for nothing."""
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value).strip()
    return text if text not in ("", "<NA>", "NaT") else None
