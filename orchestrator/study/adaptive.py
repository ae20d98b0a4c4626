"""Runs a study, adding seeds while contrasts are undecided where its space asks for that: run, judge, add, run.

What is decided, and by which rule, is the judge's business; the orchestrator only asks how many seeds each cell should
have and plans them.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from orchestrator.study.launch import Study, with_seeds
from orchestrator.study.observing import Outcome
from orchestrator.study.runner import RunOptions, run_missing
from orchestrator.views.live import Display

Judge = Callable[[Path], Mapping[str, int]]
"""From a study's folder to how many seeds each of its cells should have now."""


def run_until_decided(
    study: Study, options: RunOptions, display: Display, judge: Judge, note: Callable[[str], None]
) -> Outcome:
    """Run the study as `run_missing` does, then more seeds of the cells that the judge wants, until it wants no more.

    Trials that fail stay failed until the next launch: they are outcomes, and the judge counts them.
    """
    total = run_missing(study, options, display)
    while (
        study.space.config.adaptive is not None
        and total.interrupted_by is None
        and total.preparation_error is None
    ):
        grown = with_seeds(study, judge(study.folder))
        if len(grown.plan.trials) == len(study.plan.trials):
            return total
        note(_added(study, grown))
        study = grown
        more = run_missing(study, replace(options, retries_failed=False, joined=None), display)
        total = replace(more, num_run=total.num_run + more.num_run, failed=[*total.failed, *more.failed])
    return total


def _added(before: Study, after: Study) -> str:
    """Which cells go on, in a line."""
    known = {trial.signature for trial in before.plan.trials}
    new = [trial for trial in after.plan.trials if trial.signature not in known]
    cells = dict.fromkeys(trial.cell for trial in new)
    most = 1 + max(trial.seed for trial in new)
    return f"still undecided, going on to {most} seeds: {', '.join(cells)} ({len(new)} trials)"
