"""Runs a study whose seeds are added while contrasts are undecided: run, judge, add, run.

What is decided, and by which rule, is the judge's business; the orchestrator only asks how many seeds each cell should
have and plans them.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from orchestrator.study.launch import Study, with_seeds
from orchestrator.study.observing import Outcome
from orchestrator.study.runner import RunOptions

Judge = Callable[[Path], Mapping[str, int]]
"""From a study's folder to how many seeds each of its cells should have now."""

Run = Callable[[Study, RunOptions], Outcome]
Note = Callable[[str], None]


def run_until_decided(study: Study, options: RunOptions, run: Run, judge: Judge, note: Note) -> Outcome:
    """Run the study, and more seeds of the cells that the judge wants, until it wants no more.

    Trials that fail stay failed until the next launch: they are outcomes, and the judge counts them.
    """
    total = run(study, options)
    while total.interrupted_by is None and total.preparation_error is None:
        grown = with_seeds(study, judge(study.folder))
        if len(grown.plan.trials) == len(study.plan.trials):
            return total
        note(_added(study, grown))
        study = grown
        total = _joined(total, run(study, replace(options, retries_failed=False)))
    return total


def _added(before: Study, after: Study) -> str:
    """Which cells go on, in a line."""
    known = {trial.signature for trial in before.plan.trials}
    new = [trial for trial in after.plan.trials if trial.signature not in known]
    cells = dict.fromkeys(trial.cell for trial in new)
    most = 1 + max(trial.seed for trial in new)
    return f"still undecided, going on to {most} seeds: {', '.join(cells)} ({len(new)} trials)"


def _joined(first: Outcome, second: Outcome) -> Outcome:
    return replace(second, num_run=first.num_run + second.num_run, failed=[*first.failed, *second.failed])
