"""A launch of a search: what `run` does for a plan, for trials that are asked for one by one."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from orchestrator.execution.checkpoints import drop_committed
from orchestrator.execution.tasks import TrialTask
from orchestrator.ledger import share_columns, write_study
from orchestrator.ledger.copies import working_copy_of
from orchestrator.ledger.files import writing
from orchestrator.plan.build import build_plan
from orchestrator.plan.cells import Plan
from orchestrator.plan.identity import plan_hash
from orchestrator.search.journal import JOURNAL
from orchestrator.search.results import Results, earlier_points, results_of, write_results
from orchestrator.search.search import Search
from orchestrator.space.axes import AxisValues
from orchestrator.space.config import Space
from orchestrator.space.designs.explicit import Config as ExplicitConfig
from orchestrator.space.points import acting_values, baseline_values, select
from orchestrator.study.document import expected_rows, study_document
from orchestrator.study.launch import Study
from orchestrator.study.observing import Outcome
from orchestrator.study.runner import Launch, RunOptions
from orchestrator.views.live import Display
from orchestrator.views.progress import Progress, Row

SECONDS_BETWEEN_DOCUMENTS = 5.0
"""How often, at most, `study.json` is written while a search goes on."""
REST_AFTER_A_DOCUMENT = 20
"""So many times as long as writing it took; it holds every trial, so it takes longer the more there are."""


@dataclass(frozen=True)
class SearchLaunch:
    """How a launch of a search ended."""

    outcome: Outcome
    results: Results
    notes: tuple[str, ...]


def run_search(study: Study, options: RunOptions, display: Display) -> SearchLaunch:
    """Go on with a search until its budget is spent, its time is up, its space exhausted, or a signal.

    `study` is a space of the design optuna with its folder. Raises LedgerError when another launch is at work or
    the folder cannot be written, BackendError as `run_missing` does.
    """
    options = replace(options, prepares_itself=options.trial_class is None)
    with ExitStack() as stack:
        launch = Launch(study, options, display, stack)
        if study.earlier_plan_hash is None:
            describe_search(study, [])
        reach = reachable(study.space)
        expected = expected_rows(reach)
        launch.clear_up(expected)
        with writing(study.folder):
            search = Search(study, launch.ledger, options.end)
            search.enqueue_earlier(earlier_points(study, search.config.earlier))
        launch.note_damaged(launch.ledger.damaged)
        ended = {name for name, record in search.records.items() if record["status"] in ("done", "pruned")}
        drop_committed(study.folder, ended)
        launch.publish()
        if search.num_expected > 0:
            launch.tell_listeners()
            _run(launch, search, reach)
            launch.publish()
        launch.outcome.num_left = search.num_expected
        if launch.outcome.interrupted_by is None:
            share_columns(study.ledger_folder, expected)
        describe_search(study, [candidate.values for candidate in search.asked()])
        results = results_of(search)
        write_results(study.folder, results)
        return SearchLaunch(launch.outcome, results, tuple(dict.fromkeys(search.notes)))


def _run(launch: Launch, search: Search, reach: Plan) -> None:
    study = launch.study
    progress = Progress({}, num_expected=search.num_expected)
    copy = working_copy_of(study.folder)
    due = 0.0

    def on_new(task: TrialTask) -> None:
        nonlocal due
        if copy is not None:  # Whoever goes on elsewhere then finds every trial that has begun.
            copy.push([study.folder / JOURNAL])
        progress.add(task.signature, Row(task.cell, task.seed, num_epochs=task.num_epochs))
        if (began := time.monotonic()) >= due:  # `status` reads it.
            points = [candidate.values for candidate in search.asked()]
            describe_search(study, [*points, task.axis_values])
            took = time.monotonic() - began
            due = time.monotonic() + max(SECONDS_BETWEEN_DOCUMENTS, REST_AFTER_A_DOCUMENT * took)

    search.on_new = on_new
    launch.run(search, progress, reach, {trial.signature for trial in reach.trials})


def reachable(space: Space) -> Plan:
    """The untuned default, and each end of each axis alone: what can be prepared before anything is proposed."""
    baseline, _ = baseline_values(space)
    probed = select(space, baseline, to_check=True)
    ends = [acting for _, acting in probed.points]
    plan = build_plan(with_points(space, ends))
    return replace(plan, trials=tuple(space.family.to_prepare(plan.trials)))


def with_points(space: Space, points: Sequence[AxisValues]) -> Space:
    """The space with these points as its cells, at the search's seeds."""
    design = ExplicitConfig(kind="explicit", cells=tuple(dict(point) for point in points) or ({},))
    # The points have been allowed already, or are no trials at all.
    changed = {"design": design, "constraints": ()}
    return replace(space, config=space.config.model_copy(update=changed))


def describe_search(study: Study, points: Sequence[AxisValues]) -> None:
    """Write `study.json`: a search's trials so far are its cells, and none is a baseline for contrasts.

    A search looks at its seeds, and picks; only the test of its winner on fresh seeds compares. Raises LedgerError when
    the folder cannot be written.
    """
    space = study.space
    plan = build_plan(with_points(space, points))
    cells = tuple(replace(cell, is_baseline=False) for cell in plan.cells)
    document = study_document(replace(plan, cells=cells, plan_hash=plan_hash(space)), space)
    for cell in document["cells"]:
        cell["axis_values"] = acting_values(space.config, cell["axis_values"])
    write_study(study.folder, document)
