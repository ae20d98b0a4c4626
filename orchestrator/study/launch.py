"""A study as a launch finds it: its plan, its folder, and what is still to run."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any
from unicodedata import normalize

from orchestrator.execution.models import find_model
from orchestrator.execution.tasks import TrialTask
from orchestrator.ledger import Ledger, LedgerError, StudyPlan, claim_study, described, write_study
from orchestrator.ledger.copies import copy_at
from orchestrator.ledger.study import CACHE_FOLDER, may_hold_study
from orchestrator.plan.build import build_plan
from orchestrator.plan.cells import Plan, TrialSpec
from orchestrator.space.config import Space
from orchestrator.study.document import study_document
from orchestrator.study.reuse import adopt, found_elsewhere, next_attempt
from orchestrator.study.shards import Shard, share
from trainables.model_files import MODEL_FOLDER
from trainables.names import folded
from trainables.settings import Settings


@dataclass(frozen=True)
class Study:
    """A planned space and where its results are kept."""

    space: Space
    plan: Plan
    folder: Path
    """Absolute; `results/<space name>`."""
    earlier_plan_hash: str | None
    """What the study already there was decided by; None where there is none."""
    reuses_changed_code: bool = False
    """Whether trials that other code has made count as done."""
    shard: Shard | None = None
    """The share of the trials that this launch runs; None where it runs all."""

    @cached_property
    def own(self) -> frozenset[str]:
        """Signatures of the trials that this launch runs."""
        if self.shard is None:
            return frozenset(trial.signature for trial in self.plan.trials)
        return share(self.plan, self.shard)

    @property
    def shard_name(self) -> str:
        """Of its shard's files; empty where it runs all."""
        return "" if self.shard is None else self.shard.name

    @property
    def own_trials(self) -> Sequence[TrialSpec]:
        """Trials that this launch runs, in plan order."""
        return [trial for trial in self.plan.trials if trial.signature in self.own]

    @property
    def cache_dir(self) -> Path:
        """What preparation leaves."""
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
    done: set[str]
    """Signatures of the trials that need not run any more."""
    of_other_code: set[str]
    """Signatures of the trials that code other than today's has finished, or code that nobody knows."""
    num_other: int
    """Finished trials of the plan's cells and seeds that have other signatures: of other settings or contents."""


def open_study(space: Space, results: Path, *, reuses_changed_code: bool = False) -> Study:
    """Plan a checked space and find its folder. Raises LedgerError when the folder cannot be used.

    Trials made by other code than today's are run again unless they are reused.

    Where seeds are added while they are needed, cells keep those that the study there has already asked for.
    """
    _check_place(space, results)
    folder = results.absolute() / space.name
    if (copy := copy_at(folder.parent)) is not None:
        copy.refresh(space.name)
    existing = claim_study(folder, space.name, (MODEL_FOLDER,))
    plan = build_plan(space)
    if copy is not None:
        copy.fetch_done(space.name, {trial.signature for trial in plan.trials})
    earlier = None if existing is None else existing.plan_hash
    study = Study(space, plan, folder, earlier, reuses_changed_code)
    if space.config.adaptive is None or existing is None:
        return study
    return with_seeds(study, _seeds_asked_for(longest_plan(study), existing))


def _check_place(space: Space, results: Path) -> None:
    """Raise LedgerError where no folder can be, or on some system it would be the cache's or another study's."""
    places = (results.absolute(), *results.absolute().parents)
    if nowhere := next((path for path in places if path.is_symlink() and not path.exists()), None):
        raise LedgerError(f"{nowhere} is a link that leads nowhere; choose another folder with --results")
    above = next(path for path in places if path.exists())
    if not above.is_dir():
        raise LedgerError(f"{above} is a file; choose a folder with --results")
    name = folded(space.name)
    if name == CACHE_FOLDER:
        raise LedgerError(
            f"a study cannot be called {space.name}: its folder is the cache; rename {space.file}"
        )
    named = {normalize("NFC", path.name) for path in results.glob("*") if may_hold_study(path)}
    alike = [other for other in sorted(named) if folded(other) == name]
    if alike and normalize("NFC", space.name) not in alike:
        raise LedgerError(
            f"{results} has a study called {alike[0]}, and some systems take {alike[0]} and {space.name} for the same "
            f"folder; rename {space.file}, or choose another folder with --results"
        )


def with_seeds(study: Study, num_seeds: Mapping[str, int]) -> Study:
    """The study with these numbers of seeds, by cell; a cell never has fewer than before."""
    before = Counter(trial.cell for trial in study.plan.trials)
    wanted = {cell: max(num_seeds.get(cell, 0), count) for cell, count in before.items()}
    plan = build_plan(study.space, num_seeds=wanted)
    return replace(study, plan=plan)


def longest_plan(study: Study) -> Plan:
    """The plan if no contrast is ever decided; the study's own where the number of seeds is fixed."""
    rule = study.space.config.adaptive
    if rule is None:
        return study.plan
    most = dict.fromkeys((cell.name for cell in study.plan.cells), rule.max)
    return build_plan(study.space, num_seeds=most)


