"""Verdicts over results that were measured elsewhere."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.outside.question import ask
from analysis.outside.reading import read
from analysis.outside.rows import of_frame
from analysis.outside.verdicts import Verdicts, judge_rows
from trainables.errors import UserError


def judge(
    results: Any,
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
    where: Mapping[str, object] | None = None,
) -> Verdicts:
    """Judge every variant against the baseline, as `asyrp-sweep judge` does; the arguments are its options.

    `results` is a data frame (pandas, or anything with `to_pandas`), what makes one, or one or several paths of files.
    `variant`, `seed`, `item`, `cluster` and `metric` name columns; `margin` is in the metric's unit, or a text such as
    "1% of baseline". `where` keeps only rows with these values. Raises UserError for results that cannot be judged,
    naming row and column.
    """
    question = ask(
        variant=variant,
        metric=metric,
        baseline=baseline,
        margin=margin,
        seed=seed,
        item=item,
        cluster=cluster,
        direction=direction,
        alpha=alpha,
        over=over,
        missing=missing,
        where=tuple((column, str(value)) for column, value in (where or {}).items()),
    )
    paths = _paths(results)
    rows = read(paths, question.columns) if paths else of_frame(_frame(results), question.columns)
    return judge_rows(rows, question)


def _paths(results: Any) -> list[Path]:
    """The files that are meant; none where it is a table."""
    if isinstance(results, str | Path):
        return [Path(results)]
    is_several = isinstance(results, Sequence) and len(results) > 0
    return (
        list(map(Path, results)) if is_several and all(isinstance(one, str | Path) for one in results) else []
    )


def _frame(results: Any) -> pd.DataFrame:
    if isinstance(results, pd.DataFrame):
        return results
    try:
        return results.to_pandas() if hasattr(results, "to_pandas") else pd.DataFrame(results)
    except (ValueError, TypeError) as error:
        raise UserError(
            f"expected a data frame, or what makes one; found {type(results).__name__}: {error}"
        ) from error
