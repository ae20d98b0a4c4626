"""A study as a launch finds it: its plan, its folder, and what is still to run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.backend import TrialTask
from orchestrator.config import Space
from orchestrator.ledger import Ledger, claim_study, write_study
from orchestrator.ledger.parts import DAMAGED_FOLDER
from orchestrator.plan import Plan, TrialSpec, build_plan, study_document
from orchestrator.resolving import Summarise
from trainables.domains import domain_summary

if TYPE_CHECKING:
    from trainables.trajectories import PreparationTask

CACHE_FOLDER = "cache"
"""Under the results folder: trajectories that all its studies share."""


@dataclass(frozen=True)
class Study:
    """A planned space and where its results are kept."""

    space: Space
    plan: Plan
    folder: Path
    """Absolute; `results/<space name>`."""
    earlier_plan_hash: str | None
    """What the study already there was decided by; None where there is none."""

    @property
    def cache_dir(self) -> Path:
        """The trajectory cache."""
        return self.folder.parent / CACHE_FOLDER

    @property
    def ledger_folder(self) -> Path:
        """The folder of the ledger."""
        return self.folder / "ledger"


@dataclass(frozen=True)
class Standing:
    """How far a study is, from its ledger."""

    records: Mapping[str, Mapping[str, Any]]
    """Signature -> how the trial stands; only trials of the present plan."""
    damaged: Sequence[str]

    @property
    def done(self) -> set[str]:
        """Signatures of the trials that need not run any more."""
        return {signature for signature, record in self.records.items() if record["status"] == "done"}


def open_study(space: Space, results: Path, *, summarise: Summarise = domain_summary) -> Study:
    """Plan a checked space and find its folder. Raises LedgerError when the folder cannot be used."""
    folder = results.absolute() / space.name
    existing = claim_study(folder, space.name)
    plan = build_plan(space, summarise=summarise)
    return Study(space, plan, folder, None if existing is None else existing.plan_hash)


def describe(study: Study) -> None:
    """Write `study.json`. Raises LedgerError when the folder cannot be written."""
    write_study(study.folder, study_document(study.plan, study.space))


def standing(study: Study, ledger: Ledger) -> Standing:
    """What of the plan the ledger holds."""
    planned = {trial.signature for trial in study.plan.trials}
    records = {record["signature"]: record for record in ledger.records() if record["signature"] in planned}
    return Standing(records, list(ledger.damaged))


def missing_tasks(study: Study, ledger: Ledger, now: Standing) -> list[TrialTask]:
    """What is still to run, in plan order: a failed trial is tried again, one that is done never."""
    missing = [trial for trial in study.plan.trials if trial.signature not in now.done]
    axis_values = {cell.name: dict(cell.axis_values) for cell in study.plan.cells}
    # Only a trial with a record, or a file set aside, can carry an earlier attempt's number.
    numbered = set(now.records)
    if (study.ledger_folder / DAMAGED_FOLDER).is_dir():
        numbered |= {trial.signature for trial in missing}
    attempts = {
        trial.signature: ledger.next_attempt(trial.signature) if trial.signature in numbered else 1
        for trial in missing
    }
    return [_task(trial, attempts[trial.signature], axis_values[trial.cell]) for trial in missing]


def preparation_of(study: Study, tasks: Sequence[TrialTask]) -> list["PreparationTask"]:
    """The chunks of the trajectory cache that these trials need and that are not there yet, each once."""
    from trainables.trajectories import preparation_tasks

    signatures = {task.signature for task in tasks}
    configs = [trial.config for trial in study.plan.trials if trial.signature in signatures]
    # The editor has no part in the cache: one look for all the cells that differ in nothing else.
    distinct = {config.model_dump_json(exclude={"editor"}): config for config in configs}
    found = [task for config in distinct.values() for task in preparation_tasks(config, study.cache_dir)]
    return list(dict.fromkeys(found))


def _task(trial: TrialSpec, attempt: int, axis_values: dict[str, Any]) -> TrialTask:
    return TrialTask(
        signature=trial.signature,
        attempt=attempt,
        cell=trial.cell,
        seed=trial.seed,
        axis_values=axis_values,
        config=trial.config.model_dump(mode="json"),
        parent=trial.parent,
        num_epochs=trial.config.training.epochs,
    )