def _seeds_asked_for(longest: Plan, existing: StudyPlan) -> dict[str, int]:
    """Cell -> how many of its seeds the study there asks for, whatever the cell was called then."""
    asked = {trial.signature for cell in existing.cells for trial in cell.trials}
    found: dict[str, int] = {}
    for trial in longest.trials:
        if trial.signature in asked:
            found[trial.cell] = max(found.get(trial.cell, 0), trial.seed + 1)
    return found


def describe(study: Study, *, has_results: bool = True) -> None:
    """Write `study.json`. Raises LedgerError when the folder cannot be written.

    Without results, nobody can have chosen this plan by them: it takes the place of the one before.
    """
    document = study_document(study.plan, study.space)
    document["reuses_changed_code"] = study.reuses_changed_code
    write_study(study.folder, document, has_results=has_results)


def as_launched(study: Study) -> StudyPlan:
    """The study as a launch would now describe it, with the plans that it would then have had; nothing is written."""
    document = study_document(longest_plan(study), study.space, counts_parameters=False)
    has_results = bool(Ledger(study.ledger_folder).records())
    return described(study.folder, document, has_results=has_results)


def standing(study: Study, ledger: Ledger) -> Standing:
    """What of the plan the ledger holds."""
    codes = {trial.signature: trial.code for trial in study.plan.trials}
    ledger.prefer(codes)
    ended = {record["signature"]: record for record in ledger.records()}
    records = {signature: record for signature, record in ended.items() if signature in codes}
    places = {(trial.cell, trial.seed) for trial in study.plan.trials}
    num_other = sum(
        (record["cell"], record["seed"]) in places and record["status"] == "done"
        for signature, record in ended.items()
        if signature not in codes
    )
    finished = {signature for signature, record in records.items() if record["status"] == "done"}
    other = {signature for signature in finished if records[signature]["code"] != codes[signature]}
    done = finished if study.reuses_changed_code else finished - other
    return Standing(records, list(ledger.damaged), done, other, num_other)


def with_copies(study: Study, ledger: Ledger, now: Standing, note: Callable[[str], None]) -> Standing:
    """How far the study is once the trials that other studies have done are copied into its ledger.

    Only for the holder of the study's lock.
    """
    wanted = {trial.signature: trial.code for trial in study.own_trials if trial.signature not in now.done}
    hits = found_elsewhere(wanted, study.folder, reuses_changed_code=study.reuses_changed_code)
    if not hits:
        return now
    order = [hits[trial.signature] for trial in study.plan.trials if trial.signature in hits]
    adopted = adopt(order, study.plan, study.folder, ledger)
    for other, count in Counter(hit.study for hit in adopted).items():
        note(f"{count} trial{'' if count == 1 else 's'} copied from study {other}, which has done the same")
    return standing(study, ledger)


def missing_tasks(study: Study, ledger: Ledger, now: Standing) -> list[TrialTask]:
    """What is still to run, in plan order: a failed trial is tried again, one that is done never.

    Unless a missing child starts from a model that is no longer there: then its parent trains once more.
    """
    missing = _to_run(study, now.done)
    kept_epochs: dict[str, set[int]] = {}
    for trial in study.plan.trials:
        if trial.parent is not None and trial.start.epoch is not None:
            kept_epochs.setdefault(trial.parent, set()).add(trial.start.epoch)
    axis_values = {cell.name: dict(cell.axis_values) for cell in study.plan.cells}
    family, tried = study.space.family, ledger.attempts()
    configs = {id(trial.config): trial.config for trial in missing}  # seeds share theirs
    dumped = {key: config.model_dump(mode="json") for key, config in configs.items()}
    return [
        TrialTask(
            signature=trial.signature,
            attempt=next_attempt(tried, trial.signature),
            cell=trial.cell,
            seed=trial.seed,
            axis_values=axis_values[trial.cell],
            config=dumped[id(trial.config)],
            parent=trial.parent,
            num_epochs=family.num_epochs(trial.config),
            is_resumable=family.is_resumable(trial.config),
            parent_epoch=trial.start.epoch,
            start_digest=trial.start.digest,
            code=trial.code,
            draws=trial.draws,
            keep_epochs=sorted(kept_epochs.get(trial.signature, ())),
        )
        for trial in missing
    ]


def _to_run(study: Study, done: Collection[str]) -> list[TrialSpec]:
    """Trials that are not done, and the parents whose models they miss."""
    needed = {trial.signature for trial in study.own_trials if trial.signature not in done}
    for trial in reversed(study.plan.trials):  # Every parent comes before its children.
        parent = trial.parent if trial.signature in needed else None
        if parent is not None and find_model(study.folder, parent, trial.start.epoch) is None:
            needed.add(parent)
    return list({trial.signature: trial for trial in study.plan.trials if trial.signature in needed}.values())


def configs_to_prepare(plan: Plan, signatures: Collection[str]) -> list[Settings]:
    """Configurations of these trials with their seeds, one for all that need the same preparation."""
    trials = [trial for trial in plan.trials if trial.signature in signatures]
    alike = {(id(trial.config), trial.seed): trial for trial in trials}.values()
    configs = [plan.family.with_seed(trial.config, trial.seed) for trial in alike]
    return list({plan.family.shared(config): config for config in configs}.values())
